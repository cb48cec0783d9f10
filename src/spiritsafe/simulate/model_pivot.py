"""A16: the whole campaign turns to a new model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate import _campaign
from spiritsafe.simulate._knobs import HOURS, SHARE, Number
from spiritsafe.simulate._timing import DAY

if TYPE_CHECKING:
    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._world import Block, World

ARCHETYPE = "A16"
KINDS = ("atk_code_instruct", "atk_evol_answer", "atk_")
ITEMS = ("item_code", "item_", "ben_", "")
NEW_MODEL = 3
LIMITS = {"release": SHARE, "moved": SHARE, "hours": HOURS, "delay_hours": Number(0.0, 8_760.0)}


def model_pivot(
    world: World,
    *,
    knobs: Campaign,
    release: float = 0.4,
    moved: float = 0.5,
    hours: float = 24.0,
    delay_hours: float = 0.0,
) -> Block:
    """Coding harvest of which ``moved`` changes to the new model within ``hours`` of its release, all in step.

    ``release``: when, as a share of the span; ``delay_hours``: how long the operator waits after it. Follows the
    report of February 2026: about half of the traffic on a new model within 24 hours of its release.
    """
    block = _campaign.harvest(world, knobs, "coding_trajectories", kinds=KINDS, items=ITEMS)
    after = release * world.days * DAY + delay_hours * DAY / 24.0
    for traffic in block.traffic:
        if traffic.campaign:
            ramp = np.clip((traffic.time - after) / (hours * DAY / 24.0), 0.0, 1.0) * moved
            traffic.model = np.where(world.rng.random(len(traffic)) < ramp, NEW_MODEL, -1)
    return block
