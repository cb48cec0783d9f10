"""What stage A leaves in the work folder, and stage B: read back as the arrays that all later stages work on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spiritsafe import registry
from spiritsafe.campaigns import streams, templates, traces
from spiritsafe.campaigns._distinct import distinct
from spiritsafe.campaigns._passes import pieces, where
from spiritsafe.campaigns.log import Log
from spiritsafe.campaigns.projections import Projections
from spiritsafe.campaigns.shelf import Shelf, mapped
from spiritsafe.engine import parquet, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path
    from types import TracebackType

    from spiritsafe.campaigns.verdict import Verdict
    from spiritsafe.engine import Engine

_UNLIKE = frozenset({"exchange_id", "prompt"})
_SOUGHT = ("row", "time")
"""Columns by whose least and greatest values a reader passes over groups of rows."""


@dataclass(slots=True)
class Ingest:
    """What stage A leaves behind: files in the work folder, and which accounts there are.

    ``texts``: the files that keep the beginning of the text, each with the number of its first row.
    """

    work: Path
    scanned: dict[str, Any]
    present: set[str]
    accounts: list[str]
    rows: int
    texts: list[tuple[Path, int]]

    def projections(self) -> Any:
        """int8 (rows, 64), read from the work folder."""
        return Projections([(self.work / "projection.bin", self.rows)])

    def log(self, engine: Engine, progress: Callable[[str, int, int], None]) -> Log:
        """Stage B, and the view ``sketch`` for what comes after it."""
        return build(engine, self, progress)

    def kept(self, engine: Engine) -> Callable[[Any], dict[int, str]]:
        """A reader of the beginning of a few exchanges' text, see ``texts``."""
        return texts(engine, self.texts)

    def batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """These columns of the sketch, as record batches in the order of rows."""
        if self.rows:
            with parquet(self.work / "sketch.parquet") as file:
                yield from file.iter_batches(columns=list(columns))

    def some(self, columns: Sequence[str], rows: Any) -> Iterator[tuple[Any, Any]]:
        """These columns of the sketch for ``rows`` (int64, sorted): pairs of a record batch and the rows it has."""
        at = 0
        for batch in self.batches(columns):
            here = rows[np.searchsorted(rows, at) : np.searchsorted(rows, at + batch.num_rows)]
            if here.size:
                yield batch.take(pa.array(here - at)), here
            at += batch.num_rows

    def array(self, name: str, kind: Any) -> Any:
        """A new array of ``kind`` (rows,) that lies in a file of the work folder: pages, not memory, hold it."""
        return mapped(self.work / f"column-{name}.bin", self.rows, kind)

    def column(self, name: str, kind: Any) -> Any:
        """A number of each exchange, as an array of ``kind`` (rows,)."""
        return self.columns({name: kind})[name]

    def columns(self, kinds: Mapping[str, Any]) -> dict[str, Any]:
        """Numbers of each exchange, as arrays of these kinds (rows,), in one pass."""
        out = {name: self.array(name, kind) for name, kind in kinds.items()}
        at = 0
        for batch in self.batches(list(kinds)):
            for name, values in out.items():
                values[at : at + batch.num_rows] = batch.column(name).to_numpy(zero_copy_only=False)
            at += batch.num_rows
        return out


class Table:
    """A Parquet file of the work folder, written by a thread of its own while the next batch is made.

    At most one batch waits. What goes wrong in the thread is raised by the next call. ``brief``: the file goes with its
    scan, so that the time to write it counts and not its size.
    """

    def __init__(self, path: Path, *, brief: bool = False) -> None:
        self._path = path
        self._packing = {"compression": "lz4"} if brief else {"compression": "zstd", "compression_level": 1}
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
            # Hashes and ids do not repeat: a dictionary of them costs time and saves nothing.
            words = [field.name for field in batch.schema if pa.types.is_string(field.type)]
            self._file = pq.ParquetWriter(
                self._path,
                batch.schema,
                use_dictionary=[name for name in words if name not in _UNLIKE],
                write_statistics=[name for name in _SOUGHT if name in batch.schema.names],
                **self._packing,
            )
        self._file.write_batch(batch)


def build(engine: Engine, taken: Ingest, progress: Callable[[str, int, int], None]) -> Log:
    """The log that stage A left behind; it has at least one exchange."""
    path = taken.work / "sketch.parquet"
    engine.execute(f"CREATE VIEW sketch AS SELECT * FROM read_parquet('{quoted(path)}')")
    live = taken.array("live", bool)
    live[:] = True
    live[doubled(engine)] = False
    progress("finding templates", 0, 2)
    found = templates.templates(
        lambda: templates.each(taken.batches(templates.COLUMNS)),
        taken.rows,
        out=taken.array("template", np.int32),
        folder=taken.work,
    )
    progress("finding templates", 1, 2)
    masks, names, extraction = roles(engine, taken.array("roles", np.uint64))
    projections = taken.projections()
    known = streams.registry(projections, own(found.of_row, live))
    near = streams.near(projections, known, taken.array("near", np.int32))
    progress("finding templates", 2, 2)
    read = taken.columns({"acc": np.int32, "time": np.int64, "exact": np.uint64})
    columns = Columns(live=live, roles=masks, near=near, **read)
    return assembled(engine, taken, columns, found, known, (names, extraction))


def own(template: Any, live: Any) -> Any:
    """Sorted rows (int) of the exchanges without a template that are no duplicates."""
    return where(live.size, lambda part: (template[part] < 0) & live[part])


@dataclass(frozen=True, slots=True)
class Columns:
    """Arrays by exchange as ``log.Log`` has them."""

    acc: Any
    time: Any
    exact: Any
    live: Any
    roles: Any
    near: Any


