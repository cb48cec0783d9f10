"""The figures on time to detect: what was not found counts as longer, and nobody's truth is mixed up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import watch

if TYPE_CHECKING:
    from pathlib import Path

HOUR = watch.HOUR


def made(hours: dict[str, float | None], *, case: str = "busy", wrong: int = 0) -> dict[str, Any]:
    """A run in which campaigns that begin at zero are accused from the given hour on, with 10 bits for each hour."""
    steps = [
        {
            "now": hour * HOUR,
            "seconds": 0.0,
            "reason": "due",
            "campaigns": {
                name: {
                    "harvested": 100 * hour,
                    "active": 10,
                    "accused": 10 if found is not None and hour >= found else 0,
                    "bits": 10.0 * hour,
                }
                for name, found in hours.items()
            },
        }
        for hour in range(1, 6)
    ]
    return {
        "case": case,
        "steps": steps,
        "begins": dict.fromkeys(hours, 0),
        "campaigns": {
            name: {"hours": found, "harvested": 100 * (found or 0)} for name, found in hours.items()
        },
        "innocent_accounts": 1000,
        "innocent_accused": wrong,
        "steps_with_innocents": wrong,
        "ingest": {"ratio": 1.0},
    }


def test_a_campaign_that_was_not_found_counts_as_longer_than_all():
    told = watch.summary([made({"a": 1.0, "b": 3.0, "c": None})])["busy"]
    assert (told["detected"], told["campaigns"], told["hours_median"]) == (2, 3, 3.0)
    assert told["rate_upper_95"] == pytest.approx(0.00299, abs=1e-5)
    told = watch.summary([made({"a": 1.0, "b": None, "c": None}, wrong=2)])["busy"]
    assert (told["hours_median"], told["rate_upper_95"]) == (None, None)


def test_more_bits_asked_for_take_longer():
    curve = dict(watch.stricter([made({"a": 1.0})], "busy"))
    assert (curve[0], curve[10], curve[20], curve[50], curve[60]) == (1.0, 1.0, 2.0, 5.0, None)
    assert "<svg" in watch.drawn(watch.summary([made({"a": 1.0})]))


def test_the_truth_of_another_log_is_refused(tmp_path: Path):
    log = pa.table({"exchange_id": ["x", "y", "z"], "time": [3, 1, 2]})
    truth = pa.table(
        {
            "exchange_id": ["x", "y", "z"],
            "account_id": ["a", "a", "b"],
            "campaign": ["c", "c", None],
            "account_campaign": ["c", "c", None],
            "family": ["A1", "A1", "chat_users"],
        }
    )
    pq.write_table(truth, tmp_path / "truth.parquet")
    known = watch.Truth(tmp_path / "truth.parquet", log)
    assert (known.begins, known.innocent, known.until("c", 3)) == ({"c": 1}, {"b"}, (1, {"a"}))
    with pytest.raises(ValueError, match="not about this log"):
        watch.Truth(tmp_path / "truth.parquet", log.slice(1).append_column("n", pa.array([1, 2])))
