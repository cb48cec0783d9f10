"""Firms that send a request again elsewhere when a server fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate import _crowd, _people, _timing
from spiritsafe.simulate._knobs import SHARE
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

KINDS = ("hn_app", "ben_", "chat_", "")
DEFAULTS = {"accounts": 20, "rate": 60.0, "sigma": 0.8, "burst": 0.3}
LIMITS = {"failing": SHARE}
UNIT = 2
LOAD = 1.1


def provider_fallback(world: World, *, knobs: Customers, failing: float = 0.05) -> Block:
    """After a 5xx the same body goes to another account of the same firm seconds later.

    Innocent look-alike "multi-provider fallback (5xx is innocent, 429/403 is not)". ``failing``: share of
    requests that fail.
    """
    rng = world.rng
    accounts = _people.companies(rng, knobs.accounts, accounts_each=2)
    account, day = _crowd.volume(world, knobs)
    time = _crowd.office_time(world, accounts, account, day, "api")
    pool = world.pool(*KINDS)
    row = _crowd.walk(world, pool, account)
    first = _crowd.job(account, time, row, pool)
    failed = np.flatnonzero(rng.random(len(row)) < failing)
    first.status = np.full(len(row), 200)
    first.status[failed] = rng.choice([500, 502, 503, 529], size=len(failed))
    other = np.minimum(account[failed] ^ 1, knobs.accounts - 1)
    wait = (1 + rng.exponential(4.0, len(failed))) * _timing.SECOND
    again = _crowd.job(other, time[failed] + wait.astype(np.int64), row[failed], pool)
    return Block(accounts, [first, again])
