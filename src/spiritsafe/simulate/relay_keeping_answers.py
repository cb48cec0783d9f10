"""A11: a relay that sells access and keeps its customers' answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate import _campaign, _crowd
from spiritsafe.simulate._timing import DAY
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._world import World

ARCHETYPE = "A11"
DEFAULTS = {"accounts": 300, "rate": 40.0}


def relay_keeping_answers(world: World, *, knobs: Campaign) -> Block:
    """Real customers' requests, spread over a pool of accounts by least recent use; the answers are kept.

    Follows the report of September 2026 (a lab that relays its own customers' requests over 5,380 accounts).
    What is asked is innocent, so only the pool can be seen: the expected label is "pool".
    """
    rng = world.rng
    pool = world.pool(*_campaign.COVER)
    accounts = _campaign.ring(world, knobs)
    accounts.model = rng.choice(3, size=knobs.accounts)
    customers = max(1, knobs.accounts * 4)
    whole = replace(knobs, share=1.0, warmup_days=0.0)
    total = _campaign.queue(world, whole, world.days).total
    person = np.sort(rng.choice(customers, size=total, p=_heavy(rng, customers)))
    time = np.sort(rng.integers(0, max(1, int(world.days * DAY)), total))
    shuffled = rng.permutation(total)
    account, _, _ = _campaign.schedule(world, whole, pool)
    traffic = _crowd.job(account[:total], time, _crowd.walk(world, pool, person)[shuffled], pool)
    traffic.campaign = True
    return Block(accounts, [traffic], "relay", "pool")


def _heavy(rng: np.random.Generator, size: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    weight = rng.lognormal(0.0, 1.1, size)
    return weight / weight.sum()
