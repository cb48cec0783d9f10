"""One scan on both engines: seconds by stage, processor time, memory by process, bytes that Spark moved between tasks.

    python bench/spark.py --exchanges 200000 --exchanges 1000000 [--keep DIR]
    python bench/spark.py --workers 1000000 [--rounds 2]

The log is that of ``bench/scan.py``, cut into files of 25,000 exchanges. Each run has a process of its own; outputs are compared.
Spark runs as ``local[2]`` with a driver of 2 GB, in which its executors are then. ``--workers`` reads the log (stage A, the part
that executors do alone) on a standalone master on the loopback with one worker of one processor and with two, in turn, without
the start of Spark: seconds of the clock, which other work on the machine changes. Results, by size: ``bench/results/spark.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import scan as scans
from spiritsafe import pipeline, spread
from spiritsafe.engine.spark import Spark
from spiritsafe.settings import Settings
from spiritsafe.state.folder import Folder
from standalone import Standalone

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "bench" / "results" / "spark.json"
_ROWS = 25_000
_HERTZ = os.sysconf("SC_CLK_TCK")
OUTPUTS = ("campaigns.json", "indicators.json", "candidates.json", "identifiers.jsonl")


class Meter:
    """Processor seconds and peak memory (MB) of this process and those below it, by kind, looked at twice a second.

    ``peak`` with mapped files, ``private`` without: what no file stands behind.
    """

    def __init__(self) -> None:
        self.seconds: dict[int, tuple[str, float]] = {}
        self.peak: dict[str, float] = {}
        self.private: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            self.look()

    def look(self) -> dict[str, float]:
        """Processor seconds by kind so far."""
        parent, told = {}, {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                stat, status = (path / "stat").read_text(), (path / "status").read_text()
            except OSError:
                continue
            fields = stat[stat.rindex(")") + 2 :].split()
            number = int(path.name)
            parent[number] = int(fields[1])
            held = dict(line.split(":", 1) for line in status.splitlines())
            sizes = [int(held.get(name, "0").split()[0]) / 1024 for name in ("VmRSS", "RssAnon")]
            kind = "jvm" if "(java)" in stat else "executor_python"
            told[number] = kind, (int(fields[11]) + int(fields[12])) / _HERTZ, sizes
        sums: dict[str, Any] = {}
        me = os.getpid()
        for number, (found, seconds, sizes) in told.items():
            above = number
            while above in parent and above != me:
                above = parent[above]
            if above == me:
                kind = "driver_python" if number == me else found
                self.seconds[number] = kind, seconds
                sums[kind] = sums.get(kind, 0.0) + np.array(sizes)
        for kind, (whole, own) in sums.items():
            self.peak[kind] = max(self.peak.get(kind, 0.0), whole)
            self.private[kind] = max(self.private.get(kind, 0.0), own)
        total: dict[str, float] = {}
        for kind, seconds in self.seconds.values():
            total[kind] = round(total.get(kind, 0.0) + seconds, 2)
        return total

    def close(self) -> None:
        """Look for the last time."""
        self._stop.set()
        self._thread.join()
        self.look()


def moved(spark: Spark) -> dict[str, int]:
    """Bytes that all stages so far wrote for others, and spilled, as Spark's own interface tells."""
    web = spark.session.sparkContext.uiWebUrl
    with urllib.request.urlopen(f"{web}/api/v1/applications/{spark.application}/stages") as answer:  # noqa: S310 - loopback
        stages = json.load(answer)
    return {
        "shuffled": sum(one["shuffleWriteBytes"] for one in stages),
        "spilled": sum(one["diskBytesSpilled"] for one in stages),
        "stages": len(stages),
        "tasks": sum(one["numCompleteTasks"] for one in stages),
    }


def cut(exchanges: int, folder: Path) -> tuple[Path, int]:
    """The log of ``bench/scan.py`` in files of ``_ROWS`` exchanges, and how many there are."""
    logs = folder / f"log-{exchanges}"
    if not logs.exists():
        half = folder / f"half-{exchanges}"
        half.mkdir()
        whole = scans.log(exchanges, folder / f"made-{exchanges}")
        number = 0
        for one in scans.files(whole):
            with pq.ParquetFile(one) as file:
                for batch in file.iter_batches(batch_size=_ROWS):
                    with pq.ParquetWriter(
                        half / f"{number:05}.parquet", batch.schema, compression="zstd"
                    ) as out:
                        out.write_batch(batch)
                    number += 1
        half.rename(logs)
    return logs, sum(pq.read_metadata(path).num_rows for path in logs.iterdir())


def one(engine: str, logs: Path, out: Path, master: str, conf: dict[str, str]) -> dict[str, Any]:
    """Run one scan in this process; what was measured."""
    meter = Meter()
    begin, marks = time.monotonic(), []

    def progress(stage: str, done: int, total: int, /) -> None:
        if done in {0, total}:
            marks.append((stage, time.monotonic() - begin, sum(meter.look().values())))

    settings = Settings(memory="1500MB")
    told: dict[str, Any] = {}
    if engine == "duckdb":
        pipeline.scan([logs], out, settings=settings, progress=progress)
    else:
        checkpoint = out.with_name(out.name + "-checkpoint")
        (checkpoint / "session").mkdir(parents=True)
        told["conf"] = conf
        seen = {"spark.ui.enabled": "true", "spark.ui.port": "0", "spark.ui.retainedStages": "5000"}
        with Spark(checkpoint / "session", master=master, conf=seen | conf) as spark:
            told["started"] = round(time.monotonic() - begin, 2)
            cluster = spread.Cluster(master, checkpoint=checkpoint)
            spread.scan([logs], out, cluster=cluster, settings=settings, progress=progress)
            told |= moved(spark)
    seconds = time.monotonic() - begin
    meter.close()
    stages = {
        f"until {name}": {"seconds": round(at, 2), "cpu": round(cpu, 2)}
        for name, at, cpu in dict.fromkeys(marks)
    }
    return told | {
        "seconds": round(seconds, 2),
        "cpu": meter.look(),
        "peak_mb": {kind: round(size) for kind, size in meter.peak.items()},
        "private_mb": {kind: round(size) for kind, size in meter.private.items()},
        "stages": stages,
    }


