"""What the console says of each signal, test and layer: how often it speaks where it should, and where it should not.

    python bench/console_signals.py [--seeds 4] [--only-roles]

Signals: from ``bench/results/roles.json`` (``bench/roles.py``): the share of prompts on which each speaks, in sources of ordinary
people and products, all of them and those that no rule was built from, and on paraphrases that were held out. Tests and layers:
composed logs of every innocent family and, apart, of every campaign archetype, scanned; of all groups whose coordination
was tested, how many reach 20 bits in this test alone. A group is a campaign's when most of its parties are. Groups of one log
overlap, so the bounds take each *log and family of groups* as one. Writes ``bench/results/signals.json`` and, out of both,
``src/spiritsafe/console/measured.json``, which the package carries. Claims about composed data.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import beta

from spiritsafe import pipeline
from spiritsafe.campaigns import intent
from spiritsafe.campaigns.candidates import families
from spiritsafe.campaigns.naming import names
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.registry import extensions
from spiritsafe.settings import Settings
from spiritsafe.simulate import Plan, Population, load_corpus, shipped, simulate

ROOT = Path(__file__).parents[1]
ROLES = ROOT / "bench" / "results" / "roles.json"
RESULT = ROOT / "bench" / "results" / "signals.json"
PACKAGED = ROOT / "src" / "spiritsafe" / "console" / "measured.json"
BITS = 20.0
"""What one test must reach alone where no role is recognised (``grounds.UNNAMED``)."""
_MOSTLY = 0.5


def bounds(hits: int, n: int) -> tuple[float, float]:
    """The exact 95 % interval of a rate (Clopper and Pearson)."""
    low = float(beta.ppf(0.025, hits, n - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, n - hits)) if hits < n else 1.0
    return low, high


def rate(hits: int, n: int) -> dict[str, Any] | None:
    """A rate with its interval; None of nothing."""
    if not n:
        return None
    low, high = bounds(hits, n)
    return {
        "hits": hits,
        "n": n,
        "rate": float(f"{hits / n:.3g}"),
        "low": float(f"{low:.3g}"),
        "high": float(f"{high:.3g}"),
    }


def signals(told: dict[str, Any]) -> dict[str, Any]:
    """By signal: how often it speaks in ordinary sources, in those that no rule was built from, on held-out paraphrases."""
    ordinary = {
        name: one
        for name, one in told["sources"].items()
        if all(kind.startswith("ben_") for kind in one["kinds"])
    }
    found: dict[str, Any] = {}
    for name in extensions("signals"):
        counts = {"ordinary": [0, 0], "unseen": [0, 0]}
        for one in ordinary.values():
            hits = round(one["signals"].get(name, 0.0) * one["rows"])
            for part in ("ordinary", "unseen") if one["use"] == "report" else ("ordinary",):
                counts[part][0] += hits
                counts[part][1] += one["rows"]
        held = told["paraphrases"]["held_out"]["role"].get(name)
        top = sorted(
            ((one["signals"].get(name, 0.0), source, one["use"]) for source, one in told["sources"].items()),
            reverse=True,
        )[:4]
        found[name] = {
            **{part: rate(*pair) for part, pair in counts.items()},
            "paraphrases": rate(*held) if held else None,
            "most": [
                {"source": source, "use": use, "share": share} for share, source, use in top if share > 0
            ],
        }
    return found


def plans() -> dict[str, Plan]:
    """One log of every innocent family, and one of every archetype among chat users."""
    families = extensions("simulate")
    campaigns = {name for name, one in families.items() if hasattr(one.module, "ARCHETYPE")}
    crowd = Population("chat_users", {"accounts": 400, "rate": 4.0})
    innocent = tuple(
        Population(name, {}) for name in families if name not in campaigns and name != "chat_users"
    )
    half, texts = len(innocent) // 2, load_corpus(shipped())
    return {
        "innocent, one half of the families": Plan((crowd, *innocent[:half]), texts, days=3.0),
        "innocent, the other half": Plan((crowd, *innocent[half:]), texts, days=3.0),
        "campaigns": Plan(
            (crowd, *(Population(name, {"accounts": 60}) for name in sorted(campaigns))), texts, days=3.0
        ),
    }


def tested(plan: Plan, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Of each tested group: its family, the share of its parties that belong to a campaign, and the bits of each test."""
    made = simulate(plan, folder / "log", seed=seed)
    truth = pq.read_table(made.truth, columns=["account_id", "account_campaign"])
    owned = set(truth.filter(truth["account_campaign"].is_valid())["account_id"].to_pylist())
    work = folder / "work"
    work.mkdir()
    settings = Settings(seed=seed)
    with DuckDB(work, memory=settings.memory, threads=settings.threads) as engine:
        taken = pipeline.ingest(engine, [made.log], work, settings=settings)
        result = pipeline.conclude(engine, taken, settings=settings, reference=intent.shipped())
    log = result.log
    if log is None:
        return []
    bad = np.zeros(log.parties, bool)
    bad[log.party[[at for at, name in enumerate(log.accounts) if name in owned]]] = True
    heard = [one for one in result.heard if one.hypotheses]
    family = families(log, heard, names(log, result.heard))
    return [
        {
            "family": family[id(one)],
            "campaign": float(bad[one.view.parties].mean()),
            "bits": {test.name: float(test.log_e / np.log(2)) for test in one.tests},
            "weights": {test.name: test.weight for test in one.tests},
        }
        for one in heard
    ]


def tests(seeds: int) -> dict[str, Any]:
    """By test: families of innocent groups in which any group reaches ``BITS``, and families of campaigns' groups."""
    counts: defaultdict[str, dict[str, list[int]]] = defaultdict(
        lambda: {"innocent": [0, 0], "campaign": [0, 0]}
    )
    logs: list[dict[str, Any]] = []
    for name, plan in plans().items():
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as scratch:
                groups = tested(plan, seed, Path(scratch))
            logs.append({"log": name, "seed": seed, "groups": len(groups)})
            print(json.dumps(logs[-1]), flush=True)
            whole: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
            for one in groups:
                side = "campaign" if one["campaign"] > _MOSTLY else "innocent"
                for test, bits in one["bits"].items():
                    whole[side, one["family"], test].append(bits)
            for (side, _, test), bits in whole.items():
                counts[test][side][1] += 1
                counts[test][side][0] += max(bits) >= BITS
    return {
        "bits": BITS,
        "logs": logs,
        "tests": {
            name: {side: rate(*pair) for side, pair in both.items()} for name, both in sorted(counts.items())
        },
    }


def main() -> int:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument(
        "--only-roles", action="store_true", help="take the tests from the result that is there"
    )
    asked = parser.parse_args()
    measured = json.loads(RESULT.read_text("utf-8")) if asked.only_roles else tests(asked.seeds)
    RESULT.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")
    told = {
        "schema": 1,
        "from": ["bench/results/roles.json", "bench/results/signals.json"],
        "bits": measured["bits"],
        "logs": len(measured["logs"]),
        "signals": signals(json.loads(ROLES.read_text("utf-8"))),
        "tests": measured["tests"],
    }
    PACKAGED.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
