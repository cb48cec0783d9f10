"""Asking t key holders for tokens: one signed request a batch, an answer with a proof from each, joined at the member.

The hub relays requests and answers and can do no more than lose them. A request is signed, so holders count for
themselves how much each member asks, whatever the hub says. An answer is signed too: where its proof does not hold, the
holder is named and the signed answer shows it; where the signature does not hold, nobody is, for the hub may have
changed it.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from spiritsafe.errors import MisconductError, SharingError
from spiritsafe.sharing.matching import sealed, sums, voprf
from spiritsafe.sharing.matching.statements import Statement, opened, raw, sign
from spiritsafe.sharing.matching.sums import Points

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from spiritsafe.sharing.matching.epoch import Epoch
    from spiritsafe.sharing.matching.roster import Roster

SMALLEST = 64
"""Elements of a request, filled up with chance: how many identifiers a small laboratory has is its own affair."""


class Answer(NamedTuple):
    """What a holder sent back: a signed statement about the request, and the evaluated ``elements``."""

    envelope: object
    elements: bytes


@dataclass(frozen=True)
class Asked:
    """A request that was made, and what its member keeps for itself: inputs and blinds."""

    statement: Statement
    elements: bytes
    inputs: list[bytes]
    blinds: list[bytes]
    wanted: int

    @property
    def name(self) -> str:
        """The class."""
        return self.statement.body["class"]


def batches(inputs: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Inputs in pieces of what one request may hold."""
    for start in range(0, len(inputs), voprf.MOST):
        yield inputs[start : start + voprf.MOST]


def padded(count: int) -> int:
    """How many elements a request for ``count`` tokens has."""
    return min(sealed.padme(count, SMALLEST), voprf.MOST)


def ask(
    epoch: Epoch, member: str, key: Ed25519PrivateKey, name: str, inputs: Sequence[bytes], *, expires: int
) -> Asked:
    """Blind one batch of a class and sign the request. Raises SharingError."""
    epoch.public(name)
    voprf.bounded(len(inputs))
    filled = [*inputs, *(secrets.token_bytes(32) for _ in range(padded(len(inputs)) - len(inputs)))]
    blinded = voprf.blind(filled)
    body = {
        "by": member,
        "epoch": epoch.id,
        "class": name,
        "count": len(filled),
        "elements": digest(blinded.elements),
        "nonce": secrets.token_hex(16),
        "expires": expires,
    }
    return Asked(sign("request", body, key), blinded.elements, filled, blinded.blinds, len(inputs))


def checked(
    epoch: Epoch, asked: Asked, points: Points, holder: str, answer: Answer, roster: Roster
) -> Points:
    """The evaluated points of one holder.

    Raises MisconductError, which names the holder, for a wrong evaluation that it signed; SharingError where the answer
    is not the holder's, or is another request's.
    """
    statement = opened("answer", answer.envelope, roster)
    body = statement.body
    if (
        statement.by != holder
        or body["request"] != asked.statement.id
        or body["elements"] != digest(answer.elements)
    ):
        raise SharingError("an answer belongs to something else, or was changed on its way", where=holder)
    public = epoch.share_public(asked.name, holder)
    try:
        found = Points(answer.elements)
        good = voprf.verify(public, points, found, raw(body["proof"]))
    except SharingError as error:
        raise MisconductError(f"answered with what is no point: {error.message}", (holder,)) from None
    if not good:
        raise MisconductError("evaluated with another key than its share", (holder,))
    return found


def joined(epoch: Epoch, asked: Asked, parts: Mapping[str, Points]) -> list[bytes]:
    """The tokens of the batch, 64 bytes each, in the order of the inputs, from any t holders' checked answers."""
    threshold = epoch.proposal.threshold
    if len(parts) < threshold:
        raise SharingError(f"{len(parts)} of {threshold} holders have answered")
    chosen = sorted(parts)[:threshold]
    numerators, denominator = sums.at_zero([epoch.proposal.index(one) for one in chosen])
    elements = sums.joined([parts[one] for one in chosen], numerators)
    count = asked.wanted
    return voprf.finalize(asked.inputs[:count], asked.blinds[:count], elements[: 32 * count], denominator)


def tokens(
    epoch: Epoch, asked: Asked, answers: Mapping[str, Answer], roster: Roster
) -> tuple[list[bytes], dict[str, SharingError]]:
    """The tokens, and what was wrong with the answers that were not used. Raises SharingError below t good ones."""
    points = Points(asked.elements)
    good: dict[str, Points] = {}
    bad: dict[str, SharingError] = {}
    for holder, answer in sorted(answers.items()):
        if len(good) == epoch.proposal.threshold:
            break
        try:
            good[holder] = checked(epoch, asked, points, holder, answer, roster)
        except SharingError as error:
            bad[holder] = error
    if len(good) < epoch.proposal.threshold:
        raise NotEnough(bad)
    return joined(epoch, asked, good), bad


class NotEnough(SharingError):  # noqa: N818 - reads as the fact it states
    """Fewer than t good answers; ``bad`` says what was wrong with others, by holder."""

    def __init__(self, bad: Mapping[str, SharingError]) -> None:
        super().__init__(
            "too few key holders have answered rightly", hint="others are asked, or try again later"
        )
        self.bad = dict(bad)


def digest(elements: bytes) -> str:
    """How elements are named in statements."""
    return hashlib.sha256(elements).hexdigest()
