"""Many teams run the same public benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate import _crowd, _people, _timing
from spiritsafe.simulate._knobs import Whole
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

READY = ("hn_eval_benchmark", "hn_eval")
ITEMS = ("item_", "ben_search", "ben_", "")
DEFAULTS = {"accounts": 40, "rate": 0.7, "sigma": 0.0}
LIMITS = {"items": Whole(1, 1_000_000)}
UNIT = "all"
LOAD = "items"


def evaluation_harness(world: World, *, knobs: Customers, items: int = 80) -> Block:
    """Every account runs the benchmark's whole list in order, by a worker pool, once or twice in the span.

    Innocent look-alike "evaluation harness (many accounts, same benchmark)"; shapes as in the completion times of
    public leader-board runs (parallel workers over 80-500 fixed prompts). All items on all accounts: high overlap,
    no division of work. ``items``: length of the list.
    """
    rng = world.rng
    accounts = _people.companies(rng, knobs.accounts)
    ready = _crowd.ready(world, knobs, *READY)
    pool = world.pool(*READY) if ready else _crowd.pool_of(world, knobs, "evaluation_harness", ITEMS)
    listed = np.sort(world.agreed.choice(len(pool), size=min(items, len(pool)), replace=False))
    runs = rng.poisson(knobs.rate * world.days, knobs.accounts)
    who = np.repeat(np.arange(knobs.accounts), runs)
    start = _timing.clock(rng, "office", accounts.zone[who])
    start = start + rng.integers(max(1, int(np.ceil(world.days))), size=len(who)) * _timing.DAY
    account = np.repeat(who, len(listed))
    row = np.tile(listed, len(who))
    pace = rng.lognormal(1.0, 0.8, len(who))
    place = np.tile(np.arange(len(listed)), len(who))
    late = np.repeat(pace, len(listed)) * (place + rng.exponential(2.0, len(account)))
    time = np.repeat(start, len(listed)) + (late * _timing.SECOND).astype(np.int64)
    if ready:
        return Block(accounts, [_crowd.job(account, time, row, pool)])
    harness = np.zeros(len(account), dtype=np.int64)
    return Block(
        accounts, [_crowd.worded(world, knobs, "evaluation_harness", account, time, row, pool, owner=harness)]
    )
