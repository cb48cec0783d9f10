"""A15: a ban, then the traffic moves to a sibling pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate import _campaign, _crowd
from spiritsafe.simulate._knobs import HOURS, SHARE
from spiritsafe.simulate._timing import DAY
from spiritsafe.simulate._world import Block, Traffic

if TYPE_CHECKING:
    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._world import World

ARCHETYPE = "A15"
KINDS = ("atk_cot_elicit", "atk_")
ITEMS = ("item_", "ben_search", "ben_", "")
DEFAULTS = {"refused": 0.01}
LIMITS = {"ban": SHARE, "gap_hours": HOURS}


def ban_migration(world: World, *, knobs: Campaign, ban: float = 0.5, gap_hours: float = 1.0) -> Block:
    """The first half of the accounts works until the ban, is refused (403), and the other half takes over.

    ``ban``: when, as a share of the span; ``gap_hours``: how long the tail of refusals lasts. Follows the reports
    of 2026: banned accounts are replaced, and after one ban the traffic jumped to a second, sibling pool.
    """
    ready = knobs.text != "template" and knobs.grammar == "family" and world.corpus.has(*KINDS)
    pool = world.pool(*KINDS) if ready else _crowd.pool_of(world, knobs, "reasoning_harvest", ITEMS)
    accounts = _campaign.ring(world, knobs)
    account, time, item = _campaign.schedule(world, knobs, pool)
    half = max(1, knobs.accounts // 2)
    moment = int(ban * world.days * DAY)
    late = time >= moment
    account = np.where(late, half + account % max(1, knobs.accounts - half), account % half)
    accounts.created[half:] += int(world.agreed.integers(5, 20)) * DAY
    second = np.arange(knobs.accounts) - half
    accounts.replaces = np.where((second >= 0) & (second < half), second, -1)
    prompt = _campaign.text(world, knobs, "reasoning_harvest", pool, account, item, ready=ready, choose=(0,))
    banned = np.flatnonzero(late & (time < moment + int(gap_hours * DAY / 24)))
    refused = Traffic(
        account[banned] % half, time[banned] - 3_000_000, prompt.take(banned), campaign=True,
        status=np.full(len(banned), 403),
    )  # fmt: skip
    traffic = _campaign.refusals(world, knobs, Traffic(account, time, prompt, campaign=True))
    return Block(
        accounts, [refused, *traffic, *_campaign.cover(world, knobs, accounts)], "migration", "campaign"
    )
