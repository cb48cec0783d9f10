"""Spiritsafe beside the baselines of the literature, on the same logs.

    python bench/compare.py --corpus DIR --case campaigns --seeds 3 --exchanges small [--background 12000]

Each seed makes two logs: an attack-free one from the *calibration* half of the corpus, which sets every baseline's
threshold at the stated share of innocent parties (``--fpr``), and the case itself from the *report* half, on which all
are judged. Baselines with a threshold of their paper's own are shown at that one as well. Spiritsafe runs as shipped.

``--exchanges`` scales the case: ``small`` (60 accounts a campaign, 12,000 innocent exchanges, about a minute) or ``full``
(500 accounts, 100,000 exchanges); ``--background`` and ``--accounts`` change either. A campaign is found when half of
its accounts or more are flagged. The table goes to ``bench/results/compare.md``, every run to ``compare.json``. These are
claims about composed data.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import baselines
import compose
from scoreboard import judge, page, summary, table
from spiritsafe import pipeline
from spiritsafe.campaigns.stored import build
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.errors import SpiritsafeError, UsageError
from spiritsafe.settings import Settings
from spiritsafe.simulate import load_corpus, simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.simulate import Corpus, Plan

RESULTS = Path(__file__).with_name("results")
SIZES = {"small": (12_000, 60), "full": (100_000, 500)}
"""Innocent exchanges, and accounts a campaign."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What all seeds share: innocent exchanges, accounts a campaign, the share of innocents that may be flagged."""

    background: int
    accounts: int
    fpr: float = 0.01
    mode: str = "rich"
    days: float = 1.0

    def case(self, corpus: Corpus) -> compose.Case:
        """A case on this corpus."""
        return compose.Case(corpus, self.days, self.mode)


def sized(plan: Plan, background: int, accounts: int) -> Plan:
    """The plan with ``accounts`` accounts a campaign and innocent families scaled to ``background`` exchanges.

    Campaigns on few accounts by nature (A12) keep theirs; every family keeps two accounts at least.
    """
    weight = {"evaluation_harness": compose.HARNESS_ITEMS}
    innocent = [one for one in plan.populations if not one.name.startswith("campaign-")]
    expected = sum(
        one.options["accounts"] * one.options["rate"] * weight.get(one.family, 1) for one in innocent
    )
    scale = background / (expected * plan.days)
    made = []
    for one in plan.populations:
        have = one.options["accounts"]
        want = max(2, round(have * scale)) if one in innocent else min(have, accounts)
        made.append(replace(one, options={**one.options, "accounts": want}))
    return replace(plan, populations=tuple(made))


def scores(log: Path, *, seed: int) -> tuple[dict[str, Any], dict[str, int]]:
    """Every baseline's scores of a log's parties, and the party of each account."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with DuckDB(work, memory="2GB", threads=1) as engine:
            taken = pipeline.ingest(engine, [log], work, settings=Settings(threads=1))
            seen = build(engine, taken, pipeline.silent)
            view = baselines.look(engine, seen, taken)
        told = {name: one.score(view, seed=seed) for name, one in baselines.found().items()}
        return told, dict(zip(seen.accounts, seen.party.tolist(), strict=True))


def run(case: str, corpora: dict[str, Corpus], setup: Setup, seed: int) -> list[dict[str, Any]]:
    """One seed: calibrate, score, scan, judge. One entry a detector and operating point, Spiritsafe first.

    ``corpora``: "calibration" and "report", disjoint by source.
    """
    with tempfile.TemporaryDirectory() as folder:
        calm = compose.attack_free(setup.case(corpora["calibration"]), size=setup.background)
        calibration = simulate(calm, Path(folder, "calibration"), seed=seed + 10_000)
        plan = sized(compose.cases()[case](setup.case(corpora["report"])), setup.background, setup.accounts)
        made = simulate(plan, Path(folder, "report"), seed=seed)
        begin = time.perf_counter()
        innocent, _ = scores(calibration.log, seed=seed)
        told, party = scores(made.log, seed=seed)
        middle = time.perf_counter()
        result = pipeline.scan([made.log], Path(folder, "out"), settings=Settings(seed=seed, threads=1))
        end = time.perf_counter()
        named = [entry for entry in result["campaigns"] if entry["label"] == "campaign"]
        accused = {row["account_id"] for entry in named for row in entry["accounts"]}
        entries = [
            {"detector": "spiritsafe", "point": "as shipped", "threshold": None, **judge(accused, made.truth)}
        ]
        for name, one in baselines.found().items():
            points = {f"{setup.fpr:.1%} of calibration": baselines.threshold(innocent[name], setup.fpr)}
            if one.published is not None:
                points["published"] = one.published
            for point, limit in points.items():
                hit = baselines.flagged(told[name], limit)
                accused = {account for account, owner in party.items() if hit[owner]}
                told_of = judge(accused, made.truth)
                entries.append({"detector": name, "point": point, "threshold": limit, **told_of})
    spent = {"baselines_s": round(middle - begin, 1), "spiritsafe_s": round(end - middle, 1)}
    return [{"seed": seed, "exchanges": made.exchanges, **spent, **entry} for entry in entries]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print the table and write it; 2 for bad usage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--case", default="campaigns")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=300)
    parser.add_argument("--exchanges", choices=sorted(SIZES), default="small")
    parser.add_argument("--background", type=int, help="innocent exchanges, in place of the size's own")
    parser.add_argument("--accounts", type=int, help="accounts a campaign, in place of the size's own")
    parser.add_argument("--fpr", type=float, default=0.01)
    parser.add_argument("--mode", choices=("rich", "naive"), default="rich")
    parser.add_argument("--days", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=RESULTS / "compare.json")
    args = parser.parse_args(arguments)
    background, accounts = SIZES[args.exchanges]
    setup = Setup(args.background or background, args.accounts or accounts, args.fpr, args.mode, args.days)
    try:
        if args.case not in compose.cases():
            raise UsageError(f"no case called {args.case!r}", hint=f"there are: {', '.join(compose.cases())}")
        corpus = load_corpus(args.corpus)
        corpora = {half: compose.matched(corpus, half) for half in ("calibration", "report")}
        runs: list[dict[str, Any]] = []
        for seed in range(args.first, args.first + args.seeds):
            runs += run(args.case, corpora, setup, seed)
            last = runs[-1]
            took = f"baselines {last['baselines_s']} s, spiritsafe {last['spiritsafe_s']} s"
            print(f"seed {seed}: {last['exchanges']} exchanges; {took}", file=sys.stderr)
    except SpiritsafeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    told = {
        "case": args.case,
        "first": args.first,
        "seeds": args.seeds,
        **asdict(setup),
        "summary": summary(runs),
    }
    args.out.write_text(json.dumps({**told, "runs": runs}, indent=1) + "\n", "utf-8")
    args.out.with_suffix(".md").write_text(page(told), "utf-8")
    print(table(told["summary"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
