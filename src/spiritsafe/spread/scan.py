"""A scan that is spread over the executors of a cluster: stage A and B there, candidates and decisions here."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spiritsafe import errors, pipeline, sources, state
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.engine.spark import Spark
from spiritsafe.spread import reading
from spiritsafe.spread.build import builder
from spiritsafe.spread.taken import Part, Spread
from spiritsafe.staging import check_target, publish, staging
from spiritsafe.state import join, parts, plan
from spiritsafe.state.folder import Folder
from spiritsafe.state.scan import planned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from spiritsafe.campaigns.intent import Reference
    from spiritsafe.settings import Settings
    from spiritsafe.state.plan import Entry


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where a scan runs: Spark's ``master`` and settings, and ``checkpoint``, a state that all machines reach.

    Without a checkpoint the parts lie beside the output and are gone when the scan ends, however it ends.
    """

    master: str = "local[2]"
    conf: Mapping[str, str] | None = None
    checkpoint: Path | None = None


def on(
    engine: str,
    master: str,
    conf: Sequence[str],
    checkpoint: Path | None,
    *,
    history: bool = False,
    note: Callable[[str], None] = state.unheard,
) -> Callable[..., dict[str, Any]]:
    """The function that scans on ``engine``: ``duckdb`` or ``spark``. ``conf``: settings as ``name=value``."""
    if history and checkpoint is None:
        raise errors.UsageError("--history needs --checkpoint", hint="name the folder that keeps the parts")
    if engine == "spark":
        pairs = [one.partition("=") for one in conf]
        if wrong := [name for name, equal, _ in pairs if not equal]:
            raise errors.UsageError(
                f"{wrong[0]!r} is no setting", where="--spark-conf", hint="write name=value"
            )
        told = {name: value for name, _, value in pairs}
        return partial(scan, cluster=Cluster(master, told, checkpoint), history=history, note=note)
    if engine != "duckdb":
        raise errors.UsageError(f"there is no engine {engine!r}", hint="engines: duckdb, spark")
    if conf:
        raise errors.UsageError("--spark-conf needs --engine spark")
    return (
        partial(state.scan, checkpoint=checkpoint, history=history, note=note)
        if checkpoint
        else pipeline.scan
    )


def scan(
    inputs: Sequence[str | Path],
    out: Path,
    *,
    cluster: Cluster,
    history: bool = False,
    note: Callable[[str], None] = state.unheard,
    settings: Settings,
    format: str | None = None,
    since: int | None = None,
    until: int | None = None,
    strict: bool = False,
    reference: Reference | None = None,
    progress: pipeline.Progress = pipeline.silent,
) -> dict[str, Any]:
    """As ``pipeline.scan``: the same arguments, outputs and answers. ``history``, ``note``: see ``state.scan``.

    Raises what ``pipeline.scan`` raises; a job of Spark that fails is a StorageError.
    """
    out = Path(out).absolute()
    check_target(out, "campaigns.json")
    with staging(out) as work:
        shared = cluster.checkpoint.absolute() if cluster.checkpoint else work / "shared"
        with (
            Folder(shared) as kept,
            kept.scratch() as run,
            Spark(run, master=cluster.master, conf=cluster.conf) as spark,
        ):
            asked: dict[str, Any] = {
                "format": format,
                "since": since,
                "until": until,
                "strict": strict,
                "history": history,
            }
            # Parts that outlive the scan hold all of their files; others only what it asks for.
            within = (None, None) if cluster.checkpoint else (since, until)
            taken = ingest(
                spark,
                inputs,
                work,
                kept,
                run,
                asked=asked,
                within=within,
                settings=settings,
                progress=progress,
            )
            state.noted(kept, note)
            taken.make = builder(spark, run, settings.memory)
            result = pipeline.conclude(
                spark, taken, settings=settings, reference=reference, progress=progress
            )
        publish(work / "final", out)
    return result.record


def ingest(
    spark: Spark,
    inputs: Sequence[str | Path],
    work: Path,
    kept: Folder,
    run: Path,
    *,
    asked: Mapping[str, Any],
    within: tuple[int | None, int | None] = (None, None),
    settings: Settings,
    progress: pipeline.Progress = pipeline.silent,
) -> Spread:
    """Stage A: each file or piece becomes a part in ``kept``, unless it is there.

    ``asked``: ``format``, ``since``, ``until``, ``strict``, ``history``; ``within``: the window that parts are made of;
    ``run``: a folder for this scan alone that driver and executors reach.
    """
    told = {
        "format": asked["format"], "since": within[0], "until": within[1], "batch_rows": settings.batch_rows,
        "memory": settings.memory, "taken": time.time_ns() // 1000,
    }  # fmt: skip
    entries, skipped = planned(kept, inputs, told, history=asked["history"], check=False)
    if _hurt_packs(spark, kept, entries):
        entries, skipped = planned(kept, inputs, told, history=asked["history"], check=False)
    total = sum(entry.size for entry in entries)
    progress("reading the log", sum(entry.size for entry in entries if not entry.missing), total)
    _numbered(spark, entries)
    _fill(spark, kept, entries)
    kept.tidy()
    progress("reading the log", total, total)
    plan.judge(entries, strict=asked["strict"], format=asked["format"])
    window = asked["since"], asked["until"]
    record, present, found = _placed(spark, kept, run, entries, skipped, window)
    with DuckDB(work, memory=settings.memory, threads=1) as engine:
        join.rejected(engine, entries, work / "rejected.jsonl")
    texts = [(part.folder / "text.parquet", part.before) for part in found if part.rows]
    return Spread(work, record, present, [], record["accepted"], texts, found)


