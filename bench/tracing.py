"""Speed of tracing: a million tokens of a suspect against a thousand campaign keys.

    python bench/tracing.py [--tokens 1000000] [--keys 1000]

The text is the simulator's corpus in words; when it is used up, its words in new orders, so that nearly every pair of
context and token is new: the worst case for the hashing. No mark is in it, so the p-values must look like chance. The result
goes to ``bench/results/tracing.json`` with wall-clock and CPU seconds: the latter say what a machine that others use as well
would have taken. Where others use it, ``chrt -r 1 python bench/tracing.py`` lets this process go first (the result says so).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.stats import kstest

from spiritsafe.marking.choice import Words
from spiritsafe.marking.keys import derive
from spiritsafe.provenance._heard import heard
from spiritsafe.provenance._subject import ANSWERS, Subject, Teacher
from spiritsafe.provenance.tracing import tracing
from spiritsafe.simulate import load_corpus

RESULT = Path(__file__).parent / "results" / "tracing.json"
LENGTH = 200


def texts(tokens: int) -> list[str]:
    """Answers of about 200 words, ``tokens`` words in all."""
    rng = np.random.default_rng(0)
    words = " ".join(
        text for pool in load_corpus().pools.values() for text in pool.prompts.to_pylist()
    ).split()
    while len(words) < tokens:
        words += rng.permutation(words).tolist()
    return [" ".join(words[at : at + LENGTH]) for at in range(0, tokens, LENGTH)]


def main() -> None:
    """Measure once, after a small run that compiles."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--tokens", type=int, default=1_000_000)
    asked.add_argument("--keys", type=int, default=1_000)
    given = asked.parse_args()
    result: dict[str, object] = {
        "machine": {
            "cpus": os.cpu_count(),
            "load_average": round(os.getloadavg()[0], 1),
            "goes_first": os.sched_getscheduler(0) in (os.SCHED_RR, os.SCHED_FIFO),
            "python": platform.python_version(),
            "platform": sys.platform,
        }
    }
    for scheme in ("green", "gumbel"):
        keys = tuple(derive(bytes(32), f"c-{n}", 0, scheme=scheme) for n in range(given.keys))
        decoys = tuple(derive(bytes(32), f"decoy/{n}", 0, scheme=scheme) for n in range(20))
        teacher = Teacher("teacher", keys=keys, decoys=decoys, tokenizer=Words())
        _timed(_suspect(2_000), teacher)
        suspect = _suspect(given.tokens)
        told, wall, cpu = _timed(suspect, teacher)
        found = heard(suspect, (), Words(), [3])
        p = 10.0 ** np.array([one.log10_p for one in found.evidence(keys[:100])])
        result[scheme] = {
            "tokens": given.tokens,
            "pairs": len(found.text[3][0]),
            "keys": len(keys) + len(decoys),
            "wall_seconds": round(wall, 1),
            "cpu_seconds": round(cpu, 1),
            "verdict": told.verdict,
            "least_p_after_holm": told.p_value,
            "uniform_over_100_keys_ks_p": round(float(kstest(p, "uniform").pvalue), 3),
        }
        print(scheme, result[scheme], flush=True)
        RESULT.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def _suspect(tokens: int) -> Subject:
    rows = [
        {"prompt_id": str(n), "sample": 0, "prompt": "", "text": text, "status": "ok"}
        for n, text in enumerate(texts(tokens))
    ]
    return Subject("suspect", pa.Table.from_pylist(rows, schema=ANSWERS))


def _timed(suspect: Subject, teacher: Teacher):  # noqa: ANN202 - the finding with wall-clock and CPU seconds
    wall, cpu = time.perf_counter(), time.process_time()
    told = tracing(suspect, teacher, [], seed=0)
    return told, time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
