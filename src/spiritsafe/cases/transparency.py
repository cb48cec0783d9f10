"""The transparency report: orders, appeals, what was overturned, and how often accusations were wrong, by random audit.

The audit draws members of accused campaigns at random, a person who did not decide judges each, and the share of wrong ones
stands with its exact bounds (Clopper and Pearson 1934). Who was drawn and not judged counts as right in the lower and as wrong
in the upper bound: nothing is gained by leaving a doubtful one out. Small counts of customers are told as "fewer than".
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
import statistics
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scipy import stats

from spiritsafe import ledger
from spiritsafe.cases import appeals, folder
from spiritsafe.cases._page.phrase import plural
from spiritsafe.cases.notice import reference
from spiritsafe.errors import InputError, UsageError
from spiritsafe.model import RUNGS
from spiritsafe.orders.content import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from spiritsafe.cases.folder import Case

LEVEL = 0.95
LEAST = 5
"""Fewer customers than this are not counted out."""
_DAY = 86_400_000_000
DRAWN = "audit-drawn"
_SHEET = ("case", "account_id", "reference", "verdict", "by", "note")
VERDICTS = ("right", "wrong", "unclear")
"""What an auditor finds: the accusation was right, or wrong, or that cannot be told."""


@dataclass(frozen=True, slots=True)
class Audited:
    """The outcome of an audit: how many were drawn of how many, judged, and found wrong; ``bounds`` of the share wrong."""

    population: int
    drawn: int
    judged: int
    wrong: int
    bounds: tuple[float, float]


def bounds(wrong: int, judged: int, drawn: int | None = None, *, level: float = LEVEL) -> tuple[float, float]:
    """Exact two-sided bounds for a share, from ``wrong`` of ``judged``; those drawn and not judged count against us.

    Clopper and Pearson: each side errs at most half of 1 - ``level``. (0, 1) when nobody was drawn.
    """
    total = judged if drawn is None else drawn
    if total <= 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    most = wrong + total - judged
    low = float(stats.beta.ppf(tail, wrong, total - wrong + 1)) if wrong else 0.0
    high = float(stats.beta.ppf(1 - tail, most + 1, total - most)) if most < total else 1.0
    return low, high


def draw(cases: Iterable[Case], count: int, *, seed: int) -> list[dict[str, str]]:
    """Rows of an audit sheet: ``count`` members of accused campaigns, each with the same chance. Same seed, same rows.

    An account that is in several cases is drawn once, for the first. Raises UsageError when there are fewer.
    """
    known: dict[str, Case] = {}
    for case in cases:
        for account in sorted(appeals.members(case)):
            known.setdefault(account, case)
    if count > len(known):
        raise UsageError(f"there are only {len(known)} accused accounts", hint="a smaller --count")
    chosen = random.Random(seed).sample(sorted(known), count)  # noqa: S311 - a seed that can be committed to
    return [
        {"case": known[name].case_id, "account_id": name, "reference": reference(known[name], name),
         "verdict": "", "by": "", "note": ""}
        for name in chosen
    ]  # fmt: skip


def sheet(rows: Sequence[dict[str, str]]) -> str:
    """The audit sheet as CSV, for the auditor to fill in."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_SHEET)
    writer.writerows([row[name] for name in _SHEET] for row in rows)
    return out.getvalue()


