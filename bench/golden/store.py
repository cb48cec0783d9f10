"""Cells on disk, one JSON line a trial; what is lacking is run by two processes and added at once."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from typing import TYPE_CHECKING, Any

from golden import run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from golden.trials import Trial

_CALIBRATION_SEED = 300
_QUEUED = 2
"""Trials handed out ahead, by worker: a stop loses little."""


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Key -> record. A line that was cut by a stop is left out, so its trial runs again."""
    found: dict[str, dict[str, Any]] = {}
    if not path.exists():
        return found
    for line in path.read_text("utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[record["key"]] = record
    return found


def add(path: Path, record: dict[str, Any]) -> None:
    """Append a record; a line that a stop left unfinished is ended first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.exists() and path.stat().st_size > 0 and path.read_bytes()[-1:] != b"\n"
    with path.open("a", encoding="utf-8") as lines:
        lines.write(("\n" if torn else "") + json.dumps(record) + "\n")


def limits(path: Path, corpus: str, version: str) -> dict[str, float]:
    """The baselines' thresholds, from the file or calibrated now: one set for all seeds, so that cells can be shared."""
    key = f"limits-{version}-{_CALIBRATION_SEED}"
    known = read(path)
    if key not in known:
        known[key] = {"key": key, "limits": run.calibrate(corpus, _CALIBRATION_SEED)}
        add(path, known[key])
    return known[key]["limits"]


def complete(
    path: Path,
    trials: Sequence[Trial],
    corpus: str,
    version: str,
    bounds: dict[str, float],
    *,
    workers: int,
    tell: Callable[[int, int, Trial | None, dict[str, Any] | None], None],
) -> dict[str, dict[str, Any]]:
    """Run every trial that has no record under this version; return all records by key.

    ``tell(done, total, trial, record)`` is called at the start (with None) and after each trial. A trial that raises leaves a
    record with ``error``, which is not reused: it runs again next time.
    """
    known = {key: one for key, one in read(path).items() if "error" not in one}
    lacking = {one.key(version): one for one in trials if one.key(version) not in known}
    wanted = len({one.key(version) for one in trials})
    done = wanted - len(lacking)
    tell(done, wanted, None, None)
    if not lacking:
        return known
    queue = iter(lacking.items())
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting: dict[Future[run.Result], str] = {}
        try:
            while True:
                for key, trial in islice(queue, workers * _QUEUED - len(waiting)):
                    waiting[pool.submit(run.run, trial, corpus, bounds)] = key
                if not waiting:
                    break
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    key = waiting.pop(future)
                    record = known[key] = _record(key, lacking[key], future)
                    add(path, record)
                    done += 1
                    tell(done, wanted, lacking[key], record)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return known


def _record(key: str, trial: Trial, future: Future[run.Result]) -> dict[str, Any]:
    told = {"key": key, "trial": trial.configuration(), "facts": dict(trial.facts)}
    error = future.exception()
    if error is not None:
        return {**told, "error": f"{type(error).__name__}: {error}"}
    cells, seconds = future.result()
    return {**told, "seconds": seconds, "cells": cells}
