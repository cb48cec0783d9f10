"""A4: preference pairs and critiques."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _campaign

if TYPE_CHECKING:
    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._world import Block, World

ARCHETYPE = "A4"
KINDS = ("atk_preference",)
ITEMS = ("item_", "ben_search", "ben_", "")
DEFAULTS = {}


def preference_pairs(world: World, *, knobs: Campaign) -> Block:
    """Which of two answers is better, by how much, and a rewritten loser: pairs for preference training.

    Follows the judge and reward-labelling work of the reports of February and September 2026; the request form is
    that of published preference pipelines.
    """
    return _campaign.harvest(world, knobs, "preference_pairs", kinds=KINDS, items=ITEMS)
