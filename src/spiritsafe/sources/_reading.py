"""Reading: inputs -> a stream of canonical record batches, with an account of everything that was not taken."""

from __future__ import annotations

from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.errors import MalformedRecord, UnknownFormat
from spiritsafe.schema import NAMES
from spiritsafe.sources._batches import Unit, document, line_units, prepare
from spiritsafe.sources._inputs import LogFile, expand
from spiritsafe.sources._lines import Lines, lines
from spiritsafe.sources._project import SCHEMA, Projected, project
from spiritsafe.sources._rejects import Rejects, rejected_table
from spiritsafe.sources._rows import rows, unknown_columns
from spiritsafe.sources._sample import Sample, reads, take_sample, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from spiritsafe.engine.duckdb import DuckDB
    from spiritsafe.registry import Extension

    Progress = Callable[[str, int, int], None]

# Of so many lines of a file the first ones are searched for unknown keys: enough to name them, too few to cost time.
# Which ones does not depend on how files are cut into units of work.
_EVERY, _LOOKED_AT = 65_536, 512


def read(
    inputs: Sequence[str | Path],
    *,
    format: str | None = None,
    engine: DuckDB,
    rejects: Path,
    strict: bool = False,
    since: int | None = None,
    until: int | None = None,
    batch_rows: int = 65_536,
    progress: Progress | None = None,
) -> Reading:
    """Read logs from files, folders and globs. Nothing is read before the result is iterated.

    ``format``: id of a source, else told from each file's content. ``rejects``: file for records set aside (made
    only if there is one). ``strict``: raise MalformedRecord at the first of them. ``since``, ``until``: microseconds
    since the epoch, UTC; records from ``since`` up to but without ``until`` are kept. ``progress(file, done, total)``
    is told bytes. Raises InputError now for what is not there; while iterating InputError, InputChanged,
    UnknownFormat, StorageError.
    """
    files, skipped = expand(inputs)
    return Reading(files, skipped, format, engine, rejects, strict, since, until, batch_rows, progress)


