"""Honest firms whose key was stolen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate import _crowd, _people
from spiritsafe.simulate._knobs import SHARE
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

READY = ("hn_template", "hn_app", "hn_")
KINDS = ("ben_", "chat_", "plain", "")
DEFAULTS = {"accounts": 15, "rate": 40.0, "sigma": 0.8, "burst": 0.4}
LIMITS = {"theft": SHARE}
UNIT = 1
LOAD = 2.0


def stolen_key_owner(world: World, *, knobs: Customers, theft: float = 0.5) -> Block:
    """The owner's own job goes on; from some moment strangers chat over the same account from other addresses.

    Innocent look-alike "a stolen key's owner". ``theft``: when, as a share of the span.
    """
    rng = world.rng
    accounts = _people.companies(rng, knobs.accounts)
    thieves = _people.people(rng, knobs.accounts)
    accounts.address = np.concatenate([accounts.address, thieves.address], axis=1)
    accounts.network = np.concatenate([accounts.network, thieves.network], axis=1)
    accounts.places = (0.5, 0.1, 0.2, 0.2)
    account, day = _crowd.volume(world, knobs)
    time = _crowd.office_time(world, accounts, account, day)
    talk = world.pool(*KINDS)
    if _crowd.ready(world, knobs, *READY):
        pool = world.pool(*READY)
        own = _crowd.job(account, time, _crowd.own_job(world, pool, account), pool)
    else:
        pool = _crowd.pool_of(world, knobs, "nightly_batch", ("doc_", "ben_", ""))
        own = _crowd.worded(
            world, knobs, "nightly_batch", account, time, _crowd.walk(world, pool, account, stray=0.0), pool
        )
    account, day = _crowd.volume(world, knobs)
    late = day >= theft * world.days
    stolen = _crowd.resold(world, accounts, talk, account[late], day[late])
    return Block(accounts, [own, stolen])
