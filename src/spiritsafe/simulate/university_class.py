"""A class with one assignment, one campus network, one week."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate import _crowd, _people, _timing
from spiritsafe.simulate._knobs import Whole
from spiritsafe.simulate._world import Block, Traffic

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

ITEMS = ("item_", "ben_search", "ben_", "")
DEFAULTS = {"accounts": 120, "rate": 4.0, "sigma": 0.8, "burst": 1.0, "paraphrase": "call"}
LIMITS = {"exercises": Whole(1, 1_000)}
UNIT = "all"
LOAD = 2.0


def university_class(world: World, *, knobs: Customers, exercises: int = 8) -> Block:
    """Students ask about the same few exercises in their own words, evenings and the night before the deadline.

    Innocent look-alike "university class (same assignment, same NAT, same week)". ``exercises``: how many.
    """
    rng = world.rng
    accounts = _people.people(rng, knobs.accounts)
    _people.site(world, accounts, "university", 3, 0.6)
    accounts.zone[:] = _people.first(accounts, world.hand, 1, api=False).zone[0]
    accounts.created = (
        -(rng.beta(1.0, 4.0, knobs.accounts) * 120 * _timing.DAY).astype(np.int64) - _timing.HOUR
    )
    accounts.mail = np.where(rng.random(knobs.accounts) < 0.6, -world.shared(2), accounts.mail)  # noqa: PLR2004
    account, day = _crowd.volume(world, knobs)
    time = _crowd.office_time(world, accounts, account, day, "home")
    pool = _crowd.pool_of(world, knobs, "university_class", ITEMS)
    sheet = world.agreed.choice(len(pool), size=min(exercises, len(pool)), replace=False)
    row = sheet[rng.integers(len(sheet), size=len(account))]
    prompt = _crowd.prompts(world, knobs, "university_class", account, row, pool)
    asked = Traffic(account, time, prompt, chat=True)
    account, day = _crowd.volume(world, knobs)
    own = _crowd.chat(world, accounts, world.corpus.pool(("ben_", "chat_", "")), account, day)
    return Block(accounts, [asked, own])
