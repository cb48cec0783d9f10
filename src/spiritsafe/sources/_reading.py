"""Reading: inputs -> a stream of canonical record batches, with an account of everything that was not taken."""

from __future__ import annotations

from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.errors import InputError, MalformedRecord, UnknownFormat
from spiritsafe.schema import NAMES
from spiritsafe.sources._batches import Unit, begun, document, line_units, prepare
from spiritsafe.sources._inputs import LogFile, expand
from spiritsafe.sources._lines import Lines, lines
from spiritsafe.sources._project import SCHEMA, Projected, project
from spiritsafe.sources._rejects import RejectedLines, Rejects, rejected_table
from spiritsafe.sources._rows import rows, unknown_columns
from spiritsafe.sources._sample import Sample, reads, take_sample, tell
from spiritsafe.sources._tally import FATAL, Piece, Tally, nothing

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
    rejects: Path | Rejects,
    strict: bool = False,
    since: int | None = None,
    until: int | None = None,
    batch_rows: int = 65_536,
    progress: Progress | None = None,
    aside: bool = False,
    piece: Piece | None = None,
) -> Reading:
    """Read logs from files, folders and globs. Nothing is read before the result is iterated.

    ``format``: id of a source, else told from each file's content. ``rejects``: file for records set aside (made
    only if there is one). ``strict``: raise MalformedRecord at the first of them. ``since``, ``until``: microseconds
    since the epoch, UTC; records from ``since`` up to but without ``until`` are kept. ``progress(file, done, total)``
    is told bytes. ``aside``: a damaged file among several is set aside, unless ``strict``; see ``void``. ``piece``: of the one
    file only this. Raises InputError now for what is not there; while iterating InputError, InputChanged,
    UnknownFormat, StorageError.
    """
    files, skipped = expand(inputs)
    aside = aside and not strict and len(files) > 1
    sink = rejects if isinstance(rejects, Rejects) else RejectedLines(Path(rejects))
    return Reading(
        files,
        skipped,
        format,
        engine,
        sink,
        strict,
        since,
        until,
        batch_rows,
        progress,
        aside,
        piece or Piece(),
    )


