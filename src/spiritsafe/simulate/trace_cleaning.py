"""A13: traces cleaned and replayed, reasoning artefacts redeemed by other accounts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate import _campaign
from spiritsafe.simulate._knobs import Number
from spiritsafe.simulate._timing import SECOND
from spiritsafe.simulate._world import Block, Traffic

if TYPE_CHECKING:
    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._world import World

ARCHETYPE = "A13"
CLEAN, DECODE = 0, 1
"""Templates. Who hands in an artefact to have it decoded does what no honest family does, and has own words for it."""
ITEMS = ("item_", "ben_search", "ben_", "")
DEFAULTS = {"accounts": 300, "rate": 8.0}
LIMITS = {"redeemed": Number(0.0, 1.0, above=True), "cleaned": Number(0.0, 1.0, above=True)}


def trace_cleaning(world: World, *, knobs: Campaign, redeemed: float = 0.5, cleaned: float = 0.3) -> Block:
    """Hard items get an encrypted reasoning artefact on one account; another account hands it in to be decoded.

    ``redeemed`` of the harvested items come back that way minutes later, ``cleaned`` as text to be tidied up.
    Follows the reports of September 2026: 16k exchanges from >4,000 accounts in two days that carried encrypted
    reasoning into other conversations; a lab that replays "thinking signatures" across sessions; a lab that
    sends captured traces back to be cleaned.
    """
    rng = world.rng
    pool = world.pool(*ITEMS)
    accounts = _campaign.ring(world, knobs)
    accounts.model[:] = 2
    account, time, item = _campaign.schedule(world, knobs, pool)
    first = rng.random(len(time)) < 1.0 / (1.0 + redeemed + cleaned)
    source = np.flatnonzero(first)
    prompt = _campaign.text(world, knobs, "train_set_replay", pool, account, item, ready=True)
    asked = Traffic(account[source], time[source], prompt.take(source), campaign=True)
    later = np.flatnonzero(~first)
    if not len(source) or not len(later):
        return Block(accounts, [asked], "traces", "campaign")
    recent = np.maximum(np.searchsorted(source, later) - 1 - rng.integers(0, 40, len(later)), 0)
    again = np.where(
        account[source[recent]] == account[later], (account[later] + 1) % knobs.accounts, account[later]
    )
    decode = rng.random(len(later)) < redeemed / (redeemed + cleaned)
    moved = [asked]
    for rows, which in ((np.flatnonzero(decode), DECODE), (np.flatnonzero(~decode), CLEAN)):
        wording = _campaign.text(
            world,
            knobs if which == CLEAN else replace(knobs, grammar="family", wording=-1),
            "trace_cleaning",
            pool,
            again[rows],
            item[source[recent[rows]]],
            ready=False,
            choose=(which,),
        )
        moved.append(Traffic(again[rows], time[later[rows]] + 60 * SECOND, wording, campaign=True))
    return Block(
        accounts,
        [*_joined(moved, recent[decode]), *_campaign.cover(world, knobs, accounts)],
        "traces",
        "campaign",
    )


def _joined(moved: list[Traffic], recent: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[Traffic]:
    """Asked and decoding traffic as one, so that the second can redeem rows of the first."""
    asked, decoded, cleaned = moved
    ones, twos = len(asked), len(decoded)
    parts = tuple(
        (strings, np.concatenate([index, np.full(twos, -1)])) for strings, index in asked.prompt.parts
    ) + tuple(
        (strings, np.concatenate([np.full(ones, -1), index])) for strings, index in decoded.prompt.parts
    )
    both = Traffic(
        np.concatenate([asked.account, decoded.account]),
        np.concatenate([asked.time, decoded.time]),
        type(asked.prompt)(parts),
        redeems=np.concatenate([np.full(ones, -1), recent]),
        campaign=True,
    )
    return [both, cleaned]