class Reading:
    """An iterable of record batches: the canonical columns in order, ``source_file``, ``source_line``.

    Batches come in the order of files and lines, whatever the number of threads. When iteration has ended,
    ``present`` is the set of columns with a value, and ``scanned`` counts: ``files``, ``records`` (= ``accepted`` +
    ``rejected`` + ``outside``), ``outside`` (of since/until), ``other`` (what is whole but no model call: other
    spans, embeddings), ``repaired`` (records whose text was not valid UTF-8,
    held NUL bytes or half surrogates), ``unread`` (optional values that could not be cast, by column),
    ``unknown_columns`` (by name: Parquet files that have it, or JSON records, of the first 512 of every 65,536 lines of
    a file, that have it), ``formats`` (file: format), ``skipped`` (files passed over), ``set_aside`` (files of no known format).
    """

    def __init__(
        self,
        files: list[LogFile],
        skipped: list[str],
        wanted: str | None,
        engine: DuckDB,
        rejects: Path,
        strict: bool,  # noqa: FBT001
        since: int | None,
        until: int | None,
        batch_rows: int,
        progress: Progress | None,
    ) -> None:
        self._files = files
        self._wanted = wanted
        self._engine = engine
        self._rejects = Rejects(Path(rejects))
        self._strict = strict
        self._window = (since, until)
        self._batch_rows = batch_rows
        self._progress = progress
        self._paths = [file.path for file in files]
        self._done = [0]
        for file in files:
            self._done.append(self._done[-1] + file.size)
        self._unread: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self.present: set[str] = set()
        self.scanned: dict[str, Any] = {
            "files": len(files), "records": 0, "accepted": 0, "rejected": 0, "outside": 0, "other": 0, "repaired": 0,
            "formats": {}, "skipped": skipped, "set_aside": {}, "unread": {}, "unknown_columns": {},
        }  # fmt: skip

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        threads = max(1, self._engine.threads)
        cursors: SimpleQueue[DuckDB] = SimpleQueue()
        for _ in range(threads):
            cursors.put(self._engine.cursor())
        waiting: deque[tuple[Unit, Future[_Outcome]]] = deque()
        known: dict[str, str] = {}
        pool = ThreadPoolExecutor(threads, thread_name_prefix="sources")
        try:
            for unit in self._units():
                waiting.append((unit, pool.submit(_work, unit, cursors, known)))
                if len(waiting) > threads:
                    yield from self._account(*waiting.popleft())
            while waiting:
                yield from self._account(*waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            while not cursors.empty():
                cursors.get().close()
            self._rejects.close()
            self.scanned["unread"] = dict(self._unread)
            self.scanned["unknown_columns"] = dict(self._unknown)

    def _units(self) -> Iterator[Unit]:
        """Units in the order of files; small files of one format share a unit."""
        unit: Unit | None = None
        for index, file in enumerate(self._files):
            told = self._tell(file)
            if told is None:
                continue
            source, sample = told
            if unit is not None and (unit.source is not source or reads(source) == "rows"):
                yield unit
                unit = None
            if reads(source) == "rows":
                yield from self._row_units(source, index, file.path)
            else:
                parts = self._pieces(file.path, sample)
                for part in line_units(source, index, parts, self._batch_rows, unit or Unit(source)):
                    if unit is not None and unit is not part:
                        yield unit
                    unit = part
            file.check()
        if unit is not None:
            yield unit
        aside = self.scanned["set_aside"]
        if len(aside) == len(self._files):
            path, reason = next(iter(aside.items()))
            raise UnknownFormat(f"no file is a log; the first {reason}", where=path)

    def _tell(self, file: LogFile) -> tuple[Extension, Sample] | None:
        """The file's source; None, with a note, when it is empty or (inside a folder) no log."""
        sample = take_sample(file.path)
        try:
            source = tell(file.path, sample, self._wanted)
        except UnknownFormat as error:
            if file.named or self._strict or self._wanted:
                raise
            self.scanned["set_aside"][file.path] = error.message
            return None
        self.scanned["formats"][file.path] = source.id if source else "empty"
        return (source, sample) if source else None

    def _pieces(self, path: str, sample: Sample) -> Iterator[Lines]:
        if sample.document:
            return document(path, self._batch_rows, self._engine)
        return lines(path, self._batch_rows)

    def _row_units(self, source: Extension, index: int, path: str) -> Iterator[Unit]:
        for first, batch, repaired in rows(path, self._batch_rows):
            yield Unit(source, rows=batch, file=index, first=first, repaired=repaired, count=len(batch))
        self._unknown.update(unknown_columns(path))

    def _account(self, unit: Unit, future: Future[_Outcome]) -> Iterator[pa.RecordBatch]:
        outcome = future.result()
        accepted, rejected = outcome.projected.accepted, outcome.rejected
        if self._progress is not None:
            path = self._paths[unit.file]
            reached = self._done[unit.file] + unit.position
            if unit.rows is not None:
                reached = self._done[unit.file]
            self._progress(path, min(reached, self._done[-1]), self._done[-1])
        counts = self.scanned
        counts["records"] += len(accepted) + len(rejected)
        counts["rejected"] += len(rejected)
        counts["repaired"] += outcome.repaired
        counts["other"] += outcome.projected.other
        self._unread.update(outcome.projected.unread)
        self._unknown.update(outcome.unknown)
        if len(rejected):
            if self._strict:
                bad = rejected.slice(0, 1).to_pylist()[0]
                where = f"{self._paths[bad['file']]}:{bad['line']}"
                raise MalformedRecord(bad["reason"], where=where, hint="leave --strict out to set it aside")
            self._rejects.write(rejected, self._paths, self._engine)
        kept = self._inside(accepted)
        counts["outside"] += len(accepted) - len(kept)
        counts["accepted"] += len(kept)
        yield from self._canonical(kept)

    def _inside(self, accepted: pa.Table) -> pa.Table:
        since, until = self._window
        time = accepted["time"]
        if since is not None:
            accepted = accepted.filter(pc.greater_equal(time, since))
            time = accepted["time"]
        return accepted if until is None else accepted.filter(pc.less(time, until))

    def _canonical(self, table: pa.Table) -> Iterator[pa.RecordBatch]:
        if not len(table):
            return
        names = pa.array(self._paths, pa.string())
        files = pa.DictionaryArray.from_arrays(table["file"].combine_chunks(), names)
        columns = [*(table[name] for name in NAMES), files, table["line"]]
        whole = pa.table(columns, names=SCHEMA.names).cast(SCHEMA)
        self.present |= {name for name in NAMES if whole[name].null_count < len(whole)}
        if "sketch" in self.present:
            self.present |= {"prompt", "system", "response"}  # it stands for all three
        yield from whole.combine_chunks().to_batches(self._batch_rows)


@dataclass(frozen=True, slots=True)
class _Outcome:
    projected: Projected
    rejected: pa.Table
    repaired: int
    unknown: Counter[str]


def _work(unit: Unit, cursors: SimpleQueue[DuckDB], known: dict[str, str]) -> _Outcome:
    engine = cursors.get()
    try:
        prepared = prepare(unit, engine)
        engine.register("records", prepared.relation)
        projected = project(unit.source, "records", engine, known)
        unknown = _unknown(unit, engine)
        engine.unregister("records")
        rejected = rejected_table(projected.rejected, prepared.relation, prepared.hopeless)
        return _Outcome(projected, rejected, prepared.repaired, unknown)
    finally:
        cursors.put(engine)


def _unknown(unit: Unit, engine: DuckDB) -> Counter[str]:
    """Keys a source says it ignores, and in how many of the records looked at they stand."""
    ignored = getattr(unit.source.module, "ignored", None)
    if ignored is None:
        return Counter()
    sql = ignored(f"(SELECT * FROM records WHERE (line - 1) % {_EVERY} < {_LOOKED_AT})")
    rows = engine.table(f"SELECT name, count(*) AS n FROM ({sql}) GROUP BY name ORDER BY name").to_pylist()
    return Counter({row["name"]: row["n"] for row in rows})
