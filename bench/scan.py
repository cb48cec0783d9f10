"""Scan end to end: seconds, exchanges per second and peak memory by size, with prompts of about 500 characters.

    python bench/scan.py --exchanges 100000 --exchanges 1000000 [--rounds 3]

The log has 50 exchanges an account (20,000 accounts to a million): nine in ten accounts chat, the rest are batch jobs,
apps and agents, and 500 accounts are one campaign of 26 exchanges a day. Its prompts are made from the sentences of
the shipped corpus, seven or eight drawn at random for each, so that nearly all differ, as in a real log. A log of more
than a million is a folder of files of a million, each with accounts of its own, the campaign in the first. Making the log is not
timed. Each size runs in a fresh process, the sizes in turn, ``--rounds`` times; medians go to ``bench/results/scan.json``
with the growth exponent ``log(seconds ratio) / log(exchanges ratio)`` between each two sizes.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import math
import multiprocessing
import resource
import shutil
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spiritsafe import pipeline
from spiritsafe.settings import Settings
from spiritsafe.simulate import Corpus, Plan, Pool, Population, load_corpus, shipped, simulate

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "bench" / "results" / "scan.json"
EACH = 50
PART = 1_000_000
IDS = (
    "exchange_id", "account_id", "organization_id", "api_key_id", "session_id", "end_user_id", "payment_id", "device_id",
)  # fmt: skip
#: Family, share of the accounts, exchanges per account per day.
CUSTOMERS = (
    ("chat_users", 0.9, 45.0), ("nightly_batch", 0.02, 90.0), ("byo_key_app", 0.03, 60.0),
    ("agent_fleet", 0.03, 80.0), ("translation_shop", 0.01, 90.0), ("ci_bots", 0.01, 90.0),
)  # fmt: skip


def sentences(folder: Path) -> pa.Array:
    """Sentences of 40 to 160 characters of the prose in ``folder``."""
    found: list[str] = []
    for name in ("novel", "speeches", "emails"):
        with gzip.open(folder / name / "data.jsonl.gz", "rt", encoding="utf-8") as lines:
            found += [json.loads(line)["prompt"] for line in lines]
    parts = pc.list_flatten(pc.split_pattern_regex(pa.array(found), r"(?:[.?!]\s+)|\n+"))
    size = pc.utf8_length(parts)
    return parts.filter(pc.and_(pc.greater_equal(size, 40), pc.less_equal(size, 160)))


def corpus(distinct: int, part: int = 0) -> Corpus:
    """The shipped corpus with its chat prompts replaced by ``distinct`` prompts of about 500 characters, others in each part."""
    known = load_corpus()
    stock, rng = sentences(shipped()), np.random.default_rng(7 + part)
    drawn = [stock.take(pa.array(rng.integers(len(stock), size=distinct))) for _ in range(8)]
    short = pa.array(rng.random(distinct) < 0.5)  # noqa: PLR2004
    drawn[7] = pc.if_else(short, pa.scalar(None, pa.string()), drawn[7])
    text = pc.binary_join_element_wise(*drawn, ". ", null_handling="skip")
    nothing = pa.nulls(distinct, pa.string())
    pool = Pool(text, nothing, nothing, rng.integers(distinct // 40 + 1, size=distinct), "long")
    kept = {key: one for key, one in known.pools.items() if not key[1].startswith(("chat_", "doc_", "text_"))}
    return Corpus(
        {**kept, ("long", "chat_long"): pool, ("long", "doc_long"): pool, ("long", "text_long"): pool}
    )


def log(exchanges: int, out: Path) -> Path:
    """Simulate about ``exchanges`` exchanges; returns the log, a file or, above ``PART``, a folder of files."""
    if exchanges <= PART:
        return _part(exchanges, out, 0)
    folder = out / "log"
    folder.mkdir(parents=True, exist_ok=True)
    for part, begin in enumerate(range(0, exchanges, PART)):
        place = folder / f"{part:03}.parquet"
        if not place.exists():
            # Each in a process of its own, whose memory goes with it.
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                made = pool.submit(_part, min(PART, exchanges - begin), out / f"part-{part}", part).result()
            _apart(made, place, part)
            shutil.rmtree(made.parent)
    return folder


def _apart(made: Path, place: Path, part: int) -> None:
    """Write the log ``made`` to ``place`` with customers of its own: the simulator gives those of each log the same ids."""
    half = place.with_suffix(".half")
    with pq.ParquetFile(made) as file, pq.ParquetWriter(half, file.schema_arrow, compression="zstd") as out:
        for batch in file.iter_batches():
            for name in IDS:
                at = batch.schema.get_field_index(name)
                field = batch.schema.field(at)
                ids = pc.binary_join_element_wise(
                    batch.column(at).cast(pa.string()), f"{part:x}", "", null_handling="emit_null"
                )
                batch = batch.set_column(at, field, ids.cast(field.type))  # noqa: PLW2901
            out.write_batch(batch)
    half.replace(place)


def files(log: Path) -> list[Path]:
    """The files of a log that ``log`` made."""
    return sorted(log.iterdir()) if log.is_dir() else [log]


def _part(exchanges: int, out: Path, part: int) -> Path:
    accounts = max(200, exchanges // EACH)
    populations = [
        Population(name, {"accounts": max(2, round(accounts * share)), "rate": rate * 1.03})
        for name, share, rate in CUSTOMERS
    ]
    if not part:
        populations.append(Population("A1", {"accounts": 500, "rate": 26.0}))
    plan = Plan(tuple(populations), corpus(max(20_000, exchanges // 2), part), days=1.0)
    simulate(plan, out, seed=1 + part, memory="12GB")
    return out / "log.parquet"


def kilobytes(name: str) -> int:
    """Memory of this process image: ``VmHWM`` its peak (getrusage knows its parent's, too), ``RssAnon`` without mapped files."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def processor(who: int) -> float:
    """Processor seconds so far."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def measure(path: Path, out: Path, settings: Settings) -> dict[str, Any]:
    """Scan ``path`` once, in this process. ``cpu``: processor seconds, of processes that helped as well.

    ``private_gb`` by stage: the most memory that no file stands behind, looked at ten times a second.
    """
    stages: dict[str, float] = {}
    private: dict[str, float] = {}
    begin, ended = time.perf_counter(), threading.Event()

    def progress(stage: str, _done: int, _total: int) -> None:
        stages.setdefault(stage, round(time.perf_counter() - begin, 2))

    def look() -> None:
        while not ended.wait(0.1):
            stage = next(reversed(stages), "start")
            private[stage] = max(private.get(stage, 0.0), round(kilobytes("RssAnon") / 1e6, 2))

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    result = pipeline.scan([path], out, settings=settings, progress=progress)
    ended.set()
    looking.join()
    return {
        "seconds": round(time.perf_counter() - begin, 2),
        "cpu": round(sum(processor(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)), 2),
        "peak_gb": round(kilobytes("VmHWM") / 1e6, 2),
        "private_gb": private,
        "campaigns": [
            len(entry["accounts"]) for entry in result["campaigns"] if entry["label"] == "campaign"
        ],
        "stage_begins": stages,
    }


def apart(path: Path, out: Path, settings: Settings) -> dict[str, Any]:
    """The same in a fresh process that may start others, so that peak memory and caches are its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, path, out, settings).result()


