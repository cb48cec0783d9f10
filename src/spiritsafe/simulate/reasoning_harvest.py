"""A1: the reasoning of the model, harvested by one fixed prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _campaign

if TYPE_CHECKING:
    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._world import Block, World

ARCHETYPE = "A1"
KINDS = ("atk_cot_elicit",)
ITEMS = ("item_", "ben_search", "ben_forum", "ben_", "")
DEFAULTS = {}


def reasoning_harvest(world: World, *, knobs: Campaign) -> Block:
    """A fixed prompt that forces the reasoning into inline tags, put around a list of problems.

    Follows the provider reports of February and September 2026 (one fixed prompt forcing reasoning into inline
    tags, >151M exchanges over three months, 3,500-5,000 accounts) and the letter of June 2026 (26 exchanges per
    account per day: every account a light user).
    """
    return _campaign.harvest(world, knobs, "reasoning_harvest", kinds=KINDS, items=ITEMS)
