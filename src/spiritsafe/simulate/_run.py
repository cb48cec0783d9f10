"""Running a plan: :func:`simulate` makes the log and its truth."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spiritsafe import schema
from spiritsafe.errors import UsageError
from spiritsafe.simulate import _needs, _write
from spiritsafe.simulate._build import build, check, count, names
from spiritsafe.simulate._sheet import Sheet
from spiritsafe.simulate._shelf import Shelf
from spiritsafe.staging import check_place, publish, staging

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spiritsafe.simulate._plan import Plan

CLAIM = "composed data: real prompts and published traffic shapes, simulated accounts and campaigns"


MEMORY = "3GB"
SEEDS = 1 << 64


@dataclass(frozen=True)
class Truth:
    """Where the log and the truth are, and what is in them. ``campaigns``: name -> accounts."""

    log: Path
    truth: Path
    exchanges: int
    accounts: int
    campaigns: dict[str, int]


def silent(stage: str, done: int, total: int) -> None:
    """Report no progress."""


def simulate(
    plan: Plan,
    out: Path,
    *,
    seed: int,
    memory: str = MEMORY,
    progress: Callable[[str, int, int], None] = silent,
) -> Truth:
    """Write ``out/log.parquet`` (or ``log.jsonl.gz``, ``log.jsonl.zst``), ``truth.parquet`` and ``simulation.json``.

    Same plan, corpus and seed, same bytes. ``out`` must not exist; it appears only when complete. Raises UsageError
    for a plan that makes no sense, or that needs more than ``memory`` or the free disk space (about: see ``_needs``).
    """
    check_place(out)
    if not 0 <= seed < SEEDS:
        raise UsageError(
            f"the seed {_short(seed)} makes no sense: a whole number from 0 to {SEEDS - 1:,} is needed",
            where="--seed",
        )
    if out.exists() or out.is_symlink():
        raise UsageError("the output folder is there already", where=str(out), hint="name a new one")
    unknown = set(plan.dropped) - set(schema.NAMES)
    if unknown:
        raise UsageError(f"no column called {', '.join(sorted(unknown))}")
    check(plan)
    _needs.refuse(plan, out, memory=_needs.memory_of(memory))
    with staging(out) as work, Shelf(work) as shelf:
        final = work / "final"
        final.mkdir()
        parts = count(plan)
        sheet = Sheet(plan.start, plan.days, seed, shelf)
        for made in build(plan, sheet.accounts, seed=seed):
            sheet.add(made.family, made.block)
            made.block.traffic.clear()  # its memory is free before the next is made
            progress("composing", sheet.blocks, parts)
        sheet.close()
        done = 0

        def written(rows: int) -> None:
            nonlocal done
            done += rows
            progress("writing", done, sheet.exchanges)

        log, truth = _write.write(sheet, final, plan.format, plan.dropped, written)
        accounts, campaigns = sheet.seen()
        found = Truth(out / log.name, out / truth.name, sheet.exchanges, accounts, campaigns)
        (final / "simulation.json").write_text(
            json.dumps(record(plan, found, seed), indent=1) + "\n", "utf-8"
        )
        publish(final, out)
    return found


def _short(seed: int) -> str:
    return f"{seed}" if abs(seed) < 1 << 100 else f"of {seed.bit_length():,} bits"


def record(plan: Plan, made: Truth, seed: int) -> dict[str, Any]:
    """What was simulated, for programs and for whoever finds the folder later."""
    return {
        "schema": 1,
        "claim": CLAIM,
        "seed": seed,
        "start": moment(plan.start),
        "days": plan.days,
        "mode": plan.mode,
        "dropped": list(plan.dropped),
        "log": made.log.name,
        "truth": made.truth.name,
        "exchanges": made.exchanges,
        "accounts": made.accounts,
        "campaigns": made.campaigns,
        "orders": len(plan.orders),
        "populations": [
            {
                "family": population.family,
                "name": name,
                "sources": list(population.sources),
                "knobs": dict(sorted(population.options.items())),
            }
            for population, name in zip(plan.populations, names(plan), strict=True)
        ],
    }


def moment(microseconds: int) -> str:
    """A time since the epoch as RFC 3339."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat().replace("+00:00", "Z")


def summary(made: Truth) -> str:
    """What was made, for people."""
    lines = [
        f"{made.exchanges:,} exchanges of {made.accounts:,} accounts → {made.log}",
        f"truth → {made.truth}",
    ]
    lines += [f"  {name}: {accounts:,} accounts" for name, accounts in sorted(made.campaigns.items())]
    if not made.campaigns:
        lines.append("  no campaign among them")
    return "\n".join([*lines, f"This is {CLAIM}."])
