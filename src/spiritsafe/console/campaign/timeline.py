"""Exchanges in time: bars of a day down to a minute, a window that zooms and moves, and what happened meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from spiritsafe.cases._page.record import moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spiritsafe.model import Order

SECOND: Final = 1_000_000
STEPS: Final = (60, 600, 3_600, 3 * 3_600, 6 * 3_600, 86_400, 7 * 86_400, 28 * 86_400)
"""Seconds of a bar."""
NAMES: Final = {600: "10 minutes", 3_600: "hour", 86_400: "day"}
"""Steps that a person may ask for."""
BARS: Final = 168
"""So many bars at most: a week of hours."""
_LEAST: Final = 600 * SECOND


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at ``time`` (µs): ``kind`` is order, change, seen."""

    time: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """Exchanges in bars.

    ``counts[i]`` exchanges from ``start + i * step`` on. Times in µs, ``step`` too. ``background``: those of all others, None
    where the result does not say them so finely. ``whole``: the window when nobody zooms. ``shown`` of ``total`` exchanges
    lie inside.
    """

    start: int
    stop: int
    step: int
    counts: list[int]
    background: list[int] | None
    marks: list[Mark]
    whole: tuple[int, int]
    shown: int
    total: int

    def data(self) -> dict[str, Any]:
        """The same for a page: plain values, the windows of its buttons among them."""
        span = self.stop - self.start
        low, high = self.whole
        return {
            "start": self.start,
            "stop": self.stop,
            "step": self.step,
            "counts": self.counts,
            "background": self.background,
            "marks": [{"time": one.time, "kind": one.kind, "text": one.text} for one in self.marks],
            "whole": list(self.whole),
            "shown": self.shown,
            "total": self.total,
            "zoomed": (self.start, self.stop) != self.whole,
            "buttons": [
                ("closer", *_around(self.start, self.stop, 0.5), span <= _LEAST),
                (
                    "wider",
                    max(low, self.start - span // 2),
                    min(high, self.stop + span // 2),
                    span >= high - low,
                ),
                (
                    "earlier",
                    max(low, self.start - span // 2),
                    max(low, self.start - span // 2) + span,
                    self.start <= low,
                ),
                (
                    "later",
                    min(high, self.stop + span // 2) - span,
                    min(high, self.stop + span // 2),
                    self.stop >= high,
                ),
            ],
        }


def timeline(
    times: Any,
    whole: tuple[int, int],
    *,
    asked: tuple[int | None, int | None] = (None, None),
    step: int | None = None,
    exhibit: Mapping[str, Any] | None = None,
    marks: Sequence[Mark] = (),
) -> Timeline:
    """The timeline of ``times`` (int64, µs, sorted) in the window ``asked`` (µs) or the whole one.

    ``step``: seconds of a bar that somebody wishes; it is made longer when there would be more than ``BARS``. ``exhibit``: that
    of the result, whose background is told by the hour or more.
    """
    low, high = whole
    start, stop = (asked[0] if asked[0] is not None else low), (asked[1] if asked[1] is not None else high)
    start = min(max(start, low), max(low, high - _LEAST))
    stop = max(min(stop, high), start + _LEAST)
    seconds = _step((stop - start) // SECOND, step)
    size = seconds * SECOND
    begin = start // size * size
    bars = max(1, -(-(stop - begin) // size))
    inside = times[np.searchsorted(times, begin) : np.searchsorted(times, begin + bars * size)]
    counts = np.bincount((inside - begin) // size, minlength=bars)
    end = begin + bars * size
    full = start <= low and stop >= high
    return Timeline(
        begin if full else start,
        end if full else stop,
        size,
        counts.tolist(),
        _background(exhibit, begin, size, bars),
        sorted((one for one in marks if begin <= one.time < end), key=lambda one: one.time),
        (begin, end) if full else whole,
        int(inside.size),
        int(times.size),
    )


def _step(span: int, wished: int | None) -> int:
    least = next((one for one in STEPS if span / one <= BARS), STEPS[-1])
    if wished in STEPS:
        return max(wished, least)
    return next((one for one in STEPS if span / one <= BARS * 0.75), STEPS[-1])


def _background(exhibit: Mapping[str, Any] | None, begin: int, size: int, bars: int) -> list[int] | None:
    """All others' exchanges in the same bars, from buckets that are as long or a part as long."""
    if not exhibit:
        return None
    first, bucket = moment(exhibit.get("start")), exhibit.get("bucket_seconds")
    counts = exhibit.get("background")
    if first is None or not isinstance(bucket, int) or bucket <= 0 or not isinstance(counts, list):
        return None
    if size % (bucket * SECOND):
        return None
    at = int(first.timestamp()) * SECOND + np.arange(len(counts)) * bucket * SECOND
    place = (at - begin) // size
    inside = (place >= 0) & (place < bars)
    found = np.bincount(place[inside], weights=np.asarray(counts, float)[inside], minlength=bars)
    return [int(one) for one in found]


def _around(start: int, stop: int, part: float) -> tuple[int, int]:
    middle, half = (start + stop) // 2, max(int((stop - start) * part / 2), _LEAST // 2)
    return middle - half, middle + half


def window(entry: Mapping[str, Any], scanned: Mapping[str, Any], times: Any) -> tuple[int, int]:
    """The window of a group's page: what was scanned, or where it was active when that is unknown. µs."""
    found = [moment(scanned.get("first")), moment(scanned.get("last"))]
    if None in found:
        found = [moment(entry.get("first_seen")), moment(entry.get("last_seen"))]
    known = [int(one.timestamp()) * SECOND for one in found if one is not None]
    # A time that is told to the second may be any in that second.
    ends = [one + SECOND - 1 for one in known]
    if times.size:
        known.append(int(times[0]))
        ends.append(int(times[-1]) + 1)
    if not known:
        return 0, _LEAST
    return min(known), max(*ends, min(known) + _LEAST)


def changes(lines: Sequence[Mapping[str, Any]], campaign: str) -> list[Mark]:
    """What a watch noted of the case of this campaign (``changes.jsonl``)."""
    case = next((one.get("case") for one in reversed(lines) if one.get("campaign_id") == campaign), None)
    found: list[Mark] = []
    for one in lines:
        when = moment(one.get("time"))
        if case is not None and one.get("case") == case and when is not None:
            what = ", ".join(str(word) for word in one.get("change", ()))
            found.append(Mark(int(when.timestamp()) * SECOND, "change", f"case {what}"))
    return found


def ordered(proposals: Sequence[Mapping[str, Any]]) -> list[Mark]:
    """When orders on a campaign were proposed and agreed to, and when those in force began and end (`measures.of_campaign`)."""
    found: list[Mark] = []
    for one in proposals:
        order: Order = one["made"]
        what = f"order to {order.response.replace('_', ' ')}"
        found.append(Mark(one["time"], "order", f"{what} proposed by {one['by']}"))
        found += [
            Mark(each["time"], "order", f"{what} approved by {each['by']}") for each in one["approvals"]
        ]
        if one["state"] == "in force":
            found.append(Mark(order.start, "order", f"{what} in force"))
            found.append(Mark(order.expires, "order", f"{what} ends"))
    return found
