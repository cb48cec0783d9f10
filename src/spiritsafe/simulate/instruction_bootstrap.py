"""A9: instructions that make instructions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _campaign

if TYPE_CHECKING:
    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._world import Block, World

ARCHETYPE = "A9"
KINDS = ("atk_selfinstruct_gen", "atk_evol_rewrite")
ITEMS = ("item_", "ben_role", "ben_chat", "ben_", "chat_", "")
DEFAULTS = {}


def instruction_bootstrap(world: World, *, knobs: Campaign) -> Block:
    """Seeds go in, new and harder instructions with answers come out (self-instruct, evol-instruct).

    Follows the published self-instruct (arXiv 2212.10560) and evol-instruct (arXiv 2304.12244) pipelines that the
    reports of 2026 name as a way to bootstrap a student.
    """
    return _campaign.harvest(world, knobs, "instruction_bootstrap", kinds=KINDS, items=ITEMS)
