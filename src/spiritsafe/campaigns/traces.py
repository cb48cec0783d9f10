"""Traces: what a scan reads besides text and identifiers (artefacts, refusals, first uses, parameters), and its tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.campaigns import adoption, crossed, crossings, grids, migration, morphology
from spiritsafe.campaigns._distinct import distinct
from spiritsafe.campaigns.links import Layer, layer_of
from spiritsafe.campaigns.log import screening

if TYPE_CHECKING:
    from spiritsafe.campaigns.adoption import Adoption
    from spiritsafe.campaigns.coordination import Test
    from spiritsafe.campaigns.crossings import Bodies, Crossings
    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.migration import Lives
    from spiritsafe.engine import Engine

#: The kind of fact that each test here stands on. They count for an accusation.
GROUPS = {
    "redeemed_by_another": "redemption",
    "retried_by_another": "retry",
    "began_after_bans": "migration",
    "turned_together": "pivot",
    "stepped_parameters": "content",
}


@dataclass(frozen=True, slots=True)
class Traces:
    """Small tables of one log; None where a column is missing or nothing happened.

    ``redeemed``, ``retried`` are the crossings between parties, ``pairs`` and ``bodies`` what their tests draw from.
    """

    redeemed: Crossings | None
    pairs: crossed.Pairs | None
    retried: Crossings | None
    bodies: Bodies | None
    lives: Lives | None
    adoption: Adoption | None


def read(engine: Engine, log: Log) -> Traces:
    """Read the traces from ``sketch``, and the parameters into ``log.combination``."""
    crossings.prepare(engine, log)
    log.combination = grids.combinations(engine, log)
    redeemed = retried = pairs = sent = None
    if {"reasoning_issued", "reasoning_redeemed"} <= log.present:
        redeemed = crossings.redemptions(engine)
        pairs = crossed.pairs(redeemed, crossings.artefacts(engine, log))
    lives = None
    if "status" in log.present:
        sent = crossings.bodies(engine)
        retried = sent.crossings()
        lives = migration.lives(engine, log)
    return Traces(redeemed, pairs, retried, sent, lives, adoption.pivots(engine, log))


def layers(engine: Engine, log: Log) -> dict[str, Layer]:
    """The layers that traces give: crossings (a value is one pair of parties), pivots, shapes of mail domains."""
    known: Traces = log.traces
    found = {morphology.NAME: morphology.shapes(engine, log)}
    if known.adoption:
        found[adoption.NAME] = known.adoption.layer
    for name, column, events in (
        ("redemption", "reasoning_redeemed", known.redeemed),
        ("retry", "status", known.retried),
    ):
        if events is not None and events.time.size:
            found[name] = _crossed(name, column, events, log)
    return {name: layer for name, layer in found.items() if layer is not None}


def _crossed(name: str, column: str, events: Crossings, log: Log) -> Layer:
    """One value for each pair of parties with a crossing. Nothing is ``designated``: crossings have tests of their own."""
    low, high = np.minimum(events.source, events.target), np.maximum(events.source, events.target)
    pair = distinct(low * log.parties + high)
    low, high = np.divmod(pair, log.parties)
    account = np.zeros(log.parties, np.int64)
    account[log.party] = np.arange(log.party.size)
    who = pa.array(log.accounts, pa.string())
    text = pc.binary_join_element_wise(who.take(account[low]), who.take(account[high]), " and ")
    both = pa.table({"party": np.concatenate([low, high]), "value": pa.concat_arrays([text, text])})
    made = layer_of(name, column, 1.0, both, log.parties)
    made.designated[:] = -1
    return made


def screened(log: Log) -> tuple[Any, Any]:
    """Ends (int64 party, int64 value) of the crossings of the screening slots: they may propose groups of parties."""
    known: Traces = log.traces
    ends: list[Any] = []
    for events in (known.redeemed, known.retried):
        if events is not None:
            early = screening(events.time)
            ends.append(np.stack([events.source[early], events.target[early]]))
    pair = np.concatenate(ends, axis=1) if ends else np.zeros((2, 0), np.int64)
    return pair.ravel(), np.tile(np.arange(pair.shape[1]), 2)


def tests(log: Log, parties: Any, rows: Any) -> list[Test]:
    """The tests that apply to ``parties`` (int64). ``rows`` int64: their exchanges to test, in time order."""
    known: Traces = log.traces
    found = [
        crossed.redeemed(known.pairs, parties) if known.pairs else None,
        crossed.retried(known.bodies, parties, log.parties) if known.bodies else None,
        migration.migrated(known.lives, parties) if known.lives else None,
        adoption.adopted(known.adoption, parties) if known.adoption else None,
        grids.enumerated(log, rows),
    ]
    return [test for test in found if test is not None]
