"""A group's accounts: how surely each belongs, what it sent, what it shares. Sorted, filtered and paged by column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spiritsafe.console.campaign.group import Group

SORTS: Final = ("membership", "exchanges", "streams", "shared", "first", "last", "account_id")
PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class Asked:
    """Which members, in which order.

    ``name`` is a part of the account's name in any case; ``layer`` with or without ``number`` a value that it holds;
    ``kind`` a stream; ``role``; ``least`` the lowest probability. ``sort`` one of ``SORTS``; ``up``: smallest first. ``page``
    from 1 on.
    """

    name: str = ""
    layer: str = ""
    number: int | None = None
    kind: str = ""
    role: str = ""
    least: float = 0.0
    sort: str = "membership"
    up: bool = False
    page: int = 1


def table(group: Group) -> pa.Table:
    """One row an account: account_id, membership, exchanges, streams, first, last (µs), main_kind, main_role, layers, shared.

    ``shared``: how many values it holds that another member holds, too; ``layers``: in which layers.
    """
    listed = group.entry["accounts"]
    names = pa.array([one["account_id"] for one in listed], pa.string())
    membership = pa.array([float(one["membership"]) for one in listed], pa.float64())
    rows = group.rows
    place = pc.index_in(rows["account_id"].combine_chunks().cast(pa.string()), names)
    known = pc.is_valid(place).to_numpy(zero_copy_only=False)
    at = pc.fill_null(place, 0).to_numpy().astype(np.int64)
    size = len(names)
    count = np.bincount(at[known], minlength=size)
    kinds, kind = _codes(rows["kind"])
    roles, role = _codes(rows["role"])
    streams = np.bincount(
        np.unique(at[known] * max(len(kinds), 1) + kind[known]) // max(len(kinds), 1), minlength=size
    )
    first, last = _ends(group, at, known, size)
    held, layers = _shared(group, names)
    return pa.table(
        {
            "account_id": names,
            "membership": membership,
            "exchanges": pa.array(count, pa.int64()),
            "streams": pa.array(streams[:size], pa.int64()),
            "first": first,
            "last": last,
            "main_kind": _main(at, kind, known, size, kinds),
            "main_role": _main(at, role, known, size, roles),
            "layers": pa.array(layers, pa.list_(pa.string())),
            "shared": pa.array(held, pa.int64()),
        }
    )


def page(group: Group, asked: Asked) -> tuple[int, int, pa.Table]:
    """How many members fit, the page's number (the last one when ``asked`` is beyond it), and its rows."""
    found = group.once("members", lambda: table(group))
    if asked.name:
        found = found.filter(pc.match_substring(found["account_id"], asked.name, ignore_case=True))
    if asked.least > 0:
        found = found.filter(pc.greater_equal(found["membership"], asked.least))
    if asked.layer:
        held = group.holdings
        mine = pc.equal(held["layer"], asked.layer)
        if asked.number is not None:
            mine = pc.and_(mine, pc.equal(held["number"], asked.number))
        found = found.filter(
            pc.is_in(found["account_id"], value_set=pc.unique(held.filter(mine)["account_id"]))
        )
    for column, value in (("kind", asked.kind), ("role", asked.role)):
        if value:
            told = "" if value == "none" else value
            rows = group.rows.filter(pc.equal(group.rows[column].cast(pa.string()), told))
            senders = pc.unique(rows["account_id"].combine_chunks().cast(pa.string()))
            found = found.filter(pc.is_in(found["account_id"], value_set=senders))
    order = [(asked.sort, "ascending" if asked.up else "descending")]
    if asked.sort != "account_id":
        order.append(("account_id", "ascending"))
    found = found.sort_by(order)
    last = max(1, -(-found.num_rows // PAGE))
    number = min(max(1, asked.page), last)
    return found.num_rows, number, found.slice((number - 1) * PAGE, PAGE)


def sureness(entry: Mapping[str, Any]) -> list[tuple[str, int]]:
    """How many members belong how surely: a few classes of the membership probability."""
    chance = np.array([float(one["membership"]) for one in entry["accounts"]])
    edges = (
        (0.999, 2.0, "0.999 or more"),
        (0.99, 0.999, "0.99 to 0.999"),
        (0.9, 0.99, "0.9 to 0.99"),
        (0.0, 0.9, "less than 0.9"),
    )
    return [(name, int(((chance >= low) & (chance < high)).sum())) for low, high, name in edges]


def _codes(column: pa.ChunkedArray) -> tuple[list[str], Any]:
    whole = column.combine_chunks()
    return whole.dictionary.to_pylist(), whole.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _main(at: Any, code: Any, known: Any, size: int, names: list[str]) -> pa.Array:
    """For each account what it sent most; the first name of equal ones."""
    if not names or not known.any():
        return pa.nulls(size, pa.string())
    pair, count = np.unique(at[known] * len(names) + code[known], return_counts=True)
    order = np.lexsort((pair, -count, pair // len(names)))
    account = pair[order] // len(names)
    best = order[np.append(True, np.diff(account) > 0)]
    told = np.full(size, -1, np.int64)
    told[pair[best] // len(names)] = pair[best] % len(names)
    return pa.array(names, pa.string()).take(pa.array(told, pa.int64(), mask=told < 0))


def _ends(group: Group, at: Any, known: Any, size: int) -> tuple[pa.Array, pa.Array]:
    times = group.times
    if not times.size or not known.any():
        return pa.nulls(size, pa.int64()), pa.nulls(size, pa.int64())
    first, last = np.full(size, np.iinfo(np.int64).max), np.full(size, -1)
    np.minimum.at(first, at[known], times[known])
    np.maximum.at(last, at[known], times[known])
    none = last < 0
    return pa.array(first, pa.int64(), mask=none), pa.array(last, pa.int64(), mask=none)


def _shared(group: Group, names: pa.Array) -> tuple[Any, list[list[str]]]:
    held = group.holdings
    if not held.num_rows:
        return np.zeros(len(names), np.int64), [[]] * len(names)
    place = pc.index_in(held["account_id"].combine_chunks(), names)
    known = pc.is_valid(place).to_numpy(zero_copy_only=False)
    at = pc.fill_null(place, 0).to_numpy().astype(np.int64)[known]
    layer = held["layer"].combine_chunks().dictionary_encode()
    code = layer.indices.to_numpy(zero_copy_only=False)[known].astype(np.int64)
    kinds = layer.dictionary.to_pylist()
    has = np.zeros((len(names), len(kinds)), bool)
    has[at, code] = True
    patterns, which = np.unique(has, axis=0, return_inverse=True)
    told = [[kinds[k] for k in np.flatnonzero(row)] for row in patterns]
    return np.bincount(at, minlength=len(names)), [told[w] for w in which.ravel().tolist()]
