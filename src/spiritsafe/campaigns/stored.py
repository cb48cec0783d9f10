"""What stage A leaves in the work folder, and stage B: read back as the arrays that all later stages work on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spiritsafe import registry
from spiritsafe.campaigns import streams, templates, traces
from spiritsafe.campaigns.log import Log

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path
    from types import TracebackType

    from spiritsafe.campaigns.verdict import Verdict
    from spiritsafe.engine.duckdb import DuckDB


@dataclass(slots=True)
class Ingest:
    """What stage A leaves behind: files in the work folder, and what was counted on the way.

    ``texts``: the files that keep the beginning of the text, each with the number of its first row.
    """

    work: Path
    scanned: dict[str, Any]
    present: set[str]
    accounts: list[str]
    counter: templates.Counter
    rows: int
    texts: list[tuple[Path, int]]

    def projections(self) -> Any:
        """int8 (rows, 64), mapped from the work folder."""
        return np.memmap(self.work / "projection.bin", np.int8, "r", shape=(self.rows, 64))


class Table:
    """A Parquet file of the work folder, written by a thread of its own while the next batch is made.

    At most one batch waits. What goes wrong in the thread is raised by the next call.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None
        self._file: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)
        try:
            if self._last and error is None:
                self._last.result()
        finally:
            if self._file:
                self._file.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Hand a batch to the thread, once it has written the one before."""
        if self._last:
            self._last.result()
        self._last = self._thread.submit(self._write, batch)

    def _write(self, batch: pa.RecordBatch) -> None:
        if self._file is None:
            # Hashes neither repeat nor shrink: a dictionary of them costs time and saves nothing.
            words = [field.name for field in batch.schema if pa.types.is_string(field.type)]
            self._file = pq.ParquetWriter(
                self._path, batch.schema, compression="zstd", compression_level=1, use_dictionary=words
            )
        self._file.write_batch(batch)


def build(engine: DuckDB, taken: Ingest, progress: Callable[[str, int, int], None]) -> Log:
    """The log that stage A left behind; it has at least one exchange."""
    path = taken.work / "sketch.parquet"
    engine.execute(f"CREATE VIEW sketch AS SELECT * FROM read_parquet('{_quoted(path)}')")
    file = pq.ParquetFile(path)
    acc = _column(file, "acc", np.int32, taken.rows)
    live = np.ones(taken.rows, bool)
    doubles = engine.table(
        "SELECT s.row FROM sketch s JOIN (SELECT exchange_id, min(row) AS first FROM sketch GROUP BY exchange_id "
        "HAVING count(*) > 1) d ON s.exchange_id = d.exchange_id WHERE s.row > d.first"
    )
    live[doubles.column("row").to_numpy()] = False
    taken.scanned["duplicates"] = int((~live).sum())
    progress("finding templates", 0, 2)
    found = templates.templates(
        lambda: templates.each(file.iter_batches(columns=list(templates.COLUMNS))),
        taken.rows,
        taken.counter,
    )
    progress("finding templates", 1, 2)
    roles, names, extraction = _roles(engine, taken.rows)
    projections = taken.projections()
    own = np.flatnonzero((found.of_row < 0) & live)
    known = streams.registry(projections, own)
    near = streams.near(projections, known)
    progress("finding templates", 2, 2)
    people = engine.table(
        "SELECT acc, max(organization_id) AS organization, max(relation) AS relation FROM sketch "
        "GROUP BY acc ORDER BY acc"
    )
    owner = [
        f"o:{org}" if org is not None else f"a:{name}"
        for org, name in zip(people.column("organization").to_pylist(), taken.accounts, strict=True)
    ]
    party = np.unique(np.array(owner, object).astype(str), return_inverse=True)[1].astype(np.int32)
    relation = people.column("relation").to_pylist()
    log = Log(
        acc=acc,
        time=_column(file, "time", np.int64, taken.rows),
        exact=_column(file, "exact", np.uint64, taken.rows),
        live=live,
        template=found.of_row,
        template_key=found.key,
        template_anchors=found.anchors,
        roles=roles,
        role_names=names,
        extraction=extraction,
        accounts=taken.accounts,
        party=party,
        declared=np.array([one is not None for one in relation], bool),
        parties=int(party.max()) + 1,
        present=taken.present,
        near=near,
        topic=streams.topics(near, acc, own),
        topic_key=known.key,
    )
    log.traces = traces.read(engine, log)
    return log


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _column(file: pq.ParquetFile, name: str, kind: Any, rows: int) -> Any:
    out = np.empty(rows, kind)
    at = 0
    for batch in file.iter_batches(columns=[name]):
        values = batch.column(0).to_numpy(zero_copy_only=False)
        out[at : at + values.size] = values
        at += values.size
    return out


def _roles(engine: DuckDB, rows: int) -> tuple[Any, tuple[str, ...], int]:
    masks = np.zeros(rows, np.uint64)
    names: list[str] = []
    extraction = 0
    for name, extension in registry.extensions("signals").items():
        kind = getattr(extension.module, "KIND", "")
        if kind not in {"role", "hint", "product"}:
            continue
        hits = engine.table(str(extension.function())).column("subject").to_numpy()
        bit = len(names)
        masks[hits] |= np.uint64(1 << bit)
        names.append(name)
        if kind != "product":
            extraction |= 1 << bit
    return masks, tuple(names), extraction


def tokens(engine: DuckDB, verdict: Verdict) -> dict[str, int]:
    """Input and output tokens of a verdict's exchanges, 0 where the log has no counts."""
    engine.register("chosen", pa.table({"row": verdict.rows.astype(np.int64)}))
    sums = engine.table(
        "SELECT coalesce(sum(input_tokens), 0)::BIGINT AS input, coalesce(sum(output_tokens), 0)::BIGINT AS output "
        "FROM sketch WHERE row IN (SELECT row FROM chosen)"
    )
    return {name: int(sums.column(name)[0].as_py()) for name in ("input", "output")}


def texts(engine: DuckDB, files: list[tuple[Path, int]]) -> Callable[[Any], dict[int, str]]:
    """A reader of the stored beginning of a few exchanges' text, by row. ``files``: see ``Ingest``."""
    begins = np.array([first for _, first in files], np.int64)

    def read(rows: Any) -> dict[int, str]:
        found: dict[int, str] = {}
        rows = np.asarray(rows, np.int64)
        file = np.searchsorted(begins, rows, side="right") - 1
        for index in np.unique(file).tolist():
            path, first = files[index]
            numbers = ", ".join(str(row - first) for row in rows[file == index].tolist())
            kept = engine.table(
                f"SELECT row, prompt, system FROM read_parquet('{_quoted(path)}') "
                f"WHERE row IN ({numbers}) AND prompt IS NOT NULL"
            )
            found |= {
                first + row: (f"[system] {system} [user] " if system else "") + (prompt or "")
                for row, prompt, system in zip(*(column.to_pylist() for column in kept.columns), strict=True)
            }
        return found

    return read
