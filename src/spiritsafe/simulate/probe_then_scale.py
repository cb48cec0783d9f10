"""A14: many probes first, then the winner at scale."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate import _campaign, _crowd
from spiritsafe.simulate._knobs import SHARE
from spiritsafe.simulate._wordings import templates
from spiritsafe.simulate._world import Block, Traffic

if TYPE_CHECKING:
    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._world import World

ARCHETYPE = "A14"
ITEMS = ("item_", "ben_search", "ben_", "")
LIMITS = {"probing": SHARE, "probers": SHARE}


def probe_then_scale(world: World, *, knobs: Campaign, probing: float = 0.2, probers: float = 0.05) -> Block:
    """For a part of the time a few accounts try many wordings on the same items; then all send the winner.

    ``probing``: share of the span that the probing takes, at most: a log does not begin when a campaign does, so it opens
    somewhere in the probing; ``probers``: share of the accounts that do it. Follows the report of September 2026: >12,000
    probes, each a different extraction technique, before the scale-up.
    """
    rng = world.rng
    probing *= world.agreed.random()
    pool = _crowd.pool_of(world, knobs, "reasoning_harvest", ITEMS)
    accounts = _campaign.ring(world, knobs)
    few = replace(knobs, accounts=max(2, round(knobs.accounts * probers)), overlap="zipf", routing="random")
    account, time, item = _campaign.schedule(world, few, pool, 0.0, probing)
    wild = replace(knobs, paraphrase="call")
    traffic = [
        Traffic(
            account[rows],
            time[rows],
            _campaign.text(world, wild, family, pool, account[rows], item[rows] % 40, ready=False),
            campaign=True,
        )
        for family, rows in _shared(
            rng, len(time), ("reasoning_harvest", "reasoning_reconstruction", "trace_cleaning")
        )
    ]
    account, time, item = _campaign.schedule(world, knobs, pool, probing, 1.0)
    winner = (int(world.agreed.integers(len(templates("reasoning_harvest")[0]))),)
    prompt = _campaign.text(
        world, knobs, "reasoning_harvest", pool, account, item, ready=False, choose=winner
    )
    scaled = _campaign.refusals(world, knobs, Traffic(account, time, prompt, campaign=True))
    return Block(
        accounts, [*traffic, *scaled, *_campaign.cover(world, knobs, accounts)], "probes", "campaign"
    )


def _shared(
    rng: np.random.Generator, size: int, families: tuple[str, ...]
) -> list[tuple[str, np.ndarray[tuple[int], np.dtype[np.int64]]]]:
    which = rng.integers(len(families), size=size)
    return [(family, np.flatnonzero(which == number)) for number, family in enumerate(families)]
