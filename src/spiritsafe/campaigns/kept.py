"""Rows of what stage A wrote, picked again: of a folder with ``sketch.parquet``, ``text.parquet`` and ``projection.bin``."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spiritsafe.campaigns.projections import POINTS
from spiritsafe.campaigns.stored import Table
from spiritsafe.engine import parquet
from spiritsafe.schema import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

ROWS = 65_536
PROMPT, SYSTEM = 2000, 600
"""Characters of text kept for exhibits."""
_SKETCHED = {"response": "response_chars"}
"""Columns of the contract that are in the sketch under another name; ``system`` and ``prompt`` are with the texts."""


def beginnings(batch: pa.RecordBatch, numbers: Any) -> pa.RecordBatch:
    """What is kept of the text of a canonical batch whose rows have these ``numbers``."""
    prompt = pc.utf8_slice_codeunits(batch.column("prompt"), 0, PROMPT)
    system = pc.utf8_slice_codeunits(batch.column("system"), 0, SYSTEM)
    return pa.record_batch({"row": pa.array(numbers, pa.int64()), "system": system, "prompt": prompt})


def batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """A Parquet file in pieces."""
    with parquet(path) as file:
        yield from file.iter_batches(batch_size=ROWS, columns=list(columns) if columns else None)


def picked(path: Path, keep: Any) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file where ``keep`` (bool, one a row)."""
    at = 0
    for batch in batches(path):
        mask = keep[at : at + batch.num_rows]
        at += batch.num_rows
        yield batch if mask.all() else batch.filter(pa.array(mask))


def texts(source: Path, target: Path, keep: Any) -> set[str]:
    """Write the texts of the rows to ``keep``, numbered anew from 0. Returns the columns that have a value there."""
    present: set[str] = set()
    at = 0
    with pq.ParquetWriter(target, pq.read_schema(source), compression="zstd", compression_level=1) as writer:
        for batch in picked(source, keep):
            number = pa.array(np.arange(at, at + batch.num_rows))
            at += batch.num_rows
            present |= valued(batch)
            writer.write_batch(batch.set_column(0, "row", number))
    return present


def points(source: Path, out: Any, keep: Any) -> None:
    """Append the projections of the rows to ``keep`` to the open file ``out``."""
    given = np.memmap(source, np.int8, "r", shape=(keep.size, POINTS))
    for at in range(0, keep.size, ROWS):
        out.write(given[at : at + ROWS][keep[at : at + ROWS]].tobytes())


def valued(batch: pa.RecordBatch) -> set[str]:
    """The canonical columns that have a value in a batch of sketches or of texts."""
    columns = {name: _SKETCHED.get(name, name) for name in NAMES}
    return {
        name
        for name, column in columns.items()
        if column in batch.schema.names and batch.column(column).null_count < batch.num_rows
    }


def without(work: Path, damaged: Sequence[str], give: Callable[[pa.RecordBatch], pa.RecordBatch]) -> None:
    """Write what stage A left in ``work`` again, but for the rows of these files. ``give``: numbers rows and accounts."""
    before = work / "before"
    before.mkdir()
    for name in ("sketch.parquet", "text.parquet", "projection.bin"):
        (work / name).rename(before / name)
    bad = pa.array(damaged, pa.string())
    names = (one.column(0).cast(pa.string()) for one in batches(before / "sketch.parquet", ["source_file"]))
    keep = ~np.concatenate([pc.is_in(one, bad).to_numpy(zero_copy_only=False) for one in names])
    with (
        Table(work / "sketch.parquet", brief=True) as narrow,
        (work / "projection.bin").open("wb") as out,
    ):
        for batch in picked(before / "sketch.parquet", keep):
            narrow.write(give(batch.drop_columns(["row", "acc"])))
        points(before / "projection.bin", out, keep)
    texts(before / "text.parquet", work / "text.parquet", keep)
    shutil.rmtree(before)
