"""Joining: parts -> the one log that stage A of a scan over the same files leaves, row for row."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spiritsafe import sources
from spiritsafe.campaigns import kept
from spiritsafe.campaigns.projections import POINTS
from spiritsafe.campaigns.stored import Table
from spiritsafe.pipeline import Numbers
from spiritsafe.state import parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from spiritsafe.campaigns.stored import Ingest
    from spiritsafe.engine.duckdb import DuckDB
    from spiritsafe.state.parts import Part
    from spiritsafe.state.plan import Entry

_LATER = 1 << 62


@dataclass(frozen=True, slots=True)
class Run:
    """Rows ``begin`` up to ``end`` of a folder; all of them count if ``whole``, else those within the window."""

    folder: Path
    begin: int
    end: int
    whole: bool
    present: frozenset[str]

    def after(self, one: Run) -> bool:
        """Whether this goes on where ``one`` ends."""
        return self.folder == one.folder and self.begin == one.end and self.whole and one.whole


def runs(found: Iterable[Part], since: int | None, until: int | None) -> list[Run]:
    """What is to be read for these parts in their order; neighbours of one pack together."""
    since, until = _window(since, until)
    made: list[Run] = []
    for one in found:
        if not one.rows or one.last < since or one.first >= until:
            continue
        inside = since <= one.first and one.last < until
        run = Run(one.folder, one.at, one.at + one.rows, inside, frozenset(one.present))
        if made and run.after(made[-1]):
            before = made.pop()
            run = Run(run.folder, before.begin, run.end, inside, before.present | run.present)
        made.append(run)
    return made


def joined(
    engine: DuckDB,
    entries: Sequence[Entry],
    work: Path,
    *,
    since: int | None,
    until: int | None,
    skipped: list[str],
) -> Ingest:
    """All exchanges from ``since`` up to but without ``until`` (microseconds), in the order of ``entries``.

    Work is that of copying the sketches; no text is read but that of parts on the edge of the window.
    """
    numbers = Numbers()
    present: set[str] = set()
    texts: list[tuple[Path, int]] = []
    rejected(engine, entries, work / "rejected.jsonl")
    with (work / "projection.bin").open("wb") as points, Table(work / "sketch.parquet", brief=True) as narrow:
        pool = _Pool(numbers, narrow)
        for run in runs((one for entry in entries for one in entry.parts), since, until):
            before = pool.rows
            if run.whole and not run.begin:
                texts.append((run.folder / "text.parquet", before))
                with (run.folder / "projection.bin").open("rb") as file:
                    _copy(file, points, run.end * POINTS)
                for batch in _upto(run.folder / "sketch.parquet", run.end):
                    pool.add(batch)
                present |= run.present
                continue
            keep = rows(run, since, until)
            if not keep.any():
                continue
            kept.points(run.folder / "projection.bin", points, keep)
            valued: set[str] = set()
            for batch in kept.picked(run.folder / "sketch.parquet", keep):
                pool.add(batch)
                valued |= kept.valued(batch)
            text = work / f"text-{len(texts)}.parquet"
            valued |= kept.texts(run.folder / "text.parquet", text, keep)
            texts.append((text, before))
            present |= run.present if run.whole else having(valued, run)
        pool.flush()
    return numbers.ingest(work, scanned(entries, numbers.rows, skipped), present, texts)


def having(valued: set[str], run: Run) -> set[str]:
    """The canonical columns that rows of a run have, from those that have a value in sketch and texts."""
    # Sketches that came in place of text are kept as what they hold; they stand for all three.
    return valued | (
        run.present & {"sketch", "prompt", "system", "response"} if "sketch" in run.present else set()
    )


def rows(run: Run, since: int | None, until: int | None) -> Any:
    """Which rows of the folder a run takes: bool (rows of the folder,)."""
    time = np.concatenate(
        [one.column(0).to_numpy() for one in kept.batches(run.folder / "sketch.parquet", ["time"])]
    )
    keep = np.zeros(time.size, bool)
    keep[run.begin : run.end] = True
    since, until = _window(since, until)
    return keep if run.whole else keep & (time >= since) & (time < until)


def rejected(engine: DuckDB, entries: Iterable[Entry], path: Path) -> None:
    """Write the records of all parts that were set aside, as a scan does."""
    with path.open("wb") as out:
        for entry in entries:
            found = [parts.rejected(one) for one in entry.parts if one.scanned["rejected"]]
            if found:
                table = pa.concat_tables(found)
                names = pa.array([entry.shown], pa.string()).take(pa.array(np.zeros(len(table), np.int32)))
                out.write(sources.json_lines(table.append_column("name", names), engine))


def scanned(entries: Sequence[Entry], rows: int, skipped: list[str]) -> dict[str, Any]:
    """What a scan of the same files counts, when ``rows`` lie in its window."""
    counts, unread, unknown = Counter[str](), Counter[str](), Counter[str]()
    formats: dict[str, str] = {}
    for entry in entries:
        for one in entry.parts:
            counts.update({name: one.scanned[name] for name in sources.COUNTS})
            unread.update(one.scanned["unread"])
            unknown.update(one.scanned["unknown_columns"])
            formats[entry.shown] = one.scanned["format"]
    outside = counts["outside"] + counts["accepted"] - rows
    return {
        "files": len(entries), **{name: counts[name] for name in sources.COUNTS}, "accepted": rows, "outside": outside,
        "formats": formats, "skipped": skipped, "unread": dict(unread), "unknown_columns": dict(unknown),
        "set_aside": {one.shown: one.error.message for one in entries if one.error is not None},
    }  # fmt: skip


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
        self._waiting.append(batch.drop_columns(["part", "place"]))
        if self._held >= kept.ROWS:
            self.flush()

    def flush(self) -> None:
        if self._held:
            table = pa.Table.from_batches(self._waiting).combine_chunks()
            for batch in table.to_batches(max_chunksize=kept.ROWS):
                self._narrow.write(self._numbers.give(batch))
        self._waiting, self._held = [], 0


def _window(since: int | None, until: int | None) -> tuple[int, int]:
    return -_LATER if since is None else since, _LATER if until is None else until


def _upto(path: Path, rows: int) -> Iterator[pa.RecordBatch]:
    """The first rows of a Parquet file."""
    at = 0
    for batch in kept.batches(path):
        yield batch.slice(0, rows - at)
        at += batch.num_rows
        if at >= rows:
            return


def _copy(source: Any, target: Any, size: int) -> None:
    while size > 0 and (chunk := source.read(min(size, 1 << 20))):
        target.write(chunk)
        size -= len(chunk)
