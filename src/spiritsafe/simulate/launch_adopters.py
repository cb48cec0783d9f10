"""People who try a new model on the day it appears."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate import _crowd, _people, _timing
from spiritsafe.simulate._knobs import SHARE
from spiritsafe.simulate._world import Block

if TYPE_CHECKING:
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._world import World

KINDS = ("ben_", "chat_", "plain", "")
NEW_MODEL = 3
DEFAULTS = {"accounts": 250, "rate": 6.0}
UNIT = 1
LIMITS = {"release": SHARE}


def launch_adopters(world: World, *, knobs: Customers, release: float = 0.4) -> Block:
    """Ordinary chat, of which most moves to the new model within a day of its release, each person at their own hour.

    Innocent look-alike "launch-day adopters". ``release``: when, as a share of the span.
    """
    rng = world.rng
    accounts = _people.people(rng, knobs.accounts)
    account, day = _crowd.volume(world, knobs)
    traffic = _crowd.chat(world, accounts, world.pool(*KINDS), account, day)
    tries = release * world.days * _timing.DAY + rng.exponential(0.6 * _timing.DAY, knobs.accounts)
    traffic.model = np.where(traffic.time > tries[account], NEW_MODEL, -1)
    return Block(accounts, [traffic])