def run(*arguments: str) -> dict[str, Any]:
    """``one`` in a process of its own."""
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def compared(logs: Path, rows: int, folder: Path) -> dict[str, Any]:
    """Both engines on one log."""
    conf = {"spark.driver.memory": "2g"}
    found: dict[str, Any] = {"exchanges": rows, "files": len(list(logs.iterdir()))}
    for engine in ("duckdb", "spark"):
        out = folder / f"out-{engine}-{rows}"
        found[engine] = run("--one", engine, str(logs), str(out), "local[2]", json.dumps(conf))
        found[engine]["cpu_total"] = round(sum(found[engine]["cpu"].values()), 1)
    same = [
        (folder / f"out-duckdb-{rows}" / name).read_bytes()
        == (folder / f"out-spark-{rows}" / name).read_bytes()
        for name in OUTPUTS
    ]
    found["equal"] = all(same)
    found["shuffled_per_exchange"] = round(found["spark"]["shuffled"] / rows, 1)
    found["cpu_ratio"] = round(found["spark"]["cpu_total"] / found["duckdb"]["cpu_total"], 2)
    return found


def reading(logs: Path, workers: int, folder: Path) -> dict[str, float]:
    """Seconds of the clock that stage A takes on so many workers, and the log's exchanges."""
    folder.mkdir(parents=True)
    asked = {"format": None, "since": None, "until": None, "strict": False, "history": False}
    names = ("one", "two")[:workers]
    with Standalone(folder, names, memory="1500m", options="-XX:+UseSerialGC") as cluster:
        conf = cluster.conf("1g", "1g") | {"spark.cores.max": str(workers)}
        work = folder / "work"
        work.mkdir()
        with Spark(work, master=cluster.master, conf=conf) as spark, Folder(folder / "state") as kept:
            spark.spread("warm", [{"n": n} for n in range(2 * workers)], warm, pa.schema([("n", pa.int64())]))
            spark.table("SELECT * FROM warm")
            begin = time.monotonic()
            taken = spread.ingest(
                spark, [logs], work, kept, work, asked=asked, settings=Settings(memory="500MB")
            )
            return {
                "workers": workers,
                "seconds": round(time.monotonic() - begin, 2),
                "exchanges": taken.rows,
            }


def warm(item: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """Start the Python of an executor and import what stage A needs."""
    import_module("spiritsafe.state")
    yield pa.record_batch({"n": pa.array([item["n"]], pa.int64())})


def growth(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Slope of log(processor seconds) on log(exchanges) over all sizes, by engine."""
    if len(runs) < 2:
        return {}
    size = np.log([one["exchanges"] for one in runs])
    return {
        name: round(float(np.polyfit(size, np.log([one[name]["cpu_total"] for one in runs]), 1)[0]), 3)
        for name in ("duckdb", "spark")
    }


def kept_results() -> dict[str, Any]:
    """What was measured before."""
    return json.loads(RESULT.read_text()) if RESULT.exists() else {"runs": []}


def by_workers(exchanges: int, rounds: int, folder: Path) -> None:
    """One worker against two, in turn."""
    logs, _ = cut(exchanges, folder)
    runs = [
        run("--reading", str(logs), str(workers), str(folder / f"workers-{number}-{workers}"))
        for number in range(rounds)
        for workers in (1, 2)
    ]
    best = {n: min(one["seconds"] for one in runs if one["workers"] == n) for n in (1, 2)}
    told = {
        "stage": "reading the log",
        "runs": runs,
        "load": os.getloadavg(),
        "speedup": round(best[1] / best[2], 2),
    }
    print(json.dumps(told, indent=1))
    RESULT.write_text(json.dumps(kept_results() | {"workers": told}, indent=1) + "\n")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchanges", type=int, action="append")
    parser.add_argument("--keep", type=Path, help="folder for logs and outputs; kept")
    parser.add_argument("--workers", type=int, help="exchanges of a log that one worker and then two read")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--one", nargs=5)
    parser.add_argument("--reading", nargs=3)
    given = parser.parse_args()
    if given.one:
        engine, logs, out, master, conf = given.one
        print(json.dumps(one(engine, Path(logs), Path(out), master, json.loads(conf))))
        return
    if given.reading:
        logs, workers, folder = given.reading
        print(json.dumps(reading(Path(logs), int(workers), Path(folder))))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = given.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        if given.workers:
            by_workers(given.workers, given.rounds, folder)
        for exchanges in given.exchanges or []:
            logs, rows = cut(exchanges, folder)
            one_size = compared(logs, rows, folder)
            print(json.dumps(one_size, indent=1))
            told = kept_results()
            others = [before for before in told["runs"] if before["exchanges"] != rows]
            runs = sorted([*others, one_size], key=lambda each: each["exchanges"])
            told |= {"machine": f"{os.cpu_count()} cores", "runs": runs, "growth": growth(runs)}
            RESULT.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
