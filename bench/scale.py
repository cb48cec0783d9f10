"""The cost curve: seconds, processor time and memory by stage and size, how they grow, and what a bigger log takes.

    python bench/scale.py --exchanges 100000 --exchanges 300000 --exchanges 1000000 [--rounds 2] [--keep DIR]

Logs are those of ``bench/scan.py``. Each run has a process of its own. An exponent is the slope of log(seconds) on log(exchanges)
over all runs of all sizes, with Student's interval (n − 2 degrees of freedom): 1 is linear. Writes ``bench/results/scale.json``,
and the table, projection and drawing of ``docs/scale.md`` between its marks.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from scipy import stats

import scan as scans
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "bench" / "results" / "scale.json"
PAGE = ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- measured: bench/scale.py -->\n", "<!-- end of measured -->\n"
STAGES = (
    "reading the log",
    "finding templates",
    "looking for groups",
    "testing groups",
    "writing the report",
)
DAY = 1_000_000_000
"""Exchanges a day that the projection is for."""
WORST = 1.1
"""The largest growth exponent that a scan may have."""


def apart(log: Path, out: Path, settings: Settings) -> dict[str, Any]:
    """One scan in a fresh process (``bench/scan.py``), with the seconds of each stage for the times at which they began."""
    told = scans.apart(log, out, settings)
    begins = told.pop("stage_begins")
    ends = [*list(begins.values())[1:], told["seconds"]]
    spent = {stage: round(end - at, 2) for (stage, at), end in zip(begins.items(), ends, strict=True)}
    return told | {"stages": {stage: spent.get(stage, 0.0) for stage in STAGES}}


def exponent(sizes: Sequence[float], values: Sequence[float]) -> dict[str, float] | None:
    """Slope of log(value) on log(size) with its 95 % interval; None below three runs or for what takes no time."""
    x, y = np.log(np.asarray(sizes, float)), np.asarray(values, float)
    if x.size < 3 or np.unique(x).size < 2 or (y <= 0).any():
        return None
    fitted, spread = np.polyfit(x, np.log(y), 1, cov=True)
    slope, half = float(fitted[0]), float(stats.t.ppf(0.975, x.size - 2) * np.sqrt(spread[0, 0]))
    return {"slope": round(slope, 3), "low": round(slope - half, 3), "high": round(slope + half, 3)}


def measured(sizes: Sequence[int], rounds: int, memory: str, folder: Path) -> dict[str, Any]:
    """All sizes in turn, ``rounds`` times, after a scan of the smallest that compiles what is not compiled yet.

    Logs of several files are scanned once. What ``folder`` has of logs and of runs (``runs.jsonl``: a large one takes an hour) is
    not made again; each run says of which state of the code it is.
    """
    known = _known(folder / "runs.jsonl", memory)
    logs = {size: _log(size, folder / f"log-{size}") for size in sizes}
    parts = {size: scans.files(path) for size, path in logs.items()}
    rows = {size: sum(pq.read_metadata(one).num_rows for one in made) for size, made in parts.items()}
    mass = {size: sum(one.stat().st_size for one in made) for size, made in parts.items()}
    lacking = [
        (size, path)
        for number in range(rounds)
        for size, path in logs.items()
        if len(known.get(size, ())) <= number and not (number and path.is_dir())
    ]
    if lacking:
        apart(logs[min(sizes)], folder / "out-first", Settings(memory=memory))
        shutil.rmtree(folder / "out-first")
    for size, path in lacking:
        run = apart(path, folder / "out", Settings(memory=memory))
        shutil.rmtree(folder / "out")
        told = {"size": size, "memory": memory, "code": _code(), "exchanges": rows[size], "bytes": mass[size]}
        known.setdefault(size, []).append(told | run)
        with (folder / "runs.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(known[size][-1]) + "\n")
        sys.stdout.write(json.dumps(known[size][-1]) + "\n")
        sys.stdout.flush()
    runs = [run for size in sizes for run in known[size]]
    counts = [run["exchanges"] for run in runs]
    curves = {
        "all": exponent(counts, [run["seconds"] for run in runs]),
        "processor": exponent(counts, [run["cpu"] for run in runs]),
        **{stage: exponent(counts, [run["stages"][stage] for run in runs]) for stage in STAGES},
    }
    return {"memory_setting": memory, "runs": runs, "exponents": curves}


def _known(path: Path, memory: str) -> dict[int, list[dict[str, Any]]]:
    """Runs that were made before under this setting, by the size that was asked for."""
    found: dict[int, list[dict[str, Any]]] = {}
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        run = json.loads(line)
        if run["memory"] == memory:
            found.setdefault(run["size"], []).append(run)
    return found


def _code() -> str:
    """The state of the code: a commit, and whether anything was changed since."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return told.stdout.strip()


