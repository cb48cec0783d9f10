"""Puts measured power into the package: runs of a bench with planted copies, one JSON object a line, become points.

    PYTHONPATH=src python bench/power.py RUNS.jsonl ... --source "bench/provenance, seed 300"

A run has ``test``, ``access``, ``unit``, ``exposure``, ``n`` and ``p_value``; a hit is a run with p at most ``--alpha``.
Points of the same test, access and source are replaced, so that a bench that is run again is not counted twice.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from spiritsafe.provenance import _power
from spiritsafe.provenance._lines import read

INTO = Path(_power.__file__).with_name("power.json")
KEYS = ("test", "access", "unit", "exposure", "n")


def points(runs: list[dict[str, Any]], *, alpha: float, source: str) -> list[dict[str, Any]]:
    """Runs counted: a point for each test, access, exposure and n. Raises KeyError for a run that misses a field."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for run in runs:
        count = sums.setdefault(tuple(run[key] for key in KEYS), [0, 0])
        count[0] += run["p_value"] <= alpha
        count[1] += 1
    return [
        {**dict(zip(KEYS, at, strict=True)), "alpha": alpha, "hits": hits, "runs": many, "source": source}
        for at, (hits, many) in sorted(sums.items())
    ]


def merged(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``old`` with ``new`` in the place of what the same source measured of the same test."""
    replaced = {(one["test"], one["access"], one["source"]) for one in new}
    kept = [one for one in old if (one["test"], one["access"], one["source"]) not in replaced]
    return sorted([*kept, *new], key=lambda one: [str(one[key]) for key in (*KEYS, "source")])


def main() -> None:
    """Read runs, check that curves can be made of them, and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--source", required=True)
    parser.add_argument("--alpha", type=float, default=0.01)
    parser.add_argument("--into", type=Path, default=INTO)
    asked = parser.parse_args()
    runs = [row for path in asked.runs for row in read(path)]
    old = json.loads(asked.into.read_bytes())["points"] if asked.into.exists() else []
    rows = merged(old, points(runs, alpha=asked.alpha, source=asked.source))
    curves = _power.gather(rows)
    lines = ",\n".join("  " + json.dumps(row, sort_keys=True) for row in rows)
    asked.into.write_text('{"schema": 1, "points": [\n' + lines + "\n]}\n", "utf-8")
    for (test, access), curve in curves.items():
        print(f"{test} ({access}): {len(curve.points)} points, {sum(one.runs for one in curve.points)} runs")


if __name__ == "__main__":
    main()
