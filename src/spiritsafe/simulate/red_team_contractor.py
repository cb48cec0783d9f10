"""A firm hired to attack the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _crowd, _people
from spiritsafe.simulate._world import Block, Traffic

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

ITEMS = ("ben_chat", "chat_", "ben_", "item_", "")
DEFAULTS = {"accounts": 8, "rate": 60.0, "sigma": 0.6, "burst": 0.5, "paraphrase": "call"}
UNIT = "firm"


def red_team_contractor(world: World, *, knobs: Customers) -> Block:
    """A few accounts of one firm that try the same requests in many wordings; relation ``evaluation``.

    Innocent look-alike "red-team contractor": looks like a prober phase that never scales up.
    """
    rng = world.rng
    accounts = _people.companies(rng, knobs.accounts, accounts_each=knobs.accounts, hand=world.hand)
    accounts.relation = "evaluation"
    account, day = _crowd.volume(world, knobs)
    time = _crowd.office_time(world, accounts, account, day)
    pool = _crowd.pool_of(world, knobs, "red_team_contractor", ITEMS)
    row = rng.integers(min(60, len(pool)), size=len(account))
    prompt = _crowd.prompts(world, knobs, "red_team_contractor", account, row, pool)
    return Block(accounts, [Traffic(account, time, prompt)])
