"""A forum in one process: members with fixed keys, a ceremony run between them. For tests and measurements."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from spiritsafe.attest import keys
from spiritsafe.sharing.matching import ceremony
from spiritsafe.sharing.matching.epoch import DAY, Epoch, Proposal, proposed
from spiritsafe.sharing.matching.roster import HOLDER, Member, Roster

if TYPE_CHECKING:
    from spiritsafe.sharing.matching.statements import Statement

NOW = 1_780_000_000_000_000


def signer(name: str) -> Ed25519PrivateKey:
    """A key that is the same in each run."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def identity(name: str) -> str:
    """The identity of the member with this name."""
    return f"identity--{uuid.uuid5(uuid.NAMESPACE_URL, keys.public(signer(name)))}"


def member(name: str, *roles: str) -> Member:
    """The member with this name and ``roles``."""
    key = signer(name).public_key()
    return Member(
        identity(name), f"member-{name}", keys.public(signer(name)), key, frozenset({"member", *roles})
    )


@dataclass
class Forum:
    """Members ``a``, ``b``, … of whom the first ``holders`` hold shares."""

    names: str = "abcde"
    holders: int = 5
    threshold: int = 3
    least: int = 2
    number: int = 1
    quotas: dict[str, int] = field(default_factory=lambda: {"device": 1_000, "ipv4": 500, "skeleton": 5_000})

    @cached_property
    def roster(self) -> Roster:
        """All members."""
        held = self.names[: self.holders]
        return Roster(member(one, *([HOLDER] if one in held else [])) for one in self.names)

    def body(self, **changes: Any) -> dict[str, Any]:
        """The body of the proposal, with ``changes``."""
        held = sorted(self.names[: self.holders], key=identity)
        return {
            "by": identity(held[0]),
            "forum": "forum.example",
            "number": self.number,
            "holders": [{"member": identity(one), "key": keys.public(signer(one))} for one in held],
            "threshold": self.threshold,
            "least": self.least,
            "classes": {name: {"version": 1, "quota": quota} for name, quota in self.quotas.items()},
            "purposes": ["distillation"],
            "valid_from": NOW,
            "valid_until": NOW + 30 * DAY,
            "opened": NOW,
            **changes,
        }

    @cached_property
    def proposal(self) -> Proposal:
        """What the ceremony is to make."""
        return proposed(self.body(), self.roster)

    @cached_property
    def held(self) -> list[str]:
        """Names of the holders, in the order of their shares."""
        return sorted(self.names[: self.holders], key=identity)

    def participants(self) -> dict[str, ceremony.Participant]:
        """The holders, ready to join."""
        return {
            one: ceremony.Participant(self.proposal, identity(one), signer(one), self.roster)
            for one in self.held
        }


@dataclass
class Made:
    """A finished ceremony: the epoch, its certificate and all shares."""

    forum: Forum
    epoch: Epoch
    certificate: dict[str, Any]
    shares: dict[str, dict[str, bytes]]
    rounds: tuple[list[Statement], list[Statement], list[Statement]]


def make(forum: Forum) -> Made:
    """Run a ceremony in which everybody is honest."""
    parts = forum.participants()
    joins = [one.join() for one in parts.values()]
    deals = [one.deal(joins) for one in parts.values()]
    verdicts = [one.verdict(joins, deals) for one in parts.values()]
    ends = {name: one.finish(joins, deals, verdicts) for name, one in parts.items()}
    epoch = next(iter(ends.values()))[0]
    return Made(
        forum,
        epoch,
        ceremony.certificate(epoch, verdicts),
        {n: s for n, (_, s) in ends.items()},
        (joins, deals, verdicts),
    )
