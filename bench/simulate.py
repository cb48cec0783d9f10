"""Simulation end to end: seconds, processor seconds, exchanges per second and peak memory.

    python bench/simulate.py --exchanges 1000000 [--who mix] [--format jsonl.zst] [--corpus DIR] [--rounds 3]

``--who mix`` is a background of people, an app, batch jobs and a reseller, and two campaigns with templates; ``campaign`` is
one campaign of 5,000 accounts, half of whose traffic is cover. Each round runs in a process of its own; the best goes to
``bench/results/simulate.json`` under size, format, corpus and who, with the load of the machine before.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import pyarrow.compute as pc
import pyarrow.parquet as pq

from spiritsafe.simulate import Plan, Population, load_corpus, simulate
from spiritsafe.simulate._write import Format

if TYPE_CHECKING:
    from spiritsafe.simulate import Corpus

RESULT = Path(__file__).parent / "results" / "simulate.json"


def plan(exchanges: int, form: Format, corpus: Corpus, who: str = "mix") -> Plan:
    """About ``exchanges`` exchanges of one day."""
    if who == "campaign":
        knobs = {"accounts": 5_000, "rate": exchanges / 5_000, "share": 0.5, "text": "template"}
        return Plan((Population("A1", knobs),), corpus, format=form)
    size = exchanges / 1_000_000
    people = (
        Population("chat_users", {"accounts": round(125_000 * size), "rate": 5.0}),
        Population("byo_key_app", {"accounts": round(24_000 * size), "rate": 5.0}),
        Population("nightly_batch", {"accounts": round(1_200 * size), "rate": 80.0}),
        Population("reseller", {"accounts": round(2_400 * size), "rate": 25.0}),
        Population("A1", {"accounts": round(1_600 * size), "rate": 26.0, "text": "template"}),
        Population(
            "A9", {"accounts": round(800 * size), "rate": 26.0, "text": "template", "paraphrase": "account"}
        ),
    )
    return Plan(people, corpus, format=form)


def measure(exchanges: int, form: Format, folder: str | None, who: str) -> dict[str, Any]:
    """Simulate once, in this process."""
    corpus = load_corpus(folder)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        begin, worked = time.perf_counter(), time.process_time()
        made = simulate(plan(exchanges, form, corpus, who), Path(scratch) / "out", seed=1)
        seconds, worked = time.perf_counter() - begin, time.process_time() - worked
        found = {
            "exchanges": made.exchanges,
            "accounts": made.accounts,
            "seconds": round(seconds, 2),
            "processor_seconds": round(worked, 2),
            "exchanges_per_second": round(made.exchanges / seconds),
            "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
            "log_bytes_per_exchange": round(made.log.stat().st_size / made.exchanges, 1),
            "load_before": round(load, 1),
        }
        if form == "parquet":
            first = pq.ParquetFile(made.log).read_row_group(0, columns=["prompt"])["prompt"]
            found["prompt_chars"] = round(pc.mean(pc.utf8_length(first)).as_py())
    return found


def apart(exchanges: int, form: Format, folder: str | None, who: str) -> dict[str, Any]:
    """The same in a process of its own, so that memory is its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, json.dumps(measure(exchanges, form, folder, who)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        found = answer.read()
    os.waitpid(child, 0)
    return json.loads(found)


def main() -> None:
    """Measure, print, and keep the best round."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exchanges", type=int, required=True)
    parser.add_argument("--format", choices=get_args(Format), default="parquet")
    parser.add_argument("--corpus", help="a folder of texts (default: the shipped ones)")
    parser.add_argument("--who", choices=("mix", "campaign"), default="mix")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    form = cast("Format", args.format)
    runs = [apart(args.exchanges, form, args.corpus, args.who) for _ in range(args.rounds)]
    best = min(runs, key=lambda one: one["seconds"])
    known: dict[str, Any] = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    name = Path(args.corpus).name if args.corpus else "shipped"
    known[f"{args.exchanges} / {form} / {name}{'' if args.who == 'mix' else f' / {args.who}'}"] = best
    RESULT.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", "utf-8")
    print(json.dumps(best))


if __name__ == "__main__":
    main()
