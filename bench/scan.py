"""Scan end to end on a simulated log: seconds, exchanges per second and peak memory by size.

    python bench/scan.py --corpus demo/corpus --exchanges 100000 --exchanges 1000000

Writes ``bench/results/scan.json``. The log is chat users plus one campaign of 500 accounts; making it is not timed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from spiritsafe import pipeline
from spiritsafe.settings import Settings
from spiritsafe.simulate import Plan, Population, load_corpus, simulate


def measure(corpus: Path, exchanges: int) -> dict[str, float | int | dict[str, float]]:
    """Simulate about ``exchanges`` exchanges and scan them once, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        people = Population("chat_users", {"accounts": max(200, exchanges // 50), "rate": 50.0})
        plan = Plan((people, Population("A1", {"accounts": 500, "rate": 26})), load_corpus(corpus), days=1.0)
        simulate(plan, out / "log", seed=1)
        log = out / "log" / "log.parquet"
        rows = pq.ParquetFile(log).metadata.num_rows
        stages: dict[str, float] = {}
        begin = time.perf_counter()

        def progress(stage: str, _done: int, _total: int) -> None:
            stages.setdefault(stage, round(time.perf_counter() - begin, 2))

        pipeline.scan([log], out / "result", settings=Settings(), progress=progress)
        seconds = time.perf_counter() - begin
    return {
        "exchanges": rows,
        "seconds": round(seconds, 1),
        "per_second": round(rows / seconds),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "stage_begins": stages,
    }


def main() -> None:
    """Measure each size in a fresh process, so that peak memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--exchanges", type=int, action="append", required=True)
    args = parser.parse_args()
    found = []
    for size in args.exchanges:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, json.dumps(measure(args.corpus, size)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writer)
        found.append(json.loads(os.read(reader, 65_536)))
        sys.stdout.write(json.dumps(found[-1]) + "\n")
    results = Path(__file__).parent / "results" / "scan.json"
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
