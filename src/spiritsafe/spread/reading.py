"""Stage A of one file or piece, on an executor: what is kept of it as a part (``state.parts``), or why there is none."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from spiritsafe import errors, sources
from spiritsafe.campaigns import kept
from spiritsafe.campaigns.stored import Table
from spiritsafe.state import join, parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOLD = pa.schema([("told", pa.string())])
"""What each of these yields: one record of JSON for each item, with its ``number``."""


def make(item: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """Make the part of ``item`` (``parts.make``), or check the one that is ``there``; yield its record, or the error.

    A damaged one is made anew. Bytes of parts are read where the executors are, not by the driver.
    """
    folder = Path(item["folder"])
    try:
        found = parts.read(folder)
        if found and (not item["there"] or parts.sound(folder)):
            told = {"part": parts.record(found[0])}
        else:
            told: dict[str, Any] = {"damaged": parts.files(folder)} if folder.exists() else {}
            if folder.exists():
                parts.remove(folder)
            told["part"] = parts.record(parts.make(item))
    except errors.SpiritsafeError as error:
        told = _error(error)
    except OSError as error:
        told = _error(errors.StorageError(f"cannot write: {error.strerror}", where=str(folder)))
    yield _told(item, told)


def check(item: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """Whether a folder is ``sound``."""
    yield _told(item, {"sound": parts.sound(Path(item["folder"]))})


def lines(item: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """How many lines begin in a piece; the pieces after it must know."""
    try:
        told: dict[str, Any] = {"lines": sources.ends(item["path"], tuple(item["span"]))}
    except errors.SpiritsafeError as error:
        told = _error(error)
    yield _told(item, told)


def cut(item: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """Write rows of a folder as a folder of their own: those of a run (``join.Run``), within the window.

    ``item``: the run's fields, ``since``, ``until`` and ``into``. Yields ``rows`` and ``present``.
    """
    run = join.Run(
        Path(item["folder"]), item["begin"], item["end"], item["whole"], frozenset(item["present"])
    )
    keep = join.rows(run, item["since"], item["until"])
    final = Path(item["into"])
    making = final.with_name(f"{parts.MAKING}{final.name}-{uuid.uuid4().hex[:8]}")
    making.mkdir(parents=True)
    valued: set[str] = set()
    at = 0
    with Table(making / "sketch.parquet") as narrow, (making / "projection.bin").open("wb") as points:
        for batch in kept.picked(run.folder / "sketch.parquet", keep):
            valued |= kept.valued(batch)
            narrow.write(parts.placed(batch.drop_columns(["part", "place"]), parts.number(final.name), at))
            at += batch.num_rows
        kept.points(run.folder / "projection.bin", points, keep)
    valued |= kept.texts(run.folder / "text.parquet", making / "text.parquet", keep)
    try:
        making.rename(final)
    except OSError:
        if not final.exists():
            raise
        shutil.rmtree(making)
    present = run.present if run.whole else join.having(valued, run) if at else ()
    yield _told(item, {"rows": at, "present": sorted(present)})


def raised(told: Mapping[str, Any]) -> errors.SpiritsafeError:
    """The error that a record tells of, as it was where it happened."""
    kind = getattr(errors, told["error"])
    return kind(told["message"], where=told["where"], hint=told["hint"])


def _told(item: Mapping[str, Any], told: Mapping[str, Any]) -> pa.RecordBatch:
    return pa.record_batch([pa.array([json.dumps({**told, "number": item["number"]})])], schema=TOLD)


def _error(error: errors.SpiritsafeError) -> dict[str, Any]:
    return {
        "error": type(error).__name__, "message": error.message, "where": error.where, "hint": error.hint
    }  # fmt: skip
