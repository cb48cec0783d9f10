"""Ordinary people in a chat window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _crowd, _people
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

KINDS = ("ben_", "chat_", "plain")
DEFAULTS = {"accounts": 1000, "rate": 6.0, "sigma": 1.1, "burst": 0.8}
UNIT = 1


def chat_users(world: World, *, knobs: Customers) -> Block:
    """People with topics, habits and time zones of their own, who talk in sessions and follow up.

    Rates are lognormal with the heavy tail seen in BurstGPT and ServeGen, days are bursty, hours follow the
    person's own clock, turns and think times the published conversation traces (``_shapes.toml``).
    """
    accounts = _people.people(world.rng, knobs.accounts)
    account, day = _crowd.volume(world, knobs)
    return Block(accounts, [_crowd.chat(world, accounts, world.pool(*KINDS), account, day)])
