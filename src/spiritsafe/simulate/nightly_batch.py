"""Companies that push one template over their own documents every night."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _crowd, _people, _timing
from spiritsafe.simulate._knobs import Number
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

READY = ("hn_template",)
ITEMS = ("doc_", "ben_forum", "ben_", "")
DEFAULTS = {"accounts": 60, "rate": 60.0, "sigma": 1.3, "burst": 0.2}
LIMITS = {"spread": Number(0.0, 24.0, above=True)}
UNIT = 1


def nightly_batch(world: World, *, knobs: Customers, spread: float = 2.0) -> Block:
    """One template, many documents, one run a night of about ``spread`` hours: extract-transform-load.

    In production traces 41-49 % of large legitimate clients have near-regular timing and 15-36 % never sleep
    (ServeGen, arXiv 2505.09999), so regularity alone says nothing.
    """
    rng = world.rng
    accounts = _people.companies(rng, knobs.accounts)
    account, day = _crowd.volume(world, knobs)
    hour = (rng.choice([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], size=knobs.accounts) - accounts.zone) % 24.0
    time = _timing.runs(rng, account, day, hour, spread)
    if _crowd.ready(world, knobs, *READY):
        pool = world.pool(*READY)
        row = _crowd.own_job(world, pool, account)
        return Block(accounts, [_crowd.job(account, time, row, pool)])
    pool = _crowd.pool_of(world, knobs, "nightly_batch", ITEMS)
    row = _crowd.walk(world, pool, account, stray=0.0)
    return Block(accounts, [_crowd.worded(world, knobs, "nightly_batch", account, time, row, pool)])
