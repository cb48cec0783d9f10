"""Joining: partitions -> the one log that stage A of a scan over the same files leaves, row for row."""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spiritsafe.campaigns.stored import Table
from spiritsafe.pipeline import Numbers
from spiritsafe.schema import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spiritsafe.campaigns.stored import Ingest
    from spiritsafe.watch.partitions import Partitions, Segment

_COUNTS = ("files", "records", "rejected", "other", "repaired")
_SKETCHED = {"response": "response_chars"}
"""Columns of the contract that are in the sketch under another name; ``system`` and ``prompt`` are with the texts."""
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
        pool = _Pool(numbers, narrow)
        for _, one in parts:
            place = partitions.folder(one.name)
            _append(place / "rejected.jsonl", work / "rejected.jsonl")
            if not one.rows or one.last < since or one.first >= until:
                continue
            if since <= one.first and one.last < until:
                texts.append((place / "text.parquet", pool.rows))
                _append(place / "projection.bin", points)
                present |= set(one.present)
                for batch in _batches(place / "sketch.parquet"):
                    pool.add(batch)
            else:
                present |= _edge(
                    place, work / f"text-{len(texts)}.parquet", points, pool, texts, since, until
                )
        pool.flush()
    scanned = _scanned(parts, numbers.rows, skipped)
    return numbers.ingest(work, scanned, present, texts)


class _Pool:
    """Gathers small batches until they are worth a row group."""

    def __init__(self, numbers: Numbers, narrow: Table) -> None:
        self.rows = 0
        self._numbers, self._narrow = numbers, narrow
        self._waiting: list[pa.RecordBatch] = []
        self._held = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        self._held += batch.num_rows
        self._waiting.append(batch)
        if self._held >= _ROWS:
            self.flush()

    def flush(self) -> None:
        if self._held:
            table = pa.Table.from_batches(self._waiting).combine_chunks()
            for batch in table.to_batches(max_chunksize=_ROWS):
                self._narrow.write(self._numbers.give(batch))
        self._waiting, self._held = [], 0


def _edge(
    place: Path, text: Path, points: Any, pool: _Pool, texts: list[tuple[Path, int]], since: int, until: int
) -> set[str]:
    """Take what of a segment lies in the window. Returns the canonical columns that have a value there."""
    time = np.concatenate([one.column(0).to_numpy() for one in _batches(place / "sketch.parquet", ["time"])])
    inside = (time >= since) & (time < until)
    if not inside.any():
        return set()
    texts.append((text, pool.rows))
    projections = np.memmap(place / "projection.bin", np.int8, "r").reshape(time.size, -1)
    present: set[str] = set()
    at = 0
    for batch in _batches(place / "sketch.parquet"):
        mask = inside[at : at + batch.num_rows]
        points.write(projections[at : at + batch.num_rows][mask].tobytes())
        at += batch.num_rows
        kept = batch.filter(pa.array(mask))
        present |= _present(kept)
        pool.add(kept)
    number = np.cumsum(inside) - 1
    at = 0
    batches = _batches(place / "text.parquet")
    first = next(batches)
    with pq.ParquetWriter(text, first.schema, compression="zstd", compression_level=1) as writer:
        for batch in chain([first], batches):
            part = slice(at, at + batch.num_rows)
            at += batch.num_rows
            kept = batch.set_column(0, "row", pa.array(number[part])).filter(pa.array(inside[part]))
            present |= _present(kept)
            writer.write_batch(kept)
    return present


def _batches(path: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=_ROWS, columns=columns)


def _present(batch: pa.RecordBatch) -> set[str]:
    """The canonical columns that have a value in a batch of sketches or of texts."""
    columns = {name: _SKETCHED.get(name, name) for name in NAMES}
    return {
        name
        for name, column in columns.items()
        if column in batch.schema.names and batch.column(column).null_count < batch.num_rows
    }


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
