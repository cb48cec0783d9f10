"""Build the shipped calibration: innocent logs from the *calibration* half of a corpus, then ``spiritsafe calibrate``.

    python bench/calibrate.py --corpus DIR --out src/spiritsafe/campaigns/calibration.json [--seeds 2]

Attack-free logs and logs of look-alikes at a campaign's size, in both modes of ``bench/compose.py``. With
``--corpus src/spiritsafe/simulate/corpus --half all`` anybody can build one from the committed texts alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import compose
from spiritsafe import pipeline
from spiritsafe.settings import Settings
from spiritsafe.simulate import load_corpus, simulate

CASES = ("attack-free", "lookalikes")


def main() -> int:
    """Compose, calibrate, say what came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--half", choices=sorted(compose.HALVES), default="calibration")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    corpus = compose.matched(load_corpus(args.corpus), args.half)
    modes: tuple[Any, ...] = ("rich", "naive")
    with tempfile.TemporaryDirectory() as folder:
        logs: list[Path] = []
        for name in CASES:
            for mode in modes:
                for seed in range(args.seeds):
                    plan = compose.cases()[name](compose.Case(corpus, 1.0, mode))
                    logs.append(simulate(plan, Path(folder) / f"{name}-{mode}-{seed}", seed=seed).log)
        record = pipeline.calibrate(logs, args.out, settings=Settings())
    record["sources"] = [
        f"{name}, {mode}, seed {seed}; {args.half} half of {', '.join(corpus.sources)}"
        for name in CASES
        for mode in modes
        for seed in range(args.seeds)
    ]
    args.out.write_text(json.dumps(record) + "\n", "utf-8")
    told = {key: record[key] for key in ("clusters", "margins", "margins_from")}
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
