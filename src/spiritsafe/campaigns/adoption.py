"""Pivot: parties that turn to a new model in the same hour.

A model is new when the log's first hour does not know it. Members are compared with other adopters only, and with those
of the same hour of the day: on launch day, when everybody comes at once, being early tells nothing, nor does living in
one time zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spiritsafe.campaigns import draws
from spiritsafe.campaigns.coordination import Test
from spiritsafe.campaigns.links import Layer, layer_of
from spiritsafe.campaigns.log import HOUR

if TYPE_CHECKING:
    from spiritsafe.campaigns.log import Log
    from spiritsafe.engine import Engine

NAME = "pivot"


@dataclass(frozen=True, slots=True)
class Adoption:
    """Who turned to a new model when.

    ``moment`` int64 by party: the hour (since the epoch) of its first use of the new model that most others turned to,
    as an index into ``hour``, −1 for none; ``hour`` and ``population`` int64 by (model, hour): adopters in it.
    """

    layer: Layer
    moment: Any
    hour: Any
    population: Any


def pivots(engine: Engine, log: Log) -> Adoption | None:
    """First uses of new models; None when no model is new. A value of the layer is a model and an hour."""
    if "model" not in log.present:
        return None
    begin = log.span()[0]
    first = engine.table(
        "WITH used AS (SELECT s.model, p.party, min(s.time) AS moment FROM sketch s "
        "JOIN party_open p ON s.acc = p.acc WHERE s.model IS NOT NULL GROUP BY s.model, p.party), "
        "fresh AS (SELECT model, count(*) AS adopters FROM used GROUP BY model "
        f"HAVING min(moment) > {begin + HOUR} AND count(*) > 1) "
        "SELECT party, model, moment, row_number() OVER (PARTITION BY party ORDER BY adopters DESC, model) AS turn "
        "FROM (SELECT u.party, u.model, u.moment, f.adopters FROM used u JOIN fresh f ON u.model = f.model) a "
        "ORDER BY party, turn"
    )
    if not first.num_rows:
        return None
    hour = first.column("moment").to_numpy() // HOUR
    when = np.datetime_as_string(hour.astype("datetime64[h]"))
    values = [f"{model} from {at}" for model, at in zip(first.column("model").to_pylist(), when, strict=True)]
    pairs = pa.table({"party": first.column("party"), "value": pa.array(values, pa.string())})
    layer = layer_of(NAME, "model", 1.0, pairs, log.parties)
    layer.designated[:] = -1  # it has a test of its own
    main = first.column("turn").to_numpy() == 1
    moment = np.full(log.parties, -1, np.int64)
    moment[layer.party[main]] = layer.value[main]
    hours = np.zeros(layer.population.size, np.int64)
    hours[layer.value] = hour
    return Adoption(layer, moment, hours, np.bincount(layer.value[main], minlength=hours.size))


def adopted(known: Adoption, parties: Any) -> Test | None:
    """Whether members turned to a new model in the same hours. ``parties`` int64: the members.

    Null: members are a random draw from all adopters who came at their hour of the day. Each hour of the day is an urn,
    drawn from without replacement: the chance that the next member's moment was another's before is exact.
    """
    value = known.moment[parties]
    value = value[value >= 0]
    value = value[np.argsort(known.hour[value] % 24, kind="stable")]
    clock = known.hour[value] % 24
    if value.size < 2:
        return None
    begin = np.searchsorted(clock, clock)
    new = np.zeros(value.size, bool)
    new[np.unique(value, return_index=True)[1]] = True
    # Every earlier draw took one of a value that was known then: what is left of those is known now.
    seen = np.concatenate([[0], np.cumsum(known.population[value] * new)])[:-1]
    drawn = np.arange(value.size) - begin
    everyone = np.bincount(known.hour % 24, weights=known.population, minlength=24)[clock]
    chance = (seen - seen[begin] - drawn) / (everyone - drawn)
    if not ((chance > 0) & (chance < 1)).any():
        return None  # one day of adopters: every hour of the day has one moment only
    return Test(
        "turned_together",
        "Do accounts turn to a new model in the same hours, more than others who turn to it?",
        "the accounts are a random draw from all that turned to a new model at their hour of the day",
        "accounts whose hour another had chosen before",
        float((~new).sum()),
        float(chance.sum()),
        draws.inside(chance, ~new),
        int(value.size),
        1.0,
        note="all hours: the choice of the group does not depend on first uses of a model",
    )
