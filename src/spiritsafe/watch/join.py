"""Joining: partitions -> the one log that stage A of a scan over the same files leaves, row for row."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spiritsafe.campaigns.stored import Table
from spiritsafe.pipeline import Numbers
from spiritsafe.schema import NAMES

if TYPE_CHECKING:
    from spiritsafe.campaigns.stored import Ingest
    from spiritsafe.watch.partitions import Partitions, Segment

_COUNTS = ("files", "records", "rejected", "other", "repaired")
_TEXTS = ("system", "prompt")
"""Columns of the contract that are in the file of texts."""
_SKETCHED = {"response": "response_chars"}
"""Columns of the contract that are in the sketch under another name."""
_ROWS = 65_536
"""Rows that are joined before they are numbered and written: small row groups cost every later stage."""


def joined(
    partitions: Partitions, folder: Path, work: Path, *, since: int, until: int, skipped: list[str]
) -> Ingest:
    """All exchanges from ``since`` up to but without ``until`` (microseconds), in the order of a scan of ``folder``.

    Work is that of copying the sketches; no text is read but that of segments on the edge of the window.
    """
    numbers = Numbers()
    present: set[str] = set()
    texts: list[tuple[Path, int]] = []
    parts = [(str(folder / name), one) for name, one in partitions.segments.items()]
    parts.sort(key=lambda part: part[0])
    with (work / "projection.bin").open("wb") as points, Table(work / "sketch.parquet") as narrow:
        waiting: list[pa.RecordBatch] = []
        held = at = 0
        for _, one in parts:
            place = partitions.folder(one.name)
            _append(place / "rejected.jsonl", work / "rejected.jsonl")
            if not one.rows or one.last < since or one.first >= until:
                continue
            if since <= one.first and one.last < until:
                batches = list(pq.ParquetFile(place / "sketch.parquet").iter_batches())
                count = one.rows
                _append(place / "projection.bin", points)
                texts.append((place / "text.parquet", at))
                present |= set(one.present)
            else:
                text = work / f"text-{len(texts)}.parquet"
                batches, count = _edge(place, text, points, since, until)
                texts.append((text, at))
                present |= _present(batches, text)
            if not count:
                texts.pop()
                continue
            at += count
            waiting += batches
            held += count
            if held >= _ROWS:
                _give(waiting, numbers, narrow)
                waiting, held = [], 0
        _give(waiting, numbers, narrow)
    scanned = _scanned(parts, numbers.rows, skipped)
    return numbers.ingest(work, scanned, present, texts)


def _give(batches: list[pa.RecordBatch], numbers: Numbers, narrow: Table) -> None:
    if batches:
        for batch in pa.Table.from_batches(batches).combine_chunks().to_batches(max_chunksize=_ROWS):
            narrow.write(numbers.give(batch))


def _edge(place: Path, text: Path, points: Any, since: int, until: int) -> tuple[list[pa.RecordBatch], int]:
    """What of a segment lies in the window: its sketches, and how many; projections and text are written."""
    batches: list[pa.RecordBatch] = []
    inside: list[Any] = []
    for batch in pq.ParquetFile(place / "sketch.parquet").iter_batches():
        time = batch.column("time").to_numpy()
        inside.append((time >= since) & (time < until))
        batches.append(batch.filter(pa.array(inside[-1])))
    chosen = np.concatenate(inside)
    projections = np.fromfile(place / "projection.bin", np.int8).reshape(chosen.size, -1)
    points.write(projections[chosen].tobytes())
    kept = pq.read_table(place / "text.parquet").filter(pa.array(chosen))
    count = int(chosen.sum())
    pq.write_table(kept.set_column(0, "row", pa.array(np.arange(count), pa.int64())), text)
    return batches, count


def _present(batches: list[pa.RecordBatch], text: Path) -> set[str]:
    """The canonical columns that have a value in what is left of a segment."""
    table = pa.Table.from_batches(batches)
    texts = pq.read_table(text)
    found: set[str] = set()
    for name in NAMES:
        where = texts if name in _TEXTS else table
        column = where.column(_SKETCHED.get(name, name))
        if column.null_count < len(column):
            found.add(name)
    return found


def _scanned(parts: list[tuple[str, Segment]], rows: int, skipped: list[str]) -> dict[str, Any]:
    """What a scan of the same files counts."""
    total: dict[str, Any] = {name: sum(one.scanned[name] for _, one in parts) for name in _COUNTS}
    accepted = sum(one.scanned["accepted"] for _, one in parts)
    unread, unknown = Counter[str](), Counter[str]()
    for _, one in parts:
        unread.update(one.scanned["unread"])
        unknown.update(one.scanned["unknown_columns"])
    return {
        **total,
        "accepted": rows,
        "outside": accepted - rows,
        "formats": {path: one.scanned["formats"][0] for path, one in parts if one.scanned["formats"]},
        "set_aside": {path: one.reason for path, one in parts if one.reason is not None},
        "skipped": skipped,
        "unread": dict(unread),
        "unknown_columns": dict(unknown),
    }


def _append(source: Path, target: Any) -> None:
    if not source.exists():
        return
    with source.open("rb") as file:
        if isinstance(target, Path):
            with target.open("ab") as out:
                shutil.copyfileobj(file, out)
        else:
            shutil.copyfileobj(file, target)


def older(partitions: Partitions, since: int) -> list[str]:
    """Names of the segments that hold nothing from ``since`` on, nor were taken since then if they hold nothing at all."""
    return [
        name for name, one in partitions.segments.items() if (one.last if one.rows else one.taken) < since
    ]