def _log(size: int, folder: Path) -> Path:
    """The log of ``scans.log``, made if it is not there. Of one that was interrupted the whole files are kept."""
    made = folder / "log.parquet"
    if size <= scans.PART and made.exists():
        return made
    for half in [folder] if size <= scans.PART else folder.glob("part-*"):
        shutil.rmtree(half, ignore_errors=True)
    return scans.log(size, folder)


def projection(told: dict[str, Any]) -> dict[str, Any]:
    """Core-hours for ``DAY`` exchanges a day, from the largest run: linear, and if it grew with the worst exponent allowed.

    Slopes below one that are measured here are those of fixed costs, which are soon paid: they are not carried further.
    """
    largest = max(told["runs"], key=lambda run: run["exchanges"])
    each = largest["cpu"] / largest["exchanges"]
    times = DAY / largest["exchanges"]
    hours = {f"{slope:g}": round(each * times ** (slope - 1) * DAY / 3600, 1) for slope in (1.0, WORST)}
    return {
        "from": largest["exchanges"],
        "microseconds_an_exchange": round(each * 1e6, 1),
        "core_hours_a_day_by_exponent": hours,
    }


def page(told: dict[str, Any]) -> str:
    """The measured part of ``docs/scale.md``."""
    heads = ("exchanges", "seconds", "processor seconds", "exchanges/s", "peak GB", *STAGES)
    lines = [_row(heads), "|" + "---|" * len(heads)]
    for size in sorted({run["exchanges"] for run in told["runs"]}):
        mine = sorted(
            (run for run in told["runs"] if run["exchanges"] == size), key=lambda run: run["seconds"]
        )
        best, peak = mine[0], max(run["peak_gb"] for run in mine)
        seconds = " to ".join(dict.fromkeys(f"{run['seconds']:.1f}" for run in (best, mine[-1])))
        stages = (f"{best['stages'][stage]:.1f}" for stage in STAGES)
        lines.append(
            _row(
                (f"{size:,}", seconds, f"{best['cpu']:.1f}", f"{size / best['seconds']:,.0f}", peak, *stages)
            )
        )
    lines += ["", _row(("", "growth exponent", "95 % interval")), "|---|---|---|"]
    for name, fit in told["exponents"].items():
        if fit:
            lines.append(_row((name, fit["slope"], f"{fit['low']} to {fit['high']}")))
    plan = told["projection"]
    linear, worst = plan["core_hours_a_day_by_exponent"].values()
    lines += [
        "",
        "Slopes below one are those of fixed costs (start, compiling, as many groups to test); they do not go on. A billion",
        (
            f"exchanges a day, from the {plan['microseconds_an_exchange']} µs of processor time an exchange of the largest run: "
            f"{linear:,} core-hours if it grew linearly"
        ),
        f"from there, {worst:,} with an exponent of {WORST}. This is time alone: memory ends before (below).",
        "",
    ]
    return "\n".join(lines)


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    """Measure, write the result and the page's measured part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exchanges", type=int, action="append", required=True)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--memory", default=Settings().memory)
    parser.add_argument("--keep", type=Path, help="folder for logs, which are kept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        told = measured(args.exchanges, args.rounds, args.memory, args.keep or Path(made))
    told["cores"] = os.cpu_count()
    told["projection"] = projection(told)
    RESULT.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    text = PAGE.read_text("utf-8")
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    PAGE.write_text(text[:begin] + "\n" + page(told) + "\n" + text[end:], "utf-8")


if __name__ == "__main__":
    main()
