"""One app, one template, many owners who each bring their own key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate import _crowd, _people
from spiritsafe.simulate._knobs import SHARE
from spiritsafe.simulate._text import plain
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

READY = ("hn_app_system_prompt", "hn_app")
ITEMS = ("doc_note", "doc_", "ben_forum", "ben_", "")
DEFAULTS = {"accounts": 300, "rate": 5.0, "sigma": 1.2, "burst": 1.2}
LIMITS = {"declared": SHARE}
UNIT = "all"


def byo_key_app(world: World, *, knobs: Customers, declared: float = 0.6) -> Block:
    """A popular app calls the model with its users' own keys: one skeleton over unrelated accounts with own notes.

    Innocent look-alike "bring-your-own-key app". Owners are as uneven as people are: lognormal rates, own hours,
    own documents. ``declared``: share of owners whose traffic names the app.
    """
    rng = world.rng
    accounts = _people.people(rng, knobs.accounts, api=True)
    accounts.relation, accounts.declares = "byo-key:notes-app", rng.random(knobs.accounts) < declared
    accounts.agent[:] = _people.first(accounts, world.hand, 1).agent[0]
    account, day = _crowd.volume(world, knobs)
    time = _crowd.office_time(world, accounts, account, day, "home")
    if _crowd.ready(world, knobs, *READY):
        pool = world.pool(*READY)
        row = _crowd.walk(world, pool, account, stray=0.1)
        systems = pool.told
        same = (
            plain(systems, np.full(len(row), int(world.agreed.integers(len(systems)))))
            if len(systems)
            else None
        )
        return Block(accounts, [_crowd.job(account, time, row, pool, system=same)])
    pool = _crowd.pool_of(world, knobs, "byo_key_app", ITEMS)
    row = _crowd.walk(world, pool, account, stray=0.1)
    app = np.zeros(len(account), dtype=np.int64)
    return Block(accounts, [_crowd.worded(world, knobs, "byo_key_app", account, time, row, pool, owner=app)])
