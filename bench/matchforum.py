"""A forum in one process: members with fixed keys, a ceremony run between them. For tests and measurements."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from spiritsafe.attest import keys
from spiritsafe.sharing.matching import ceremony, evaluation, sealed, tags
from spiritsafe.sharing.matching.classes import hashed
from spiritsafe.sharing.matching.counts import Counts
from spiritsafe.sharing.matching.epoch import DAY, Epoch, Proposal, proposed
from spiritsafe.sharing.matching.holder import Holder
from spiritsafe.sharing.matching.roster import HOLDER, Member, Roster
from spiritsafe.sharing.matching.tags import Place
from spiritsafe.sharing.matching.tree import Tree
from spiritsafe.sharing.stix import ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from spiritsafe.sharing.matching.statements import Statement

NOW = 1_780_000_000_000_000


def signer(name: str) -> Ed25519PrivateKey:
    """A key that is the same in each run."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def identity(name: str) -> str:
    """The identity of the member with this name."""
    return ids.identity_id(keys.public(signer(name)))


def pseudonym(name: str) -> str:
    """The name that the forum gives it."""
    return ids.pseudonym(signer(name).public_key().public_bytes_raw())


def member(name: str, *roles: str) -> Member:
    """The member with this name and ``roles``."""
    return Member(
        identity(name), pseudonym(name), (keys.public(signer(name)),), frozenset({"member", *roles})
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


def holders(made: Made) -> dict[str, Holder]:
    """All holders of the epoch, in this process, by identity."""
    forum = made.forum
    return {
        identity(one): Holder(
            identity(one), signer(one), forum.roster, made.epoch, made.shares[one], Counts()
        )
        for one in forum.held
    }


def evaluated(
    made: Made, who: str, inputs: Mapping[str, Sequence[str]], now: int = NOW
) -> dict[bytes, tuple[str, bytes]]:
    """Class and token by tag of a member's canonical values, asked of the first t holders."""
    answering = list(holders(made).values())[: made.epoch.proposal.threshold]
    found: dict[bytes, tuple[str, bytes]] = {}
    for name, values in inputs.items():
        for batch in evaluation.batches([hashed(name, value) for value in values]):
            prepared = evaluation.prepare(batch)
            asked = evaluation.request(
                made.epoch, identity(who), signer(who), name, prepared, expires=now + DAY
            )
            answers = {
                one.me: one.answer(asked.statement.envelope, asked.elements, now=now) for one in answering
            }
            tokens, _ = evaluation.tokens(made.epoch, asked, answers, made.forum.roster)
            found |= {place(made).tag(name, token): (name, token) for token in tokens}
    return found


def place(made: Made) -> Place:
    """Where tags of this epoch are compared."""
    return Place(made.epoch.id, "distillation")


@dataclass
class Posted:
    """A member's tokens and the set that it posted."""

    who: str
    tokens: dict[bytes, tuple[str, bytes]]
    rows: bytes
    statement: Statement
    key: X25519PrivateKey


def posted(
    made: Made, who: str, tokens: dict[bytes, tuple[str, bytes]], version: int = 1, now: int = NOW
) -> Posted:
    """Post a member's tokens as a set."""
    key = sealed.private()
    data = tags.rows(place(made), identity(who), tokens, who.encode())
    statement = tags.post(
        place(made), identity(who), signer(who), data, version=version, seal_to=sealed.public(key), made=now, until=now + 7 * DAY
    )  # fmt: skip
    return Posted(who, tokens, data, statement, key)


def hub_answer(sets: Sequence[Posted], who: str, least: int) -> dict[str, Any]:
    """What an honest hub answers a member who asks for its matches."""
    rows = {identity(one.who): one.rows for one in sets}
    by = {identity(one.who): one for one in sets}
    return {
        "sets": [
            {
                "statement": by[name].statement.envelope,
                "indices": indices,
                "rows": tags.chosen(rows[name], indices),
                "proof": b"".join(Tree(tags.split(rows[name])).prove(indices)),
            }
            for name, indices in tags.common(rows, identity(who), least).items()
            if indices
        ]
    }
