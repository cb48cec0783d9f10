"""Simulated traffic: innocent look-alikes and campaign archetypes, one file each, with the truth beside the log.

A family is a function ``name(world, *, knobs, ...) -> Block`` in ``name.py``. Archetypes declare ``ARCHETYPE``
("A1" …) and take ``Campaign`` knobs; all others are innocent and take ``Customers`` knobs. ``DEFAULTS`` are a
family's own defaults for the knobs.
"""

from spiritsafe.simulate._campaign import Campaign
from spiritsafe.simulate._corpus import Corpus, Pool, load_corpus
from spiritsafe.simulate._crowd import Customers
from spiritsafe.simulate._plan import INFRASTRUCTURE, Plan, Population, Truth, build, simulate
from spiritsafe.simulate._world import Block, Traffic, World

__all__ = [
    "INFRASTRUCTURE",
    "Block",
    "Campaign",
    "Corpus",
    "Customers",
    "Plan",
    "Pool",
    "Population",
    "Traffic",
    "Truth",
    "World",
    "build",
    "load_corpus",
    "simulate",
]
