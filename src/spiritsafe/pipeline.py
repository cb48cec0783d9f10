"""The only file that walks through several rooms: a log in, campaigns out.

Stages: (A) read the text once and write a narrow sketch; (B) templates, roles and links from the sketch; (C) candidates
on the collapsed graph; (D) tests and decision on the candidates; then the outputs. Everything is written to a temporary
folder beside ``out`` and renamed at the end: a run that was killed leaves nothing that looks finished.
"""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from spiritsafe import __version__, registry, sources
from spiritsafe.campaigns import (
    blind,
    clusters,
    explain,
    holdings,
    indicators,
    intent,
    kept,
    links,
    matchable,
    stored,
    tables,
    traces,
    verdicts,
)
from spiritsafe.campaigns.calibration import Measured
from spiritsafe.campaigns.exhibits import iso
from spiritsafe.campaigns.shelf import give_back
from spiritsafe.campaigns.stored import Ingest, Table
from spiritsafe.cases.page import page
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.features import FINGERPRINT_VERSION, sketch
from spiritsafe.staging import check_target, publish, staging

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spiritsafe.campaigns.intent import Reference
    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.verdict import Verdict
    from spiritsafe.engine import Engine
    from spiritsafe.settings import Settings


class Progress(Protocol):
    """Told where the scan is: ``stage`` named in plain words, ``done`` of ``total`` (0: unknown)."""

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        """Report that ``done`` of ``total`` units of ``stage`` are done."""


def silent(_stage: str, _done: int, _total: int, /) -> None:
    """No progress."""


