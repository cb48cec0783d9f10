"""What a state saves: processor seconds of a scan that keeps nothing, of the first one with a state, and of the next.

    python bench/state.py --exchanges 300000 [--keep DIR]

The log is that of ``bench/scan.py`` in files of 25,000 exchanges (``bench/spark.py``). The next scan is of the same log and one
file more, of which it reads only that. Each scan has a process of its own; outputs are compared with those of a scan that
keeps nothing.
Writes ``bench/results/state.json``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import spark as sparks
from spiritsafe import pipeline, state
from spiritsafe.settings import Settings

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "bench" / "results" / "state.json"


def one(logs: Path, out: Path, checkpoint: Path | None) -> dict[str, Any]:
    """Run one scan in this process; processor seconds in all and until the log is read, peak GB."""
    marks: dict[str, float] = {}

    def progress(stage: str, done: int, total: int, /) -> None:
        if done == total or stage not in marks:
            marks[stage] = time.process_time()

    settings = Settings(memory="1500MB")
    if checkpoint is None:
        pipeline.scan([logs], out, settings=settings, progress=progress)
    else:
        state.scan([logs], out, checkpoint=checkpoint, settings=settings, progress=progress)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    cpu = sum(one.ru_utime + one.ru_stime for one in used)
    begins = marks["finding templates"]
    return {"cpu": round(cpu, 1), "cpu_until_log_is_read": round(begins, 1), "peak_gb": round(peak, 2)}


def run(*arguments: str) -> dict[str, Any]:
    """``one`` in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--one", *arguments], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def measured(exchanges: int, folder: Path) -> dict[str, Any]:
    """Without a state, with an empty one, with one that has all files but the last."""
    logs, _ = sparks.cut(exchanges, folder)
    files = sorted(logs.iterdir())
    last = folder / files[-1].name
    checkpoint = folder / "state"
    files[-1].rename(last)
    try:
        first = run(str(logs), str(folder / "first"), str(checkpoint))
    finally:
        last.rename(files[-1])
    found: dict[str, Any] = {
        "exchanges": sum(pq.read_metadata(path).num_rows for path in files),
        "files": len(files),
        "new": pq.read_metadata(files[-1]).num_rows,
        "first": first,
        "next": run(str(logs), str(folder / "next"), str(checkpoint)),
        "without": run(str(logs), str(folder / "without"), ""),
    }
    kept = sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file())
    found["bytes_an_exchange"] = {
        "state": round(kept / found["exchanges"]),
        "log": round(sum(path.stat().st_size for path in files) / found["exchanges"]),
    }
    found["equal"] = all(
        (folder / "next" / name).read_bytes() == (folder / "without" / name).read_bytes()
        for name in sparks.OUTPUTS
    )
    return found


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchanges", type=int, default=300_000)
    parser.add_argument("--keep", type=Path, help="folder for logs and outputs; kept")
    parser.add_argument("--one", nargs=3)
    given = parser.parse_args()
    if given.one:
        logs, out, checkpoint = given.one
        print(json.dumps(one(Path(logs), Path(out), Path(checkpoint) if checkpoint else None)))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = given.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        found = measured(given.exchanges, folder)
    print(json.dumps(found, indent=1))
    RESULT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
