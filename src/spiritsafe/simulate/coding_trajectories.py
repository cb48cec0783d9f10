"""A5: coding and repair trajectories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _campaign

if TYPE_CHECKING:
    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._world import Block, World

ARCHETYPE = "A5"
KINDS = ("atk_code_instruct", "atk_evol_answer")
ITEMS = ("item_code", "item_", "ben_code", "ben_", "")
DEFAULTS = {}


def coding_trajectories(world: World, *, knobs: Campaign) -> Block:
    """Programming tasks whose whole course of thought, command and observation is kept.

    Follows the provider reports of February 2026 (agents, tools, code; agentic code with half of the traffic on a
    new model within 24 hours).
    """
    return _campaign.harvest(world, knobs, "coding_trajectories", kinds=KINDS, items=ITEMS)
