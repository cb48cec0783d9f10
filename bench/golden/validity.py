"""Validity gates: a run in which one fails is void, and says so first."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import compose
from golden import store

if TYPE_CHECKING:
    from spiritsafe.simulate import Corpus

NOMINAL = 0.01


def gate(name: str, value: float, bound: float, detail: str, *, passed: bool) -> dict[str, Any]:
    """One gate's record."""
    return {"name": name, "passed": passed, "value": value, "bound": bound, "detail": detail}


def of_the_corpus(
    corpus: Corpus, cells: Path, *, seed: int, version: str, quick: bool, run: bool
) -> list[dict[str, Any]]:
    """The gates of ``bench/gates.py``: single features, shuffled labels, sources. Without them one gate that fails.

    They are kept among the cells, by version; ``run`` False only reads.
    """
    if importlib.util.find_spec("gates") is None:
        return [gate("gates available", 0.0, 1.0, "bench/gates.py is not there", passed=False)]
    module = importlib.import_module("gates")
    own = hashlib.blake2b(Path(module.__file__ or "").read_bytes(), digest_size=5).hexdigest()
    key = f"gates-{version}-{own}-{seed}-{'quick' if quick else 'full'}"
    known = store.read(cells)
    if key not in known:
        if not run:
            return [gate("gates were run", 0.0, 1.0, "not on this version", passed=False)]
        known[key] = {
            "key": key,
            "gates": [asdict(one) for one in module.check(corpus, seed=seed, quick=quick)],
        }
        store.add(cells, known[key])
    return known[key]["gates"]


def of_the_run(corpus: Corpus, told: dict[str, Any]) -> list[dict[str, Any]]:
    """Gates on what was run: complete, no trial failed, halves disjoint, nominal FDR on attack-free logs, worst family."""
    both = set(compose.matched(corpus, "calibration").sources) & set(
        compose.matched(corpus, "report").sources
    )
    calm = told["static"]["attack_free_with_any"]
    lacking = told["trials"]["wanted"] - told["trials"]["done"]
    failed = told["trials"]["failed"]
    worst = told["lookalikes"][0]["family"] if told["lookalikes"] else None
    return [
        gate("every trial is there", lacking, 0, f"{told['trials']['done']} of {told['trials']['wanted']}", passed=not lacking),
        gate("no trial failed", len(failed), 0, "; ".join(failed[:3]) or "none", passed=not failed),
        gate(
            "calibration and report share no source", len(both), 0, ", ".join(sorted(both)) or "none", passed=not both
        ),
        gate(
            "attack-free logs keep the nominal false discovery rate",
            calm["lower"],
            NOMINAL,
            f"{calm['hits']} of {calm['n']} logs accuse anybody; lower 95 % bound of that share beside the nominal rate",
            passed=calm["n"] > 0 and calm["lower"] <= NOMINAL,
        ),
        gate(
            "the worst family is reported", float(worst is not None), 1.0, worst or "no look-alike was run",
            passed=worst is not None,
        ),
    ]  # fmt: skip
