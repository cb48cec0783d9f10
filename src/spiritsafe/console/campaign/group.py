"""A told group as its result's files have it: entry, exchanges, holdings. Columns of Arrow, no row ever a Python object."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spiritsafe.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")
_KEPT: Final = 6
"""Groups kept in memory: what a few people look at side by side."""
_ROWS: Final = ("exchange_id", "time", "account_id", "stream_id", "role")
_HELD: Final = ("account_id", "layer", "number", "value", "inside", "elsewhere")
_EMPTY = pa.table(
    {
        **{name: pa.array([], pa.string()) for name in ("account_id", "layer", "value")},
        **{name: pa.array([], pa.int64()) for name in ("number", "inside", "elsewhere")},
    }
).select(_HELD)


@dataclass(frozen=True, slots=True)
class Group:
    """One group.

    ``rows``: exchange_id, time (µs; null where the result has none), account_id, stream_id, role, and ``kind``: the stream
    without its account, dictionary-encoded; in order of time. ``own``: each of them belongs to the campaign; else they are
    all that its accounts sent. ``holdings``: as in docs/contract.md. ``lacks``: what the result was written without.
    """

    entry: Mapping[str, Any]
    rows: pa.Table
    own: bool
    holdings: pa.Table
    lacks: tuple[str, ...]
    _derived: dict[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What ``make`` gives, made once for this group: tables that every choice on a page needs again."""
        if name not in self._derived:
            self._derived[name] = make()
        return cast("T", self._derived[name])

    @property
    def times(self) -> Any:
        """int64 (exchanges,), µs, sorted; empty where the result has no times."""
        if "time" in self.lacks:
            return np.zeros(0, np.int64)
        return self.rows["time"].to_numpy()


class Groups:
    """Groups by result and campaign, the last few kept. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[tuple[str, str], Group] = OrderedDict()

    def get(self, folder: Path, stamp: str, entry: Mapping[str, Any]) -> Group:
        """The group that ``entry`` tells of. ``stamp`` names the state of the result. Raises StorageError."""
        key = (stamp, entry["campaign_id"])
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = read(folder, entry)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made


def read(folder: Path, entry: Mapping[str, Any]) -> Group:
    """Read a group from a result's folder. Raises StorageError when a file is there and cannot be read."""
    lacks: list[str] = []
    rows = _exchanges(folder / "exchanges.parquet", entry, lacks)
    held = folder / "holdings.parquet"
    if held.exists():
        holdings = _table(held, list(_HELD), pc.field("campaign_id") == entry["campaign_id"])
    else:
        holdings = _EMPTY
        lacks.append("holdings")
    return Group(entry, rows, entry["label"] == "campaign", holdings, tuple(lacks))


def _exchanges(path: Path, entry: Mapping[str, Any], lacks: list[str]) -> pa.Table:
    if not path.exists():
        lacks.extend(("exchanges", "time"))
        empty = {name: pa.array([], pa.int64() if name == "time" else pa.string()) for name in _ROWS}
        return _kinds(pa.table(empty))
    try:
        there = pq.read_schema(path).names
    except (OSError, pa.ArrowInvalid) as error:
        raise StorageError(
            "the table of exchanges cannot be read", where=str(path), hint="scan again"
        ) from error
    columns = [name for name in _ROWS if name in there]
    if entry["label"] == "campaign":
        wanted = pc.field("campaign_id") == entry["campaign_id"]
    else:
        wanted = pc.field("account_id").isin([one["account_id"] for one in entry["accounts"]])
    rows = _table(path, columns, wanted)
    if "time" in there:
        rows = rows.sort_by([("time", "ascending"), ("exchange_id", "ascending")])
    else:
        lacks.append("time")
        rows = rows.add_column(1, "time", pa.nulls(rows.num_rows, pa.int64()))
    return _kinds(rows)


def _kinds(rows: pa.Table) -> pa.Table:
    """The same with the stream's kind: what stands behind the last slash, for an account's name may have any."""
    kind = pc.replace_substring_regex(rows["stream_id"].combine_chunks(), pattern="(?s)^.*/", replacement="")
    role = pc.fill_null(rows["role"].combine_chunks(), "")
    rows = rows.set_column(rows.schema.get_field_index("role"), "role", role.dictionary_encode())
    rows = rows.set_column(
        rows.schema.get_field_index("account_id"),
        "account_id",
        rows["account_id"].combine_chunks().dictionary_encode(),
    )
    return rows.append_column("kind", kind.dictionary_encode()).drop_columns(["stream_id"])


def _table(path: Path, columns: list[str], wanted: Any) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns, filters=wanted).combine_chunks()
    except (OSError, pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError) as error:
        raise StorageError(
            "this part of the result cannot be read", where=str(path), hint="scan again"
        ) from error


def kind_words(kind: str) -> str:
    """What a stream's kind is called on pages."""
    if kind == "own":
        return "own text"
    if kind.startswith("own-"):
        return f"own text {kind[4:12]}"
    return f"template {kind[:8]}"


def role_words(role: str) -> str:
    """What a role is called on pages."""
    return role.replace("_", " ") or "no role"
