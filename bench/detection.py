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

_COLUMNS = (
    *("case", "runs", "innocent accounts accused", "runs with any", "rate, 95 % upper", "campaigns found"),
    *("recall, mean", "recall, worst", "purity, worst", "own purity, worst"),
)
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


def _key(one: dict[str, Any]) -> str:
    columns = "" if one["infrastructure"] else ", no infrastructure columns"
    return f"{one['case']}, {one['mode']}, {one['half']} half{columns}"


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """One entry a case, mode, half and set of columns: recall, purity, innocent accounts accused with an upper bound."""
    told: dict[str, Any] = {}
    for key in sorted({_key(one) for one in runs}):
        mine = [one for one in runs if _key(one) == key]
        found = [campaign for one in mine for campaign in one["campaigns"].values()]
        innocent = sum(one["innocent_accounts"] for one in mine)
        wrong = sum(one["innocent_accused"] for one in mine)
        told[key] = {
            "runs": len(mine),
            "innocent_accounts": innocent,
            "innocent_accused": wrong,
            "runs_with_innocent_accused": sum(one["innocent_accused"] > 0 for one in mine),
            "rate_upper_95": None if wrong or not innocent else float(f"{1 - 0.05 ** (1 / innocent):.3g}"),
            "campaigns": len(found),
            "found": sum(one["recall"] >= 0.5 for one in found),  # noqa: PLR2004 - found: half of it or more
            "recall_mean": round(float(np.mean([one["recall"] for one in found])), 4) if found else None,
            "recall_worst": min((one["recall"] for one in found), default=None),
            "own_purity_worst": min((one["own_purity"] for one in found if one["own_purity"]), default=None),
            "purity_worst": min((one["purity"] for one in found if one["purity"]), default=None),
        }
    return told


def earlier(paths: list[Path]) -> list[dict[str, Any]]:
    """The runs of result files made before, each with its half and columns."""
    found: list[dict[str, Any]] = []
    for path in paths:
        made = json.loads(path.read_text("utf-8"))
        where = {key: made[key] for key in ("half", "infrastructure") if key in made}
        found += [{**where, **one} for one in made["runs"]]
    return found


def write(runs: list[dict[str, Any]], out: Path) -> None:
    """``out`` (JSON: summary and runs) and the table beside it."""
    told = summary(runs)
    out.write_text(json.dumps({"summary": told, "runs": runs}, indent=1) + "\n", "utf-8")
    lines = [
        "# Detection on composed logs",
        "",
        "Made by `bench/detection.py`: real prompts of the named half of the development sources, simulated accounts; the",
        "shipped calibration comes from the *calibration* half. These are claims about composed data. Recall and purity are of",
        "accounts; purity counts members of any campaign; the upper bound takes accounts as independent.",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        f"|{'---|' * len(_COLUMNS)}",
    ]
    for name, row in told.items():
        cells = [
            name,
            row["runs"],
            f"{row['innocent_accused']} of {row['innocent_accounts']:,}",
            row["runs_with_innocent_accused"],
            row["rate_upper_95"],
            f"{row['found']} of {row['campaigns']}",
            *(row[key] for key in ("recall_mean", "recall_worst", "purity_worst", "own_purity_worst")),
        ]
        lines.append(f"| {' | '.join('–' if cell is None else str(cell) for cell in cells)} |")
    out.with_suffix(".md").write_text("\n".join(lines) + "\n", "utf-8")


def main() -> int:
    """Run the cases over their seeds; exit status 1 when any innocent account was accused."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument(
        "--add", action="append", type=Path, default=[], help="result files to take runs from"
    )
    parser.add_argument("--mode", action="append", choices=("rich", "naive"))
    parser.add_argument("--half", choices=sorted(compose.HALVES), default="report")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--days", type=float, default=1.0)
    parser.add_argument("--no-infrastructure", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    corpus = compose.matched(load_corpus(args.corpus), args.half)
    runs = earlier(args.add)
    for mode in args.mode or ["rich"]:
        case = compose.Case(corpus, args.days, mode, infrastructure=not args.no_infrastructure)
        for name in args.case:
            for seed in range(args.first, args.first + args.seeds):
                with tempfile.TemporaryDirectory() as folder:
                    made = run(case, name, seed, Path(folder))
                runs.append({"half": args.half, "infrastructure": not args.no_infrastructure, **made})
                sys.stdout.write(json.dumps(runs[-1]) + "\n")
                sys.stdout.flush()
                told = {
                    "half": args.half,
                    "infrastructure": not args.no_infrastructure,
                    "summary": summary(runs),
                }
                args.out.write_text(json.dumps({**told, "runs": runs}, indent=1) + "\n", "utf-8")
    write(runs, args.out)
    sys.stdout.write(json.dumps(summary(runs), indent=1) + "\n")
    return int(any(one["innocent_accused"] for one in runs))


if __name__ == "__main__":
    sys.exit(main())
