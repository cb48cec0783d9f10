"""Making an epoch's keys without a dealer: each holder deals a share to each other, the key is the sum.

::

    proposal   rules, holders, threshold            by one holder
    join       a one-time key for each dealer to seal to, and a hash of the commitments to come
    deal       commitments, proofs of knowledge, sealed shares
    verdict    the epoch's id, signed by all; or complaints

(Feldman's sharing, Pedersen's sum of it.) The hash makes commitments independent of the others', so nobody steers the
key; the proof keeps a dealer from cancelling the others' secrets. Each statement names those of the round before that
its author saw: a hub that shows different ones to different holders stops the ceremony and nothing more.

Whoever misbehaves is named, and the ceremony is started again without it: that is simpler than going on, and the few
laboratories of a forum can afford it. A complaint opens the sealed share with the one-time key made for that dealer, so
everybody sees who lied, the dealer or the accuser. Secrets live in memory until the end, never on disk, and the sealed
shares that the hub keeps open for nobody once the one-time keys are gone.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spiritsafe.attest.canonical import jcs
from spiritsafe.errors import MisconductError, SharingError
from spiritsafe.sharing.matching import group, sealed, shares
from spiritsafe.sharing.matching.epoch import Epoch, Proposal, described
from spiritsafe.sharing.matching.statements import Statement, b64, raw, sign

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from spiritsafe.sharing.matching.roster import Roster

ROUNDS = ("join", "deal", "verdict")


class Waiting(SharingError):  # noqa: N818 - reads as the fact it states
    """A round is not complete yet; ``where`` names who is missing."""


@dataclass
class Participant:
    """One holder in one ceremony, from its join to its share of each class's key; used once."""

    proposal: Proposal
    me: str
    key: Ed25519PrivateKey
    roster: Roster
    _polynomials: dict[str, list[bytes]] = field(init=False, repr=False)
    _one_time: dict[str, X25519PrivateKey] = field(init=False, repr=False)
    _nonce: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.proposal.index(self.me)
        self._polynomials = {
            name: shares.polynomial(self.proposal.threshold) for name in self.proposal.classes
        }
        self._one_time = {dealer: sealed.private() for dealer in self.proposal.holders}
        self._nonce = secrets.token_hex(16)

    @property
    def _commitments(self) -> dict[str, list[str]]:
        return {
            name: [b64(one) for one in shares.commit(secret)] for name, secret in self._polynomials.items()
        }

    def join(self) -> Statement:
        """The first statement."""
        body = {
            "by": self.me,
            "ceremony": self.proposal.id,
            "commitment": _commitment(self._nonce, self._commitments),
            "keys": {dealer: b64(sealed.public(one)) for dealer, one in self._one_time.items()},
        }
        return sign("join", body, self.key)

    def deal(self, joins: Iterable[Statement]) -> Statement:
        """The second, once all have joined. Raises MisconductError for a key that nothing can be sealed to."""
        known = gathered(self.proposal, "join", joins)
        boxes: dict[str, str] = {}
        for receiver in self.proposal.holders:
            index = self.proposal.index(receiver)
            message = b"".join(
                shares.share(self._polynomials[name], index) for name in sorted(self._polynomials)
            )
            about = _about(self.proposal, self.me, receiver)
            try:
                box = sealed.seal(message, raw(known[receiver].body["keys"][self.me]), about)
            except (SharingError, KeyError):
                raise MisconductError(
                    "joined with a key that nothing can be sealed to", (receiver,)
                ) from None
            boxes[receiver] = b64(box)
        body = {
            "by": self.me,
            "ceremony": self.proposal.id,
            "seen": _seen(known),
            "nonce": self._nonce,
            "commitments": self._commitments,
            "proofs": {
                name: b64(shares.prove(secret[0], _context(self.proposal, self.me, name)))
                for name, secret in self._polynomials.items()
            },
            "shares": boxes,
        }
        return sign("deal", body, self.key)

    def verdict(self, joins: Iterable[Statement], deals: Iterable[Statement]) -> Statement:
        """The third: the epoch's id, or complaints. Raises SharingError when the hub showed others something else."""
        known, dealt = gathered(self.proposal, "join", joins), gathered(self.proposal, "deal", deals)
        agreed(known, dealt)
        bad = [
            dealer for dealer in self.proposal.holders if fault(self.proposal, known[dealer], dealt[dealer])
        ]
        complaints: dict[str, str] = {}
        for dealer in self.proposal.holders:
            if dealer not in bad and self._received(known, dealt[dealer]) is None:
                complaints[dealer] = b64(self._one_time[dealer].private_bytes_raw())
        body = {
            "by": self.me,
            "ceremony": self.proposal.id,
            "seen": _seen(dealt),
            "epoch": None if bad or complaints else described(_summed(self.proposal, dealt), self.roster).id,
            "complaints": complaints,
        }
        return sign("verdict", body, self.key)

    def finish(
        self, joins: Iterable[Statement], deals: Iterable[Statement], verdicts: Iterable[Statement]
    ) -> tuple[Epoch, dict[str, bytes]]:
        """The epoch and this holder's share of each class's key. Raises MisconductError, SharingError."""
        known, dealt = gathered(self.proposal, "join", joins), gathered(self.proposal, "deal", deals)
        epoch = concluded(self.proposal, known.values(), dealt.values(), verdicts, self.roster)
        mine = {name: group.number(0) for name in self.proposal.classes}
        for dealer in self.proposal.holders:
            received = self._received(known, dealt[dealer])
            if received is None:  # concluded() has shown that there were no complaints, ours included
                raise SharingError("a share that was accepted does not open", where=dealer)
            mine = {name: group.plus(mine[name], received[name]) for name in mine}
        return epoch, mine

    def forget(self) -> None:
        """Drop what opens sealed shares and the own polynomial. Python cannot wipe memory; the process should end."""
        self._polynomials, self._one_time, self._nonce = {}, {}, ""

    def _received(self, joins: Mapping[str, Statement], deal: Statement) -> dict[str, bytes] | None:
        return _opened(self.proposal, joins[self.me], deal, self._one_time[deal.by])


