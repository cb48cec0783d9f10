"""Cores, memory and money for a day of traffic, by engine: what was measured, times your prices.

    python bench/cost.py [--exchanges 1e9] [--hours 6] [--shard 5e6] [--kept-days 7]
        [--core-hour 0.05] [--gb-hour 0.005] [--gb-month 0.03]

**The prices are placeholders: put in your own.** They are of no provider. Measured are, in ``bench/results/spark.json`` and
``state.json``: processor seconds, peak memory and bytes moved by size, and bytes of state an exchange. The model is a straight
line through the smallest and the largest size on each engine: a fixed part for each scan and a part for each exchange.

    core-hours = shards × (fixed + each × shard) / 3,600        a shard is one scan; a day is cut into as many as it takes
    memory     = (base + slope × shard) × scans at once         scans at once = cores needed / cores a scan keeps busy
    money      = core-hours × price + memory × hours × price + state × days / 30 × price

Prints the table, and writes it into ``docs/scale.md`` between its marks.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- cost: bench/cost.py -->\n", "<!-- end of cost -->\n"
BUSY = 2
"""Cores that one scan keeps busy, as measured: two."""


@dataclass(frozen=True)
class Line:
    """``fixed`` and ``each``: of a scan, and of one exchange in it."""

    fixed: float
    each: float

    @classmethod
    def through(cls, runs: list[tuple[float, float]]) -> Line:
        """The line through the smallest and the largest of (exchanges, value); never below zero at none."""
        (x0, y0), (x1, y1) = min(runs), max(runs)
        each = (y1 - y0) / (x1 - x0)
        return cls(y0 - each * x0, each) if y0 >= each * x0 else cls(0.0, y1 / x1)

    def at(self, exchanges: float) -> float:
        """The value for a scan of so many."""
        return self.fixed + self.each * exchanges


@dataclass(frozen=True)
class Prices:
    """Of one core for an hour, one GB of memory for an hour, one GB of storage for a month, in any one currency."""

    core_hour: float
    gb_hour: float
    gb_month: float


def engine(runs: list[dict[str, Any]], name: str) -> dict[str, Line]:
    """Processor seconds, peak memory in GB and bytes moved, by exchanges in a scan."""
    size = [float(run["exchanges"]) for run in runs]
    cpu = [run[name]["cpu_total"] for run in runs]
    memory = [sum(run[name]["peak_mb"].values()) / 1024 for run in runs]
    moved = [float(run[name].get("shuffled", 0)) for run in runs]
    values = {"cpu": cpu, "memory": memory, "moved": moved}
    return {what: Line.through(list(zip(size, each, strict=True))) for what, each in values.items()}


def cost(
    lines: dict[str, Line],
    exchanges: float,
    shard: float,
    hours: float,
    state: float,
    days: float,
    prices: Prices,
) -> dict[str, float]:
    """What a day of ``exchanges`` needs when each is scanned once, in scans of ``shard``, within ``hours``.

    ``state``: bytes kept of an exchange, for ``days``.
    """
    scans = math.ceil(exchanges / shard)
    core_hours = scans * lines["cpu"].at(exchanges / scans) / 3600
    cores = math.ceil(core_hours / hours)
    memory = lines["memory"].at(exchanges / scans) * math.ceil(cores / BUSY)
    kept = exchanges * state * days / 1e9
    money = {
        "cores": core_hours * prices.core_hour,
        "memory": memory * hours * prices.gb_hour,
        "state": kept / 30 * prices.gb_month,
    }
    moved = scans * lines["moved"].at(exchanges / scans) / 1e9
    return {
        "scans": scans, "core_hours": core_hours, "cores": cores, "memory_gb": memory, "moved_gb": moved, "state_gb": kept,
        **{f"money_{name}": value for name, value in money.items()}, "money": sum(money.values()),
    }  # fmt: skip


def page(told: dict[str, dict[str, float]], given: argparse.Namespace) -> str:
    """The part of ``docs/scale.md``."""
    rows = (
        ("scans of a shard each", "scans", ",.0f"), ("core-hours", "core_hours", ",.0f"),
        (f"cores, to be done in {given.hours:g} h", "cores", ",.0f"), ("GB of memory on them", "memory_gb", ",.0f"),
        ("GB moved between tasks", "moved_gb", ",.0f"), (f"GB of state, kept {given.kept_days:g} days", "state_gb", ",.0f"),
        ("money: cores", "money_cores", ",.2f"), ("money: memory", "money_memory", ",.2f"),
        ("money: state", "money_state", ",.2f"), ("**money a day**", "money", ",.2f"),
    )  # fmt: skip
    head = (
        f"A day of {given.exchanges:,.0f} exchanges in shards of {given.shard:,.0f}, at the placeholder prices of "
        f"{given.core_hour:g} a core-hour,\n{given.gb_hour:g} a GB-hour of memory and {given.gb_month:g} a GB-month of storage:"
    )
    lines = [
        head,
        "",
        f"| | {' | '.join(told)} |",
        "|---|" + "---|" * len(told),
    ]
    lines += [
        f"| {name} | {' | '.join(format(one[key], form) for one in told.values())} |"
        for name, key, form in rows
    ]
    return "\n".join(["", *lines, "", ""])


def main() -> None:
    """Compute and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    defaults = {
        "exchanges": 1e9, "hours": 6.0, "shard": 5e6, "core_hour": 0.05, "gb_hour": 0.005, "gb_month": 0.03, "kept_days": 7.0,
    }  # fmt: skip
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=value)
    given = parser.parse_args()
    results = ROOT / "bench" / "results"
    runs = json.loads((results / "spark.json").read_text())["runs"]
    state = json.loads((results / "state.json").read_text())["bytes_an_exchange"]["state"]
    prices = Prices(given.core_hour, given.gb_hour, given.gb_month)
    told = {
        shown: cost(
            engine(runs, name), given.exchanges, given.shard, given.hours, state, given.kept_days, prices
        )
        for shown, name in (("DuckDB", "duckdb"), ("Spark `local[2]`", "spark"))
    }
    made = page(told, given)
    print(made)
    whole = PAGE.read_text("utf-8")
    before, _, rest = whole.partition(BEGIN)
    PAGE.write_text(before + BEGIN + made + END + rest.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main()
