"""A7: a grid over capabilities, levels and languages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _campaign

if TYPE_CHECKING:
    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._world import Block, World

ARCHETYPE = "A7"
KINDS = ("atk_domain_synth", "atk_roleplay_synth")
ITEMS = ("item_", "ben_search", "ben_", "")
DEFAULTS = {"paraphrase": "slots"}


def capability_sweep(world: World, *, knobs: Campaign) -> Block:
    """Domains x levels x languages, enumerated evenly over the accounts.

    Follows the letter of June 2026 (28.8M exchanges over a broad range of capabilities) and the report of
    February 2026 that the language of the thinking was made to match the user's.
    """
    return _campaign.harvest(world, knobs, "capability_sweep", kinds=KINDS, items=ITEMS)
