"""Partitions: what is kept of each segment, so that its text is read once.

A partition is a folder that is written under another name, made durable and renamed. That it is there *is* the record
that its segment was taken: however a watch ends, a segment was taken whole or not at all, and never twice.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spiritsafe import pipeline, sources
from spiritsafe.campaigns.stored import Table
from spiritsafe.errors import InputChanged, InputError, StorageError
from spiritsafe.staging import place, sync

if TYPE_CHECKING:
    from collections.abc import Generator

    from spiritsafe.engine.duckdb import DuckDB
    from spiritsafe.settings import Settings
    from spiritsafe.watch.segments import Seen

_MAKING, _GONE = ".making-", ".gone-"


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that was taken.

    ``first``, ``last``: microseconds of its earliest and latest exchange (0 without any); ``taken``: when. ``present``
    and ``scanned`` as ``sources.Reading`` counts them. ``reason``: why nothing of it could be read, if so.
    """

    name: str
    size: int
    modified: int
    rows: int
    first: int
    last: int
    taken: int
    present: list[str]
    scanned: dict[str, Any]
    reason: str | None = None


class Partitions:
    """All partitions of a state folder: ``segments`` by name, and ``expired``: facts of those that were deleted.

    For one process at a time. What a killed one left half done is removed. Raises StorageError.
    """

    def __init__(self, state: Path) -> None:
        self.root = state / "segments"
        self._expired_file = state / "expired.jsonl"
        self.segments: dict[str, Segment] = {}
        with stored(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            for path in sorted(self.root.iterdir()):
                if path.name.startswith((_MAKING, _GONE)):
                    shutil.rmtree(path)
                else:
                    made = Segment(**json.loads((path / "segment.json").read_text("utf-8")))
                    self.segments[made.name] = made
            self.expired = self._read_expired()
            for name in self.expired.keys() & self.segments.keys():
                self._remove(name)

    def folder(self, name: str) -> Path:
        """Where the partition of the segment ``name`` is."""
        return self.root / blake2b(name.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()

    def knows(self, name: str) -> tuple[int, int] | None:
        """Size and time of change of a segment that was taken, expired or not; None when it was not."""
        one = self.segments.get(name)
        return (one.size, one.modified) if one else self.expired.get(name)

    def take(
        self, seen: Seen, engine: DuckDB, *, settings: Settings, format: str | None, now: int
    ) -> Segment | None:
        """Make the partition of a segment; durable on return. None when the file changed or went away meanwhile.

        What cannot be read at all becomes a partition without rows, with the reason. Raises StorageError.
        """
        final = self.folder(seen.name)
        making = final.with_name(_MAKING + final.name)
        with stored(making):
            making.mkdir()
            try:
                made = _read(seen, engine, making, settings=settings, format=format, now=now)
                if made is None:
                    return None
                if made.reason is not None:
                    for path in making.iterdir():
                        path.unlink()
                (making / "segment.json").write_text(json.dumps(asdict(made), sort_keys=True), "utf-8")
                if seen.name in self.segments:  # it had no exchange, and was mended since
                    self._remove(seen.name)
                place(making, final)
            finally:
                shutil.rmtree(making, ignore_errors=True)
        self.segments[made.name] = made
        return made

    def expire(self, names: list[str]) -> None:
        """Delete partitions; that they were taken is remembered as long as their files are there."""
        if not names:
            return
        with stored(self._expired_file):
            with self._expired_file.open("a", encoding="utf-8") as file:
                for name in names:
                    one = self.segments[name]
                    file.write(json.dumps([name, one.size, one.modified]) + "\n")
                file.flush()
                os.fsync(file.fileno())
            for name in names:
                self.expired[name] = self.segments[name].size, self.segments[name].modified
                self._remove(name)

    def forget(self, there: set[str]) -> None:
        """Forget expired segments whose files are no longer ``there``."""
        kept = {name: facts for name, facts in self.expired.items() if name in there}
        if len(kept) == len(self.expired):
            return
        with stored(self._expired_file):
            half = self._expired_file.with_suffix(".half")
            half.write_text(
                "".join(json.dumps([name, *facts]) + "\n" for name, facts in kept.items()), "utf-8"
            )
            sync(half)
            half.replace(self._expired_file)
        self.expired = kept

    def _remove(self, name: str) -> None:
        path = self.folder(name)
        gone = path.with_name(_GONE + path.name)
        path.rename(gone)
        sync(self.root)
        shutil.rmtree(gone)
        self.segments.pop(name, None)

    def _read_expired(self) -> dict[str, tuple[int, int]]:
        if not self._expired_file.exists():
            return {}
        found: dict[str, tuple[int, int]] = {}
        for line in self._expired_file.read_text("utf-8").splitlines():
            try:
                name, size, modified = json.loads(line)
            except ValueError:
                continue  # torn by a kill: its partition is still there and expires again
            found[name] = size, modified
        return found


def _read(
    seen: Seen, engine: DuckDB, work: Path, *, settings: Settings, format: str | None, now: int
) -> Segment | None:
    rows, first, last = 0, np.iinfo(np.int64).max, np.iinfo(np.int64).min
    try:
        reading = sources.read(
            [seen.path],
            format=format,
            engine=engine,
            rejects=work / "rejected.jsonl",
            batch_rows=settings.batch_rows,
        )
        with (
            (work / "projection.bin").open("wb") as points,
            Table(work / "sketch.parquet") as narrow,
            Table(work / "text.parquet") as text,
        ):
            for made, projections, kept in pipeline.sketches(reading, threads=settings.threads):
                points.write(projections)
                narrow.write(_plain(made))
                text.write(kept)
                times = made.column("time").to_numpy()
                rows, first, last = rows + times.size, min(first, times.min()), max(last, times.max())
    except InputChanged:
        return None
    except InputError as error:
        if not Path(seen.path).exists():
            return None
        facts = {
            "files": 1,
            "records": 0,
            "accepted": 0,
            "rejected": 0,
            "outside": 0,
            "other": 0,
            "repaired": 0,
        }
        nothing: dict[str, Any] = {
            **facts,
            "formats": {},
            "set_aside": {},
            "unread": {},
            "unknown_columns": {},
        }
        return Segment(seen.name, *seen.facts, 0, 0, 0, now, [], nothing, reason=error.message)
    # Names of files are put in when a step tells of them: the folder may be called otherwise by then.
    scanned = {**reading.scanned, "formats": sorted(reading.scanned["formats"].values())}
    times = (int(first), int(last)) if rows else (0, 0)
    return Segment(seen.name, *seen.facts, rows, *times, now, sorted(reading.present), scanned)


def _plain(made: pa.RecordBatch) -> pa.RecordBatch:
    """The sketch with the file's name as plain text, so that sketches of many files can be joined."""
    index = made.schema.get_field_index("source_file")
    return made.set_column(index, "source_file", made.column(index).cast(pa.string()))


@contextmanager
def stored(where: Path) -> Generator[None]:
    """An OSError inside the block becomes a StorageError that names the file."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the state cannot be written: {error.strerror or error}",
            where=str(error.filename or where),
            hint="make room or choose another folder with --state; what was taken is kept",
        ) from error
