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
UNIT = "all"


def reseller(world: World, *, knobs: Customers) -> Block:
    """Accounts bought in bulk and rented out: shared cards and addresses, and inside them everybody's own chats.

    Innocent of distillation (threat.md): the pool may be called a reseller, never a campaign. The infrastructure is
    that of the proxy networks in the report of February 2026.
    """
    rng = world.rng
    accounts = _people.people(rng, knobs.accounts, api=True)
    whole = world.whole(knobs.accounts)
    accounts.payment = world.shared(rng.integers(max(1, whole // 15), size=knobs.accounts))
    accounts.device = world.shared(rng.integers(max(1, whole // 8), size=knobs.accounts))
    hosts = _people.network(world.agreed, "hosting", max(2, whole // 10))
    accounts.rotating = np.stack([_people.address(world.agreed, hosts), hosts])
    accounts.rotates = rng.random(knobs.accounts) < 0.8  # noqa: PLR2004
    accounts.created = -(rng.uniform(20, 200, knobs.accounts) * _timing.DAY).astype(np.int64)
    accounts.agent[:] = rng.choice(_people.first(accounts, world.hand, 2).agent[:2], size=knobs.accounts)
    account, day = _crowd.volume(world, knobs)
    return Block(
        accounts, [_crowd.resold(world, accounts, world.pool(*KINDS), account, day)], label="reseller"
    )
