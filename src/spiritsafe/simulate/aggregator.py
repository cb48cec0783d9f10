"""A declared router that sends many customers' requests through its own accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _crowd, _people
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

KINDS = ("ben_", "chat_", "plain", "")
DEFAULTS = {"accounts": 30, "rate": 120.0, "sigma": 0.4, "burst": 0.2}
UNIT = "firm"


def aggregator(world: World, *, knobs: Customers) -> Block:
    """Chat of many end users through the accounts of one registered company, with end-user identifiers.

    Innocent look-alike "declared aggregator/router": relation ``aggregator`` is on file.
    """
    accounts = _people.companies(world.rng, knobs.accounts, accounts_each=knobs.accounts, hand=world.hand)
    accounts.relation = "aggregator"
    account, day = _crowd.volume(world, knobs)
    return Block(accounts, [_crowd.resold(world, accounts, world.pool(*KINDS), account, day, users=True)])