def doubled(engine: Engine) -> Any:
    """Int64: rows whose exchange id an earlier row has. Ids are compared where their hashes, which are short, are equal."""
    suspects = engine.table(
        "SELECT hash(exchange_id) AS hash FROM sketch GROUP BY hash(exchange_id) HAVING count(*) > 1"
    )
    if not suspects.num_rows:
        return np.zeros(0, np.int64)
    engine.register("suspects", suspects)
    doubles = engine.table(
        "WITH told AS (SELECT s.row, s.exchange_id FROM sketch s JOIN suspects t ON hash(s.exchange_id) = t.hash) "
        "SELECT s.row FROM told s JOIN (SELECT exchange_id, min(row) AS first FROM told GROUP BY exchange_id "
        "HAVING count(*) > 1) d ON s.exchange_id = d.exchange_id WHERE s.row > d.first"
    )
    return doubles.column("row").to_numpy()


def assembled(
    engine: Engine,
    taken: Ingest,
    columns: Columns,
    found: templates.Templates,
    known: streams.Registry,
    signals: tuple[tuple[str, ...], int],
) -> Log:
    """The log of columns by exchange, with accounts, parties and traces read from the view ``sketch``.

    ``signals``: the names of ``columns.roles``' bits, and the mask of those that are extraction roles.
    """
    taken.scanned["duplicates"] = taken.rows - int(np.count_nonzero(columns.live))
    people = engine.table(
        "SELECT acc, max(organization_id) AS organization, max(relation) AS relation FROM sketch "
        "GROUP BY acc ORDER BY acc"
    )
    party = parties(people.column("organization").combine_chunks(), pa.array(taken.accounts, pa.string()))
    row_party = taken.array("row_party", np.int32)
    for part in pieces(taken.rows):
        row_party[part] = party[columns.acc[part]]
    free = own(found.of_row, columns.live)
    log = Log(
        acc=columns.acc,
        time=columns.time,
        exact=columns.exact,
        live=columns.live,
        template=found.of_row,
        template_key=found.key,
        template_anchors=found.anchors,
        variants=found.variants,
        outvoted=found.outvoted,
        roles=columns.roles,
        role_names=signals[0],
        extraction=signals[1],
        accounts=taken.accounts,
        party=party,
        declared=people.column("relation").is_valid().to_numpy(),
        parties=int(party.max()) + 1,
        present=taken.present,
        near=columns.near,
        topic=streams.topics(columns.near, columns.acc, free, taken.array("topic", np.int32)),
        topic_key=known.key,
        row_party=row_party,
        combination=taken.array("combination", np.int32),
        shelf=Shelf(taken.work / "shelf"),
    )
    log.traces = traces.read(engine, log)
    return log


def parties(organization: pa.Array, account: pa.Array) -> Any:
    """Int32 by account: its party, numbered in the order of organizations' and accounts' names, the latter first."""
    organization = organization.cast(pa.string())
    owner = pc.if_else(
        organization.is_valid(),
        pc.binary_join_element_wise("o:", organization, ""),
        pc.binary_join_element_wise("a:", account, ""),
    )
    named = owner.dictionary_encode()
    number = np.empty(len(named.dictionary), np.int32)
    number[pc.array_sort_indices(named.dictionary).to_numpy()] = np.arange(number.size)
    return number[named.indices.to_numpy()]


def roles(engine: Engine, masks: Any) -> tuple[Any, tuple[str, ...], int]:
    """Bit masks by row (in ``masks``, uint64) of the role signals that speak, their names, and the mask of extraction roles.

    Asks the table ``sketch``, whose rows are numbered from 0 as ``row``.
    """
    masks[:] = 0
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


def tokens(engine: Engine, verdicts: Sequence[Verdict]) -> list[dict[str, int]]:
    """Input and output tokens of each verdict's exchanges, 0 where the log has no counts: one pass for all."""
    sums = [{"input": 0, "output": 0} for _ in verdicts]
    if not sums:
        return sums
    rows = [one.rows.astype(np.int64) for one in verdicts]
    which = np.repeat(np.arange(len(rows)), [one.size for one in rows])
    engine.register("chosen", pa.table({"row": np.concatenate(rows), "verdict": which}))
    found = engine.table(
        "SELECT c.verdict, coalesce(sum(s.input_tokens), 0)::BIGINT AS input, "
        "coalesce(sum(s.output_tokens), 0)::BIGINT AS output FROM sketch s JOIN chosen c ON s.row = c.row "
        "GROUP BY c.verdict"
    )
    for one in found.to_pylist():
        sums[one.pop("verdict")] = one
    return sums


def texts(engine: Engine, files: list[tuple[Path, int]]) -> Callable[[Any], dict[int, str]]:
    """A reader of the stored beginning of a few exchanges' text, by row. ``files``: see ``Ingest``."""
    begins = np.array([first for _, first in files], np.int64)

    def read(rows: Any) -> dict[int, str]:
        found: dict[int, str] = {}
        rows = np.asarray(rows, np.int64)
        file = np.searchsorted(begins, rows, side="right") - 1
        for index in distinct(file).tolist():
            path, first = files[index]
            numbers = ", ".join(str(row - first) for row in rows[file == index].tolist())
            kept = engine.table(
                f"SELECT row, prompt, system FROM read_parquet('{quoted(path)}') "
                f"WHERE row IN ({numbers}) AND prompt IS NOT NULL"
            )
            found |= {
                first + row: (f"[system] {system} [user] " if system else "") + (prompt or "")
                for row, prompt, system in zip(*(column.to_pylist() for column in kept.columns), strict=True)
            }
        return found

    return read
