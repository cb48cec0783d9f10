"""A trial: who is in one composed log. Its configuration and the code's version name its cells."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import compose
from spiritsafe.simulate import Plan, Population

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spiritsafe.simulate import Corpus

ROOT = Path(__file__).resolve().parents[2]
DECIDES = (
    "src/spiritsafe/**/*",
    "bench/compose.py",
    "bench/compare.py",
    "bench/baselines/*.py",
    "bench/golden/trials.py",
    "bench/golden/judge.py",
    "bench/golden/run.py",
)
"""What a cell depends on besides its trial; a change in any of these makes all cells anew."""

CALIBRATION = (12_000, 3)
"""Innocent exchanges and seeds of the logs that the baselines' thresholds come from."""

DRIFT_DAYS, DRIFT_SIGMA, DRIFT_LAUNCH = 75, 1.0, 5.0
"""Drift: so much later (a Saturday), each family's accounts times a lognormal factor of this sigma, launch-day adopters and
viral prompts times five besides. No threshold has seen any of it. Ours, no paper's."""


@dataclass(frozen=True)
class Trial:
    """One composed log: ``populations`` as (family, knobs) over about ``background`` innocent exchanges.

    Families named in ``without`` are left out of the background (a look-alike at a campaign's size stands for itself).
    """

    populations: tuple[tuple[str, Mapping[str, Any]], ...]
    background: int
    seed: int
    without: tuple[str, ...] = ()
    drift: bool = False
    baselines: bool = True
    half: str = "report"
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def configuration(self) -> dict[str, Any]:
        """What makes its cells differ from another trial's."""
        return {
            "populations": [[family, dict(sorted(knobs.items()))] for family, knobs in self.populations],
            "background": self.background,
            "seed": self.seed,
            "without": list(self.without),
            "drift": self.drift,
            "half": self.half,
        }

    def key(self, version: str) -> str:
        """The name of this trial's cells under a version of code and corpus."""
        told = json.dumps([self.configuration(), self.baselines, CALIBRATION, version], sort_keys=True)
        return hashlib.blake2b(told.encode(), digest_size=10).hexdigest()

    def plan(self, corpus: Corpus) -> Plan:
        """The plan, with campaigns named ``campaign-<n>``."""
        calm = compose.attack_free(compose.Case(corpus), size=self.background, without=self.without)
        innocent = _drifted(calm, self.seed) if self.drift else calm
        numbers = [family for family, _ in self.populations]
        made = tuple(
            Population(family, knobs, name=f"campaign-{numbers[:place].count(family)}-{family}")
            if family[0] == "A" and family[1:].isdigit()
            else Population(family, knobs)
            for place, (family, knobs) in enumerate(self.populations)
        )
        return replace(innocent, populations=(*innocent.populations, *made))


def _drifted(plan: Plan, seed: int) -> Plan:
    rng = np.random.default_rng([seed, 77])
    made: list[Population] = []
    for one in plan.populations:
        factor = float(rng.lognormal(0.0, DRIFT_SIGMA))
        if one.family in {"launch_adopters", "viral_prompt"}:
            factor *= DRIFT_LAUNCH
        accounts = max(2, round(one.options["accounts"] * factor))
        made.append(replace(one, options={**one.options, "accounts": accounts}))
    return replace(plan, populations=tuple(made), start=plan.start + DRIFT_DAYS * 86_400_000_000)


def version(corpus: Path) -> str:
    """Hex hash of the code that decides a cell and of the corpus's texts."""
    digest = hashlib.blake2b(digest_size=10)
    for pattern in DECIDES:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(path.relative_to(ROOT).as_posix().encode())
                digest.update(path.read_bytes())
    for path in sorted(path for name in ("data.jsonl", "data.jsonl.gz") for path in corpus.glob(f"*/{name}")):
        digest.update(path.relative_to(corpus).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
