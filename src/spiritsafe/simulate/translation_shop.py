"""Localisation jobs, one language direction each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _crowd, _people, _timing
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

READY = ("hn_template_translate",)
ITEMS = ("doc_", "text_", "ben_", "")
DEFAULTS = {"accounts": 25, "rate": 60.0, "sigma": 1.0, "burst": 1.5}
UNIT = 1


def translation_shop(world: World, *, knobs: Customers) -> Block:
    """Segments of customers' texts, in bursts when a job comes in.

    Innocent look-alike "translation shop".
    """
    accounts = _people.companies(world.rng, knobs.accounts)
    account, day = _crowd.volume(world, knobs)
    time = _timing.runs(world.rng, account, day, (10.0 - accounts.zone) % 24.0, 5.0)
    if _crowd.ready(world, knobs, *READY):
        pool = world.pool(*READY)
        row = _crowd.own_job(world, pool, account)
        return Block(accounts, [_crowd.job(account, time, row, pool)])
    pool = _crowd.pool_of(world, knobs, "translation_shop", ITEMS)
    row = _crowd.walk(world, pool, account, stray=0.0)
    return Block(accounts, [_crowd.worded(world, knobs, "translation_shop", account, time, row, pool)])