def drawn(rows: Iterable[Mapping[str, str]]) -> str:
    """What is recorded of a draw: the SHA-256 over who was drawn, in any order. It tells nobody's name."""
    names = sorted(f"{row['case']} {row['reference']}" for row in rows)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def audited(path: Path, cases: Sequence[Case], house: Path | None) -> Audited:
    """What an audit sheet says. Raises InputError with the line of a row that makes no sense.

    An auditor who took part in the first decision of that case is refused, and so is a sheet whose rows are not those that
    the ledger ``house`` says were drawn (None: not looked up).
    """
    by_id = {case.case_id: case for case in cases}
    population = len({account for case in cases for account in appeals.members(case)})
    counts: Counter[str] = Counter()
    try:
        rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the sheet cannot be read: {error}", where=str(path)) from error
    if not rows or tuple(rows[0]) != _SHEET:
        raise InputError("this is no audit sheet", where=str(path), hint="spiritsafe transparency draw")
    for line, row in enumerate(rows, 2):
        where, verdict = f"{path}:{line}", (row["verdict"] or "").strip().lower()
        case = by_id.get(row["case"])
        if case is None:
            raise InputError(f"there is no case {row['case']!r}", where=where)
        if row["reference"] != reference(case, row["account_id"]):
            raise InputError("the reference is not this account's: the row was changed", where=where)
        if verdict and verdict not in VERDICTS:
            raise InputError(
                f"there is no verdict {verdict!r}", where=where, hint=f"one of: {', '.join(VERDICTS)}"
            )
        if verdict and not row["by"]:
            raise InputError("who judged is missing", where=where)
        if verdict and row["by"].strip().casefold() in {
            name.strip().casefold() for name in appeals.first(case)
        }:
            raise InputError(f"{row['by']!r} took part in the first decision", where=where)
        counts[verdict or "unclear"] += 1
    digest = drawn(rows)
    if house and not any(one.kind == DRAWN and one.body["drawn"] == digest for one in ledger.entries(house)):
        raise InputError(
            "these are not the accounts that were drawn",
            where=str(path),
            hint="rows were left out, added, or never recorded",
        )
    judged, total = counts["right"] + counts["wrong"], len(rows)
    return Audited(population, total, judged, counts["wrong"], bounds(counts["wrong"], judged, total))


def report(
    cases: Sequence[Case],
    house: Path | None,
    *,
    since: int,
    until: int,
    audit: Audited | None = None,
    least: int = LEAST,
) -> dict[str, Any]:
    """The report of a period (microseconds) as plain JSON. ``house``: the ledger that orders are recorded in.

    Raises LedgerError when that ledger does not fit.
    """
    return {
        "schema": 1,
        "since": rfc3339(since),
        "until": rfc3339(until),
        "fewer_than": least,
        "orders": _orders(house, since, until) if house else None,
        "cases": _cases(cases, since, until),
        "appeals": _appeals(cases, since, until, least),
        "audit": None if audit is None else _audit(audit),
    }


def words(told: dict[str, Any]) -> list[str]:
    """The report in sentences."""
    rows = [f"From {told['since']} to {told['until']}."]
    orders = told["orders"]
    if orders is None:
        rows.append("Orders are not told: no ledger was named.")
    else:
        issued = ", ".join(f"{count} {name}" for name, count in orders["issued"].items() if count) or "none"
        rows.append(f"Orders: {issued}; lifted: {orders['lifted']}; exemptions: {orders['exemptions']}.")
    rows.append(f"Cases opened: {told['cases']['opened']}; sealed: {told['cases']['sealed']}.")
    appeal = told["appeals"]
    rows.append(
        f"Appeals: {appeal['received']}; confirmed: {appeal['confirmed']}; overturned: {appeal['overturned']}; "
        f"open: {appeal['open']}; severe measures frozen: {appeal['frozen']}."
    )
    if appeal["median_days"] is not None:
        rows.append(
            f"Half of the decided appeals were decided within {plural(appeal['median_days'], 'day')}."
        )
    audit = told["audit"]
    if audit is None:
        rows.append("No random audit was made: how often accusations were wrong is not known.")
    else:
        rows.append(
            f"Random audit: {audit['drawn']} of {audit['population']} accused accounts drawn, {audit['judged']} judged, "
            f"{audit['wrong']} found wrong: between {audit['low']:.1%} and {audit['high']:.1%} of accusations were wrong "
            f"(exact bounds, {audit['level']:.0%})."
        )
    return rows


def _orders(house: Path, since: int, until: int) -> dict[str, Any]:
    issued: Counter[str] = Counter()
    lifted = exemptions = 0
    seen: set[str] = set()
    for entry in ledger.entries(house):
        if not since <= entry.time < until:
            continue
        if entry.kind == "order" and entry.body["order_id"] not in seen:
            seen.add(entry.body["order_id"])
            issued[entry.body["response"]] += 1
        lifted += entry.kind == "lift"
        exemptions += entry.kind == "exemption"
    return {"issued": {name: issued[name] for name in RUNGS}, "lifted": lifted, "exemptions": exemptions}


