"""Run the golden benchmark: ``python -m golden --tier quick|full``; 0 valid, 1 void, 2 bad usage."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

import compose
from golden import charts, menu, page, report, store, validity
from golden.trials import ROOT, Trial, version
from spiritsafe.errors import SpiritsafeError
from spiritsafe.simulate import load_corpus, shipped

if TYPE_CHECKING:
    from collections.abc import Sequence


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="golden", description=__doc__)
    parser.add_argument("--tier", choices=sorted(menu.TIERS), default="quick")
    parser.add_argument("--corpus", type=Path, help="a folder of sources; none: the shipped texts")
    parser.add_argument("--seed", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cells", type=Path, default=ROOT / "bench-out" / "golden.jsonl")
    parser.add_argument(
        "--section", action="append", choices=sorted(menu.menu(menu.QUICK, 0)), help="run only this part"
    )
    parser.add_argument("--show", action="store_true", help="run nothing: show what the cells there say")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    parser.add_argument("--result", type=Path, default=ROOT / "bench" / "results" / "golden.json")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Run what is lacking, write figures, pictures and page, print the table."""
    args = _arguments(given)
    out = Console(soft_wrap=True, markup=False, highlight=False)
    folder: Path = args.corpus or shipped()
    try:
        corpus = load_corpus(folder)
        compose.matched(corpus, "calibration")
        compose.matched(corpus, "report")
    except SpiritsafeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    tier = menu.TIERS[args.tier]
    trials = menu.menu(tier, args.seed)
    code = version(folder)
    if args.show:
        records = store.read(args.cells)
    else:
        _run(args, [one for name in args.section or trials for one in trials[name]], str(folder), code)
        records = store.read(args.cells)
    told: dict[str, Any] = {
        "seed": args.seed,
        "corpus": "shipped" if args.corpus is None else folder.name,
        "version": code,
        "minutes": sum(one.get("seconds", 0.0) for one in _mine(records, trials, code)) / 60.0 / args.workers,
        **report.figures(records, trials, code, tier, args.result.parent),
    }
    if not args.show:
        print("validity gates", file=sys.stderr)
    told["gates"] = [
        *validity.of_the_run(corpus, told),
        *validity.of_the_corpus(
            corpus, args.cells, seed=args.seed, version=code, quick=tier.name == "quick", run=not args.show
        ),
    ]
    table = report.table(told)
    made = charts.write(told, args.docs / "img")
    (args.docs / "benchmark.md").write_text(page.page(told, table, made), "utf-8")
    args.result.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    out.print(page.first_table(told, table).replace("<br>", "; "))
    return int(any(not one["passed"] for one in told["gates"]))


def _mine(records: dict[str, Any], trials: dict[str, list[Trial]], code: str) -> list[dict[str, Any]]:
    keys = {one.key(code) for some in trials.values() for one in some}
    return [one for key, one in records.items() if key in keys]


def _run(args: argparse.Namespace, trials: list[Trial], folder: str, code: str) -> None:
    begin = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("calibrating the baselines", total=None)
        bounds = store.limits(args.cells, folder, code)

        def tell(done: int, total: int, trial: Trial | None, record: dict[str, Any] | None) -> None:
            bar.update(task, completed=done, total=total, description="logs")
            if record is not None and trial is not None and ("error" in record or not sys.stderr.isatty()):
                said = record.get("error") or f"{record['cells'][0]['seconds']} s"
                who = ", ".join(family for family, _ in trial.populations) or "attack-free"
                bar.console.print(
                    f"{done}/{total} {time.monotonic() - begin:.0f} s: {who}, seed {trial.seed}: {said}"
                )

        store.complete(args.cells, trials, folder, code, bounds, workers=args.workers, tell=tell)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
