"""A8: a public training set, replayed to collect the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _campaign

if TYPE_CHECKING:
    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._world import Block, World

ARCHETYPE = "A8"
KINDS = ("atk_instruction_answer", "atk_code_instruct", "atk_cot_elicit", "atk_")
ITEMS = ("item_", "ben_search", "ben_forum", "ben_", "")
DEFAULTS = {"overlap": "shard"}


def train_set_replay(world: World, *, knobs: Campaign) -> Block:
    """The items of a public set, split over the accounts (overlap: shard, partition, iid or best_of_k).

    Follows the replay of public instruction sets in published distillation pipelines (Alpaca and its kin) and
    the report of September 2026 on a lab that replays saved sessions. There is no shared template to see: only
    the division of the work.
    """
    return _campaign.harvest(world, knobs, "train_set_replay", kinds=KINDS, items=ITEMS, choose=(0,))
