"""One enterprise that spreads its own job over many accounts and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate import _crowd, _people, _timing
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

READY = ("hn_template", "hn_text2sql", "hn_app")
ITEMS = ("doc_", "ben_", "")
DEFAULTS = {"accounts": 60, "rate": 40.0, "organizations": 1}
UNIT = "organizations"


def key_rotation(world: World, *, knobs: Customers) -> Block:
    """A firm's batch, dealt out evenly to its accounts to stay under limits: everything a campaign shows, but declared.

    Innocent look-alike "enterprise key rotation": all accounts are of one organization and one payer.
    """
    rng = world.rng
    firms = max(1, knobs.organizations)
    accounts = _people.companies(
        rng, knobs.accounts, accounts_each=-(-knobs.accounts // firms), hand=world.hand
    )
    total = rng.poisson(knobs.accounts * knobs.rate * world.days)
    account = np.arange(total) % knobs.accounts
    time = np.sort(rng.integers(0, max(1, int(world.days * _timing.DAY)), total))
    ready = _crowd.ready(world, knobs, *READY)
    pool = world.pool(*READY) if ready else _crowd.pool_of(world, knobs, "nightly_batch", ITEMS)
    owner = accounts.organization[account]
    if ready:
        order = np.argsort(owner, kind="stable")
        row = np.empty(total, dtype=np.int64)
        row[order] = _crowd.own_job(world, pool, owner[order])
        return Block(accounts, [_crowd.job(account, time, row, pool)])
    row = rng.permutation(max(total, len(pool)))[:total] % len(pool)
    return Block(
        accounts, [_crowd.worded(world, knobs, "nightly_batch", account, time, row, pool, owner=owner)]
    )