def _hurt_packs(spark: Spark, kept: Folder, entries: Sequence[Entry]) -> bool:
    """Put packs aside that are damaged; whether there were any."""
    folders = {
        one.folder for entry in entries for one in entry.parts if one.folder.name.startswith(parts.PACK)
    }
    items = [{"folder": str(folder)} for folder in sorted(folders)]
    told = _each(spark, "packs", items, reading.check)
    bad = [Path(item["folder"]) for item, one in zip(items, told, strict=True) if not one["sound"]]
    for folder in bad:
        kept.hurt(folder)
    return bool(bad)


def _numbered(spark: Spark, entries: Sequence[Entry]) -> None:
    """Tell the pieces of large files of lines where their lines begin."""
    open_ends = [
        entry for entry in entries if len(entry.items) > 1 and entry.missing and sources.of_lines(entry.shown)
    ]
    items = [item for entry in open_ends for item in entry.items]
    found = _each(spark, "lines", items, reading.lines)
    at = 0
    for item in items:
        if not item["piece"][0]:
            at = 1
        item["first"] = at
        at += found.pop(0).get("lines", 0)


def _fill(spark: Spark, kept: Folder, entries: Sequence[Entry]) -> None:
    """Make what is missing and check what is there; what stopped a file is noted at it, the first piece's first."""
    wanted: list[tuple[Entry, int, dict[str, Any]]] = [
        (entry, number, {**item, "there": one is not None})
        for entry in entries
        for number, (item, one) in enumerate(zip(entry.items, entry.found, strict=True))
        if one is None or one.folder.name == item["name"]
    ]
    # The longest first: what is there costs the reading of its bytes alone.
    wanted.sort(key=lambda one: (one[2]["there"], -one[2]["size"]))
    done = _each(spark, "done", [item for _, _, item in wanted], reading.make)
    order = sorted(range(len(wanted)), key=lambda index: wanted[index][1])
    for index in order:
        (entry, number, item), one = wanted[index], done[index]
        if "error" in one:
            if entry.error is None:
                entry.error = plan.shown(reading.raised(one), entry)
        else:
            entry.found[number] = parts.part(one["part"], Path(item["folder"]))
            kept.damaged += one.get("damaged", [])
    for entry in entries:
        if entry.error is not None:
            entry.found = []


def _each(
    spark: Spark,
    name: str,
    items: Sequence[Mapping[str, Any]],
    work: Callable[[dict[str, Any]], Iterator[Any]],
) -> list[dict[str, Any]]:
    """What ``work`` tells of each item, in their order."""
    if not items:
        return []
    spark.spread(name, [{**item, "number": number} for number, item in enumerate(items)], work, reading.TOLD)
    told = [json.loads(line) for line in spark.table(f"SELECT told FROM {name}").column("told").to_pylist()]
    return sorted(told, key=lambda one: one["number"])


def _placed(
    spark: Spark,
    kept: Folder,
    run: Path,
    entries: Sequence[Entry],
    skipped: list[str],
    window: tuple[int | None, int | None],
) -> tuple[dict[str, Any], set[str], list[Part]]:
    """What a scan counts, the columns that have a value, and all parts in their order.

    Of parts on the edge of the window, and of packs that are used in part, what is needed is cut out by executors.
    """
    runs = join.runs((one for entry in entries for one in entry.parts), *window)
    asunder = [one for one in runs if not one.whole or one.begin or one.end < kept.rows(one.folder, one.end)]
    items: list[dict[str, Any]] = [
        {
            "folder": str(one.folder), "begin": one.begin, "end": one.end, "whole": one.whole, "present": sorted(one.present),
            "since": window[0], "until": window[1], "into": str(run / "cut" / f"{number:016x}{0:016x}"),
        }
        for number, one in enumerate(asunder)
    ]  # fmt: skip
    done = dict(zip(asunder, zip(items, _each(spark, "cuts", items, reading.cut), strict=True), strict=True))
    present: set[str] = set()
    found: list[Part] = []
    before = 0
    for one in runs:
        folder, rows, having = one.folder, one.end - one.begin, one.present
        if one in done:
            item, told = done[one]
            folder, rows, having = Path(item["into"]), told["rows"], told["present"]
        present |= set(having)
        found.append(Part(folder, rows, before))
        before += rows
    return join.scanned(entries, before, skipped), present, found
