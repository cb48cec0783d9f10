"""What the dossier says, from the parts of a case: first what a judge asks, then what an expert checks."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spiritsafe.cases import folder
from spiritsafe.cases._dossier import chapters, words
from spiritsafe.cases._dossier.blocks import Bullets, Dossier, Facts, Para, Section, Table
from spiritsafe.cases._page.phrase import minute, plural, whole
from spiritsafe.cases._page.record import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spiritsafe.cases._dossier.blocks import Block
    from spiritsafe.cases._dossier.source import Source

_KINDS = {
    "campaign": "campaign of a scan",
    "finding": "test of a suspect model",
    "opinion": "opinion of a person",
    "orders": "measures",
    "sighting": "sighting by a peer",
    "loss": "estimate of losses",
    "appeal": "appeal",
    "note": "note",
}
_EVENTS = {
    folder.OPENED: "case opened",
    folder.SEALED: "sealed",
    folder.REVIEW: "second reviewer named",
    folder.FROZEN: "severe measures frozen",
    folder.DECIDED: "appeal decided",
}


def dossier(source: Source) -> Dossier:
    """The dossier of a case or bundle. Same parts, same dossier; what is withheld is said, never passed over."""
    case = source.case
    campaigns = chapters.campaigns(source)
    findings = chapters.findings(source)
    sections = [
        _summary(source),
        *campaigns,
        *findings,
        chapters.losses(source),
        chapters.people(source),
        _limits(source),
        _custody(source),
        _contest(source),
        Section("words", "What the words mean", [Facts(words.GLOSSARY)]),
    ]
    status = _status(source)
    return Dossier(
        title=clean(case["title"], limit=300) or "A case",
        over=f"Dossier of {clean(case['id'], limit=80)}",
        claim=clean(case["claim"], limit=2_000),
        status=status,
        foot=("statement" if source.sealed else "not sealed; ledger head") + f" {source.digest[:32]}…",
        sections=[one for one in sections if one and one.blocks],
    )


def _status(source: Source) -> str:
    sealed = source.sealed
    if sealed is None:
        return "A draft from the investigator's folder. It is not sealed: a sealed bundle can be checked by anybody."
    facts = sealed.facts["sealed"]
    when = minute(datetime.fromisoformat(facts["time"]).astimezone(UTC))
    stamp = "; ".join(
        f"time stamp of {one['time']} by {clean(one['by'], limit=120)}" for one in sealed.stamps
    )
    return (
        f"Made from a bundle that was checked and holds. Sealed {when} by {clean(facts['by'], limit=80)}"
        + (f"; {stamp}." if stamp else "; no third party stamped the time.")
    )


def _summary(source: Source) -> Section:
    found: list[str] = []
    for item, about, _ in source.items("campaign"):
        result = source.json(f"{item}/campaigns.json")
        for one in about["campaigns"]:
            headline = chapters.headline(result, one["id"])
            found.append(
                headline or f"{one['id']}: {whole(one['exchanges'])} exchanges; its evidence is withheld."
            )
    for _, about, _ in source.items("finding"):
        found.append(
            f"A test of the model {clean(about['suspect'], limit=80)}: {clean(about['verdict'], limit=60)}."
        )
    for _, about, _ in source.items("opinion"):
        if about["judgement"] in {"disagree", "strongly-disagree"}:
            found.append(
                f"A person disagrees with {clean(about['about'], limit=60)}; see what people said and did."
            )
    appeals = sum(1 for _ in source.items("appeal"))
    outcomes = Counter(one["body"]["outcome"] for one in source.entries if one["kind"] == folder.DECIDED)
    if appeals:
        decided = ", ".join(f"{count} {clean(name, limit=30)}" for name, count in sorted(outcomes.items()))
        found.append(
            f"{plural(appeals, 'appeal')} ({decided or 'none decided yet'}); see what people said and did."
        )
    withheld = [one for one in source.parts if one.withheld]
    blocks: list[Block] = [Bullets(found or ["Nothing has been added to this case yet."])]
    if withheld:
        many = sum(one.withheld for one in withheld)
        blocks.append(
            Para(
                f"{plural(many, 'record or file', 'records and files')} of {plural(len(withheld), 'part')} "
                "were withheld from this copy; their hashes are in it."
            )
        )
    return Section("summary", "What was found", blocks)


def _limits(source: Source) -> Section:
    blocks: list[Block] = [Bullets(words.LIMITS)]
    rows: dict[str, str] = {}
    for item, _, _ in source.items("campaign"):
        result = source.json(f"{item}/campaigns.json") or {}
        for one in result.get("blind", [])[:40]:
            missing = ", ".join(clean(name, limit=40) for name in one.get("missing", []))
            rows[clean(one.get("signal"), limit=60)] = f"{missing}\n{clean(one.get('means'), limit=200)}"
    if rows:
        blocks += [
            Para("What the log did not hold could not be seen, for or against anybody:"),
            Table(
                ("Question that could not be asked", "Missing, and what that means"),
                list(rows.items()),
                (0.35, 0.65),
            ),
        ]
    withheld = [(one.name, f"{one.withheld:,} of {one.leaves:,}") for one in source.parts if one.withheld]
    if withheld:
        blocks += [
            Para("Withheld from this copy:"),
            Table(("Part", "Leaves withheld"), withheld, (0.75, 0.25), frozenset({1}), frozenset({0})),
        ]
    if source.sealed and source.sealed.unchecked:
        blocks.append(Bullets([f"Not checked: {one}." for one in source.sealed.unchecked]))
    return Section("limits", "What this does not show", blocks)


def _custody(source: Source) -> Section:
    rows = [
        (
            _time(one["time"]),
            _event(one),
            clean(one["body"].get("by"), limit=60),
            clean(one["body"].get("why"), limit=300),
        )
        for one in source.entries
    ]
    parts = [
        (one.name, f"{one.leaves:,}", one.root) for one in source.parts
    ]  # fmt: skip
    code = source.sealed.facts["code"] if source.sealed else {}
    blocks: list[Block] = [
        Para(words.CUSTODY),
        Table(("When (UTC)", "What", "Who", "Why"), rows, (0.17, 0.25, 0.14, 0.44)),
    ]
    if parts:
        blocks += [
            Para("What was added, and the root that commits to it:"),
            Table(("Part", "Leaves", "Root"), parts, (0.3, 0.08, 0.62), frozenset({1}), frozenset({0, 2})),
        ]
    if source.sealed:
        facts = [("Signed by", ", ".join(source.sealed.signers)), ("Statement (SHA-256)", source.digest)]
        facts += [
            (f"Program: {clean(name, limit=30)}", clean(value, limit=100)) for name, value in code.items()
        ]
        facts += [("Settings", clean(one, limit=100)) for one in source.sealed.facts["settings"]]
        facts += [
            (
                f"Ledger {clean(one['name'], limit=40)}",
                f"{one['entries']:,} of {one['size']:,} entries, root {one['root']}",
            )
            for one in source.sealed.excerpts
        ]
        blocks.append(Facts(facts))
    return Section("custody", "Chain of custody", blocks)


def _contest(source: Source) -> Section:
    how = "spiritsafe case verify BUNDLE --key KEY --recompute"
    keys = ", ".join(source.sealed.signers) if source.sealed else "the sealer's public key"
    return Section(
        "contest",
        "How to contest and how to check it",
        [
            Bullets(words.CONTEST),
            Para(words.CHECK),
            Facts([("Command", how), ("Key", keys)]),
        ],
    )


def _event(entry: Mapping[str, Any]) -> str:
    body = entry["body"]
    if entry["kind"] == folder.ITEM:
        return f"added: {_KINDS.get(body['kind'], clean(body['kind'], limit=30))}\n{clean(body['item'], limit=40)}"
    more = body.get("outcome") or body.get("appeal") or ""
    return _EVENTS.get(entry["kind"], clean(entry["kind"], limit=40)) + (
        f"\n{clean(more, limit=40)}" if more else ""
    )


def _time(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment / 1e6, UTC):%Y-%m-%d %H:%M}"
