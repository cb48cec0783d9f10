"""A regulated firm that must write down each step of each decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _crowd, _people
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

ITEMS = ("doc_", "ben_forum", "ben_", "")
DEFAULTS = {"accounts": 24, "rate": 40.0, "sigma": 0.5, "burst": 0.3, "organizations": 4}
UNIT = "organizations"


def explainability_capture(world: World, *, knobs: Customers) -> Block:
    """Credit, claims or benefit cases with numbered reasons for the auditor, from the accounts of one firm each.

    Innocent look-alike "regulated explainability capture": asks for reasoning on every call, and keeps it.
    """
    firms = max(1, knobs.organizations)
    accounts = _people.companies(
        world.rng, knobs.accounts, accounts_each=-(-knobs.accounts // firms), hand=world.hand
    )
    account, day = _crowd.volume(world, knobs)
    time = _crowd.office_time(world, accounts, account, day)
    pool = _crowd.pool_of(world, knobs, "explainability_capture", ITEMS)
    row = _crowd.walk(world, pool, account, stray=0.0)
    owner = accounts.organization[account]
    return Block(
        accounts,
        [_crowd.worded(world, knobs, "explainability_capture", account, time, row, pool, owner=owner)],
    )
