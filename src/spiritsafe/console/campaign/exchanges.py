"""The rows behind a number: exchanges of a group by account, stream, role, time and slot, paged. A result keeps no text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.campaigns.log import screening

if TYPE_CHECKING:
    from spiritsafe.console.campaign.group import Group

PAGE: Final = 50
SLOTS: Final = ("test", "choice")
"""Ten-minute slots of the log: those in which groups are tested, and those in which they are chosen."""
NONE: Final = "none"
"""Stands for exchanges without a role."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which exchanges; what is empty or None does not matter. Times in µs: from ``start`` up to, not including, ``stop``."""

    account: str = ""
    kind: str = ""
    role: str = ""
    start: int | None = None
    stop: int | None = None
    slots: str = ""
    page: int = 1


def listed(group: Group, wanted: Wanted) -> tuple[int, int, pa.Table]:
    """How many fit, the number of the page, and its rows in order of time: exchange_id, time, account_id, role, kind."""
    rows = group.rows
    keep: Any = None
    for column, value in (("account_id", wanted.account), ("kind", wanted.kind), ("role", wanted.role)):
        if value:
            told = "" if column == "role" and value == NONE else value
            keep = _both(keep, _is(rows[column], told))
    if "time" not in group.lacks:
        if wanted.start is not None:
            keep = _both(keep, pc.greater_equal(rows["time"], wanted.start))
        if wanted.stop is not None:
            keep = _both(keep, pc.less(rows["time"], wanted.stop))
        if wanted.slots in SLOTS:
            chosen = screening(group.times)
            keep = _both(keep, pa.chunked_array([pa.array(chosen if wanted.slots == "choice" else ~chosen)]))
    found = rows if keep is None else rows.filter(keep)
    last = max(1, -(-found.num_rows // PAGE))
    number = min(max(1, wanted.page), last)
    return found.num_rows, number, found.slice((number - 1) * PAGE, PAGE)


def _both(one: Any, other: Any) -> Any:
    return other if one is None else pc.and_(one, other)


def _is(column: pa.ChunkedArray, value: str) -> Any:
    """Boolean by row of a dictionary-encoded column: compared once, by its code."""
    whole = column.combine_chunks()
    code = pc.index(whole.dictionary, value).as_py()
    return pa.chunked_array([pc.equal(whole.indices, code)])
