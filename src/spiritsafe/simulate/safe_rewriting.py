"""A10: answers made safe for a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _campaign

if TYPE_CHECKING:
    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._world import Block, World

ARCHETYPE = "A10"
KINDS = ("atk_safe_rewrite",)
ITEMS = ("ben_chat", "item_", "ben_", "")
DEFAULTS = {}


def safe_rewriting(world: World, *, knobs: Campaign) -> Block:
    """Answers rewritten until a content policy would pass them, with the category of what was softened.

    Follows the provider report of February 2026 (policy-safe rewriting).
    """
    return _campaign.harvest(world, knobs, "safe_rewriting", kinds=KINDS, items=ITEMS)
