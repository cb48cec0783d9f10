"""Promises that every family keeps, whatever the registry finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from spiritsafe import schema
from spiritsafe.registry import extensions
from spiritsafe.simulate import Corpus, Plan, Population, simulate

if TYPE_CHECKING:
    from pathlib import Path

FAMILIES = sorted(extensions("simulate"))
ARCHETYPES = [name for name in FAMILIES if getattr(extensions("simulate")[name].module, "ARCHETYPE", "")]
SMALL = {"accounts": 40, "rate": 9.0}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_writes_the_schema_and_tells_the_truth(name: str, corpus: Corpus, tmp_path: Path):
    plan = Plan((Population(name, SMALL), Population("chat_users", SMALL)), corpus, days=1.5)
    made = simulate(plan, tmp_path / "out", seed=3)
    log, truth = pq.read_table(made.log), pq.read_table(made.truth)
    assert log.schema.names == list(schema.NAMES)
    assert log.num_rows == truth.num_rows == made.exchanges > 0
    for required in ("time", "account_id", "prompt", "exchange_id"):
        assert log[required].null_count == 0
    assert len(log["exchange_id"].unique()) == log.num_rows
    assert log["exchange_id"].equals(truth["exchange_id"])
    assert log["account_id"].equals(truth["account_id"])
    times = log["time"].cast("int64").to_numpy()
    assert (np.diff(times) >= 0).all()
    assert times[0] >= plan.start
    assert times[-1] < plan.start + plan.days * 86_400_000_000
    assert set(truth["family"].unique().to_pylist()) <= {name, "chat_users"}
    inside = pc.filter(truth["campaign"], pc.is_valid(truth["campaign"]))
    assert inside.equals(pc.filter(truth["account_campaign"], pc.is_valid(truth["campaign"])))
    assert (len(inside) > 0) == (name in ARCHETYPES)
    innocent = pc.filter(truth["campaign"], pc.equal(truth["family"], "chat_users"))
    assert innocent.null_count == len(innocent)


@pytest.mark.parametrize("name", ARCHETYPES)
def test_an_archetype_names_its_number_and_its_source(name: str):
    one = extensions("simulate")[name]
    assert one.module.ARCHETYPE[0] == "A"
    assert "Follows" in (one.function.__doc__ or "")


def test_all_sixteen_archetypes_are_there():
    numbers = {extensions("simulate")[name].module.ARCHETYPE for name in ARCHETYPES}
    assert numbers == {f"A{number}" for number in range(1, 17)}
