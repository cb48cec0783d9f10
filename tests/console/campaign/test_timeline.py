from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe.console.campaign import timeline as tl
from spiritsafe.model import Order

DAY, HOUR = 86_400_000_000, 3_600_000_000
START = 1_789_000_000_000_000


def test_every_exchange_stands_in_one_bar(scanned: Any, group: Any):
    whole = tl.window(scanned.entry, scanned.record["scanned"], group.times)
    exhibit = next(one for one in scanned.entry["exhibits"] if one["kind"] == "timeline")
    shown = tl.timeline(group.times, whole, exhibit=exhibit)
    assert sum(shown.counts) == shown.shown == shown.total == scanned.entry["exchanges"]
    assert shown.background is not None
    assert sum(shown.background) == sum(exhibit["background"])
    assert not shown.data()["zoomed"]


def test_by_day_by_hour_and_by_ten_minutes(group: Any, scanned: Any):
    whole = tl.window(scanned.entry, scanned.record["scanned"], group.times)
    days = tl.timeline(group.times, whole, step=86_400)
    hours = tl.timeline(group.times, whole, step=3_600)
    assert days.step == DAY
    assert hours.step == HOUR
    assert sum(days.counts) == sum(hours.counts)
    first = next(at for at, count in enumerate(hours.counts) if count)
    begin = hours.start + first * HOUR
    minutes = tl.timeline(group.times, whole, asked=(begin, begin + HOUR), step=600)
    assert minutes.step == HOUR // 6
    assert sum(minutes.counts) == hours.counts[first]
    assert minutes.background is None
    assert minutes.data()["zoomed"]


@settings(max_examples=60, deadline=None)
@given(
    asked=st.tuples(st.none() | st.integers(-(10**17), 10**18), st.none() | st.integers(-(10**17), 10**18)),
    step=st.none() | st.integers(-5, 10**7),
    times=st.lists(st.integers(START, START + 400 * DAY), max_size=30),
)
def test_whatever_is_asked_there_are_few_bars_and_none_counts_twice(
    asked: tuple[int | None, int | None], step: int | None, times: list[int]
):
    at = np.sort(np.array(times, np.int64))
    shown = tl.timeline(at, (START, START + 400 * DAY), asked=asked, step=step)
    assert 1 <= len(shown.counts) <= tl.BARS + 2
    begin = shown.start // shown.step * shown.step
    inside = int(((at >= begin) & (at < begin + len(shown.counts) * shown.step)).sum())
    assert sum(shown.counts) == shown.shown == inside
    for _, low, high, _ in shown.data()["buttons"]:
        assert high > low


def test_marks_of_a_watch_are_those_of_the_case():
    lines = [
        {"time": "2026-09-10T00:00:00Z", "change": ["new"], "case": "c-1", "campaign_id": "c-1"},
        {"time": "2026-09-11T00:00:00Z", "change": ["accused", "grown"], "case": "c-1", "campaign_id": "c-2"},
        {"time": "2026-09-11T00:00:00Z", "change": ["new"], "case": "c-9", "campaign_id": "c-9"},
        {"time": "not a time", "change": ["grown"], "case": "c-1", "campaign_id": "c-2"},
    ]
    assert [one.text for one in tl.changes(lines, "c-2")] == ["case new", "case accused, grown"]
    assert tl.changes(lines, "c-unknown") == []
    marks = tl.changes(lines, "c-2")
    shown = tl.timeline(np.zeros(0, np.int64), (marks[0].time - DAY, marks[0].time + 9 * DAY), marks=marks)
    assert len(shown.marks) == 2
    assert tl.timeline(np.zeros(0, np.int64), (0, DAY), marks=marks).marks == []


def test_orders_are_marked_from_the_proposal_to_their_end():
    order = Order(
        "o-1", "c-1", "withhold_reasoning", "streams", frozenset(), "r", "e", START + DAY, START + 9 * DAY
    )
    one = {
        "time": START, "by": "ana", "made": order, "state": "in force", "approvals": [{"by": "bo", "time": START + 5}],
    }  # fmt: skip
    told = [(mark.time - START, mark.text) for mark in tl.ordered([one])]
    assert told == [
        (0, "order to withhold reasoning proposed by ana"),
        (5, "order to withhold reasoning approved by bo"),
        (DAY, "order to withhold reasoning in force"),
        (9 * DAY, "order to withhold reasoning ends"),
    ]
    assert len(tl.ordered([{**one, "state": "rejected"}])) == 2


def test_no_window_is_no_error():
    assert tl.window({}, {}, np.zeros(0, np.int64))[1] > 0
    assert tl.timeline(np.zeros(0, np.int64), tl.window({}, {}, np.zeros(0, np.int64))).total == 0


@pytest.mark.parametrize(
    "exhibit",
    [
        {},
        {"start": "x"},
        {"start": "2026-01-01T00:00:00Z", "bucket_seconds": 0, "background": [1]},
        {"start": "2026-01-01T00:00:00Z", "bucket_seconds": 7000, "background": [1]},
    ],
)
def test_a_background_that_does_not_fit_is_not_drawn(exhibit: dict[str, Any]):
    assert tl.timeline(np.zeros(0, np.int64), (START, START + DAY), exhibit=exhibit).background is None
