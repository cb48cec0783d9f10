"""An epoch: one key for each class of identifiers, the holders of its shares, and the rules that they agreed to.

Each class has a key of its own. An evaluation hides what is evaluated, so a quota for a class can only be kept if a
token of another class is worth nothing for it. A new epoch has new keys, dealt anew: its tokens have nothing in common
with the old ones, and a share of an old key is no use for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from spiritsafe.errors import SharingError
from spiritsafe.sharing.matching import group, shares
from spiritsafe.sharing.matching.classes import CLASSES, ceiling
from spiritsafe.sharing.matching.roster import HOLDER
from spiritsafe.sharing.matching.statements import body_id, checked, opened, raw

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spiritsafe.sharing.matching.roster import Roster

DAY = 86_400 * 1_000_000
LONGEST = 100
"""Days of an epoch."""


class Rule(NamedTuple):
    """A class in an epoch: the version of its canonical form, evaluations a member and day."""

    version: int
    quota: int


@dataclass(frozen=True)
class Proposal:
    """What a ceremony is to make; ``holders`` sorted by identity, the first has share 1. Times in microseconds."""

    id: str
    body: dict[str, Any]
    forum: str
    number: int
    holders: tuple[str, ...]
    threshold: int
    least: int
    classes: Mapping[str, Rule]
    purposes: frozenset[str]
    valid_from: int
    valid_until: int

    def index(self, holder: str) -> int:
        """The number of a holder's share, from 1. Raises SharingError."""
        if holder not in self.holders:
            raise SharingError("this member holds no share of the epoch", where=holder)
        return self.holders.index(holder) + 1


def proposed(body: dict[str, Any], roster: Roster | None = None) -> Proposal:
    """The proposal in a statement's body, once its rules are sound and its holders are key holders of the roster.

    The threshold is a majority of *all* key holders that the roster has, whoever takes part.
    Without a roster who they are is not looked at: an epoch that was accepted goes on when a holder leaves the forum.
    Raises SharingError.
    """
    identity = body_id("proposal", body)
    holders = tuple(one["member"] for one in body["holders"])
    if list(holders) != sorted(set(holders)):
        raise SharingError("holders are different and in the order of their identities")
    if roster is not None:
        _seated(body, roster)
    if not len(holders) // 2 < body["threshold"] <= len(holders):
        # Else two halves of the holders could each evaluate alone, and a minority could.
        raise SharingError("the threshold is more than half of the holders, and not more than all")
    days = (body["valid_until"] - body["valid_from"]) / DAY
    if not 0 < days <= LONGEST:
        raise SharingError(f"an epoch lasts up to {LONGEST} days")
    classes = {name: Rule(rule["version"], rule["quota"]) for name, rule in body["classes"].items()}
    for name, rule in classes.items():
        known = CLASSES.get(name)
        if known is None or known.version != rule.version:
            raise SharingError(
                f"class {name} version {rule.version} is not known here", hint="members need the same release"
            )
        if rule.quota > ceiling(known, days):
            raise SharingError(
                f"{rule.quota} evaluations of {name} a day are too many for {days:.0f} days",
                hint=f"at most {ceiling(known, days)}: `spiritsafe share match classes`",
            )
    return Proposal(
        identity,
        body,
        body["forum"],
        body["number"],
        holders,
        body["threshold"],
        body["least"],
        classes,
        frozenset(body["purposes"]),
        body["valid_from"],
        body["valid_until"],
    )


def _seated(body: dict[str, Any], roster: Roster) -> None:
    """Raise SharingError unless the holders are the roster's, and no minority of all that it has could evaluate."""
    for one in body["holders"]:
        member = roster.member(one["member"])
        if one["key"] not in member.keys or HOLDER not in member.roles:
            raise SharingError("the roster has no such key holder", where=member.id)
    everybody = sum(HOLDER in one.roles for one in roster.members.values())
    if body["threshold"] <= everybody // 2:
        # Else a few who agree could make an epoch among themselves, and evaluate what they like.
        raise SharingError(f"the threshold is more than half of all {everybody} key holders of the roster")


@dataclass(frozen=True)
class Epoch:
    """A finished ceremony; ``body`` is what every holder signed. Its id binds all keys and rules."""

    id: str
    body: dict[str, Any]
    proposal: Proposal

    @cached_property
    def _commitments(self) -> dict[str, list[bytes]]:
        return {name: [raw(one) for one in points] for name, points in self.body["keys"].items()}

    @cached_property
    def _images(self) -> dict[tuple[str, int], bytes]:
        return {}

    def public(self, name: str) -> bytes:
        """The public key of a class. Raises SharingError."""
        if name not in self._commitments:
            raise SharingError(
                f"this epoch has no class {name!r}", hint=f"it has {', '.join(self._commitments)}"
            )
        return self._commitments[name][0]

    def share_public(self, name: str, holder: str) -> bytes:
        """The public key of a holder's share in a class. Raises SharingError."""
        self.public(name)
        key = (name, self.proposal.index(holder))
        if key not in self._images:
            self._images[key] = shares.image(self._commitments[name], key[1])
        return self._images[key]

    def live(self, now: int) -> None:
        """Raise SharingError when the epoch has not begun or is over."""
        if not self.proposal.valid_from <= now < self.proposal.valid_until:
            raise SharingError("the epoch is not in force", hint="`spiritsafe share match epoch`")


def described(body: object, roster: Roster | None = None) -> Epoch:
    """The epoch in a descriptor, signed or not yet; see `proposed` for the roster. Raises SharingError."""
    checked("epoch", body)
    fields = cast("dict[str, Any]", body)
    proposal = proposed(fields["proposal"], roster)
    if fields["ceremony"] != proposal.id or fields["keys"].keys() != proposal.classes.keys():
        raise SharingError("the epoch is not what was proposed")
    for name, points in fields["keys"].items():
        if len(points) != proposal.threshold:
            raise SharingError("the key has not as many parts as the threshold", where=name)
        for one in points:
            group.point(raw(one), name)
    return Epoch(body_id("epoch", fields), fields, proposal)


def certified(certificate: object, roster: Roster) -> Epoch:
    """The epoch in ``{"epoch": …, "verdicts": […]}``, once *every* holder has signed it.

    All, not t: a holder signs one epoch for a number, so one honest holder keeps members from being given different
    keys. Raises SharingError.
    """
    fields = cast("dict[str, Any]", certificate) if isinstance(certificate, dict) else {}
    verdicts = fields.get("verdicts")
    if fields.keys() != {"epoch", "verdicts"} or not isinstance(verdicts, list):
        raise SharingError("this is no certificate of an epoch")
    found = described(fields["epoch"], roster)
    entries = cast("list[Any]", verdicts)
    if len(entries) != len(found.proposal.holders):
        raise SharingError("an epoch is signed by each of its holders")
    signed: set[str] = set()
    for envelope in entries:
        verdict = opened("verdict", envelope, roster)
        if verdict.body["ceremony"] == found.proposal.id and verdict.body["epoch"] == found.id:
            signed.add(verdict.by)
    missing = set(found.proposal.holders) - signed
    if missing:
        raise SharingError("holders have not signed this epoch", where=", ".join(sorted(missing)))
    return found