def gathered(proposal: Proposal, kind: str, statements: Iterable[Statement]) -> dict[str, Statement]:
    """One statement of a round from each holder. Raises MisconductError for two from one, Waiting."""
    found: dict[str, Statement] = {}
    for one in statements:
        if one.kind != kind or one.body["ceremony"] != proposal.id or one.by not in proposal.holders:
            raise SharingError(f"this is no {kind} of the ceremony", where=one.by)
        if one.by in found and found[one.by].id != one.id:
            raise MisconductError(f"signed two different {kind}s", (one.by,))
        found[one.by] = one
    missing = [holder for holder in proposal.holders if holder not in found]
    if missing:
        raise Waiting(f"the ceremony waits for a {kind}", where=", ".join(missing))
    return found


def agreed(before: Mapping[str, Statement], after: Mapping[str, Statement]) -> None:
    """Check that each author of ``after`` saw the same statements ``before``. Raises SharingError."""
    expected = _seen(before)
    for one in after.values():
        other = sorted(name for name in expected if one.body["seen"].get(name) != expected[name])
        if other or one.body["seen"].keys() != expected.keys():
            raise SharingError(
                f"{one.by} was shown another statement than we were: the hub is lying, or its author signed two",
                where=", ".join(other) or one.by,
                hint="compare the signed statements; two by one author prove it",
            )


def fault(proposal: Proposal, join: Statement, deal: Statement) -> str | None:
    """What everybody can see to be wrong in a deal, if anything."""
    body = deal.body
    if (
        body["commitments"].keys() != proposal.classes.keys()
        or body["proofs"].keys() != proposal.classes.keys()
    ):
        return "dealt other classes than proposed"
    if body["shares"].keys() != set(proposal.holders):
        return "dealt to others than the holders"
    if _commitment(body["nonce"], body["commitments"]) != join.body["commitment"]:
        return "dealt other commitments than it joined with"
    for points in body["commitments"].values():
        if len(points) != proposal.threshold or not all(_is_point(one) for one in points):
            return "committed to no polynomial of the right degree"
    for name, points in body["commitments"].items():
        if not shares.proven(raw(points[0]), raw(body["proofs"][name]), _context(proposal, deal.by, name)):
            return "does not know the secret of its commitment"
    return None


