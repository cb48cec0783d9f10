"""Build servers that ask about changes and failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _crowd, _people
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

KINDS = ("doc_build", "ben_code", "item_code", "doc_", "ben_", "")
DEFAULTS = {"accounts": 25, "rate": 30.0, "sigma": 1.2, "burst": 1.0}
UNIT = 1


def ci_bots(world: World, *, knobs: Customers) -> Block:
    """Event-driven, templated, round the clock when people push: code review and build failures of own projects.

    Innocent look-alike "CI bots".
    """
    accounts = _people.companies(world.rng, knobs.accounts)
    account, day = _crowd.volume(world, knobs)
    time = _crowd.office_time(world, accounts, account, day)
    pool = _crowd.pool_of(world, knobs, "ci_bots", KINDS)
    row = _crowd.walk(world, pool, account, stray=0.0)
    return Block(accounts, [_crowd.worded(world, knobs, "ci_bots", account, time, row, pool)])
