"""A6: agentic tool use over made-up schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _campaign

if TYPE_CHECKING:
    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._world import Block, World

ARCHETYPE = "A6"
KINDS = ("atk_agent_traj", "atk_tool_synth")
ITEMS = ("tool_", "item_", "ben_", "")
DEFAULTS = {}


def tool_synthesis(world: World, *, knobs: Campaign) -> Block:
    """Function schemas and requests; thoughts, calls, observations and answers are kept as training data.

    Follows the provider report of February 2026 (agents, tools, several access paths) and published pipelines
    that replay tool trajectories turn by turn.
    """
    return _campaign.harvest(world, knobs, "tool_synthesis", kinds=KINDS, items=ITEMS)
