"""What a plan needs of disk and memory, told before anything is written."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spiritsafe import registry
from spiritsafe.errors import UsageError
from spiritsafe.simulate import _write
from spiritsafe.simulate._build import build, names, resolved, settings
from spiritsafe.simulate._parts import CELL, expected, largest
from spiritsafe.simulate._sheet import Sheet
from spiritsafe.simulate._shelf import Shelf
from spiritsafe.tomlfile import SIZES, amount

if TYPE_CHECKING:
    from spiritsafe.simulate._plan import Plan

SAMPLE = 20_000
"""Exchanges of a population that are made to see how many bytes each takes."""
GENEROUS = 8_192
"""Bytes an exchange certainly fits in; where they are there, nothing needs to be measured."""
FIXED = 250_000_000
"""Bytes of memory for the program itself and for the text of a few batches under way."""
PER_TEXT, PER_ACCOUNT, PER_EXCHANGE = 5, 260, 170
"""Bytes of memory for each byte of the corpus, each account, and each exchange of the part that is being made."""


@dataclass(frozen=True)
class Need:
    """What one population needs: exchanges and accounts, about, and the exchanges of its largest part."""

    name: str
    exchanges: float
    accounts: int
    part: float
    where: str | None


def needs(plan: Plan) -> list[Need]:
    """What each population of a plan needs."""
    found: list[Need] = []
    modules = registry.extensions("simulate")
    for number, (name, population) in enumerate(zip(names(plan), plan.populations, strict=True)):
        family, function, arguments = resolved(plan, number)
        knobs, own = arguments["knobs"], settings(function, arguments)
        one = (modules[family].module, knobs, own, plan.days)
        found.append(Need(name, expected(*one), knobs.accounts, largest(*one), population.where))
    return found


def memory_of(text: str) -> int:
    """Bytes of a bound such as 3GB; raises UsageError."""
    found = amount(text, SIZES)
    if found <= 0:
        raise UsageError(
            f"{text!r} is no amount of memory", where="--memory", hint="write it as 800MB or 3GB"
        )
    return round(found)


def refuse(plan: Plan, out: Path, *, memory: int) -> None:
    """Raise UsageError when the plan does not fit into ``memory`` bytes or on the disk of ``out``."""
    wanted = needs(plan)
    _memory(plan, wanted, memory)
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if sum(one.exchanges for one in wanted) * GENEROUS <= free:
        return
    bytes_each = [_measured(plan, number, one) for number, one in enumerate(wanted)]
    sizes = [one.exchanges * each for one, each in zip(wanted, bytes_each, strict=True)]
    if sum(sizes) > free:
        most = max(range(len(sizes)), key=sizes.__getitem__)
        raise UsageError(
            f"the log needs about {shown(sum(sizes))} of disk while it is written, and {shown(free)} are free; "
            f"{wanted[most].name} is the largest, with {wanted[most].exchanges:,.0f} exchanges of {bytes_each[most]:,.0f} bytes",
            where=str(folder),
            hint="lower accounts, rate or days, drop columns, or choose another disk with --out",
        )


def _memory(plan: Plan, wanted: list[Need], memory: int) -> None:
    texts = sum(
        pool.prompts.nbytes + pool.systems.nbytes + pool.answers.nbytes for pool in plan.corpus.pools.values()
    )
    base = FIXED + PER_TEXT * texts
    accounts = sum(one.accounts for one in wanted) * PER_ACCOUNT
    largest_part = max((one.part for one in wanted), default=0.0) * PER_EXCHANGE
    total = base + accounts + largest_part
    if total <= memory:
        return
    more = f"allow more with --memory {-(-int(total) // 1_000_000_000)}GB"
    if base > accounts + largest_part:
        raise UsageError(
            f"the plan needs about {shown(total)} of memory, most of it for the program and the texts, "
            f"and may use {shown(memory)}",
            where="--memory",
            hint=more,
        )
    by_accounts = accounts > largest_part
    most = max(wanted, key=lambda one: one.accounts if by_accounts else one.part)
    why = f"{most.accounts:,} accounts" if by_accounts else f"{most.part:,.0f} exchanges made in one go"
    less = (
        ", or lower its accounts" if by_accounts else ", or lower its rate or days: an account is never cut"
    )
    raise UsageError(
        f"the plan needs about {shown(total)} of memory, and may use {shown(memory)}; "
        f"{most.name} is the largest, with {why}",
        where=most.where,
        hint=more + (less if by_accounts or most.part > 2 * CELL else ""),
    )


def _measured(plan: Plan, number: int, one: Need) -> float:
    """Bytes of log, truth and spill for each exchange of a population, from some of its accounts."""
    population = plan.populations[number]
    few = max(1, min(one.accounts, round(SAMPLE * one.accounts / max(1.0, one.exchanges))))
    options = {key: value for key, value in population.options.items() if key not in ("frames", "framing")}
    rate = resolved(plan, number)[2]["knobs"].rate
    slower = min(1.0, 10 * SAMPLE * one.accounts / max(1.0, one.exchanges * few))
    options |= {"accounts": few, "rate": rate * slower}
    sample = replace(plan, populations=(replace(population, options=options),), orders=())
    with tempfile.TemporaryDirectory() as scratch, Shelf(Path(scratch), room=0) as shelf:
        sheet = Sheet(plan.start, plan.days, 0, shelf)
        for made in build(sample, sheet.accounts, seed=0):
            sheet.add(made.family, made.block)
        sheet.close()
        files = _write.write(sheet, Path(scratch), plan.format, plan.dropped, lambda _: None)
        return (sum(path.stat().st_size for path in files) + shelf.bytes) / max(1, sheet.exchanges)


def shown(size: float) -> str:
    """An amount of bytes for people."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"  # noqa: PLR2004
