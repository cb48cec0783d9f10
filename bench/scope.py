"""What the forum's gate costs, and what a shared anchor is worth to somebody who guesses.

    python bench/scope.py [--objects 20000] [--rounds 5]

*Gate*: objects a CPU-second through ``scope.check`` (as a hub has them, parsed) and ``scope.read`` (bytes, with limits, strict
parsing and the look for names that stand twice). The objects are those of one campaign with every kind of indicator. *Guesses*:
runs of five words a CPU-second that can be hashed and compared with eight anchors on one core; the page
``docs/sharing/scope.md`` says what follows from it. One thread, medians, written to ``bench/results/scope.json``.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import statistics
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numba
import numpy as np
import orjson

from spiritsafe.features._scan import mix
from spiritsafe.sharing import scope
from spiritsafe.sharing.stix import ids
from spiritsafe.sharing.stix.build import Maker
from spiritsafe.sharing.stix.export import to_stix
from spiritsafe.sharing.stix.release import Release
from spiritsafe.sharing.stix.terms import Terms

RESULT = Path(__file__).with_name("results") / "scope.json"
NOW = 1_795_651_200_000_000
SAMPLE = Path(__file__).parent.parent / "tests" / "sharing" / "results"
GUESSES = 20_000_000
_PRINT: Any = import_module("spiritsafe.features._print")
FACTORS = _PRINT._C[:5]  # noqa: SLF001 - the bench hashes as the kernel does


def objects(many: int) -> list[dict[str, Any]]:
    """So many objects of the sample campaign; each a dict of its own, as after parsing."""
    told, found = (json.loads((SAMPLE / f"{name}.json").read_text()) for name in ("campaigns", "indicators"))
    maker = Maker(ids.identity_id("ed25519:" + "A" * 43 + "="), NOW, Terms())
    release = Release("bench", "bench", templates=True, skeletons=True, asns=(64500,))
    made = to_stix(told["campaigns"][0], found, maker, release=release).objects
    return [copy.deepcopy(made[n % len(made)]) for n in range(many)]


@numba.njit(cache=False)
def guesses(words: Any, anchors: Any, many: int) -> int:  # pragma: no cover - compiled
    """Hash so many runs of five words and count those that are among the anchors."""
    hits = 0
    state = np.uint64(1)
    size = np.uint64(words.size)
    for _ in range(many):
        state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
        first = (state >> np.uint64(33)) % size
        x = words[first] * FACTORS[0]
        for k in range(1, 5):
            x += words[(first + np.uint64(k)) % size] * FACTORS[k]
        x = mix(x)
        for anchor in anchors:
            hits += x == anchor
    return hits


def rate(work: Any, many: int, rounds: int) -> float:
    """Units a CPU-second, median."""
    took: list[float] = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        took.append(time.process_time() - begin)
    return many / statistics.median(took)


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    made = objects(asked.objects)
    data = orjson.dumps({"objects": made})
    words = np.random.default_rng(0).integers(1, 1 << 63, 20_000, np.uint64)
    anchors = np.arange(1, 9, dtype=np.uint64)
    guesses(words, anchors, 10)
    found = {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "objects": len(made),
        "bytes_per_object": round(len(data) / len(made)),
        "check_per_cpu_second": round(rate(lambda: scope.check(made, at="hub"), len(made), asked.rounds)),
        "read_per_cpu_second": round(rate(lambda: scope.read(data, at="hub"), len(made), asked.rounds)),
        "guesses_per_cpu_second": round(
            rate(lambda: guesses(words, anchors, GUESSES), GUESSES, asked.rounds)
        ),
    }
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
