"""Researchers who measure the model with templated questionnaires."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _crowd, _people, _timing
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

READY = ("hn_academic",)
ITEMS = ("text_", "ben_search", "ben_", "")
DEFAULTS = {"accounts": 9, "rate": 150.0, "sigma": 0.8, "burst": 1.0, "organizations": 3}
UNIT = "organizations"


def academic_measurement(world: World, *, knobs: Customers) -> Block:
    """High-volume, templated, diverse, from a few accounts of one university each; relation ``research`` for some.

    Innocent look-alike "academic measurement" (for instance model-written evaluations, arXiv 2212.09251).
    """
    rng = world.rng
    groups = max(1, knobs.organizations)
    accounts = _people.companies(
        rng, knobs.accounts, accounts_each=-(-knobs.accounts // groups), hand=world.hand
    )
    accounts.relation, accounts.declares = "research", (accounts.organization + world.unit) % 2 == 0
    account, day = _crowd.volume(world, knobs)
    time = _timing.runs(rng, account, day, (14.0 - accounts.zone) % 24.0, 8.0)
    ready = _crowd.ready(world, knobs, *READY)
    pool = world.pool(*READY) if ready else _crowd.pool_of(world, knobs, "academic_measurement", ITEMS)
    row = rng.integers(len(pool), size=len(account))
    if ready:
        return Block(accounts, [_crowd.job(account, time, row, pool)])
    owner = accounts.organization[account]
    return Block(
        accounts, [_crowd.worded(world, knobs, "academic_measurement", account, time, row, pool, owner=owner)]
    )