def main() -> None:
    """Make the logs, scan each ``--rounds`` times in turn, print and write the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exchanges", type=int, action="append", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", default=Settings().memory)
    args = parser.parse_args()
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        logs = [log(size, Path(folder) / f"log-{size}") for size in args.exchanges]
        runs: list[list[dict[str, Any]]] = [[] for _ in logs]
        for number in range(args.rounds):
            for at, path in enumerate(logs):
                out = Path(folder) / f"out-{number}-{at}"
                runs[at].append(apart(path, out, Settings(memory=args.memory)))
                sys.stdout.write(f"{path.parent.name}: {json.dumps(runs[at][-1])}\n")
                sys.stdout.flush()
        for path, mine in zip(logs, runs, strict=True):
            table = pq.read_table(files(path), columns=["account_id", "prompt"])
            middle = sorted(mine, key=lambda run: run["seconds"])[len(mine) // 2]
            found.append(
                {
                    "exchanges": table.num_rows,
                    "accounts": len(pc.unique(table["account_id"])),
                    "median_characters": pc.quantile(pc.utf8_length(table["prompt"]), 0.5)[0].as_py(),
                    "rounds": len(mine),
                    "seconds_all": [run["seconds"] for run in mine],
                    **middle,
                    "peak_gb": max(run["peak_gb"] for run in mine),
                }
            )
            found[-1]["seconds"] = statistics.median(found[-1]["seconds_all"])
            found[-1]["per_second"] = round(found[-1]["exchanges"] / found[-1]["seconds"])
    for before, after in itertools.pairwise(found):
        time_ratio = after["seconds"] / before["seconds"]
        after["times_the_seconds_of_the_size_before"] = round(time_ratio, 2)
        after["growth_exponent"] = round(
            math.log(time_ratio) / math.log(after["exchanges"] / before["exchanges"]), 3
        )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"memory_setting": args.memory, "sizes": found}, indent=1) + "\n", "utf-8")
    sys.stdout.write(RESULT.read_text("utf-8"))


if __name__ == "__main__":
    main()
