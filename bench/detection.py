"""Detection over many seeds: attack-free logs must accuse nobody, composed campaigns must be found within a day.

    python bench/detection.py --corpus DIR --case attack-free --case campaigns-quiet --seeds 20 [--mode rich]

Logs are made by ``bench/compose.py`` from the *report* half of a corpus (thresholds and the shipped calibration come
from the other half); each is scanned as a user would scan it, and compared with its truth. One line a run; all runs
and a summary by case go to ``bench/results/detection.json``. Accounts that no campaign owns but that a scan accuses are
counted one by one: with none in n, the 95 % upper bound of their rate is ``1 - 0.05 ** (1 / n)``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

import compose
from spiritsafe import pipeline
from spiritsafe.settings import Settings
from spiritsafe.simulate import load_corpus, simulate

RESULT = Path(__file__).with_name("results") / "detection.json"


def judge(result: dict[str, Any], truth: Path) -> dict[str, Any]:
    """What a scan found beside what was there: campaigns with account recall and purity, and who was accused wrongly."""
    table = pq.read_table(truth)
    members = table.group_by(["account_id", "account_campaign", "family"]).aggregate([])
    owner = dict(zip(members["account_id"].to_pylist(), members["account_campaign"].to_pylist(), strict=True))
    family = dict(zip(members["account_id"].to_pylist(), members["family"].to_pylist(), strict=True))
    entries = [entry for entry in result["campaigns"] if entry["label"] == "campaign"]
    accused = [{row["account_id"] for row in entry["accounts"]} for entry in entries]
    everybody: set[str] = set().union(*accused)
    wrong = sorted(account for account in everybody if owner[account] is None)
    campaigns = {}
    for name in sorted({one for one in owner.values() if one is not None}):
        mine = {account for account, one in owner.items() if one == name}
        best = max(accused, key=lambda found, mine=mine: len(found & mine), default=set[str]())
        ours = sum(owner[account] is not None for account in best)
        campaigns[name] = {
            "accounts": len(mine),
            "recall": round(len(everybody & mine) / len(mine), 4),
            "recall_of_best": round(len(best & mine) / len(mine), 4),
            "purity": round(ours / len(best), 5) if best else None,
            "own_purity": round(len(best & mine) / len(best), 4) if best else None,
        }
    return {
        "exchanges": table.num_rows,
        "innocent_accounts": sum(one is None for one in owner.values()),
        "accused_campaigns": len(entries),
        "innocent_accused": len(wrong),
        "innocent_families_accused": sorted({family[account] for account in wrong}),
        "labels": {
            label: sum(entry["label"] == label for entry in result["campaigns"])
            for label in ("campaign", "pool", "reseller", "insufficient")
        },
        "campaigns": campaigns,
    }


def run(case: compose.Case, name: str, seed: int, folder: Path) -> dict[str, Any]:
    """Compose, scan, judge."""
    made = simulate(compose.cases()[name](case), folder / "log", seed=seed)
    begin = time.perf_counter()
    result = pipeline.scan([made.log], folder / "out", settings=Settings(seed=seed))
    return {
        "case": name,
        "mode": case.mode,
        "seed": seed,
        "seconds": round(time.perf_counter() - begin, 1),
        **judge(result, made.truth),
    }


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """One entry a case and mode: worst and mean recall and purity, innocent accounts accused with an upper bound."""
    told: dict[str, Any] = {}
    for key in sorted({(one["case"], one["mode"]) for one in runs}):
        mine = [one for one in runs if (one["case"], one["mode"]) == key]
        found = [campaign for one in mine for campaign in one["campaigns"].values()]
        innocent = sum(one["innocent_accounts"] for one in mine)
        wrong = sum(one["innocent_accused"] for one in mine)
        told[" / ".join(key)] = {
            "runs": len(mine),
            "innocent_accounts": innocent,
            "innocent_accused": wrong,
            "runs_with_innocent_accused": sum(one["innocent_accused"] > 0 for one in mine),
            "rate_upper_95": None if wrong or not innocent else float(f"{1 - 0.05 ** (1 / innocent):.3g}"),
            "campaigns": len(found),
            "found": sum(one["recall"] >= 0.5 for one in found),  # noqa: PLR2004 - found: half of it or more
            "recall_mean": round(float(np.mean([one["recall"] for one in found])), 4) if found else None,
            "recall_worst": min((one["recall"] for one in found), default=None),
            "purity_worst": min((one["purity"] for one in found if one["purity"]), default=None),
        }
    return told


def main() -> int:
    """Run the cases over their seeds; exit status 1 when any innocent account was accused."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--case", action="append", required=True)
    parser.add_argument("--mode", action="append", choices=("rich", "naive"))
    parser.add_argument("--half", choices=sorted(compose.HALVES), default="report")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--days", type=float, default=1.0)
    parser.add_argument("--no-infrastructure", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    corpus = compose.matched(load_corpus(args.corpus), args.half)
    runs: list[dict[str, Any]] = []
    for mode in args.mode or ["rich"]:
        case = compose.Case(corpus, args.days, mode, infrastructure=not args.no_infrastructure)
        for name in args.case:
            for seed in range(args.first, args.first + args.seeds):
                with tempfile.TemporaryDirectory() as folder:
                    runs.append(run(case, name, seed, Path(folder)))
                sys.stdout.write(json.dumps(runs[-1]) + "\n")
                sys.stdout.flush()
                told = {
                    "half": args.half,
                    "infrastructure": not args.no_infrastructure,
                    "summary": summary(runs),
                }
                args.out.write_text(json.dumps({**told, "runs": runs}, indent=1) + "\n", "utf-8")
    sys.stdout.write(json.dumps(summary(runs), indent=1) + "\n")
    return int(any(one["innocent_accused"] for one in runs))


if __name__ == "__main__":
    sys.exit(main())
