"""Small groups of friends who share a relay on somebody's server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate import _crowd, _people
from spiritsafe.simulate._knobs import SHARE, Whole
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

KINDS = ("ben_", "chat_", "plain", "")
DEFAULTS = {"accounts": 60, "rate": 8.0}
LIMITS = {"group": Whole(2, 1_000), "sharing": SHARE}
UNIT = "group"


def friends_relay(world: World, *, knobs: Customers, group: int = 6, sharing: float = 0.7) -> Block:
    """Groups of ``group`` friends: one address, a card in common (``sharing``), each their own interests.

    Innocent look-alike "friends sharing a relay".
    """
    rng = world.rng
    accounts = _people.people(rng, knobs.accounts, api=True)
    circle = np.arange(knobs.accounts) // max(2, group)
    hosts = _people.network(rng, "hosting", int(circle.max()) + 1)
    accounts.address[:, 0] = _people.address(rng, hosts)[circle]
    accounts.network[:, 0] = hosts[circle]
    accounts.places = (0.85, 0.15)
    accounts.payment = np.where(
        rng.random(knobs.accounts) < sharing, circle, knobs.accounts + np.arange(knobs.accounts)
    )
    accounts.agent = accounts.agent[circle * group]
    accounts.zone = accounts.zone[circle * group]
    account, day = _crowd.volume(world, knobs)
    return Block(accounts, [_crowd.chat(world, accounts, world.pool(*KINDS), account, day)])
