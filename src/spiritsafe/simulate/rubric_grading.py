"""A3: the model as a reward model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _campaign

if TYPE_CHECKING:
    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._world import Block, World

ARCHETYPE = "A3"
KINDS = ("atk_judge_reward",)
ITEMS = ("item_", "ben_search", "ben_", "")
DEFAULTS = {"paraphrase": "slots"}


def rubric_grading(world: World, *, knobs: Campaign) -> Block:
    """Rubric grading of the student's own answers, on several axes, scores to train on.

    Follows the provider report of February 2026 (rubric grading) and of September 2026 (uses the model as
    judge).
    """
    return _campaign.harvest(world, knobs, "rubric_grading", kinds=KINDS, items=ITEMS)
