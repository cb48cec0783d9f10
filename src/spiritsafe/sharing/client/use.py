"""What a member's own policy makes of what it pulled: files that the gateway and people read. Nothing is applied by pulling.

Three uses, from little to most: a ``lead`` is for a person; a ``lookup`` is matched by the gateway, which records the match and
does nothing else; for ``observe`` an order is drafted, which acts only when the desk signs it, and is no more than a record in
the log. Whoever wants more needs a campaign of their own scan, and persons who approve.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from spiritsafe.model import Order
from spiritsafe.orders.content import from_order, rfc3339
from spiritsafe.orders.snapshot import replace_file
from spiritsafe.sharing.client.settings import USES, Rule, Use
from spiritsafe.sharing.stix import others
from spiritsafe.sharing.stix.read import Received, facts, from_stix
from spiritsafe.sharing.stix.terms import micros

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from spiritsafe.model import Indicator
    from spiritsafe.sharing.client.state import Kept, State

INDICATORS, LEADS, DRAFTS = "indicators.json", "leads.json", "proposed.json"
_AGAINST: Final = ("disagree", "strongly-disagree")


@dataclass(frozen=True, slots=True)
class Judged:
    """What members say of one object: who saw it, who calls it false, whether its author answered the disputes."""

    seen_by: frozenset[str]
    false_by: frozenset[str]
    disputed: bool


@dataclass(frozen=True, slots=True)
class Used:
    """One indicator and what it may be used for; ``why`` in words when for nothing."""

    indicator: Indicator
    author: str
    use: Use | None
    why: str
    judged: Judged


def weigh(
    state: State, rules: Sequence[Rule], me: str, *, now: int, fingerprint_version: int
) -> tuple[list[Used], Received]:
    """Each indicator of others, by the receiver's rules; and all that was received. Expired and revoked ones are not there."""
    kept = state.here()
    received = from_stix((one.stix for one in kept), fingerprint_version=fingerprint_version)
    members = state.members()
    modified = {one.stix["id"]: micros(one.stix["modified"]) for one in kept}
    said = judgements(kept)
    found: list[Used] = []
    for one in received.indicators:
        author = received.authors[one.indicator_id]
        if author == me or (one.valid_until is not None and one.valid_until <= now):
            continue
        about = (one.indicator_id, one.campaign_id)
        judged = _together([said[key] for key in about if key in said])
        name, standing = members.get(author, ("", "gone"))
        use, why = _allowed(one, rules, {author, name}, judged, now - modified[one.indicator_id], author)
        if one.campaign_id in received.gone:
            use, why = None, "its campaign was revoked"
        if standing != "active":
            use, why = None, "its author is no active member"
        found.append(Used(one, author, use, why, judged))
    return found, received


def judgements(kept: Iterable[Kept]) -> dict[str, Judged]:
    """What the objects here say of each other, by id. Revoked opinions and sightings say nothing."""
    seen: dict[str, set[str]] = {}
    false: dict[str, set[str]] = {}
    disputes: dict[str, set[str]] = {}
    answered: set[str] = set()
    for one in kept:
        told = facts(one.stix)
        if told is None or one.stix.get("revoked"):
            continue
        if one.stix["type"] == "sighting":
            table = {"seen": seen, "false-positive": false}.get(told["outcome"])
            if table is not None:
                table.setdefault(one.stix["sighting_of_ref"], set()).add(one.author)
        elif one.stix["type"] == "opinion":
            redress: Mapping[str, Any] = told.get("redress", {})
            step = redress.get("step")
            if step == "appeal-rejected" and "answers_ref" in redress:
                answered.add(redress["answers_ref"])
            elif step in ("dispute", "appeal-upheld") or (step is None and one.stix["opinion"] in _AGAINST):
                for key in one.stix["object_refs"]:
                    disputes.setdefault(key, set()).add(one.stix["id"])
    return {
        key: Judged(
            frozenset(seen.get(key, ())),
            frozenset(false.get(key, ())),
            bool(disputes.get(key, set()) - answered),
        )
        for key in {*seen, *false, *disputes}
    }


