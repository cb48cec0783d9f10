"""Strangers: who stands in a campaign that is settled, but has nothing to do with what its members have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import members, ring
from spiritsafe.campaigns._distinct import dense

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.verdict import Verdict


def of_texts(log: Log, home: Verdict, known: Any, layers: Mapping[str, Layer] | None) -> None:
    """Take out of a home whose members have a text in common who came with all that it sends and has none of that.

    ``known``: its parties before. Turns of few exchanges show little, and an address is shared by many: neither makes a member of
    one whose texts no other member has, who plays no role and holds no member's card or device.
    """
    parties, role, common = members.in_common(log, home.rows)
    if parties.size != home.parties.size or 2 * (common > 1).sum() < parties.size:
        return
    strange = (common <= 1) & ~role & ~np.isin(parties, known)
    if layers is not None:
        strange &= ~members.tied(layers, parties, to=~strange, rare=True)
    if strange.any():
        take_out(log, home, strange)


def take_out(log: Log, home: Verdict, gone: Any) -> None:
    """Take the parties that are ``gone`` (boolean by party) out of a home, with their exchanges."""
    home.parties, home.probability = home.parties[~gone], home.probability[~gone]
    home.rows = home.rows[np.isin(log.row_party[home.rows], home.parties)]


def of_round(log: Log, home: Verdict, every: Any, layers: Mapping[str, Layer] | None) -> None:
    """Take out of a home to which one hand deals whom it passes over, who plays no role and holds no member's card or device.

    Who asks the items of a public set, or words a request as many do, may share a campaign's text; its dispatcher comes to all
    of its accounts in turn, and to nobody else. ``every``: all that the home's parties sent (``ring.sent_by``).
    """
    strange = ring.misplaced(log, home.parties, every)
    if strange.any():
        party, index = dense(log.row_party[home.rows])
        role = party[np.bincount(index, weights=log.has_role(home.rows)) > 0]
        strange &= ~np.isin(home.parties, role)
        if layers is not None:
            strange &= ~members.tied(layers, home.parties, to=~strange, rare=True)
    if strange.any():
        take_out(log, home, strange)
