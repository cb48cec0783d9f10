"""Time to detect on simulated live traffic: logs cut into segments, a watch over virtual time, the truth beside it.

    python bench/watch.py --corpus DIR --case busy --case light --case shared --case attack-free --seeds 3

A log is composed by ``bench/compose.py`` from the *report* half of a corpus and cut into segments of five minutes; each
is given to the watch when its time is over, and the watch decides by itself when to look for campaigns. A campaign is
detected at the first step that accuses at least half of the accounts that harvested so far; the seconds that the step
took are added. One line a run; all runs and a summary go to ``bench/results/watch.json``, a table and a curve beside it.
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
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import compose
from spiritsafe.settings import Settings
from spiritsafe.simulate import load_corpus, simulate
from spiritsafe.watch.follow import Rhythm, Watch

MINUTE = 60_000_000
HOUR = 60 * MINUTE
SEGMENT = 5 * MINUTE
RESULT = Path(__file__).with_name("results") / "watch.json"
PLAN_DAYS = 30
"""How long a campaign means to go on: what it gets before it is seen is told as a share of that."""
_WARM, _SPREAD, _GOLDEN = 2 / 24, 2 / 24, 0.618034
_HALF = 0.5

CASES: dict[str, dict[str, Any]] = {
    "busy": {"accounts": 1000, "rate": 26.0},
    "shared": {"accounts": 1000, "rate": 26.0, "share": 0.25},
    "light": {"accounts": 1000, "rate": 4.0},
}
"""Knobs of the campaigns: 26 exchanges a day and account, a quarter of that among others, 4 a day."""


class Truth:
    """Who harvests, and when: from the simulation's own record, whose rows are those of the log."""

    def __init__(self, path: Path, log: pa.Table) -> None:
        table = pq.read_table(path)
        if not table["exchange_id"].equals(log["exchange_id"].cast(table["exchange_id"].type)):
            raise ValueError("the truth is not about this log")
        account, campaign = (table[name].to_numpy() for name in ("account_id", "campaign"))
        innocent = table.filter(pc.is_null(table["account_campaign"])).group_by("account_id").aggregate([])
        self.innocent = set(innocent["account_id"].to_pylist())
        family = table.group_by(["account_id", "family"]).aggregate([])
        self.family = dict(zip(family["account_id"].to_pylist(), family["family"].to_pylist(), strict=True))
        self.harvest: dict[str, tuple[Any, Any]] = {}
        for name in sorted(pc.unique(table["campaign"].drop_null()).to_pylist()):
            rows = np.flatnonzero(campaign == name)
            rows = rows[np.argsort(_micros(log)[rows], kind="stable")]
            self.harvest[name] = _micros(log)[rows], account[rows]
        self.begins = {name: int(times[0]) for name, (times, _) in self.harvest.items()}

    def until(self, campaign: str, now: int) -> tuple[int, set[str]]:
        """Harvesting exchanges before ``now``, and the accounts that sent them."""
        times, accounts = self.harvest[campaign]
        sent = int(np.searchsorted(times, now))
        return sent, set(accounts[:sent])


def warm(seed: int) -> float:
    """Days that a log runs before its campaigns begin: two to four hours, spread evenly over seeds.

    A service does not begin with them.
    """
    return _WARM + _SPREAD * (seed * _GOLDEN % 1.0)


def _micros(log: pa.Table) -> Any:
    return pc.cast(log["time"], pa.int64()).to_numpy()


def run(args: argparse.Namespace, case: str, seed: int, folder: Path) -> dict[str, Any]:
    """Compose, cut, follow, measure."""
    shape = compose.Case(args.corpus, args.days, "rich", infrastructure=not args.no_infrastructure)
    size = round(args.background * args.days)
    plan = (
        compose.attack_free(shape, size=size)
        if case == "attack-free"
        else compose.campaigns(shape, args.archetype, background=size, warmup_days=warm(seed), **CASES[case])
    )
    made = simulate(plan, folder / "log", seed=seed)
    log = pq.read_table(made.log)
    truth = Truth(made.truth, log)
    log = log.take(pa.array(np.argsort(_micros(log), kind="stable")))
    steps, takes = _follow(
        log, truth, seed, folder, patience=round(args.hours * HOUR), every=round(args.every * MINUTE)
    )
    wrong = {account for step in steps for account in step.pop("wrong")}
    return {
        "case": case if args.every == 60 else f"{case}, every {args.every:g} min",
        "seed": seed,
        "exchanges": len(log),
        "steps": steps,
        "begins": truth.begins,
        "campaigns": {name: _detected(truth, name, steps) for name in sorted(truth.harvest)},
        "innocent_accounts": len(truth.innocent),
        "innocent_accused": len(wrong),
        "innocent_families_accused": sorted({truth.family[account] for account in wrong}),
        "steps_with_innocents": sum(step["innocents"] > 0 for step in steps),
        "ingest": _cost(takes),
    }


