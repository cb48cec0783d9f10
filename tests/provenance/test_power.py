"""Power between measured points: bounds that hold, an estimate inside them, and silence where nothing was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special

from spiritsafe.errors import InputError
from spiritsafe.provenance import _power

ROOT = Path(__file__).parents[2]
EXPOSURES, NS = (0.05, 0.25, 1.0), (30, 100, 300, 1_000)


def truth(exposure: float, n: float) -> float:
    return float(0.01 + 0.99 * special.ndtr(-6.0 + 1.3 * np.log(n) + 1.1 * np.log(exposure)))


def measured(rng: np.random.Generator, runs: int = 60) -> list[dict[str, Any]]:
    return [
        {"test": "t", "access": "text", "unit": "pairs", "alpha": 0.01, "exposure": e, "n": n,
         "hits": int(rng.binomial(runs, truth(e, n))), "runs": runs, "source": "here"}
        for e in EXPOSURES for n in NS
    ]  # fmt: skip


def test_the_bounds_hold_everywhere_at_once_and_the_estimate_is_near():
    inside = 0
    errors: list[float] = []
    for seed in range(200):
        curve = _power.gather(measured(np.random.default_rng(seed)))["t", "text"]
        told = [
            (truth(e, n), curve.power(e, n))
            for e in (0.05, 0.1, 0.25, 0.6, 1.0)
            for n in (30, 55, 200, 640, 1_000)
        ]
        inside += all(one.low <= value <= one.high for value, one in told)
        errors += [abs(one.value - value) for value, one in told if one.value is not None]
        assert all(one.low <= (one.value or 0) <= one.high for _, one in told)
    assert inside >= 190
    assert np.mean(errors) < 0.03


def test_power_rises_with_n_and_with_exposure_where_it_was_seen_to():
    curve = _power.gather(measured(np.random.default_rng(1)))["t", "text"]
    for e in (0.05, 0.2, 1.0):
        values = [curve.power(e, n).value or 0.0 for n in range(30, 1_000, 17)]
        assert np.all(np.diff(values) >= -1e-9)
    values = [curve.power(e, 200).value or 0.0 for e in np.linspace(0.05, 1.0, 40)]
    assert np.all(np.diff(values) >= -1e-9)


def test_power_that_falls_with_exposure_is_told_as_it_was_seen():
    """Points that contradict each other under a rule that power rises with exposure are no contradiction here."""
    seen = {(0.05, 100): 10, (0.05, 300): 55, (1.0, 100): 5, (1.0, 300): 14, (1.0, 1_000): 58}
    rows = [
        {"test": "t", "access": "text", "unit": "pairs", "alpha": 0.01, "exposure": e, "n": n, "hits": hits, "runs": 60,
         "source": "here"}
        for (e, n), hits in seen.items()
    ]  # fmt: skip
    curve = _power.gather(rows)["t", "text"]
    for (e, n), hits in seen.items():
        told = curve.power(e, n)
        assert told.low <= hits / 60 <= told.high
        assert told.value is not None
        assert told.low <= told.value <= told.high
    between = curve.power(0.25, 300)
    assert between.low == curve.power(1.0, 300).low
    assert between.high == curve.power(0.05, 300).high


def test_how_many_are_needed_is_where_the_curve_says():
    curve = _power.gather(measured(np.random.default_rng(2), 2_000))["t", "text"]
    need, sure = curve.needed(0.25, 0.9)
    assert need is not None
    assert truth(0.25, need) == pytest.approx(0.9, abs=0.04)
    assert sure is None or sure >= need
    assert curve.needed(0.05, 0.999) == (None, None)


def test_nothing_is_said_of_what_was_not_measured():
    curves = _power.gather(measured(np.random.default_rng(3)))
    curve = curves["t", "text"]
    for e, n in ((0.01, 100), (0.25, 10), (0.25, 5_000)):
        assert curve.power(e, n).value is None
    assert curve.power(0.01, 100).low == 0.0
    assert curve.power(1.0, 5_000).low == curve.power(1.0, 1_000).low > 0.5
    assert curve.needed(0.01, 0.5) == (None, None)
    counts = {"pairs": 300}
    told = _power.outlook(curves, "t", "logprobs", exposure=0.25, target=0.9, counts=counts)
    assert told == {"access": "logprobs", "said": "no curve measured"}
    assert (
        "not measured"
        in _power.outlook(curves, "t", "text", exposure=0.01, target=0.9, counts=counts)["said"]
    )
    told = _power.outlook(curves, "t", "text", exposure=0.25, target=0.9, counts=counts)
    assert told["said"] == f"{told['needed']:,} pairs for 90% power at an exposure of 0.25"
    assert told["power"]["low"] <= told["power"]["value"] <= told["power"]["high"]


def test_all_found_or_none_found_still_gives_a_finite_fit():
    rows = [
        {**row, "hits": row["runs"] if row["n"] > 100 else 0} for row in measured(np.random.default_rng(4))
    ]
    curve = _power.gather(rows)["t", "text"]
    assert curve.power(0.25, 30).low == 0.0
    assert 0.9 < (curve.power(0.25, 1_000).value or 0) <= 1.0
    one = _power.gather(rows[:1])["t", "text"]
    assert one.power(0.05, 30).high < 1.0


@pytest.mark.parametrize(
    "change", [{"hits": 61}, {"exposure": 0.0}, {"unit": "furlongs"}, {"n": 0}, {"more": 1}]
)
def test_points_that_make_no_sense_are_refused(change: dict[str, Any]):
    row = measured(np.random.default_rng(5))[0]
    with pytest.raises(InputError, match="makes no sense"):
        _power.gather([{**row, **change}])


def test_points_in_two_units_are_no_curve_and_a_broken_file_is_told():
    rows = measured(np.random.default_rng(5))
    with pytest.raises(InputError, match="differ in unit"):
        _power.gather([rows[0], {**rows[1], "unit": "tokens"}])
    with pytest.raises(InputError, match="no measured points"):
        _power.load(b"[]")


def test_conditions_are_told_and_a_run_that_lacks_them_has_no_lower_bound():
    rows = [
        one | {"said": 100_000, "keys": 50, "when": "by daylight"}
        for one in measured(np.random.default_rng(6))
    ]
    curves = _power.gather(rows)
    curve = curves["t", "text"]
    assert curve.conditions == "from 100,000 tokens that the suspect says, among 50 keys, by daylight"
    whole = curve.power(1.0, 300)
    assert whole.value is not None
    assert (
        curve.power(1.0, 300, {"said": 100_000, "keys": 50}) == curve.power(1.0, 300, {"pairs": 300}) == whole
    )
    for had in ({"said": 99_999, "keys": 1}, {"said": 10**6, "keys": 51}):
        assert curve.power(1.0, 300, had) == _power.Estimate(None, 0.0, whole.high)
    counts = {"pairs": 300, "said": 5}
    told = _power.outlook(curves, "t", "text", exposure=0.25, target=0.5, counts=counts)
    assert told["said"].endswith(f"exposure of 0.25, {curve.conditions}")
    assert (told["power"]["value"], told["power"]["low"]) == (None, 0.0)
    with pytest.raises(InputError, match="conditions"):
        _power.gather([rows[0], {**rows[1], "said": 5}])
    assert (
        "conditions"
        not in _power.gather([{k: v for k, v in rows[0].items() if k != "when"}])["t", "text"].conditions
    )


def test_the_committed_points_make_curves():
    assert all(curve.points for curve in _power.load().values())


def test_the_bench_puts_its_runs_into_the_file_once(tmp_path: Path):
    runs, into = tmp_path / "runs.jsonl", tmp_path / "power.json"
    row = {"test": "t", "access": "text", "unit": "pairs", "exposure": 0.25, "n": 100}
    runs.write_text("".join(json.dumps({**row, "p_value": p}) + "\n" for p in (0.001, 0.01, 0.2)))
    for _ in range(2):
        words = [
            sys.executable,
            str(ROOT / "bench" / "power.py"),
            str(runs),
            "--source",
            "s",
            "--into",
            str(into),
        ]
        ended = subprocess.run(words, capture_output=True, text=True, check=True)
        assert ended.stdout == "t (text): 1 points, 3 runs\n"
    (curve,) = _power.load(into.read_bytes()).values()
    assert curve.points == (_power.Point(0.25, 100, 2, 3),)
