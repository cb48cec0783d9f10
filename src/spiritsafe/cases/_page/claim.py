"""One campaign, pool or reseller: everything that its section of the page shows, cleaned and worded."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spiritsafe.cases._page import exhibits, phrase, view
from spiritsafe.cases._page.record import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.cases._page.exhibits import Figure
    from spiritsafe.cases._page.record import Record

_ACCOUNTS = 200
_ID = re.compile(r"[a-z]-[0-9a-f]{4,64}")
_SURE = 0.99


@dataclass(frozen=True, slots=True)
class Claim:
    """One campaign, pool or reseller, ready for its section."""

    anchor: str
    id: str
    label: str
    headline: str
    facts: list[tuple[str, str]]
    when: str
    accounts: str
    exchanges: str
    bits: str
    odds: str
    intent: list[tuple[str, str]]
    roles: list[view.Role]
    order: view.Order
    waterfall: Figure | None
    figures: list[Figure]
    skeletons: list[view.Skeleton]
    links: list[tuple[str, list[list[str]]]]
    layers: list[view.Layer]
    coordination: list[view.Test]
    combination: str
    intent_tests: list[view.Test]
    reference: str
    without: list[list[str]]
    stable: str
    independent: str
    hypotheses: list[tuple[str, str, str]]
    clears: list[str]
    members: list[tuple[str, str]]
    members_note: str


def tell(row: Record, key: str, taken: set[str], *, full: bool) -> Claim:
    """The Claim of one entry. ``key`` begins the ids of its drawings; ``taken`` holds the anchors of the page so far.

    Without ``full`` the drawings are left out.
    """
    name = row.text("campaign_id", limit=72)
    anchor = name if _ID.fullmatch(name) and name not in taken else f"group-{key}"
    taken.add(anchor)
    shown = row.rows("exhibits")[:16] if full else []
    figures = [drawn for at, item in enumerate(shown) if (drawn := exhibits.figure(item, f"{key}x{at}"))]
    bits, intent = coordination_bits(row), row.child("intent")
    accounts = row.rows("accounts")
    members = sorted(
        ((item.text("account_id", limit=80), item.number("membership")) for item in accounts),
        key=lambda pair: (-(pair[1] or 0.0), pair[0]),
    )
    return Claim(
        anchor=anchor,
        id=name or "unnamed",
        label=row.text("label", limit=30),
        headline=row.text("headline", limit=400),
        facts=_facts(row),
        when=phrase.span(row.time("first_seen"), row.time("last_seen")),
        accounts=phrase.whole(row.count("accounts")),
        exchanges=phrase.whole(row.number("exchanges")),
        bits=phrase.bits_text(bits),
        odds=phrase.odds(bits),
        intent=_intent(intent),
        roles=view.roles(row),
        order=view.order(row),
        waterfall=exhibits.waterfall(row, bits, f"{key}w") if full else None,
        figures=_arranged(figures),
        skeletons=[
            view.skeleton(item) for item in shown if item.text("kind") == "skeleton" and item.text("text")
        ],
        links=[table for item in shown if item.text("kind") == "links" and (table := _links(item))[1]],
        layers=view.layers(row),
        coordination=view.tests(row.child("coordination")),
        combination=row.child("coordination").text("combination", limit=160),
        intent_tests=view.tests(intent),
        reference=_reference(intent),
        without=_without(row),
        stable=_stable(row),
        independent=", ".join(phrase.human(name) for name in row.texts("independent_layers", limit=40)[:8]),
        hypotheses=[
            (
                item.text("hypothesis", limit=200).rstrip("."),
                _fits(item.text("fits")),
                item.text("because", limit=500),
            )
            for item in row.rows("hypotheses")[:20]
        ],
        clears=row.texts("clears", limit=400)[:20],
        members=[(account, phrase.decimal(membership)) for account, membership in members[:_ACCOUNTS]],
        members_note=_members_note(members, [item.text("by") for item in accounts]),
    )


def _links(item: Record) -> tuple[str, list[list[str]]]:
    rows = view.columns(item.rows("rows")[:20], "layer", "value", "accounts", "elsewhere", "bits")
    return item.text("title") or "Rare values in common", rows


def coordination_bits(row: Record) -> float | None:
    """Bits of evidence of coordination of an entry."""
    block = row.child("coordination")
    return phrase.bits_of(block.number("e_value"), block.number("bits"))


def _arranged(figures: Sequence[Figure]) -> list[Figure]:
    """Broad figures first, then the half ones in pairs; an odd last one is told so."""
    halves = [drawn for drawn in figures if not drawn.full]
    if len(halves) % 2:
        halves[-1] = replace(halves[-1], alone=True)
    return [drawn for drawn in figures if drawn.full] + halves


def _facts(row: Record) -> list[tuple[str, str]]:
    tokens = row.child("tokens")
    facts = [
        ("accounts", phrase.whole(row.count("accounts"))),
        ("exchanges", phrase.whole(row.number("exchanges"))),
        ("streams", phrase.whole(row.number("streams"))),
        (
            "tokens sent",
            phrase.short(tokens.number("input") or 0) if tokens.number("input") is not None else "–",
        ),
        (
            "tokens drawn",
            phrase.short(tokens.number("output") or 0) if tokens.number("output") is not None else "–",
        ),
    ]
    return [(name, value) for name, value in facts if value != "–"]


def _intent(intent: Record) -> list[tuple[str, str]]:
    bits = phrase.bits_of(intent.number("e_value"))
    pairs = [("evidence", phrase.bits_text(bits)), ("p-value", phrase.decimal(intent.number("p_value")))]
    return [(name, value) for name, value in pairs if value != "–"]


def _reference(intent: Record) -> str:
    reference, score = intent.child("reference"), intent.number("score")
    clusters = reference.number("clusters")
    if clusters is None:
        return ""
    quantiles = reference.child("quantiles")
    known = [(name, quantiles.number(name)) for name in sorted(quantiles.values, key=str)[:8]]
    told = ", ".join(
        f"{clean(name, limit=12)}: {phrase.decimal(value)}" for name, value in known if value is not None
    )
    return f"Compared with {phrase.plural(clusters, 'benign cluster')} of like size and client." + (
        f" Its score is {phrase.decimal(score)}; theirs by quantile: {told}."
        if told and score is not None
        else ""
    )


def _without(row: Record) -> list[list[str]]:
    table: list[list[str]] = []
    for item in row.rows("leave_one_out")[:20]:
        bits = phrase.bits_of(item.number("e_value"), item.number("bits"))
        table.append(
            [
                phrase.human(item.text("without", limit=60)),
                phrase.human(item.text("decision", limit=30)),
                phrase.bits_text(bits),
            ]
        )
    return table


def _stable(row: Record) -> str:
    rows = row.rows("leave_one_out")
    label = row.text("label")
    turned = [phrase.human(item.text("without", limit=60)) for item in rows if item.text("decision") != label]
    if not rows:
        return ""
    if not turned:
        return f"Stays a {label} whichever one kind of evidence is left out."
    return f"Rests on {' and '.join(turned[:4])}: left out, it is no longer a {label}."


def _fits(word: str) -> str:
    return word if word in {"no", "partly", "yes"} else "unknown"


_BY = {"turns": "the turns they take with the others", "round": "their place in the round of requests alone"}


def _members_note(members: Sequence[tuple[str, float | None]], by: Sequence[str]) -> str:
    if not members:
        return ""
    sure = sum((membership or 0) >= _SURE for _, membership in members)
    note = f"{phrase.whole(sure)} of {phrase.whole(len(members))} are members with a probability of at least {_SURE}."
    for word, reason in _BY.items():
        if by.count(word):
            note += f" {phrase.whole(by.count(word))} of them belong by {reason}."
    if len(members) > _ACCOUNTS:
        note += f" The first {_ACCOUNTS} are listed; accounts.parquet holds all."
    return note
