"""Campaigns in a background many times larger than the golden benchmark's: one log, one scan on one machine.

    python bench/background.py --times 1000 [--archetype A1 --archetype A9] [--accounts 500] [--rate 26] [--seed 0] [--memory 3GB]

The log has ``times`` x 12,000 innocent exchanges of every innocent family, in copies of 25 x 12,000 each, since a crowd of a
thousand times the size is many classes and hackathons and not one; and the campaigns, all from the *report* half of the shipped
texts. It is judged as the golden benchmark judges, and goes to ``bench/results/background.json``, which its page shows.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import compose
import scan as scans
from golden.judge import flagged_rows, ground, judge
from golden.run import half
from spiritsafe.settings import Settings
from spiritsafe.simulate import Population, shipped, simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.simulate import Plan

RESULT = Path(__file__).with_name("results") / "background.json"
UNIT, COPY = 12_000, 25
"""Exchanges of the golden benchmark's background, and how many of it a copy has."""


def plan(times: int, archetypes: Sequence[str], accounts: int, rate: float) -> Plan:
    """``times`` backgrounds in copies, and the campaigns."""
    copies = max(1, times // COPY)
    calm = compose.attack_free(compose.Case(half(str(shipped()), "report")), size=times * UNIT // copies)
    crowd = tuple(
        replace(one, name=f"{one.family}-{number}-{copy}")
        for copy in range(copies)
        for number, one in enumerate(calm.populations)
    )
    knobs = {"accounts": accounts, "rate": rate}
    made = tuple(Population(name, knobs, name=f"campaign-{name}") for name in archetypes)
    return replace(calm, populations=(*crowd, *made))


def measured(log: Plan, folder: Path, seed: int, memory: str) -> dict[str, Any]:
    """Simulate, scan in a process of its own, judge."""
    begin = time.perf_counter()
    made = simulate(log, folder / "made", seed=seed)
    simulated = time.perf_counter() - begin
    out = folder / "out"
    told = scans.apart(made.log, out, Settings(seed=seed, memory=memory))
    groups = json.loads((out / "campaigns.json").read_text("utf-8"))["campaigns"]
    entries = [(one["label"], {row["account_id"] for row in one["accounts"]}) for one in groups]
    named = [one["campaign_id"] for one in groups if one["label"] == "campaign"]
    accused = set[str]().union(*(group for label, group in entries if label == "campaign"))
    truth = ground(made.log, made.truth)
    found = judge(truth, accused, flagged_rows(truth, out / "exchanges.parquet", named), entries)
    families = {name: some[:2] for name, some in found["families"].items()}
    return {
        "exchanges": found["exchanges"],
        "accounts": found["accounts"],
        "campaigns": found["campaigns"],
        "innocent_accused": sum(hits for hits, _ in families.values()),
        "innocent": sum(many for _, many in families.values()),
        "families": families,
        "labels": dict(Counter(label for label, _ in entries)),
        "simulated_seconds": round(simulated, 1),
        "scan": {key: told[key] for key in ("seconds", "cpu", "peak_gb")},
    }


def main() -> None:
    """Run it, print and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--archetype", action="append")
    parser.add_argument("--accounts", type=int, default=500)
    parser.add_argument("--rate", type=float, default=26.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", default="3GB")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    archetypes = args.archetype or ["A1", "A9"]
    with tempfile.TemporaryDirectory() as folder:
        one = plan(args.times, archetypes, args.accounts, args.rate)
        found = measured(one, Path(folder), args.seed, args.memory)
    knobs = {"times": args.times, "campaign_accounts": args.accounts, "rate": args.rate, "seed": args.seed}
    args.out.write_text(json.dumps(knobs | found, indent=1) + "\n", "utf-8")
    sys.stdout.write(args.out.read_text("utf-8"))


if __name__ == "__main__":
    main()
