"""A12: a slow campaign on a few accounts with high limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.simulate import _campaign

if TYPE_CHECKING:
    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._world import Block, World

ARCHETYPE = "A12"
KINDS = ("atk_cot_elicit", "atk_")
ITEMS = ("item_", "ben_search", "ben_", "")
DEFAULTS = {
    "accounts": 4, "rate": 860.0, "paraphrase": "account", "timing": "diurnal", "routing": "topic_affine",
    "payment": 0.0, "device": 0.0, "network": 0.0, "client": 0.0, "mail": 0.0, "share": 0.5,
}  # fmt: skip


def slow_few_accounts(world: World, *, knobs: Campaign) -> Block:
    """A handful of big accounts with own cards and offices, each its own wording and topics.

    Follows the report of September 2026 (273 rotated accounts, up to 1,100 requests a day each) taken to its end.
    A hard floor of the design: below about fifty accounts with nothing in common, nothing is left to link.
    """
    return _campaign.harvest(world, knobs, "reasoning_harvest", kinds=KINDS, items=ITEMS)
