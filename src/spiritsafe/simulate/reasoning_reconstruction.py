"""A2: the reasoning behind an answer that is already there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _campaign

if TYPE_CHECKING:
    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._world import Block, World

ARCHETYPE = "A2"
KINDS = ("atk_reasoning_backfill",)
ITEMS = ("item_", "ben_search", "ben_", "")
DEFAULTS = {}


def reasoning_reconstruction(world: World, *, knobs: Campaign) -> Block:
    """Question and finished answer go in, the thinking that must have led there comes out.

    Follows the provider report of February 2026 (asks the model to articulate the reasoning behind a finished
    answer) and of September 2026 (later, reconstruction of hidden reasoning).
    """
    return _campaign.harvest(world, knobs, "reasoning_reconstruction", kinds=KINDS, items=ITEMS)
