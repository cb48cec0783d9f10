"""A product that lets the model check its own assistant's replies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _crowd, _people
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

READY = ("hn_llm_judge",)
ITEMS = ("doc_", "ben_", "")
DEFAULTS = {"accounts": 20, "rate": 80.0, "sigma": 1.0, "burst": 0.3}
UNIT = 1


def llm_judge_product(world: World, *, knobs: Customers) -> Block:
    """Each company judges its own support answers, all day, with its own rubric.

    Innocent look-alike "LLM-as-judge product": lexically it is rubric grading; it lacks the many hands.
    """
    accounts = _people.companies(world.rng, knobs.accounts)
    account, day = _crowd.volume(world, knobs)
    time = _crowd.office_time(world, accounts, account, day, "api")
    if _crowd.ready(world, knobs, *READY):
        pool = world.pool(*READY)
        row = _crowd.own_job(world, pool, account)
        return Block(accounts, [_crowd.job(account, time, row, pool)])
    pool = _crowd.pool_of(world, knobs, "llm_judge_product", ITEMS)
    row = _crowd.walk(world, pool, account, stray=0.0)
    return Block(accounts, [_crowd.worded(world, knobs, "llm_judge_product", account, time, row, pool)])