def _follow(
    log: pa.Table, truth: Truth, seed: int, folder: Path, *, patience: int, every: int
) -> tuple[list[dict[str, Any]], list[tuple[int, float]]]:
    """Give the segments one by one; every campaign step, and exchanges and seconds of each segment taken."""
    time_of = _micros(log)
    begins = truth.begins
    end = min(int(time_of[-1]) + SEGMENT, max(begins.values(), default=1 << 62) + patience)
    steps: list[dict[str, Any]] = []
    takes: list[tuple[int, float]] = []
    (folder / "in").mkdir()
    with Watch(
        folder / "in",
        folder / "out",
        folder / "state",
        settings=Settings(seed=seed),
        rhythm=Rhythm(campaigns=every),
        tell=lambda event, **facts: (
            steps.append({"reason": facts["reason"]}) if event == "campaigns" else None
        ),
    ) as watch:
        for start in range(int(time_of[0]) // SEGMENT * SEGMENT, end, SEGMENT):
            low, high = np.searchsorted(time_of, [start, start + SEGMENT])
            pq.write_table(log.slice(low, high - low), folder / "in" / f"{start}.parquet")
            now = start + SEGMENT
            watch.look()
            fresh = watch.look()
            begin = time.perf_counter()
            watch.take(fresh, now=now)
            takes.append((int(high - low), time.perf_counter() - begin))
            begin = time.perf_counter()
            record = watch.steps(now=now)
            if record is not None:
                steps[-1] |= _judged(record, truth, now, time.perf_counter() - begin)
                if begins and all(_detected(truth, name, steps)["hours"] is not None for name in begins):
                    break
    return steps, takes


def _judged(record: dict[str, Any], truth: Truth, now: int, seconds: float) -> dict[str, Any]:
    """A step beside the truth: for each campaign the accused entry with most of it, and its bits."""
    entries = [entry for entry in record["campaigns"] if entry["label"] == "campaign"]
    accused = [{row["account_id"] for row in entry["accounts"]} for entry in entries]
    found: dict[str, Any] = {}
    for name in truth.harvest:
        sent, active = truth.until(name, now)
        everyone = set().union(*accused) & active
        best = max(range(len(entries)), key=lambda index: len(accused[index] & active), default=None)
        found[name] = {
            "harvested": sent,
            "active": len(active),
            "accused": len(everyone),
            "bits": entries[best]["coordination"]["bits"] if best is not None and everyone else None,
        }
    wrong = sorted(set().union(*accused) & truth.innocent)
    pure = [len(one - truth.innocent) / len(one) for one in accused]
    return {
        "now": now,
        "seconds": round(seconds, 2),
        "exchanges": record["scanned"]["accepted"],
        "campaigns": found,
        "innocents": len(wrong),
        "accused": len(entries),
        "purity": round(min(pure), 4) if pure else None,
        "wrong": wrong,
    }


def _detected(truth: Truth, name: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Hours from the first harvesting exchange to the first step that accuses half of the active accounts."""
    begin = truth.begins[name]
    for step in steps:
        one = step["campaigns"][name]
        if one["active"] and one["accused"] >= _HALF * one["active"]:
            return {
                "hours": round((step["now"] - begin) / HOUR + step["seconds"] / 3600, 3),
                "reason": step["reason"],
                "harvested": one["harvested"],
                "of_active": round(one["accused"] / one["active"], 3),
                "bits": one["bits"],
            }
    last = steps[-1]
    return {"hours": None, "followed": round((last["now"] - begin) / HOUR, 2), **last["campaigns"][name]}


def _cost(takes: list[tuple[int, float]]) -> dict[str, Any]:
    """Seconds for each 1,000 exchanges taken, in the first and the last tenth of the segments, and their ratio."""
    takes = takes[1:]  # the first one also loads the compiled kernel
    tenth = max(1, len(takes) // 10)
    first, last = (
        1000 * sum(seconds for _, seconds in part) / max(1, sum(rows for rows, _ in part))
        for part in (takes[:tenth], takes[-tenth:])
    )
    told = {"seconds_per_1000_first": round(first, 4), "seconds_per_1000_last": round(last, 4)}
    return {"segments": len(takes), **told, "ratio": round(last / first, 3)}


def stricter(runs: list[dict[str, Any]], case: str) -> list[tuple[int, float | None]]:
    """An activity monitoring curve (Fawcett & Provost 1999): median hours to detect when more bits are asked for."""
    curve: list[tuple[int, float | None]] = []
    for bits in range(0, 201, 10):
        hours: list[float] = []
        for one in runs:
            if one["case"] != case:
                continue
            for name, begin in one["begins"].items():
                hit = [
                    (step["now"] - begin) / HOUR + step["seconds"] / 3600
                    for step in one["steps"]
                    if step["campaigns"][name]["accused"] >= max(1, _HALF * step["campaigns"][name]["active"])
                    and step["campaigns"][name]["bits"] >= bits
                ]
                hours.append(min(hit, default=float("inf")))
        middle = float(np.median(hours)) if hours else float("inf")
        curve.append((bits, round(middle, 2) if np.isfinite(middle) else None))
    return curve


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """By case: hours to detect, what was harvested until then, innocents accused at any step, cost."""
    told: dict[str, Any] = {}
    for case in sorted({one["case"] for one in runs}):
        mine = [one for one in runs if one["case"] == case]
        found = [campaign for one in mine for campaign in one["campaigns"].values()]
        hours = sorted(one["hours"] for one in found if one["hours"] is not None)
        knobs = CASES.get(case.partition(",")[0], {})
        plan = knobs.get("accounts", 0) * knobs.get("rate", 0.0) * knobs.get("share", 1.0) * PLAN_DAYS
        leaked = [one["harvested"] / plan for one in found if one["hours"] is not None]
        # Of those not detected while they were followed all that is known is that they took longer.
        every = hours + [float("inf")] * (len(found) - len(hours))
        middle = float(np.median(every)) if every else None
        innocent = sum(one["innocent_accounts"] for one in mine)
        wrong = sum(one["innocent_accused"] for one in mine)
        told[case] = {
            "runs": len(mine),
            "campaigns": len(found),
            "detected": len(hours),
            "hours_median": round(middle, 2) if middle is not None and np.isfinite(middle) else None,
            "hours_best_worst": [hours[0], hours[-1]] if hours else None,
            "within_one_hour": sum(one <= 1 for one in hours),
            "leaked_median": round(float(np.median(leaked)), 5) if leaked else None,
            "steps": sum(len(one["steps"]) for one in mine),
            "innocent_accounts": innocent,
            "innocent_accused": wrong,
            "steps_with_innocents": sum(one["steps_with_innocents"] for one in mine),
            "rate_upper_95": None if wrong or not innocent else float(f"{1 - 0.05 ** (1 / innocent):.3g}"),
            "step_seconds_worst": max(
                (step["seconds"] for one in mine for step in one["steps"]), default=None
            ),
            "ingest_ratio_median": round(float(np.median([one["ingest"]["ratio"] for one in mine])), 2),
        }
        if found:
            told[case]["hours_by_campaign"] = {
                name: [one["campaigns"][name]["hours"] for one in mine] for name in mine[0]["campaigns"]
            }
            told[case]["stricter"] = stricter(runs, case)
    return told


def drawn(told: dict[str, Any]) -> str:
    """The activity monitoring curves as SVG: bits asked for to the right, median hours to detect upwards."""
    curves = {
        case: [p for p in row["stricter"] if p[1] is not None]
        for case, row in told.items()
        if "stricter" in row
    }
    top = max((hours for curve in curves.values() for _, hours in curve), default=1.0)
    lines: list[str] = []
    for place, (case, curve) in enumerate(curves.items()):
        colour = ("#1f5f8b", "#b5542b", "#3c7a4a", "#6b4c8a")[place % 4]
        points = " ".join(f"{50 + bits * 2.5:.0f},{250 - 220 * hours / top:.0f}" for bits, hours in curve)
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines.append(f'<text x="430" y="{40 + 16 * place}" fill="{colour}">{case}</text>')
    lines += [
        f'<text x="{50 + bits * 2.5:.0f}" y="268" text-anchor="middle">{bits}</text>'
        for bits in range(0, 201, 50)
    ]
    lines += [
        f'<text x="44" y="{254 - 220 * share:.0f}" text-anchor="end">{top * share:.1f}</text>'
        for share in (0.0, 0.5, 1.0)
    ]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 580 300" font-family="sans-serif" font-size="12">'
        '<rect width="580" height="300" fill="white"/><path d="M50 30V250H550" fill="none" stroke="#444"/>'
        '<text x="300" y="290" text-anchor="middle">bits asked for</text>'
        '<text x="50" y="20">median hours to detect</text>' + "".join(lines) + "</svg>\n"
    )


def write(runs: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """The result file, the table and the curve."""
    told = summary(runs)
    shape = {
        "half": args.half,
        "background_per_day": args.background,
        "infrastructure": not args.no_infrastructure,
        "segment_minutes": SEGMENT // MINUTE,
        "plan_days": PLAN_DAYS,
    }
    args.out.write_text(json.dumps({**shape, "summary": told, "runs": runs}, indent=1) + "\n", "utf-8")
    names = (
        *(
            "runs",
            "campaigns",
            "detected",
            "hours_median",
            "hours_best_worst",
            "within_one_hour",
            "leaked_median",
        ),
        *("steps", "innocent_accused", "innocent_accounts", "step_seconds_worst", "ingest_ratio_median"),
    )
    lines = [
        "# Time to detect on simulated live traffic",
        "",
        f"Made by `bench/watch.py`: real prompts of the {args.half} half, simulated accounts, {args.background:,} innocent",
        f"exchanges a day, segments of {SEGMENT // MINUTE} minutes. Claims about composed data. Hours run from a campaign's",
        "first harvesting exchange to the end of the first step that accuses half of the accounts active so far; `leaked` is",
        f"what it harvested until then, as a share of a plan of {PLAN_DAYS} days. Innocents count when any step accuses them.",
        "",
        f"| case | {' | '.join(name.replace('_', ' ') for name in names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    for case, row in told.items():
        cells = ("–" if row[name] is None else str(row[name]) for name in names)
        lines.append(f"| {case} | {' | '.join(cells)} |")
    lines += [
        "",
        "Hours to detect, one figure a run (–: not within the hours it was followed), with the hour of the day, from 0.00, at",
        "which the campaigns of that run began. Candidates are chosen and tested in turns of ten minutes.",
        "",
        "| case | campaign | began | hours |",
        "|---|---|---|---|",
    ]
    for case, row in told.items():
        mine = [one for one in runs if one["case"] == case]
        for name, hours in row.get("hours_by_campaign", {}).items():
            began = ", ".join(f"{one['begins'][name] / HOUR % 24:.2f}" for one in mine)
            shown = ", ".join("–" if one is None else f"{one:.2f}" for one in hours)
            lines.append(f"| {case} | {name} | {began} | {shown} |")
    lines += ["", "![Median hours to detect, by the bits asked for](watch.svg)"]
    args.out.with_suffix(".md").write_text("\n".join(lines) + "\n", "utf-8")
    args.out.with_suffix(".svg").write_text(drawn(told), "utf-8")


def main() -> int:
    """Run the cases over their seeds; exit status 1 when any innocent account was accused."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--case", action="append", choices=("attack-free", *CASES), required=True)
    parser.add_argument("--archetype", action="append", default=[])
    parser.add_argument("--half", choices=sorted(compose.HALVES), default="report")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--days", type=float, default=1.0)
    parser.add_argument("--hours", type=float, default=12.0, help="how long a campaign is followed")
    parser.add_argument("--background", type=int, default=30_000, help="innocent exchanges a day")
    parser.add_argument("--every", type=float, default=60.0, help="minutes between campaign steps")
    parser.add_argument("--no-infrastructure", action="store_true")
    parser.add_argument(
        "--add", action="append", type=Path, default=[], help="result files to take runs from"
    )
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    args.archetype = args.archetype or ["A1", "A3", "A8", "A9"]
    args.corpus = compose.matched(load_corpus(args.corpus), args.half)
    runs = [one for path in args.add for one in json.loads(path.read_text("utf-8"))["runs"]]
    for case in args.case:
        for seed in range(args.first, args.first + args.seeds):
            with tempfile.TemporaryDirectory() as folder:
                runs.append(run(args, case, seed, Path(folder)))
            sys.stdout.write(json.dumps({**runs[-1], "steps": len(runs[-1]["steps"])}) + "\n")
            sys.stdout.flush()
            write(runs, args)
    return int(any(one["innocent_accused"] for one in runs))


if __name__ == "__main__":
    sys.exit(main())
