"""A vendor with a licence, or a team that makes test data for its own product."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate import _crowd, _people, _timing
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

READY = ("hn_synth", "hn_rag")
ITEMS = ("doc_", "ben_forum", "ben_", "")
DEFAULTS = {"accounts": 12, "rate": 90.0, "sigma": 0.8, "burst": 0.5}
UNIT = 2


def synthetic_data_vendor(world: World, *, knobs: Customers) -> Block:
    """Question-answer pairs from own documents. Half of the accounts carry the relation ``distillation-licence``.

    Innocent look-alike "licensed synthetic-data vendor": lexically the closest neighbour of distillation.
    """
    rng = world.rng
    accounts = _people.companies(rng, knobs.accounts)
    accounts.relation, accounts.declares = "distillation-licence", np.arange(knobs.accounts) % 2 == 0
    account, day = _crowd.volume(world, knobs)
    time = _timing.runs(rng, account, day, (9.0 - accounts.zone) % 24.0, 6.0)
    if _crowd.ready(world, knobs, *READY):
        pool = world.pool(*READY)
        row = _crowd.own_job(world, pool, account)
        return Block(accounts, [_crowd.job(account, time, row, pool)])
    pool = _crowd.pool_of(world, knobs, "synthetic_data_vendor", ITEMS)
    row = _crowd.walk(world, pool, account, stray=0.0)
    return Block(accounts, [_crowd.worded(world, knobs, "synthetic_data_vendor", account, time, row, pool)])
