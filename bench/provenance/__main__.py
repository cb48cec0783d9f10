"""Trains what is missing, measures, and writes the result and its page."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch

from provenance import bed, further, measure, page, peers

RESULT = Path(__file__).parent.parent / "results" / "provenance.json"
PARTS = {**measure.PARTS, **further.PARTS}
DOCS = Path(__file__).parents[2] / "docs"


def main() -> int:
    """0 when the result was written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("bench-out") / "provenance")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", nargs="*", choices=PARTS, default=list(PARTS), help="these tables; others are kept"
    )
    parser.add_argument(
        "--peers", type=Path, help="an interpreter that has the other tools: their table, too"
    )
    parser.add_argument("--show", action="store_true", help="only write the page of the result that is there")
    given = parser.parse_args()
    if not given.show:
        torch.set_num_threads(1)
        begin = time.perf_counter()

        def told(line: str) -> None:
            print(f"{time.perf_counter() - begin:7.0f} s  {line}", file=sys.stderr, flush=True)

        desk = measure.Desk(bed.Bed(given.work, told, seed=given.seed))
        made = {part: PARTS[part](desk, given.seed) for part in given.only}
        if given.peers:
            made["peers"] = peers.everything(desk, given.peers, given.seed)
        for part, found in made.items():
            rows: list[dict[str, Any]] = []
            for row in found:
                told(f"{part}: {row}")
                rows.append(row)
            # Each table is kept once it is whole, with the run that made it.
            result: dict[str, Any] = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
            result[part] = rows
            result.setdefault("runs", {})[part] = {
                "seed": given.seed,
                "cpus": os.cpu_count(),
                "load_average": round(os.getloadavg()[0], 1),
                "python": platform.python_version(),
            }
            RESULT.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    told_in = DOCS / "provenance-strength.md"
    page.write(json.loads(RESULT.read_text("utf-8")), told_in, DOCS / "img")
    print(f"{RESULT}\n{told_in}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
