"""Speed of `spiritsafe prove run`: a whole case, with what a run keeps between its tests and without.

    PYTHONPATH=src python bench/prove.py [--tokens 100000] [--pairs 1000] [--reruns 10] [--save]

A suspect and five controls each said ``tokens`` tokens (the simulator's corpus in new orders, in tokens of a vocabulary made of
it); ``pairs`` twin pairs, a key, 99 decoys and four canaries are committed. Nobody is a copy. The registered tests are those that
rest on labels, each run on the suspect, on every control and ``reruns`` times under false labels. Both ways run in one process,
first without, and must give the same result to the last bit. CPU seconds are what a machine that others use as well can tell.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from provenance import text
from spiritsafe.ledger import Ledger
from spiritsafe.provenance import _casefile, _escrow, _gather, _marks, _prereg, _run
from spiritsafe.provenance._lines import Lines
from spiritsafe.simulate import load_corpus

RESULT = Path(__file__).with_name("results") / "prove.json"
NOW = 1_800_000_000_000_000
LENGTH, CONTROLS = 64, 5
TESTS = ("twins", "radioactivity", "tracing", "canaries")
CASE = """
[case]
name = "speed"
claim = "nobody is a copy"
tests = {tests}
seed = 1
reruns = {reruns}
[teacher]
name = "ours"
marks = "marks"
campaigns = ["c-1"]
tokenizer = "tokenizer.json"
[prompts]
file = "prompts.jsonl"
pairs = {pairs}
ask_pairs = false
[budget]
requests = 10000000
[suspect]
name = "suspect"
kind = "answers"
file = "said-0.jsonl"
"""
CONTROL = """
[[control]]
name = "control {0}"
group = "maker {0}"
kind = "answers"
file = "said-{0}.jsonl"
"""


def case(folder: Path, *, tokens: int, pairs: int, reruns: int) -> tuple[Path, Path]:
    """A folder of a case in which everything was asked, and its ledger."""
    prompts = [one for pool in load_corpus().pools.values() for one in pool.prompts.to_pylist()]
    tokenizer = text.train_tokenizer(prompts)
    tokenizer.save(str(folder / "tokenizer.json"))
    words = " ".join(prompts).split()
    each = LENGTH * len(words) // sum(len(row.ids) for row in tokenizer.encode_batch(prompts))
    rng = np.random.default_rng(0)

    def said(many: int) -> list[str]:
        begins = rng.integers(0, len(words) - each, many)
        # Half in the corpus's order, half in a new one: habits and slips.
        return [
            " ".join(words[at : at + each // 2] + rng.permutation(words[at + each // 2 : at + each]).tolist())
            for at in begins
        ]

    many = tokens // LENGTH
    _written(
        folder / "prompts.jsonl", [{"prompt_id": f"p{n}", "prompt": f"question {n}"} for n in range(many)]
    )
    for number in range(CONTROLS + 1):
        rows = [{"prompt_id": f"p{n}", "text": one} for n, one in enumerate(said(many))]
        _written(folder / f"said-{number}.jsonl", rows)
    marks, book = folder / "marks", folder / "ledger.jsonl"
    plan = _marks.write(
        marks, ["c-1"], now=NOW, epochs=1, lasts="30d", scheme="green", canaries=4, variants=16, decoys=99,
        share=0.0,
    )  # fmt: skip
    root, snapshot = _marks.root_key(marks), _escrow.snapshot("m", {"temperature": 1.0}, None)
    with Ledger(book) as ledger:
        _marks.commit(plan, ledger, now=NOW)
    with _escrow.Escrow(marks / "escrow", book, root=root, share=1.0, clock=lambda: NOW + 1) as escrow:
        for at, (served, ghost) in enumerate(zip(said(pairs), said(pairs), strict=True)):
            escrow.keep(
                escrow.ticket(), messages=[{"role": "user", "content": f"asked {at}"}], snapshot=snapshot,
                served=served, campaign_id="c-1", ghost={"status": "ok", "text": ghost, "snapshot": snapshot},
            )  # fmt: skip
    (folder / "case.toml").write_text(
        CASE.format(tests=json.dumps(TESTS), reruns=reruns, pairs=pairs)
        + "".join(CONTROL.format(number) for number in range(1, CONTROLS + 1))
    )
    with Ledger(book) as ledger:
        made = _prereg.register(_casefile.read(folder / "case.toml"), folder / "case", ledger, now=NOW + 2)
    settings = json.loads((folder / "case" / _prereg.SETTINGS).read_bytes())
    for one in _gather.models(made):
        _gather.gather(folder / "case", made, one, settings, progress=_quiet)
    with Ledger(book) as ledger:
        _gather.close(folder / "case", made, ledger, now=NOW + 3)
    return folder / "case", book


def _written(path: Path, rows: list[dict[str, str]]) -> None:
    with Lines(path) as out:
        out.append(rows)


def _quiet(_stage: str, _done: int, _total: int) -> None:
    return


def timed(folder: Path, book: Path, *, kept: bool) -> tuple[dict[str, Any], dict[str, float]]:
    """The result of a run, and its seconds."""
    plan, found = _prereg.open_plan(folder, book)
    wall, cpu = time.perf_counter(), time.process_time()
    compute = _run.compute if kept else inspect.unwrap(_run.compute)
    result = compute(folder, plan, found, progress=_quiet)
    took = {"wall_seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    return result, {name: round(value, 1) for name, value in took.items()}


def main() -> None:
    """Measure both ways, after a small case that compiles."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=1_000)
    parser.add_argument("--reruns", type=int, default=10)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    size = {"tokens": given.tokens, "pairs": given.pairs, "reruns": given.reruns}
    with tempfile.TemporaryDirectory() as small:
        timed(*case(Path(small), tokens=2_000, pairs=20, reruns=1), kept=False)
    with tempfile.TemporaryDirectory() as where:
        folder, book = case(Path(where), **size)
        load = round(os.getloadavg()[0], 1)
        anew, slow = timed(folder, book, kept=False)
        again, fast = timed(folder, book, kept=True)
    if json.dumps(anew) != json.dumps(again):
        raise SystemExit("what was kept changed a result")
    runs = len(anew["findings"]) + len(anew["controls"]) + len(anew["false_labels"])
    told = {
        **size, "controls": CONTROLS, "runs_of_tests": runs, "anew": slow, "kept": fast,
        "cpu_ratio": round(slow["cpu_seconds"] / fast["cpu_seconds"], 1), "same_to_the_last_bit": True,
        "verdict": anew["verdict"],
        "machine": {"cpus": os.cpu_count(), "load_average": load, "python": platform.python_version()},
    }  # fmt: skip
    print(json.dumps(told, indent=1))
    if given.save:
        RESULT.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
