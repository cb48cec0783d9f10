"""What a scan could not see: each missing column is told, and a present one never is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe import registry, schema
from spiritsafe.campaigns.blind import blind
from spiritsafe.campaigns.grids import PARAMETERS
from spiritsafe.campaigns.log import LAYERS

NAMES = st.sets(st.sampled_from(schema.NAMES))


def signals(present: set[str]) -> set[str]:
    return {row["signal"] for row in blind(present)}


def test_a_log_with_every_column_is_blind_to_nothing():
    assert blind(set(schema.NAMES)) == []


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_without_its_column_is_told_alone(layer: str):
    column = LAYERS[layer][0]
    assert [row for row in blind(set(schema.NAMES) - {column}) if row["missing"] == [column]]
    assert f"shared_{layer}" in signals(set(schema.NAMES) - {column})
    assert f"shared_{layer}" not in signals({column})


def test_signals_say_themselves_what_they_need():
    needed = {
        name: set(getattr(one.module, "NEEDS", ())) & {c.name for c in schema.COLUMNS if not c.required}
        for name, one in registry.extensions("signals").items()
    }
    assert any(needed.values())
    told = signals(set())
    for name, columns in needed.items():
        assert (name in told) == bool(columns)


@settings(max_examples=40)
@given(NAMES, NAMES)
def test_another_column_never_makes_a_scan_blinder(present: set[str], more: set[str]):
    assert signals(present | more) <= signals(present)


@settings(max_examples=40)
@given(NAMES)
def test_what_is_told_missing_is_missing_and_explained(present: set[str]):
    found = blind(present)
    assert len({row["signal"] for row in found}) == len(found)
    for row in found:
        assert row["missing"]
        assert not present & set(row["missing"])
        assert set(row["missing"]) <= set(schema.NAMES)
        assert row["means"]


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_one_parameter_is_enough_to_see_a_grid(parameter: str):
    assert "parameter grids" in signals(set())
    assert "parameter grids" not in signals({parameter})
