"""Redress: disputes, upheld appeals, revocations, and what each lab then owes those whom an indicator touched.

A dispute asks its author. An appeal that any lab upheld, and every revocation, opens a review at each lab that pulled what it is
about, with a day by which to decide; a match in the own log makes it urgent. The decision is each lab's own: it is told as an
opinion, and it is an entry of that lab's ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from spiritsafe.errors import UsageError
from spiritsafe.sharing.stix.read import facts
from spiritsafe.sharing.stix.terms import DAY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spiritsafe.sharing.client.state import Kept, State
    from spiritsafe.sharing.stix.build import Maker

DECISIONS: Final = ("never-used", "stopped-using", "measure-lifted", "kept-on-own-evidence")
"""What a lab may decide about something of others; about its own: upheld or rejected."""
OWN_DECISIONS: Final = ("upheld", "rejected")
URGENT: Final = 3 * DAY
"""By then, where the indicator matched in the own log; half of the time otherwise given when that is less."""


@dataclass(frozen=True, slots=True)
class Review:
    """Something to look at again. ``mine``: it is an own object that others dispute. Times in microseconds."""

    object: str
    cause: str
    why: str
    opened: int
    due: int
    decided: int | None
    decision: str | None
    mine: bool
    matched: bool


def open_reviews(state: State, me: str, *, now: int, within: int) -> int:
    """Open what follows from what was pulled; how many are new. Call it after each pull."""
    kept = state.here()
    by_id = {one.stix["id"]: one for one in kept}
    hanging = _hanging(kept)
    matched = state.matched().keys()
    opened = 0
    with state.change():
        for one in kept:
            for key, why in _causes(one, by_id, me):
                urgent = not matched.isdisjoint(hanging.get(key, (key,)))
                due = now + (min(URGENT, within // 2) if urgent else within)
                opened += state.open_review(key, one.stix["id"], why, now=now, due=due)
    return opened


def reviews(state: State, me: str) -> list[Review]:
    """All reviews: open ones first, by due date."""
    matched = state.matched().keys()
    hanging = _hanging(state.here())
    found: list[Review] = []
    for key, cause, why, opened, due, decided, decision in state.reviews():
        known = state.object(key)
        touched = not matched.isdisjoint(hanging.get(key, (key,)))
        mine = known is not None and known.author == me
        found.append(Review(key, cause, why, opened, due, decided, decision, mine, touched))
    return found


def decision(
    state: State, maker: Maker, key: str, decided: str, cause: str | None = None
) -> tuple[Review, list[dict[str, Any]]]:
    """The open review of an object, from the beginning of its id, and the objects that tell others of the decision.

    Nothing is changed by it. Raises UsageError when there is no such review, or the decision is none for it.
    """
    every = [one for one in reviews(state, maker.author) if one.decided is None]
    fits = [
        one for one in every if one.object.startswith(key) and (cause is None or one.cause.startswith(cause))
    ]
    if len(fits) != 1:
        known = ", ".join(one.object for one in every)
        raise UsageError(
            f"{'no' if not fits else 'more than one'} open review is of {key!r}",
            hint=f"open: {known or 'none'}",
        )
    review = fits[0]
    allowed = OWN_DECISIONS if review.mine else DECISIONS
    if decided not in allowed:
        raise UsageError(f"{decided!r} is no decision here", hint=f"one of: {', '.join(allowed)}")
    return review, _told(state, maker, review, decided)


def revoke(
    state: State, maker: Maker, keys: Sequence[str], reason: str, answers: str | None = None
) -> list[dict[str, Any]]:
    """Revocations of own objects; of a campaign with all that was shared about it. Raises UsageError."""
    own = [one for one in state.here() if one.author == maker.author and not one.stix.get("revoked")]
    named = {one.stix["id"] for one in own if any(one.stix["id"].startswith(key) for key in keys)}
    if not named:
        raise UsageError(
            "none of these is an own object at the hub", hint="pull first; ids are those of STIX"
        )
    campaigns = {key for key in named if key.startswith("campaign--")}
    cases = [
        one.stix for one in own if one.stix["type"] == "grouping" and campaigns & set(one.stix["object_refs"])
    ]
    hanging = {key for case in cases for key in (case["id"], *case["object_refs"])}
    hanging |= {
        one.stix["id"] for one in own
        if (facts(one.stix) or {}).get("campaign_ref") in named
        or named & {one.stix.get("source_ref"), one.stix.get("target_ref")}
    }  # fmt: skip
    return [maker.revoked(one.stix, reason, answers) for one in own if one.stix["id"] in named | hanging]


def _told(state: State, maker: Maker, review: Review, decided: str) -> list[dict[str, Any]]:
    if not review.mine:
        redress = {"step": "review", "decision": decided, "answers_ref": review.cause}
        value = {"never-used": "neutral", "kept-on-own-evidence": "neutral"}.get(decided, "disagree")
        return [maker.opinion([review.object], value, redress=redress)]
    if decided == "rejected":
        redress = {"step": "appeal-rejected", "answers_ref": review.cause}
        return [maker.opinion([review.object], "agree", redress=redress)]
    upheld = maker.opinion(
        [review.object], "strongly-disagree", redress={"step": "appeal-upheld", "answers_ref": review.cause}
    )
    return [upheld, *revoke(state, maker, [review.object], "appeal-upheld", upheld["id"])]


def _causes(one: Kept, by_id: Mapping[str, Kept], me: str) -> list[tuple[str, str]]:
    """What must be looked at because of this object: (id, why)."""
    told = facts(one.stix)
    if told is None or one.author == me:
        return []
    if one.stix.get("revoked"):
        if one.stix["type"] not in ("campaign", "indicator"):
            return []
        return [(one.stix["id"], f"revoked: {told['revocation']['reason']}")]
    step = told.get("redress", {}).get("step")
    if one.stix["type"] == "sighting" and told["outcome"] == "false-positive":
        about, why, owners_only = [one.stix["sighting_of_ref"]], "called a false positive", True
    elif step == "appeal-upheld":
        about, why, owners_only = one.stix["object_refs"], "an appeal was upheld", False
    elif step == "dispute":
        about, why, owners_only = (
            one.stix["object_refs"],
            f"disputed: {told['redress'].get('ground', 'other')}",
            True,
        )
    else:
        return []
    return [(key, why) for key in about if key in by_id and (by_id[key].author == me or not owners_only)]


def _hanging(kept: Sequence[Kept]) -> dict[str, set[str]]:
    """For each campaign: itself, and the indicators of it."""
    found: dict[str, set[str]] = {}
    for one in kept:
        campaign = (facts(one.stix) or {}).get("campaign_ref")
        if campaign:
            found.setdefault(campaign, {campaign}).add(one.stix["id"])
    return found
