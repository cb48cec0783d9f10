"""Simulated traffic: innocent look-alikes and campaign archetypes, one file each, with the truth beside the log.

A family is a function ``name(world, *, knobs, ...) -> Block`` in ``name.py``. Archetypes declare ``ARCHETYPE``
("A1" …) and take ``Campaign`` knobs; all others are innocent and take ``Customers`` knobs. ``DEFAULTS`` are a
family's own defaults for the knobs. ``UNIT`` and ``LOAD`` say how it may be cut in parts (see ``_parts``).
"""

from spiritsafe.simulate._campaign import Campaign
from spiritsafe.simulate._corpus import Corpus, Pool, load_corpus, shipped
from spiritsafe.simulate._crowd import Customers
from spiritsafe.simulate._orderfile import read_orders
from spiritsafe.simulate._orders import Order
from spiritsafe.simulate._plan import INFRASTRUCTURE, Plan, Population
from spiritsafe.simulate._planfile import read_plan
from spiritsafe.simulate._run import Truth, silent, simulate, summary
from spiritsafe.simulate._world import Block, Traffic, World

__all__ = [
    "INFRASTRUCTURE",
    "Block",
    "Campaign",
    "Corpus",
    "Customers",
    "Order",
    "Plan",
    "Pool",
    "Population",
    "Traffic",
    "Truth",
    "World",
    "load_corpus",
    "read_orders",
    "read_plan",
    "shipped",
    "silent",
    "simulate",
    "summary",
]
