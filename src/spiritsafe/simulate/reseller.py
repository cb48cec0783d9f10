"""A reseller: a pool of accounts under one hand, ordinary customers, no distillation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate import _crowd, _people, _timing
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

KINDS = ("ben_", "chat_", "plain", "")
DEFAULTS = {"accounts": 200, "rate": 25.0, "sigma": 0.4, "burst": 0.3}


def reseller(world: World, *, knobs: Customers) -> Block:
    """Accounts bought in bulk and rented out: shared cards and addresses, and inside them everybody's own chats.

    Innocent of distillation (threat.md): the pool may be called a reseller, never a campaign. The infrastructure is
    that of the proxy networks in the report of February 2026.
    """
    rng = world.rng
    accounts = _people.people(rng, knobs.accounts, api=True)
    accounts.payment = rng.integers(max(1, knobs.accounts // 15), size=knobs.accounts)
    accounts.device = rng.integers(max(1, knobs.accounts // 8), size=knobs.accounts)
    stock = max(2, knobs.accounts // 10)
    hosts = _people.network(rng, "hosting", stock)
    accounts.rotating = np.stack([_people.address(rng, hosts), hosts])
    accounts.rotates = rng.random(knobs.accounts) < 0.8  # noqa: PLR2004
    accounts.created = -(rng.uniform(20, 200, knobs.accounts) * _timing.DAY).astype(np.int64)
    accounts.agent[:] = rng.choice(accounts.agent[:2], size=knobs.accounts)
    account, day = _crowd.volume(world, knobs)
    return Block(
        accounts, [_crowd.resold(world, accounts, world.pool(*KINDS), account, day)], label="reseller"
    )