def judged(
    proposal: Proposal,
    joins: Mapping[str, Statement],
    deals: Mapping[str, Statement],
    verdicts: Mapping[str, Statement],
) -> dict[str, str]:
    """Who broke the ceremony and how: the same for everybody who has the statements, holder or not."""
    culprits: dict[str, str] = {}
    for dealer in proposal.holders:
        found = fault(proposal, joins[dealer], deals[dealer])
        if found:
            culprits[dealer] = found
    for accuser, verdict in verdicts.items():
        for dealer, text in verdict.body["complaints"].items():
            if dealer not in deals:
                culprits[accuser] = "complained of somebody who holds no share"
                continue
            if dealer in culprits:
                continue
            key = sealed.private(raw(text))
            if b64(sealed.public(key)) != joins[accuser].body["keys"].get(dealer):
                culprits[accuser] = "complained with a key that it had not announced"
            elif _opened(proposal, joins[accuser], deals[dealer], key) is None:
                culprits[dealer] = "sealed a share that does not fit its commitments"
            else:
                culprits[accuser] = "complained of a share that is right"
    return culprits


def concluded(
    proposal: Proposal,
    joins: Iterable[Statement],
    deals: Iterable[Statement],
    verdicts: Iterable[Statement],
    roster: Roster,
) -> Epoch:
    """The epoch that a whole ceremony made; anybody can check it so. Raises MisconductError, SharingError."""
    known, dealt = gathered(proposal, "join", joins), gathered(proposal, "deal", deals)
    told = gathered(proposal, "verdict", verdicts)
    agreed(known, dealt)
    agreed(dealt, told)
    culprits = judged(proposal, known, dealt, told)
    if culprits:
        raise MisconductError(
            "; ".join(f"{roster.member(name).name} {how}" for name, how in sorted(culprits.items())),
            tuple(sorted(culprits)),
            hint="start a new ceremony without them",
        )
    epoch = described(_summed(proposal, dealt), roster)
    for holder, verdict in told.items():
        if verdict.body["epoch"] != epoch.id:
            raise MisconductError("signed another epoch than the ceremony made", (holder,))
    return epoch


def certificate(epoch: Epoch, verdicts: Iterable[Statement]) -> dict[str, Any]:
    """What members need to trust the epoch: it, and every holder's signature."""
    return {
        "epoch": epoch.body,
        "verdicts": [one.envelope for one in sorted(verdicts, key=lambda one: one.by)],
    }


def _opened(
    proposal: Proposal, join: Statement, deal: Statement, key: X25519PrivateKey
) -> dict[str, bytes] | None:
    """The shares that ``deal`` holds for the author of ``join``, if they open and fit the commitments."""
    index, names = proposal.index(join.by), sorted(proposal.classes)
    try:
        message = sealed.unseal(raw(deal.body["shares"][join.by]), key, _about(proposal, deal.by, join.by))
    except SharingError:
        return None
    if len(message) != group.SIZE * len(names):
        return None
    found = {name: message[group.SIZE * i : group.SIZE * (i + 1)] for i, name in enumerate(names)}
    for name, value in found.items():
        if not shares.fits(value, [raw(one) for one in deal.body["commitments"][name]], index):
            return None
    return found


def _summed(proposal: Proposal, deals: Mapping[str, Statement]) -> dict[str, Any]:
    """The descriptor: the sum of all commitments."""
    keys = {
        name: [
            b64(group.add(*(raw(deal.body["commitments"][name][power]) for deal in deals.values())))
            for power in range(proposal.threshold)
        ]
        for name in sorted(proposal.classes)
    }
    return {"ceremony": proposal.id, "proposal": proposal.body, "keys": keys}


def _commitment(nonce: str, commitments: Mapping[str, list[str]]) -> str:
    return hashlib.sha256(jcs({"nonce": nonce, "commitments": dict(commitments)})).hexdigest()


def _context(proposal: Proposal, dealer: str, name: str) -> bytes:
    return jcs({"ceremony": proposal.id, "dealer": dealer, "class": name})


def _is_point(text: str) -> bool:
    try:
        return bool(group.point(raw(text)))
    except SharingError:
        return False


def _about(proposal: Proposal, dealer: str, receiver: str) -> dict[str, str]:
    return {"ceremony": proposal.id, "from": dealer, "to": receiver}


def _seen(statements: Mapping[str, Statement]) -> dict[str, str]:
    return {name: one.id for name, one in statements.items()}
