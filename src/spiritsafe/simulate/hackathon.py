"""A weekend of new accounts in one hall."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate import _crowd, _people, _timing
from spiritsafe.simulate._text import Recipe
from spiritsafe.simulate._world import Block, Traffic

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

KINDS = ("ben_code", "chat_code", "item_code", "ben_", "")
DEFAULTS = {"accounts": 80, "rate": 20.0, "sigma": 0.9, "burst": 0.8, "paraphrase": "call"}
UNIT = "all"


def hackathon(world: World, *, knobs: Customers) -> Block:
    """Accounts made in two days, one venue network, credits from one sponsor, coding questions round the clock.

    Innocent look-alike "hackathon cohort": cohort, address and card in common, every project different.
    """
    rng = world.rng
    accounts = _people.people(rng, knobs.accounts, api=True)
    _people.site(world, accounts, "office", 2, 0.8)
    accounts.created = -(rng.random(knobs.accounts) * 2 * _timing.DAY).astype(np.int64) - _timing.HOUR
    accounts.payment[:] = world.shared(0)
    accounts.zone[:] = _people.first(accounts, world.hand, 1).zone[0]
    account, day = _crowd.volume(world, knobs)
    time = _crowd.office_time(world, accounts, account, day, "home")
    pool = _crowd.pool_of(world, knobs, "hackathon", KINDS)
    row = _crowd.walk(world, pool, account)
    prompt = _crowd.prompts(world, knobs, "hackathon", account, row, pool)
    if knobs.grammar == "task":
        return Block(accounts, [Traffic(account, time, prompt)])
    bare = rng.random(len(row)) < 0.8  # noqa: PLR2004
    shown = tuple((strings, np.where(bare, -1, index)) for strings, index in prompt.parts)
    return Block(
        accounts, [Traffic(account, time, Recipe((*shown, (pool.prompts, np.where(bare, row, -1)))))]
    )