def _cases(cases: Sequence[Case], since: int, until: int) -> dict[str, int]:
    inside = [one.kind for case in cases for one in case.entries if since <= one.time < until]
    return {"opened": inside.count(folder.OPENED), "sealed": inside.count(folder.SEALED)}


def _appeals(cases: Sequence[Case], since: int, until: int, least: int) -> dict[str, Any]:
    mine = [one for case in cases for one in case.appeals if since <= one.item.time < until]
    outcomes = Counter(one.outcome or "open" for one in mine)
    days = [(one.decided - one.item.time) / _DAY for one in mine if one.outcome]
    counts = {name: outcomes[name] for name in (*folder.OUTCOMES, "open")}
    grounds = Counter(ground for one in mine for ground in one.item.about["grounds"])
    return {
        "received": _told(len(mine), least),
        **{name: _told(count, least) for name, count in counts.items()},
        "frozen": _told(sum(bool(one.frozen) for one in mine), least),
        "grounds": {name: _told(grounds[name], least) for name in appeals.GROUNDS if grounds[name]},
        "median_days": round(statistics.median(days), 1) if len(days) >= least else None,
    }


def _told(count: int, least: int) -> int | str:
    """A count of customers, or that it is small: who knows of one appeal learns nothing of the others."""
    return count if count == 0 or count >= least else f"fewer than {least}"


def _audit(one: Audited) -> dict[str, Any]:
    low, high = one.bounds
    return {
        "population": one.population, "drawn": one.drawn, "judged": one.judged, "wrong": one.wrong,
        "low": round(low, 6), "high": round(high, 6), "level": LEVEL,
    }  # fmt: skip


def page(told: dict[str, Any]) -> str:
    """The report as one self-contained page."""
    from spiritsafe.cases._dossier.blocks import Bullets, Dossier, Section, Table  # noqa: PLC0415 - the page's blocks
    from spiritsafe.cases._dossier.page import page as setter  # noqa: PLC0415

    blocks: list[Any] = [Bullets(words(told)[1:])]
    sections = [Section("summary", "In short", blocks)]
    if told["orders"]:
        rows = [(name.replace("_", " "), str(count)) for name, count in told["orders"]["issued"].items()]
        sections.append(
            Section("orders", "Orders", [Table(("Measure", "Issued"), rows, (0.7, 0.3), frozenset({1}))])
        )
    appeal = told["appeals"]
    rows = [
        (name.replace("_", " "), str(appeal[name]))
        for name in ("received", "confirmed", "overturned", "open", "frozen")
    ]
    rows += [(f"on the grounds: {name}", str(count)) for name, count in appeal["grounds"].items()]
    sections.append(Section("appeals", "Appeals", [Table(("", "Number"), rows, (0.7, 0.3), frozenset({1}))]))
    sections.append(Section("how", "How these numbers are made", [Bullets(_HOW)]))
    period = f"{told['since'][:10]} to {told['until'][:10]}"
    foot = json.dumps({"schema": told["schema"], "since": told["since"], "until": told["until"]})
    return setter(
        Dossier(
            "Transparency report",
            period,
            "",
            "Numbers of a provider about its own decisions.",
            foot,
            sections,
        )
    )


_HOW = tuple(
    " ".join(one.split())
    for one in """
Orders are counted from the signed ledger, each once.

Appeals are counted from the ledgers of the cases, in the period in which they were received.

Counts of customers below the stated number are not told, so that nobody can be recognised.

For the audit, members of accused campaigns are drawn at random, with a seed and a list that are recorded before anybody
is judged, and judged by a person who was not part of the first decision.

The bounds are exact (Clopper and Pearson). An account that was drawn and could not be judged counts as right in the lower
and as wrong in the upper bound.
""".strip().split("\n\n")
)
