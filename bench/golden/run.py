"""Run one trial: compose, scan, score the baselines, judge. One cell a detector and operating point."""

from __future__ import annotations

import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import baselines
import compare
import compose
from golden.judge import Ground, flagged_rows, ground, judge
from golden.trials import CALIBRATION, Trial
from spiritsafe import pipeline
from spiritsafe.settings import Settings
from spiritsafe.simulate import load_corpus, simulate

if TYPE_CHECKING:
    from spiritsafe.simulate import Corpus

FPR = 0.01
"""Share of innocent parties of the calibration logs that a baseline may flag."""

Result = tuple[list[dict[str, Any]], float]

_CALIBRATION_SEED = 90_000


@cache
def half(corpus: str, name: str) -> Corpus:
    """One half of a corpus, read once a process."""
    return compose.matched(load_corpus(Path(corpus)), name)


def calibrate(corpus: str, seed: int) -> dict[str, float]:
    """The baselines' thresholds, from attack-free logs of the calibration half: the same for every trial.

    ``seed`` shifts the seeds of the logs.
    """
    size, seeds = CALIBRATION
    scores: dict[str, list[Any]] = {}
    for number in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            calm = compose.attack_free(compose.Case(half(corpus, "calibration")), size=size)
            made = simulate(calm, Path(folder, "made"), seed=_CALIBRATION_SEED + seed + number)
            for name, told in compare.scores(made.log, seed=seed)[0].items():
                scores.setdefault(name, []).append(told)
    return {name: baselines.threshold(np.concatenate(told), FPR) for name, told in scores.items()}


def run(trial: Trial, corpus: str, limits: dict[str, float]) -> Result:
    """The cells of one trial, Spiritsafe first, and the seconds it took. ``limits``: the baselines' calibrated thresholds."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        made = simulate(trial.plan(half(corpus, trial.half)), Path(folder, "made"), seed=trial.seed)
        truth = ground(made.log, made.truth)
        cells = [_spiritsafe(trial, truth, made.log, Path(folder, "out"))]
        if trial.baselines:
            cells += _baselines(trial, truth, made.log, limits)
    return cells, round(time.perf_counter() - begin, 2)


def _spiritsafe(trial: Trial, truth: Ground, log: Path, out: Path) -> dict[str, Any]:
    begin = time.perf_counter()
    result = pipeline.scan([log], out, settings=Settings(seed=trial.seed, threads=1))
    took = time.perf_counter() - begin
    entries = [(one["label"], {row["account_id"] for row in one["accounts"]}) for one in result["campaigns"]]
    named = [one["campaign_id"] for one in result["campaigns"] if one["label"] == "campaign"]
    accused = set[str]().union(*(group for label, group in entries if label == "campaign"))
    rows = flagged_rows(truth, out / "exchanges.parquet", named)
    return {
        "detector": "spiritsafe",
        "point": "as shipped",
        "seconds": round(took, 2),
        **judge(truth, accused, rows, entries),
    }


def _baselines(trial: Trial, truth: Ground, log: Path, limits: dict[str, float]) -> list[dict[str, Any]]:
    begin = time.perf_counter()
    told, party = compare.scores(log, seed=trial.seed)
    took = time.perf_counter() - begin
    cells: list[dict[str, Any]] = []
    for name, one in baselines.found().items():
        points = {f"{FPR:.0%} of calibration": limits[name]}
        if one.published is not None:
            points["published"] = one.published
        for point, limit in points.items():
            hit = baselines.flagged(told[name], limit)
            accused = {account for account, owner in party.items() if hit[owner]}
            # These methods know accounts only, so an accusation covers all that an account sent.
            rows = np.array([account in accused for account in truth.accounts], bool)[truth.who]
            cell = judge(truth, accused, rows, [])
            cells.append({"detector": name, "point": point, "seconds": round(took, 2), **cell})
    return cells
