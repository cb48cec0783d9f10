"""Puts a result into the order of the page: first what a manager asks, then what an analyst checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spiritsafe.cases._page import exhibits, phrase, timeline, view
from spiritsafe.cases._page.claim import coordination_bits, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.cases._page.claim import Claim
    from spiritsafe.cases._page.exhibits import Figure
    from spiritsafe.cases._page.record import Record

#: Campaigns with all their evidence; further ones stay in the overview table.
_FULL = 40
_OTHERS = 200
#: Groups that are no accusation: the first ones are drawn, the others told in tables only.
_DRAWN = 12
#: How the groups of ``view.LABELS`` are counted in a sentence.
_COUNTED = {
    "Pools": ("pool", "pools"),
    "Resellers": ("reseller", "resellers"),
    "Too little to say": ("unclear group", "unclear groups"),
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """The whole page."""

    verdict: str
    scope: str
    found: list[str]
    sure: list[str]
    todo: list[tuple[str, str, str]]
    unseen: list[str]
    spans: Figure | None
    claims: list[Claim]
    more: int
    others: list[tuple[str, str, list[Claim]]]
    blind: list[tuple[str, str, str]]
    provenance: list[tuple[str, str]]


def sheet(result: Record) -> Sheet:
    """The page of a result; every part of it may be missing."""
    rows = result.rows("campaigns")
    accused = [row for row in rows if row.text("label") == "campaign"]
    others = [row for row in rows if row.text("label") != "campaign"][:_OTHERS]
    scanned = result.child("scanned")
    taken: set[str] = set()
    claims = [tell(row, f"k{at}", taken, full=at < _FULL) for at, row in enumerate(accused)]
    aside = [(_label(row), tell(row, f"o{at}", taken, full=at < _DRAWN)) for at, row in enumerate(others)]
    groups = [
        (*view.LABELS[name], [claim for label, claim in aside if label == name])
        for name in view.LABELS
        if any(label == name for label, _ in aside)
    ]
    blind = [
        (
            phrase.human(row.text("signal", limit=60)),
            ", ".join(row.texts("missing", limit=60)[:12]),
            row.text("means"),
        )
        for row in result.rows("blind")[:80]
    ]
    return Sheet(
        _verdict(len(claims), scanned),
        _scope(scanned),
        _found(accused, groups),
        _sure(accused, claims, scanned),
        [(claim.anchor, claim.id, _proposal(claim.order)) for claim in claims],
        _unseen(blind, scanned),
        _spans(accused, claims, scanned),
        claims,
        max(0, len(claims) - _FULL),
        groups,
        blind,
        _provenance(result, scanned),
    )


def _label(row: Record) -> str:
    label = row.text("label")
    return label if label in view.LABELS else "insufficient"


def _verdict(count: int, scanned: Record) -> str:
    if count:
        return f"{phrase.plural(count, 'distillation campaign')} found"
    if scanned and not (scanned.number("accepted") or scanned.number("records")):
        return "Nothing to scan: no exchange was read"
    return "No distillation campaign found"


def _scope(scanned: Record) -> str:
    exchanges, accounts = scanned.number("accepted"), scanned.number("accounts")
    if exchanges is None:
        return ""
    among = f" of {phrase.plural(accounts, 'account')}" if accounts is not None else ""
    when = phrase.span(scanned.time("first"), scanned.time("last"))
    return f"{phrase.plural(exchanges, 'exchange')}{among}" + (f", {when}" if when != "–" else "")


def _found(accused: Sequence[Record], groups: Sequence[tuple[str, str, list[Claim]]]) -> list[str]:
    lines: list[str] = []
    if accused:
        exchanges = sum(row.number("exchanges") or 0 for row in accused)
        accounts = sum(row.count("accounts") for row in accused)
        lines.append(
            f"{phrase.plural(accounts, 'account')} acted together"
            + (f" in {len(accused)} campaigns" if len(accused) > 1 else "")
            + f" and drew {phrase.plural(exchanges, 'exchange')} in the way that an imitation is trained."
        )
    else:
        lines.append("No group of accounts acted together to harvest the model, as far as this scan can see.")
    if groups:
        parts = [phrase.plural(len(claims), *_COUNTED[name]) for name, _, claims in groups]
        lines.append(f"Also seen, and no accusation: {', '.join(parts)}.")
    return lines


def _sure(accused: Sequence[Record], claims: Sequence[Claim], scanned: Record) -> list[str]:
    fdr = scanned.number("fdr")
    lines: list[str] = []
    if claims:
        known = [(coordination_bits(row), claim) for row, claim in zip(accused, claims, strict=True)]
        weakest = min(
            ((bits, claim) for bits, claim in known if bits is not None),
            key=lambda pair: pair[0],
            default=None,
        )
        if weakest:
            bits, claim = weakest
            rare = phrase.odds(bits)
            lines.append(
                f"The weakest case ({claim.id}) has {phrase.bits_text(bits)} of evidence of coordination"
                + (f": independent customers would show as much at most {rare}." if rare else ".")
            )
        lines.extend(_firmness(claims))
        if fdr is not None:
            lines.append(
                f"The list as a whole is drawn so that on average at most {phrase.share(fdr)} of it is wrong."
            )
    elif fdr is not None:
        lines.append(
            f"Campaigns are named so that at most {phrase.share(fdr)} of such a list is wrong on average. "
            "Campaigns too small, too slow or too well hidden for that stay unseen."
        )
    return lines


def _firmness(claims: Sequence[Claim]) -> list[str]:
    """Which campaigns stand on one kind of evidence alone."""
    tried = [claim for claim in claims if claim.stable]
    weak = [claim for claim in tried if not claim.stable.startswith("Stays")]
    if not tried:
        return []
    if not weak:
        whom = "It stays a campaign" if len(tried) == 1 else f"All {len(tried)} stay campaigns"
        return [f"{whom} whichever one kind of evidence is left out."]
    return [f"{claim.id} {claim.stable[0].lower()}{claim.stable[1:]}" for claim in weak[:3]] + (
        [f"{len(weak) - 3} more rest on one kind of evidence."] if len(weak) > 3 else []
    )


def _proposal(order: view.Order) -> str:
    return order.action + (f" – needs {order.needs}" if order.needs else "")


def _unseen(blind: Sequence[tuple[str, str, str]], scanned: Record) -> list[str]:
    lines: list[str] = []
    if blind:
        names = ", ".join(name for name, _, _ in blind[:4]) + (", …" if len(blind) > 4 else "")
        lines.append(
            f"{phrase.plural(len(blind), 'signal was', 'signals were')} blind, for the log lacks columns: {names}."
        )
    rejected, records = scanned.number("rejected"), scanned.number("records")
    if rejected:
        among = f" of {phrase.whole(records)}" if records else ""
        lines.append(
            f"{phrase.whole(rejected)}{among} lines could not be read and were set aside (rejected.jsonl)."
        )
    if scanned.number("duplicates"):
        lines.append(f"{phrase.plural(scanned.number('duplicates') or 0, 'duplicate')} counted once.")
    lines.append("Who stands behind the accounts: a scan cannot tell, and this report does not say.")
    return lines


def _spans(accused: Sequence[Record], claims: Sequence[Claim], scanned: Record) -> Figure | None:
    bars = [
        (claim.id, first, last, row.number("exchanges") or 0.0)
        for row, claim in zip(accused, claims, strict=True)
        if (first := row.time("first_seen")) and (last := row.time("last_seen")) and first <= last
    ][:30]
    begin, end = scanned.time("first"), scanned.time("last")
    if not bars or begin is None or end is None or begin >= end:
        return None
    drawn = [
        timeline.spans(bars, begin, end, width=width, key=f"spans{width:.0f}")
        for width in (exhibits.WIDE, exhibits.NARROW)
    ]
    return exhibits.Figure("When each campaign was active", drawn[0], drawn[1], "", "", full=True)


def _provenance(result: Record, scanned: Record) -> list[tuple[str, str]]:
    pairs = [
        ("Spiritsafe", result.text("spiritsafe", limit=40)),
        ("Result schema", phrase.whole(result.number("schema"))),
        ("Settings fingerprint", result.text("settings", limit=80)),
        ("Seed", result.text("seed", limit=30)),
        ("False discovery rate", phrase.share(scanned.number("fdr"))),
        ("Files read", phrase.whole(scanned.number("files"))),
        ("Records", phrase.whole(scanned.number("records"))),
        ("Accepted", phrase.whole(scanned.number("accepted"))),
        ("Set aside", phrase.whole(scanned.number("rejected"))),
        ("Duplicates", phrase.whole(scanned.number("duplicates"))),
        ("Accounts", phrase.whole(scanned.number("accounts"))),
        ("Organizations", phrase.whole(scanned.number("organizations"))),
        ("Streams", phrase.whole(scanned.number("streams"))),
        ("First exchange", phrase.minute(scanned.time("first"))),
        ("Last exchange", phrase.minute(scanned.time("last"))),
    ]
    return [(name, value) for name, value in pairs if value not in {"", "–"}]