def scan(
    inputs: Sequence[str | Path],
    out: Path,
    *,
    settings: Settings,
    format: str | None = None,
    since: int | None = None,
    until: int | None = None,
    strict: bool = False,
    reference: Reference | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Find the campaigns in ``inputs`` and write the outputs of the contract to the folder ``out``.

    ``since`` and ``until`` are microseconds since the epoch. Returns the content of ``campaigns.json``. Raises InputError
    for unreadable input and StorageError when the output cannot be written; nothing half-written remains.
    """
    out = Path(out)
    check_target(out, "campaigns.json")
    with staging(out) as work:
        with DuckDB(work, memory=settings.memory, threads=settings.threads) as engine:
            taken = ingest(
                engine,
                inputs,
                work,
                settings=settings,
                format=format,
                since=since,
                until=until,
                strict=strict,
                progress=progress,
            )
            result = conclude(engine, taken, settings=settings, reference=reference, progress=progress)
        publish(work / "final", out)
    return result.record


def calibrate(
    inputs: Sequence[str | Path],
    out: Path,
    *,
    settings: Settings,
    format: str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Build a calibration from logs known to hold no campaign, each input a log of its own. Returns what it wrote.

    The calibration holds the intent score, width and kind of every innocent cluster, how much customers differ at least,
    and no text.
    """
    measured = Measured()
    with staging(out) as work:
        for number, one in enumerate(inputs):
            part = work / str(number)
            part.mkdir()
            with DuckDB(part, memory=settings.memory, threads=settings.threads) as engine:
                taken = ingest(engine, [one], part, settings=settings, format=format, progress=progress)
                if not taken.rows:
                    continue
                log = taken.log(engine, progress)
                progress("measuring its groups", number, len(inputs))
                measured.add(log, links.layers(engine, log), taken.projections(), seed=settings.seed)
            shutil.rmtree(part)
        names = [Path(one).name for one in inputs]
        record = measured.record(names, version=FINGERPRINT_VERSION, seed=settings.seed)
        half = work / "calibration.json"
        half.write_text(json.dumps(record) + "\n", "utf-8")
        half.replace(out)
    return record


def ingest(
    engine: DuckDB,
    inputs: Sequence[str | Path],
    work: Path,
    *,
    settings: Settings,
    format: str | None = None,
    since: int | None = None,
    until: int | None = None,
    strict: bool = False,
    progress: Progress = silent,
) -> Ingest:
    """Stage A: read the text once, write ``sketch.parquet``, ``text.parquet`` and the projections."""
    reading = sources.read(
        inputs,
        format=format,
        engine=engine,
        rejects=work / "rejected.jsonl",
        strict=strict,
        since=since,
        until=until,
        batch_rows=settings.batch_rows,
        progress=lambda _stage, done, total: progress("reading the log", done, total),
        aside=True,
    )
    numbers = Numbers()
    with (
        (work / "projection.bin").open("wb") as points,
        Table(work / "sketch.parquet", brief=True) as narrow,
        Table(work / "text.parquet", brief=True) as text,
    ):
        for made, projections, beginning in sketches(reading, threads=settings.threads):
            points.write(projections)
            narrow.write(numbers.give(made))
            text.write(beginning)
    if reading.void:
        numbers = Numbers()
        kept.without(work, reading.void, numbers.give)
    return numbers.ingest(work, reading.scanned, reading.present, [(work / "text.parquet", 0)])


def sketches(
    reading: sources.Reading, *, threads: int
) -> Iterator[tuple[pa.RecordBatch, memoryview, pa.RecordBatch]]:
    """Read the text, once: for each batch its sketch, the bytes of its projections, and the text kept for exhibits."""
    row = 0
    for batch in reading:
        made = sketch(batch, threads=threads)
        numbers = np.arange(row, row + batch.num_rows)
        row += batch.num_rows
        yield (
            made.drop_columns(["projection"]),
            _bytes(made.column("projection")),
            kept.beginnings(batch, numbers),
        )


def replay(
    inputs: Sequence[str | Path],
    *,
    settings: Settings,
    format: str | None = None,
    since: int | None = None,
    until: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """A recorded log once more, batch by batch in the order of files and lines, for dry runs.

    Each batch has the canonical columns but the texts, and the columns of the sketch (``docs/features.md``): who asked,
    and what an indicator can match. Nothing remains on disk; malformed records are passed over. Raises InputError.
    """
    with TemporaryDirectory(prefix="spiritsafe-") as folder:
        work = Path(folder)
        with DuckDB(work, memory=settings.memory, threads=settings.threads) as engine:
            reading = sources.read(
                inputs,
                format=format,
                engine=engine,
                rejects=work / "rejected.jsonl",
                strict=False,
                since=since,
                until=until,
                batch_rows=settings.batch_rows,
            )
            for batch in reading:
                yield sketch(batch, threads=settings.threads)


class Numbers:
    """Makes one log of sketches that come in order: rows and accounts get their numbers."""

    def __init__(self) -> None:
        self.rows = 0
        self._codes: dict[str, int] = {}

    def give(self, made: pa.RecordBatch) -> pa.RecordBatch:
        """The sketch with the columns ``row`` (int64) and ``acc`` (int32)."""
        numbers = np.arange(self.rows, self.rows + made.num_rows)
        self.rows += made.num_rows
        made = made.append_column("row", pa.array(numbers, pa.int64()))
        return made.append_column("acc", _account_codes(made.column("account_id"), self._codes))

    def ingest(
        self, work: Path, scanned: dict[str, Any], present: set[str], texts: list[tuple[Path, int]]
    ) -> Ingest:
        """What stage A leaves behind, once all sketches were numbered."""
        return Ingest(work, scanned, set(present), list(self._codes), self.rows, texts)


def _bytes(column: pa.Array) -> memoryview:
    """The contiguous bytes of a fixed-size column without nulls."""
    width = column.type.byte_width
    data = column.buffers()[1]
    return memoryview(data)[column.offset * width : (column.offset + len(column)) * width]


def _account_codes(column: pa.Array, codes: dict[str, int]) -> pa.Array:
    encoded = column.dictionary_encode()
    here = np.array([codes.setdefault(name, len(codes)) for name in encoded.dictionary.to_pylist()], np.int32)
    return pa.array(here[encoded.indices.to_numpy(zero_copy_only=False)])


@dataclass(slots=True)
class Result:
    """The outcome of stages B to D: the record for ``campaigns.json``, and what the tables need."""

    record: dict[str, Any]
    log: Log | None
    verdicts: list[Verdict]
    heard: list[Verdict]
    layers: dict[str, Layer]


def conclude(
    engine: Engine,
    taken: Ingest,
    *,
    settings: Settings,
    reference: Reference | None = None,
    progress: Progress = silent,
) -> Result:
    """Stages B to D on what stage A left, and the outputs of the contract, into the folder ``final`` of its work folder."""
    # Thousands of small matrices: where others work, threads that wait for each other take thirty times as long for one.
    with threadpool_limits(1, user_api="blas"):
        result = _analyse(engine, taken, settings, reference or intent.shipped(), progress)
    progress("writing the report", 0, 1)
    _write(taken, result, settings)
    progress("writing the report", 1, 1)
    return result


def _analyse(
    engine: Engine, taken: Ingest, settings: Settings, reference: Reference, progress: Progress
) -> Result:
    if not taken.rows:
        return Result(_head(taken, None, settings), None, [], [], {})
    log = taken.log(engine, progress)
    layers = links.layers(engine, log) | traces.layers(engine, log)
    give_back()
    progress("looking for groups", 0, 1)
    with verdicts.helpers(log, settings, taken.work) as pool:
        found = clusters.candidates(log, layers, seed=settings.seed)
        give_back()
        progress("looking for groups", 1, 1)
        judged = verdicts.verdicts(
            log,
            found,
            layers,
            taken.projections(),
            reference=reference,
            margins=reference.margins,
            settings=settings,
            pool=pool,
            progress=lambda done, total: progress("testing groups", done, total),
        )
    give_back()
    record = _head(taken, log, settings)
    record["scanned"]["candidates"] = len(found)
    techniques = {
        name: getattr(one.module, "TECHNIQUE", "") for name, one in registry.extensions("signals").items()
    }
    record["campaigns"] = [
        explain.record(
            log,
            verdict,
            layers,
            reference=reference,
            settings=settings,
            tokens=sums,
            texts=taken.kept(engine),
            techniques=techniques,
        )
        for verdict, sums in zip(judged.told, stored.tokens(engine, judged.told), strict=True)
    ]
    return Result(record, log, judged.told, judged.heard, layers)


def _head(taken: Ingest, log: Log | None, settings: Settings) -> dict[str, Any]:
    scanned = dict(sorted(taken.scanned.items()))
    scanned["fdr"] = settings.fdr
    if log is not None:
        first, last = log.span()
        scanned |= {
            "accounts": len(log.accounts),
            "organizations": log.parties,
            "templates": log.template_key.size,
            "streams": log.streams(),
            "first": iso(first),
            "last": iso(last),
        }
    return {
        "schema": 1,
        "spiritsafe": __version__,
        "fingerprint_version": FINGERPRINT_VERSION,
        "settings": settings.fingerprint(),
        "seed": settings.seed,
        "scanned": scanned,
        "blind": blind.blind(taken.present),
        "campaigns": [],
    }


def _write(taken: Ingest, result: Result, settings: Settings) -> None:
    work, final = taken.work, taken.work / "final"
    final.mkdir()
    accused = [
        (entry["campaign_id"], verdict.rows)
        for entry, verdict in zip(result.record["campaigns"], result.verdicts, strict=True)
        if verdict.label == "campaign"
    ]
    with ThreadPoolExecutor(1) as beside:  # the largest file by far needs nothing of the others
        largest = beside.submit(
            tables.exchanges, final / "exchanges.parquet", result.log, taken.batches(["exchange_id"]), accused
        )
        _told(final, taken, result)
        matchable.write(final, taken, result, settings, version=FINGERPRINT_VERSION)
        largest.result()
    rejected = work / "rejected.jsonl"
    if rejected.exists() and rejected.stat().st_size:
        rejected.replace(final / "rejected.jsonl")


def _told(final: Path, taken: Ingest, result: Result) -> None:
    """What the scan found, for people and for machines."""
    record = result.record
    (final / "campaigns.json").write_text(
        json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8"
    )
    (final / "report.html").write_text(page(record), "utf-8")
    accuses = any(entry["label"] == "campaign" for entry in record["campaigns"])
    whole = taken.column("skeleton", np.uint64) if accuses else None
    found = indicators.indicators(
        result.log, record, result.verdicts, result.layers, whole, version=FINGERPRINT_VERSION
    )
    (final / "indicators.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", "utf-8")
    tables.accounts(final / "accounts.parquet", result.log, record["campaigns"])
    holdings.holdings(final, result.log, record["campaigns"], result.verdicts, result.layers)