class Reading:
    """An iterable of record batches: the canonical columns in order, ``source_file``, ``source_line``.

    Batches come in the order of files and lines, whatever the number of threads. When iteration has ended,
    ``present`` is the set of columns with a value, and ``scanned`` counts: ``files``, ``records`` (= ``accepted`` +
    ``rejected`` + ``outside``), ``outside`` (of since/until), ``other`` (what is whole but no model call: other
    spans, embeddings), ``repaired`` (records whose text was not valid UTF-8,
    held NUL bytes or half surrogates), ``unread`` (optional values that could not be cast, by column),
    ``unknown_columns`` (by name: Parquet files that have it, or JSON records, of the first 512 of every 65,536 lines of
    a file, that have it), ``formats`` (file: format), ``skipped`` (files passed over), ``set_aside`` (files of no known
    format and damaged ones: why).

    ``void``: damaged files of which rows were given before that was seen; they are in no count, and must be dropped.
    ``lines``: the number of the last line that was read.
    """

    def __init__(
        self,
        files: list[LogFile],
        skipped: list[str],
        wanted: str | None,
        engine: DuckDB,
        rejects: Rejects,
        strict: bool,  # noqa: FBT001
        since: int | None,
        until: int | None,
        batch_rows: int,
        progress: Progress | None,
        aside: bool,  # noqa: FBT001
        piece: Piece,
    ) -> None:
        self._files = files
        self._wanted = wanted
        self._engine = engine
        self._rejects = rejects
        self._strict = strict
        self._window = (since, until)
        self._batch_rows = batch_rows
        self._progress = progress
        self._aside = aside
        self._piece = piece
        self._bad: list[tuple[str, InputError]] = []
        self._shared: Unit | None = None
        self._held: tuple[int, Tally] | None = None
        self._paths = [file.path for file in files]
        self._done = [0]
        for file in files:
            self._done.append(self._done[-1] + file.size)
        self._tally = Tally()
        self.void: list[str] = []
        self.lines = piece.first - 1
        self.scanned: dict[str, Any] = {
            "files": len(files), "records": 0, "accepted": 0, "rejected": 0, "outside": 0, "other": 0, "repaired": 0,
            "formats": {}, "skipped": skipped, "set_aside": {}, "unread": {}, "unknown_columns": {},
        }  # fmt: skip

    @property
    def present(self) -> set[str]:
        """The canonical columns that have a value, so far."""
        return self._tally.present | (self._held[1].present if self._held else set())

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        threads = max(1, self._engine.threads)
        cursors: SimpleQueue[DuckDB] = SimpleQueue()
        for _ in range(threads):
            cursors.put(self._engine.cursor())
        waiting: deque[tuple[Unit, Future[_Outcome] | None]] = deque()
        known: dict[str, str] = {}
        pool = ThreadPoolExecutor(threads, thread_name_prefix="sources")
        try:
            for unit in self._units():
                waiting.append((unit, pool.submit(_work, unit, cursors, known) if unit.count else None))
                if len(waiting) > threads:
                    yield from self._account(*waiting.popleft())
            while waiting:
                yield from self._account(*waiting.popleft())
            self._settle(None)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            while not cursors.empty():
                cursors.get().close()
            self._rejects.close()
            self._settle(None)
            self.scanned |= self._tally.counts
            self.scanned["unread"] = dict(self._tally.unread)
            self.scanned["unknown_columns"] = dict(self._tally.unknown)

    def _units(self) -> Iterator[Unit]:
        """Units in the order of files. Small files of one format share a unit; a larger one has units of its own.

        So when a file proves damaged, what was counted of it can be taken back: a small one was read to its end before.
        """
        for index, file in enumerate(self._files):
            try:
                yield from self._units_of(index, file)
            except InputError as error:
                if not self._aside or isinstance(error, (*FATAL, UnknownFormat)):
                    raise
                self._bad.append((file.path, error))
                yield Unit(None, file=index, own=True, damage=error)
            file.check()
        yield from self._rest()
        if len(self._bad) == len(self._files):
            raise nothing(*self._bad[0])

    def _units_of(self, index: int, file: LogFile) -> Iterator[Unit]:
        told = self._tell(file)
        if told is None:
            return
        source, sample = told
        if reads(source) == "rows":
            yield from self._rest()
            yield from self._row_units(source, index, file.path)
            return
        head, more = begun(self._pieces(file.path, sample))
        if more is not None or (self._shared and self._shared.source is not source):
            yield from self._rest()
        unit = self._shared or Unit(source, own=more is not None)
        for part in line_units(source, index, chain(head, more or ()), self._batch_rows, unit):
            if unit is not part:
                yield unit
            unit = part
        self._shared = unit
        if more is not None:
            yield from self._rest()

    def _rest(self) -> Iterator[Unit]:
        """The unit that small files share, if there is one."""
        if self._shared is not None:
            yield self._shared
            self._shared = None

    def _tell(self, file: LogFile) -> tuple[Extension, Sample] | None:
        """The file's source; None, with a note, when it is empty or (inside a folder) no log."""
        sample = take_sample(file.path)
        try:
            source = tell(file.path, sample, self._wanted)
        except UnknownFormat as error:
            if file.named or self._strict or self._wanted:
                raise
            self._bad.append((file.path, error))
            self.scanned["set_aside"][file.path] = error.message
            return None
        self.scanned["formats"][file.path] = source.id if source else "empty"
        return (source, sample) if source else None

    def _pieces(self, path: str, sample: Sample) -> Iterator[Lines]:
        if sample.document:
            yield from document(path, self._batch_rows, self._engine)
            return
        for piece in lines(path, self._batch_rows, self._piece.span, self._piece.first):
            self.lines = piece.first + len(piece.raw) - 1
            yield piece

    def _row_units(self, source: Extension, index: int, path: str) -> Iterator[Unit]:
        extra = Counter(unknown_columns(path) if self._piece.opens else ())
        for first, batch, repaired in rows(path, self._batch_rows, self._piece.span):
            yield Unit(
                source,
                rows=batch,
                file=index,
                first=first,
                repaired=repaired,
                count=len(batch),
                own=True,
                unknown=extra,
            )
            extra = Counter[str]()
        if extra:
            yield Unit(source, file=index, own=True, unknown=extra)

    def _settle(self, unit: Unit | None) -> Tally:
        """Where to count a unit. What is held of the file before is final now, or void if this unit tells of damage."""
        mine = unit.file if unit is not None and unit.own else None
        if self._held is not None and self._held[0] != mine:
            self._tally.add(self._held[1])
            self._held = None
        if mine is None:
            return self._tally
        if self._held is None:
            self._held = mine, Tally(at=self._rejects.position())
        return self._held[1]

    def _drop(self, unit: Unit, tally: Tally, damage: InputError) -> None:
        path = self._paths[unit.file]
        self._rejects.truncate(tally.at)
        self._held = None
        if tally.counts["accepted"]:
            self.void.append(path)
        self.scanned["formats"].pop(path, None)
        self.scanned["set_aside"][path] = damage.message

    def _account(self, unit: Unit, future: Future[_Outcome] | None) -> Iterator[pa.RecordBatch]:
        tally = self._settle(unit)
        tally.unknown.update(unit.unknown)
        if unit.damage is not None:
            self._drop(unit, tally, unit.damage)
        if future is None:
            return
        outcome = future.result()
        accepted, rejected = outcome.projected.accepted, outcome.rejected
        if self._progress is not None:
            path = self._paths[unit.file]
            reached = self._done[unit.file] + unit.position
            if unit.rows is not None:
                reached = self._done[unit.file]
            self._progress(path, min(reached, self._done[-1]), self._done[-1])
        counts = tally.counts
        counts["records"] += len(accepted) + len(rejected)
        counts["rejected"] += len(rejected)
        counts["repaired"] += outcome.repaired
        counts["other"] += outcome.projected.other
        tally.unread.update(outcome.projected.unread)
        tally.unknown.update(outcome.unknown)
        if len(rejected):
            if self._strict:
                bad = rejected.slice(0, 1).to_pylist()[0]
                where = f"{self._paths[bad['file']]}:{bad['line']}"
                raise MalformedRecord(bad["reason"], where=where, hint="leave --strict out to set it aside")
            self._rejects.write(rejected, self._paths, self._engine)
        kept = self._inside(accepted)
        counts["outside"] += len(accepted) - len(kept)
        counts["accepted"] += len(kept)
        yield from self._canonical(kept, tally)

    def _inside(self, accepted: pa.Table) -> pa.Table:
        since, until = self._window
        time = accepted["time"]
        if since is not None:
            accepted = accepted.filter(pc.greater_equal(time, since))
            time = accepted["time"]
        return accepted if until is None else accepted.filter(pc.less(time, until))

    def _canonical(self, table: pa.Table, tally: Tally) -> Iterator[pa.RecordBatch]:
        if not len(table):
            return
        names = pa.array(self._paths, pa.string())
        files = pa.DictionaryArray.from_arrays(table["file"].combine_chunks(), names)
        columns = [*(table[name] for name in NAMES), files, table["line"]]
        whole = pa.table(columns, names=SCHEMA.names).cast(SCHEMA)
        tally.present |= {name for name in NAMES if whole[name].null_count < len(whole)}
        if "sketch" in tally.present:
            tally.present |= {"prompt", "system", "response"}  # it stands for all three
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
        assert unit.source is not None  # noqa: S101 - only a unit without records has none
        prepared = prepare(unit, engine)
        engine.register("records", prepared.relation)
        projected = project(unit.source, "records", engine, known)
        unknown = _unknown(unit.source, engine)
        engine.unregister("records")
        rejected = rejected_table(projected.rejected, prepared.relation, prepared.hopeless)
        return _Outcome(projected, rejected, prepared.repaired, unknown)
    finally:
        cursors.put(engine)


def _unknown(source: Extension, engine: DuckDB) -> Counter[str]:
    """Keys a source says it ignores, and in how many of the records looked at they stand."""
    ignored = getattr(source.module, "ignored", None)
    if ignored is None:
        return Counter()
    sql = ignored(f"(SELECT * FROM records WHERE (line - 1) % {_EVERY} < {_LOOKED_AT})")
    rows = engine.table(f"SELECT name, count(*) AS n FROM ({sql}) GROUP BY name ORDER BY name").to_pylist()
    return Counter({row["name"]: row["n"] for row in rows})
