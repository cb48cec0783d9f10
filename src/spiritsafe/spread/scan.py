"""A scan that is spread over the executors of a cluster: stage A and B there, candidates and decisions here."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe import errors, pipeline
from spiritsafe.campaigns.templates import Counter as Anchors
from spiritsafe.engine.spark import Spark
from spiritsafe.sources import expand
from spiritsafe.spread import parts
from spiritsafe.spread.build import builder
from spiritsafe.spread.taken import Part, Spread
from spiritsafe.staging import check_target, publish, staging

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spiritsafe.campaigns.intent import Reference
    from spiritsafe.settings import Settings
    from spiritsafe.sources import LogFile

_FATAL = (errors.InputChanged, errors.MalformedRecord)
_COUNTS = ("records", "accepted", "rejected", "outside", "other", "repaired")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where a scan runs: Spark's ``master`` and settings, and ``checkpoint``, a folder that all machines reach.

    Without a checkpoint the parts lie beside the output and are gone when the scan ends, however it ends.
    """

    master: str = "local[2]"
    conf: Mapping[str, str] | None = None
    checkpoint: Path | None = None


def on(
    engine: str, master: str, conf: Sequence[str], checkpoint: Path | None
) -> Callable[..., dict[str, Any]]:
    """The function that scans on ``engine``: ``duckdb`` or ``spark``. ``conf``: settings as ``name=value``."""
    if engine == "spark":
        pairs = [one.partition("=") for one in conf]
        if wrong := [name for name, equal, _ in pairs if not equal]:
            raise errors.UsageError(
                f"{wrong[0]!r} is no setting", where="--spark-conf", hint="write name=value"
            )
        return partial(scan, cluster=Cluster(master, {name: value for name, _, value in pairs}, checkpoint))
    if engine != "duckdb":
        raise errors.UsageError(f"there is no engine {engine!r}", hint="engines: duckdb, spark")
    if conf or checkpoint:
        raise errors.UsageError("--spark-conf and --checkpoint need --engine spark")
    return pipeline.scan


def scan(
    inputs: Sequence[str | Path],
    out: Path,
    *,
    cluster: Cluster,
    settings: Settings,
    format: str | None = None,
    since: int | None = None,
    until: int | None = None,
    strict: bool = False,
    reference: Reference | None = None,
    progress: pipeline.Progress = pipeline.silent,
) -> dict[str, Any]:
    """As ``pipeline.scan``: the same arguments, outputs and answers.

    One thing is different: a file that is damaged or no log is set aside, named and counted, unless it is the only one or
    ``strict``. Raises what ``pipeline.scan`` raises; a job of Spark that fails is a StorageError.
    """
    out = Path(out).absolute()
    check_target(out, "campaigns.json")
    with staging(out) as work:
        shared = _shared(cluster, work)
        with staging(shared / "run") as run, Spark(run, master=cluster.master, conf=cluster.conf) as spark:
            asked = {"format": format, "since": since, "until": until, "strict": strict}
            taken = ingest(spark, inputs, work, shared, asked=asked, settings=settings, progress=progress)
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
    shared: Path,
    *,
    asked: Mapping[str, Any],
    settings: Settings,
    progress: pipeline.Progress = pipeline.silent,
) -> Spread:
    """Stage A: each file becomes a part in ``shared``, unless an earlier run left it there. ``asked``: see ``parts.make``."""
    files, skipped = expand(inputs)
    items: list[dict[str, Any]] = []
    for file in files:
        item: dict[str, Any] = {
            "path": str(Path(file.path).absolute()), "size": file.size, "modified": file.modified, **asked,
            "batch_rows": settings.batch_rows, "memory": settings.memory,
        }  # fmt: skip
        items.append(item | {"folder": str(shared / "parts" / parts.key(item))})
    told = [parts.finished(Path(item["folder"])) for item in items]
    left = sorted(
        (index for index, one in enumerate(told) if one is None), key=lambda index: -files[index].size
    )
    total = sum(file.size for file in files)
    progress("reading the log", total - sum(files[index].size for index in left), total)
    if left:
        spark.spread("done", [items[index] | {"number": index} for index in left], parts.make, parts.TOLD)
        for line in spark.table("SELECT told FROM done").column("told").to_pylist():
            one = json.loads(line)
            told[one.pop("number")] = one
    parts.sweep(shared / "parts")
    progress("reading the log", total, total)
    known = [one for one in told if one is not None]
    _judged(files, known, asked)
    return _joined(work, files, skipped, [Path(item["folder"]) for item in items], known)


def _judged(files: list[LogFile], told: list[dict[str, Any]], asked: Mapping[str, Any]) -> None:
    """Raise what stops a scan: what a single machine would raise, but for one damaged file among others."""
    bad = [(file, parts.raised(one)) for file, one in zip(files, told, strict=True) if "error" in one]
    for file, error in bad:
        unknown = isinstance(error, errors.UnknownFormat)
        wanted = file.named or asked["format"] is not None
        fatal = not isinstance(error, errors.InputError) or isinstance(error, _FATAL)
        if fatal or asked["strict"] or (unknown and wanted) or (len(files) == 1 and not unknown):
            raise error
    if bad and len(bad) == len(files):
        file, error = bad[0]
        if not isinstance(error, errors.UnknownFormat):
            raise error
        raise errors.UnknownFormat(f"no file is a log; the first {error.message}", where=file.path)


def _joined(
    work: Path, files: list[LogFile], skipped: list[str], folders: list[Path], told: list[dict[str, Any]]
) -> Spread:
    """What a scan on one machine counts, of all parts."""
    counts, unread, unknown = Counter[str](), Counter[str](), Counter[str]()
    formats: dict[str, str] = {}
    aside: dict[str, str] = {}
    present: set[str] = set()
    found: list[Part] = []
    before = 0
    with (work / "rejected.jsonl").open("wb") as rejected:
        for file, folder, one in zip(files, folders, told, strict=True):
            if "error" in one:
                aside[file.path] = one["message"]
                continue
            scanned = one["scanned"]
            counts.update({name: scanned[name] for name in _COUNTS})
            unread.update(scanned["unread"])
            unknown.update(scanned["unknown_columns"])
            formats[file.path] = next(iter(scanned["formats"].values()))
            present |= set(one["present"])
            found.append(Part(folder, one["rows"], before))
            before += one["rows"]
            if (folder / "rejected.jsonl").exists():
                with (folder / "rejected.jsonl").open("rb") as lines:
                    shutil.copyfileobj(lines, rejected)
    record = {
        "files": len(files), **{name: counts[name] for name in _COUNTS}, "formats": formats, "skipped": skipped,
        "set_aside": aside, "unread": dict(unread), "unknown_columns": dict(unknown),
    }  # fmt: skip
    texts = [(part.folder / "text.parquet", part.before) for part in found if part.rows]
    none = Anchors(np.zeros(1, np.uint8))
    return Spread(work, record, present, [], none, before, texts, found)


def _shared(cluster: Cluster, work: Path) -> Path:
    """The folder that driver and executors share."""
    shared = cluster.checkpoint.absolute() if cluster.checkpoint else work / "shared"
    try:
        (shared / "parts").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.StorageError(
            f"cannot make the checkpoint: {error.strerror}",
            where=str(shared),
            hint="name another with --checkpoint",
        ) from error
    parts.sweep(shared / "parts")
    return shared
