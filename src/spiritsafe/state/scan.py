"""A scan on one machine that keeps what it read: the next one reads only what is new."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spiritsafe import errors, pipeline, sources
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.staging import check_target, publish, staging
from spiritsafe.state import parts, plan
from spiritsafe.state.folder import Folder
from spiritsafe.state.join import joined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spiritsafe.campaigns.intent import Reference
    from spiritsafe.settings import Settings
    from spiritsafe.state.plan import Entry


def unheard(_note: str, /) -> None:
    """Nobody is told."""


def noted(state: Folder, note: Callable[[str], None]) -> None:
    """Tell of damaged parts."""
    for path in sorted(set(state.damaged)):
        note(f"{path}: what was kept of it was damaged and is made anew")


def scan(
    inputs: Sequence[str | Path],
    out: Path,
    *,
    checkpoint: Path,
    history: bool = False,
    note: Callable[[str], None] = unheard,
    settings: Settings,
    format: str | None = None,
    since: int | None = None,
    until: int | None = None,
    strict: bool = False,
    reference: Reference | None = None,
    progress: pipeline.Progress = pipeline.silent,
) -> dict[str, Any]:
    """As ``pipeline.scan``: the same arguments, outputs and answers, with what was read kept in ``checkpoint``.

    ``history``: files below the given folders that are gone count, too, if their parts are there. ``note`` is told of each file
    whose part was found damaged and made anew.
    """
    out = Path(out)
    check_target(out, "campaigns.json")
    with (
        Folder(checkpoint) as state,
        staging(out) as work,
        DuckDB(work, memory=settings.memory, threads=settings.threads) as engine,
    ):
        asked = {
            "format": format, "since": None, "until": None, "batch_rows": settings.batch_rows, "memory": settings.memory,
            "taken": time.time_ns() // 1000,
        }  # fmt: skip
        entries, skipped = planned(state, inputs, asked, history=history, check=True)
        noted(state, note)
        _read(entries, engine, settings, progress)
        plan.judge(entries, strict=strict, format=format)
        taken = joined(engine, entries, work, since=since, until=until, skipped=skipped)
        result = pipeline.conclude(engine, taken, settings=settings, reference=reference, progress=progress)
        publish(work / "final", out)
    return result.record


def planned(
    state: Folder, inputs: Sequence[str | Path], asked: dict[str, Any], *, history: bool, check: bool
) -> tuple[list[Entry], list[str]]:
    """The files to scan in order, and what was passed over. With ``history`` also those that are gone, each in its place."""
    if not history:
        files, skipped = sources.expand(inputs)
        return [plan.entry(state, file, asked, check=check) for file in files], skipped
    found: dict[str, Entry] = {}
    passed: list[str] = []
    for given in map(str, inputs):
        mine: list[Entry] = []
        kept: list[Entry] = []
        try:
            files, skipped = sources.expand([given])
            passed += skipped
            mine = [plan.entry(state, file, asked, check=check) for file in files]
        except errors.InputError:
            files = []
            if not _folder(given):
                raise
        if _folder(given):
            there = {plan.identity(file.path) for file in files}
            kept = plan.gone(state, [given], there, asked, check=check)
        if not mine and not kept:
            raise errors.InputError("the folder holds no log files, and nothing is kept of any", where=given)
        for one in sorted([*mine, *kept], key=lambda one: one.shown):
            found.setdefault(sources.identity(one.shown), one)
    return list(found.values()), passed


def _folder(given: str) -> bool:
    """Whether files below it may be gone that were read; of an address in object storage nobody can tell."""
    return sources.remote(given) or Path(given).is_dir()


def _read(entries: list[Entry], engine: DuckDB, settings: Settings, progress: pipeline.Progress) -> None:
    """Make the parts that are missing, one file after the other; what stops one is noted at it."""
    total = sum(entry.size for entry in entries)
    done = sum(entry.size for entry in entries if not entry.missing)
    progress("reading the log", done, total)
    for entry in entries:
        if not entry.missing:
            continue
        try:
            fill(entry, engine, threads=settings.threads)
        except errors.SpiritsafeError as error:
            entry.error, entry.found = plan.shown(error, entry), []
            if not isinstance(error, errors.InputError) or isinstance(error, sources.FATAL):
                raise
        done += entry.size
        progress("reading the log", done, total)


def fill(entry: Entry, engine: DuckDB, *, threads: int) -> None:
    """Make the missing parts of one file, in order: each tells the next where its lines begin."""
    lines = 0
    for number, item in enumerate(entry.items):
        one = entry.found[number]
        if one is None:
            one = parts.make(item | {"first": lines + 1}, engine, threads=threads)
            entry.found[number] = one
        lines = one.lines
