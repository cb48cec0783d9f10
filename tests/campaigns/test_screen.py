"""The terminal summary and the progress of a scan."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from spiritsafe.campaigns.screen import stages, summary

RESULT: dict[str, Any] = {
    "scanned": {"files": 14, "records": 1_204_931, "accepted": 1_204_331, "rejected": 588, "duplicates": 12,
                "set_aside": {"/logs/b.jsonl.gz": "the gzip data end early"},
                "accounts": 20_431, "first": "2026-09-03T00:00:00Z", "last": "2026-09-17T00:00:00Z", "fdr": 0.01},
    "blind": [{"signal": "shared_device", "missing": ["device_id"], "means": "accounts with one device go unseen"}],
    "campaigns": [
        {"campaign_id": "c-3f2a91d04c", "label": "campaign", "accounts": [{"account_id": "a"}] * 212, "exchanges": 60_961,
         "roles": [{"role": "reconstruct_reasoning"}], "coordination": {"bits": 40.0},
         "first_seen": "2026-09-04T14:00:00Z", "last_seen": "2026-09-16T22:00:00Z"},
        {"campaign_id": "c-77a0c2d3e4", "label": "reseller", "headline": "60 accounts relay many people"},
    ],
}  # fmt: skip


def shown(result: dict[str, Any], width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(summary(result, Path("out")))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_newcomer_learns_what_was_found_how_sure_and_what_next():
    text = " ".join(shown(RESULT, 120).replace("│", " ").split())
    for part in (
        "1 distillation campaign found",
        "Scanned 1,204,331 exchanges of 20,431 accounts in 14 files, 2026-09-03 00:00 to 2026-09-17 00:00 (UTC)",
        "c-3f2a91d04c",
        "60,961",
        "reconstruct reasoning",
        "40 bits",
        "bits (log2 of the e-value)",
        "At most 1 % of such a list is wrong on average",
        "not accusations",
        "reseller: 60 accounts relay many people",
        "1 signal was blind: the log lacks device_id",
        "588 of 1,204,931 records could not be read; they are in rejected.jsonl",
        "1 of 14 files could not be read and were set aside: /logs/b.jsonl.gz",
        "spiritsafe explain c-3f2a91d04c --results out",
        "out/report.html",
    ):
        assert part in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits_the_terminal_and_ids_stay_whole(width: int):
    text = shown(RESULT, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "c-3f2a91d04c" in text


def test_nothing_found_and_nothing_read_are_told_apart():
    assert "No distillation campaign found" in shown({"scanned": {"accepted": 5, "accounts": 2}})
    assert "Nothing to scan" in shown({"scanned": {"accepted": 0}})
    assert "explain" not in shown({})


def test_names_are_no_markup_and_steer_nothing():
    hostile = {
        **RESULT["campaigns"][1],
        "headline": "[bold]x[/bold]\x1b[31m\u202e [link=https://example.org]y[/link]",
    }
    text = shown({"campaigns": [hostile]}, 200)
    assert "[bold]x[/bold]" in text
    assert "[link=https://example.org]" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


@given(
    st.sampled_from(["scanned", "blind", "campaigns"]),
    JSON,
    st.sampled_from(sorted(RESULT["campaigns"][0])),
    JSON,
)
def test_no_shape_of_a_result_breaks_the_summary(key: str, value: object, inner: str, other: object):
    shown({**RESULT, key: value})
    shown({**RESULT, "campaigns": [{**RESULT["campaigns"][0], inner: other}]})


def test_stages_finish_in_the_order_they_came():
    file = io.StringIO()
    with stages(Console(file=file, width=100, force_terminal=False)) as report:
        report("reading the log", 5_000_000, 10_000_000)
        report("looking for groups", 0, 0)
        report("testing groups", 3, 7)
    text = file.getvalue()
    assert text.index("Reading the log") < text.index("Looking for groups") < text.index("Testing groups")
    assert "10.0 of 10.0 MB" in text
    assert "7 of 7" in text
