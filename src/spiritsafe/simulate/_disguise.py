"""What a campaign does to mislead: blank columns, and a stranger who is made to look like one of its accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate._people import BLANKABLE
from spiritsafe.simulate._register import own
from spiritsafe.simulate._world import Traffic

if TYPE_CHECKING:
    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._world import Block


def blank(rng: np.random.Generator, block: Block, share: float) -> None:
    """Null poisoning: each account lacks each column of ``BLANKABLE`` with the given chance."""
    for name in BLANKABLE:
        block.accounts.blank[name] = rng.random(len(block.accounts)) < share


def frame(rng: np.random.Generator, knobs: Campaign, block: Block, victim: Block) -> None:
    """Framing: ``framing`` of a campaign's accounts wear a victim's card, device and address, and copy its texts.

    The copies come on top of the campaign's own traffic, ``framing`` times as many, over all its accounts. They are no
    exchange of the campaign in the truth, since nothing is harvested by them; the victim does nothing at all.
    """
    ring, other = block.accounts, victim.accounts
    worn = np.flatnonzero(rng.random(len(ring)) < knobs.framing)
    whose = rng.integers(len(other), size=len(worn))
    for name in ("payment", "device"):
        copied = own(getattr(other, name)[whose], victim.number)
        getattr(ring, name)[worn] = np.where(copied < 0, getattr(ring, name)[worn], copied)
    ring.address[worn, 0], ring.network[worn, 0] = other.address[whose, 0], other.network[whose, 0]
    if ring.rotates is not None:
        ring.rotates[worn] = False
    source = max(victim.traffic, key=len)
    harvest = [traffic for traffic in block.traffic if traffic.campaign]
    total = round(sum(map(len, harvest)) * knobs.framing)
    if not total or not len(source):
        return
    row = rng.integers(len(source), size=total)
    when = np.concatenate([traffic.time for traffic in harvest])
    block.traffic.append(
        Traffic(
            rng.integers(len(ring), size=total),
            rng.choice(when, size=total),
            source.prompt.take(row),
            system=None if source.system is None else source.system.take(row),
            tools=source.tools,
            tool_set=None if source.tool_set is None else source.tool_set[row],
        )
    )