def _together(listed: Sequence[Judged]) -> Judged:
    return Judged(
        frozenset().union(*(one.seen_by for one in listed)),
        frozenset().union(*(one.false_by for one in listed)),
        any(one.disputed for one in listed),
    )


def _allowed(
    one: Indicator, rules: Sequence[Rule], names: set[str], judged: Judged, age: int, author: str
) -> tuple[Use | None, str]:
    """The most that a rule allows, or what the nearest rule misses."""
    kind = "address" if one.kind == "network" else one.kind
    best: Use | None = None
    why = "no rule is for this member and kind"
    for rule in rules:
        if not (rule.members & (names | {"*"}) and kind in rule.kinds):
            continue
        others_seen = len(judged.seen_by - {author})
        if age > rule.newer_than:
            why = "older than the rule allows"
        elif others_seen < rule.sightings:
            why = f"seen by {others_seen} others, the rule asks for {rule.sightings}"
        elif not rule.disputed and (judged.disputed or judged.false_by):
            why = "disputed, or called a false positive"
        elif best is None or USES.index(rule.use) > USES.index(best):
            best = rule.use
    return best, "" if best else why


def write(
    folder: Path, used: Sequence[Used], received: Received, *, now: int, fingerprint_version: int
) -> None:
    """Replace the three files in ``folder``, each at once. Raises StorageError."""
    matched = [one for one in used if one.use in ("lookup", "observe")]
    table = {
        "schema": 1,
        "fingerprint_version": fingerprint_version,
        "indicators": [_indicator(one.indicator) for one in matched],
    }
    orders = [from_order(one) for one in drafts(used, now)]
    for name, content in (
        (INDICATORS, table),
        (
            LEADS,
            {"schema": 1, "time": rfc3339(now), "leads": [_lead(one, received) for one in used if one.use]},
        ),
        (DRAFTS, {"schema": 1, "orders": orders}),
    ):
        replace_file(
            folder / name, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
        )


def drafts(used: Iterable[Used], now: int) -> list[Order]:
    """One order a campaign, to observe the requests that match; it ends with the last of its indicators."""
    ends: dict[str, int] = {}
    names: dict[str, list[str]] = {}
    for one in used:
        if one.use == "observe" and one.indicator.valid_until is not None:
            key = one.indicator.campaign_id
            ends[key] = max(ends.get(key, 0), one.indicator.valid_until)
            names.setdefault(key, []).append(one.indicator.indicator_id)
    found: list[Order] = []
    for key, end in sorted(ends.items()):
        digest = hashlib.sha256("\n".join(sorted(names[key])).encode()).hexdigest()
        name = hashlib.sha256(f"{key}\0observe\0{digest}".encode()).hexdigest()[:12]
        found.append(
            Order(
                f"o-{name}",
                key,
                "observe",
                "streams",
                frozenset(),
                "forum",
                f"{key}@sha256:{digest}",
                now,
                end,
            )
        )
    return found


def _indicator(one: Indicator) -> dict[str, Any]:
    """As a scan writes it, with its end: the gateway then stops by itself."""
    return {
        "indicator_id": one.indicator_id,
        "campaign_id": one.campaign_id,
        "kind": one.kind,
        "values": list(one.values),
        "least": one.least,
        "valid_from": rfc3339(one.valid_from),
        "valid_until": None if one.valid_until is None else rfc3339(one.valid_until),
    }


def _lead(one: Used, received: Received) -> dict[str, Any]:
    campaign = received.campaigns.get(one.indicator.campaign_id, {})
    return {
        **_indicator(one.indicator),
        "author": one.author,
        "use": one.use,
        "seen_by": len(one.judged.seen_by),
        "false_by": len(one.judged.false_by),
        "disputed": one.judged.disputed,
        "atlas": list(others.told(campaign).atlas),
        "campaign": campaign.get("description", ""),
    }
