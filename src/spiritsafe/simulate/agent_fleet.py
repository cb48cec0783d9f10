"""Users of one agent framework: the same system prompt and tools everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from spiritsafe.simulate import _crowd, _people, _timing
from spiritsafe.simulate._text import plain
from spiritsafe.simulate._wordings import templates
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

KINDS = ("ben_code", "tool_", "hn_app_agent", "item_code", "ben_", "")
DEFAULTS = {"accounts": 120, "rate": 25.0, "sigma": 1.2, "burst": 1.5}
TOOLS = (("read_file", "write_file", "run", "search"), ("read_file", "run"), ("browse", "run", "search"))
UNIT = "all"


def agent_fleet(world: World, *, knobs: Customers) -> Block:
    """Long runs of tool calls under the framework's system text; tasks are each owner's own.

    Innocent look-alike "agent framework fleet (same system prompt everywhere)"; run lengths and think times as in
    published coding-agent sessions (median 41 turns).
    """
    rng = world.rng
    accounts = _people.people(rng, knobs.accounts, api=True)
    accounts.agent[:] = rng.choice(_people.first(accounts, world.hand, 2).agent[:2], size=knobs.accounts)
    account, day = _crowd.volume(world, knobs)
    pool = _crowd.pool_of(world, knobs, "agent_fleet", KINDS)
    row = _crowd.walk(world, pool, account, stray=0.1)
    turns = _timing.shapes()["sessions"]["turns_agent"]
    time, session, turn = _timing.sessions(
        rng,
        account,
        day,
        turns,
        lambda rows: _timing.clock(rng, "office", accounts.zone[account[rows]]),
        person=False,
    )
    systems = pa.array(templates("agent_fleet")[1]["system"])
    traffic = _crowd.job(
        account, time, row, pool, system=plain(systems, np.zeros_like(row)), session=session, turn=turn,
        tools=TOOLS, tool_set=accounts.organization[account] % len(TOOLS),
    )  # fmt: skip
    if knobs.grammar == "task":
        traffic.prompt = _crowd.prompts(world, knobs, "agent_fleet", account, row, pool)
    return Block(accounts, [traffic])
