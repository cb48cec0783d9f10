"""Asking t key holders for tokens: one signed request a batch, an answer with a proof from each, joined at the member.

The hub relays requests and answers and can do no more than lose them. A request is signed, so holders count for
themselves how much each member asks, whatever the hub says. An answer is signed too: where its proof does not hold, the
holder is named and the signed answer shows it; where the signature does not hold, nobody is, for the hub may have
changed it.

`prepare` and `combine` do the work and take and give plain values, so that they can run in other processes.
"""

from __future__ import annotations

import hashlib
import secrets
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


class Prepared(NamedTuple):
    """A blinded batch: ``elements`` may be shown; inputs and blinds stay here. The first ``wanted`` are no chance."""

    elements: bytes
    inputs: list[bytes]
    blinds: list[bytes]
    wanted: int


class Asked(NamedTuple):
    """A request that was made."""

    statement: Statement
    batch: Prepared

    @property
    def name(self) -> str:
        """The class."""
        return self.statement.body["class"]

    @property
    def elements(self) -> bytes:
        """What goes to the holders."""
        return self.batch.elements


class Answer(NamedTuple):
    """What a holder sent back: a signed statement about the request, and the evaluated ``elements``."""

    envelope: object
    elements: bytes


class Part(NamedTuple):
    """An answer whose signature holds, with what its proof is checked against: share number and public key."""

    holder: str
    number: int
    public: bytes
    elements: bytes
    proof: bytes


class NotEnough(SharingError):  # noqa: N818 - reads as the fact it states
    """Fewer than t good answers; ``bad`` says what was wrong with others, by holder."""

    def __init__(self, bad: Mapping[str, SharingError]) -> None:
        super().__init__(
            "too few key holders have answered rightly", hint="others are asked, or try again later"
        )
        self.bad = dict(bad)


def batches(inputs: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Inputs in pieces of what one request may hold."""
    for start in range(0, len(inputs), voprf.MOST):
        yield inputs[start : start + voprf.MOST]


def padded(count: int) -> int:
    """How many elements a request for ``count`` tokens has."""
    return min(sealed.padme(count, SMALLEST), voprf.MOST)


def prepare(inputs: Sequence[bytes]) -> Prepared:
    """Fill up and blind one batch. Raises SharingError."""
    voprf.bounded(len(inputs))
    filled = [*inputs, *(secrets.token_bytes(32) for _ in range(padded(len(inputs)) - len(inputs)))]
    blinded = voprf.blind(filled)
    return Prepared(blinded.elements, filled, blinded.blinds, len(inputs))


def request(
    epoch: Epoch, member: str, key: Ed25519PrivateKey, name: str, batch: Prepared, *, expires: int
) -> Asked:
    """Sign the request for a batch of a class. Raises SharingError."""
    epoch.public(name)
    body = {
        "by": member,
        "epoch": epoch.id,
        "class": name,
        "count": len(batch.inputs),
        "elements": digest(batch.elements),
        "nonce": secrets.token_hex(16),
        "expires": expires,
    }
    return Asked(sign("request", body, key), batch)


def signed(epoch: Epoch, asked: Asked, holder: str, answer: Answer, roster: Roster) -> Part:
    """An answer, once its holder signed it for this request. Raises SharingError, which blames nobody."""
    statement = opened("answer", answer.envelope, roster)
    body = statement.body
    if (
        statement.by != holder
        or body["request"] != asked.statement.id
        or body["elements"] != digest(answer.elements)
    ):
        raise SharingError("an answer belongs to something else, or was changed on its way", where=holder)
    number, public = epoch.proposal.index(holder), epoch.share_public(asked.name, holder)
    return Part(holder, number, public, answer.elements, raw(body["proof"]))


def combine(
    batch: Prepared, parts: Sequence[Part], threshold: int
) -> tuple[list[bytes] | None, dict[str, str]]:
    """The tokens, 64 bytes each, in the order of the inputs; None below ``threshold`` right parts.

    And what each holder did wrong whose part does not hold.
    """
    asked = Points(batch.elements)
    good: list[tuple[int, Points]] = []
    bad: dict[str, str] = {}
    for part in parts:
        if len(good) == threshold:
            break
        try:
            found = Points(part.elements)
        except SharingError as error:
            bad[part.holder] = f"answered with what is no point: {error.message}"
            continue
        if voprf.verify(part.public, asked, found, part.proof):
            good.append((part.number, found))
        else:
            bad[part.holder] = "evaluated with another key than its share"
    if len(good) < threshold:
        return None, bad
    numerators, denominator = sums.at_zero([number for number, _ in good])
    elements = sums.joined([points for _, points in good], numerators)
    count = batch.wanted
    return voprf.finalize(
        batch.inputs[:count], batch.blinds[:count], elements[: 32 * count], denominator
    ), bad


def tokens(
    epoch: Epoch, asked: Asked, answers: Mapping[str, Answer], roster: Roster
) -> tuple[list[bytes], dict[str, SharingError]]:
    """The tokens, and what was wrong with answers: MisconductError where the holder is to blame. Raises NotEnough."""
    parts, bad = sorted_out(epoch, asked, answers, roster)
    found, wrong = combine(asked.batch, parts, epoch.proposal.threshold)
    bad |= blamed(wrong)
    if found is None:
        raise NotEnough(bad)
    return found, bad


def sorted_out(
    epoch: Epoch, asked: Asked, answers: Mapping[str, Answer], roster: Roster
) -> tuple[list[Part], dict[str, SharingError]]:
    """The answers that are signed, and what is wrong with the others."""
    parts: list[Part] = []
    bad: dict[str, SharingError] = {}
    for holder, answer in sorted(answers.items()):
        try:
            parts.append(signed(epoch, asked, holder, answer, roster))
        except SharingError as error:
            bad[holder] = error
    return parts, bad


def blamed(wrong: Mapping[str, str]) -> dict[str, SharingError]:
    """What holders did wrong, as errors that name them."""
    return {holder: MisconductError(why, (holder,)) for holder, why in wrong.items()}


def digest(elements: bytes) -> str:
    """How elements are named in statements."""
    return hashlib.sha256(elements).hexdigest()
