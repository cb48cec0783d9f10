"""Stage A of one file, on an executor: its sketch as a part, a folder that is there whole or not at all.

A part is the checkpoint: its name is a hash of what it was made of (file, size, time of change, what was asked, version of the
fingerprints), so a scan that starts again takes it as it is.
"""

from __future__ import annotations

import json
import shutil
import uuid
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spiritsafe import errors, pipeline, sources
from spiritsafe.campaigns.stored import Table
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.features import FINGERPRINT_VERSION
from spiritsafe.staging import place, sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOLD = pa.schema([("told", pa.string())])
"""What ``make`` yields: one record of JSON for each file."""
_FORMAT = 1
"""Of a part's files; another number makes all parts anew."""
_MAKING = ".making-"


def key(item: Mapping[str, Any]) -> str:
    """The name of the part that ``item`` gives: 32 hex digits."""
    names = ("path", "size", "modified", "format", "since", "until", "strict")
    told = [_FORMAT, FINGERPRINT_VERSION, *(item[name] for name in names)]
    return blake2b(json.dumps(told).encode(), digest_size=16).hexdigest()


def number(name: str) -> int:
    """A part's name as a signed 64-bit integer, for joins."""
    return int.from_bytes(bytes.fromhex(name[:16]), "big", signed=True)


def make(item: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """Make the part of one file unless it is there; yield what was counted, or which error stopped it.

    ``item``: ``path``, ``size``, ``modified`` (ns), ``format``, ``since``, ``until``, ``strict``, ``batch_rows``, ``memory``
    and ``folder``, the part's place; ``number`` comes back with what is yielded.
    """
    final = Path(item["folder"])
    told = _read_told(final)
    if told is None:
        making = final.with_name(f"{_MAKING}{final.name}-{uuid.uuid4().hex[:8]}")
        try:
            making.mkdir(parents=True)
            told = _make(item, making)
            if "error" not in told:
                (making / "part.json").write_text(json.dumps(told), "utf-8")
                told = _publish(making, final, told)
        except errors.SpiritsafeError as error:
            told = _error(error)
        except OSError as error:
            told = _error(errors.StorageError(f"cannot write: {error.strerror}", where=str(final)))
        finally:
            shutil.rmtree(making, ignore_errors=True)
    yield pa.record_batch([pa.array([json.dumps(told | {"number": item["number"]})])], schema=TOLD)


def sweep(folder: Path) -> None:
    """Remove what killed attempts left half made in ``folder``; a checkpoint serves one scan at a time."""
    for half in folder.glob(f"{_MAKING}*"):
        shutil.rmtree(half, ignore_errors=True)


def finished(folder: Path) -> dict[str, Any] | None:
    """What an earlier run counted for this part; None when it made none."""
    return _read_told(folder)


def raised(told: Mapping[str, Any]) -> errors.SpiritsafeError:
    """The error that a part's record tells of, as it was where it happened."""
    kind = getattr(errors, told["error"])
    return kind(told["message"], where=told["where"], hint=told["hint"])


def _read_told(final: Path) -> dict[str, Any] | None:
    try:
        return json.loads((final / "part.json").read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _publish(making: Path, final: Path, told: dict[str, Any]) -> dict[str, Any]:
    try:
        place(making, final)
    except OSError:  # another attempt of the same task was first: what it made is the same
        other = _read_told(final)
        if other is None:
            raise
        return other
    sync(final.parent)
    return told


def _error(error: errors.SpiritsafeError) -> dict[str, Any]:
    return {
        "error": type(error).__name__, "message": error.message, "where": error.where, "hint": error.hint
    }  # fmt: skip


def _make(item: Mapping[str, Any], making: Path) -> dict[str, Any]:
    facts = Path(item["path"]).stat() if Path(item["path"]).exists() else None
    if facts is None or (facts.st_size, facts.st_mtime_ns) != (item["size"], item["modified"]):
        raise errors.InputChanged(
            "the file changed or vanished while it was read",
            where=item["path"],
            hint="scan a copy, or files that are no longer written to",
        )
    part, rows = number(Path(item["folder"]).name), 0
    with DuckDB(making, memory=item["memory"], threads=1) as engine:
        reading = sources.read(
            [item["path"]],
            format=item["format"],
            engine=engine,
            rejects=making / "rejected.jsonl",
            strict=item["strict"],
            since=item["since"],
            until=item["until"],
            batch_rows=item["batch_rows"],
        )
        with (
            (making / "projection.bin").open("wb") as points,
            Table(making / "sketch.parquet") as narrow,
            Table(making / "text.parquet") as text,
        ):
            for made, projections, kept in pipeline.sketches(reading, threads=1):
                points.write(projections)
                narrow.write(_placed(made, part, rows))
                text.write(kept)
                rows += made.num_rows
    return {"rows": rows, "present": sorted(reading.present), "scanned": reading.scanned}


def _placed(made: pa.RecordBatch, part: int, before: int) -> pa.RecordBatch:
    """The sketch with its part and the place of each row in it; the file's name as plain text."""
    index = made.schema.get_field_index("source_file")
    made = made.set_column(index, "source_file", made.column(index).cast(pa.string()))
    made = made.append_column("part", pa.array(np.full(made.num_rows, part, np.int64)))
    return made.append_column("place", pa.array(np.arange(before, before + made.num_rows)))
