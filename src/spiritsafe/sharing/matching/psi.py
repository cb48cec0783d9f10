"""Comparing two members' tokens with nobody between: private set intersection by two secret multiplications (ECDH).

::

    A: a * H(item), in chance order  ──▶
                                     ◀──  B: b * (a * H(item)) in the same order, its own b * H(item) in chance order
    A: a * (b * H(item)), looks which are equal

An item is derived from a token of the current epoch, not from the identifier: whoever guesses identifiers still needs an
evaluation, within quota, for each. It follows from no tag, so the hub's tags are no use here. Sizes are hidden by the
callers, who fill up with chance. A learns which of its items B has; B learns that A compared. It is what two members do
who do not believe the hub's answer: what a hub left out of a match is found here. Both are taken to follow the protocol;
who does not can hide items or make the other miss some, and learns no more for it.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

from spiritsafe.errors import SharingError
from spiritsafe.sharing.matching import group
from spiritsafe.sharing.matching.sums import Points

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spiritsafe.sharing.matching.tags import Place

MOST = 131_072
"""Items of one side: an answer is eight megabytes then."""


class Offer(NamedTuple):
    """A's first message ``points``, and what it keeps: its secret and the items in the order of the points."""

    secret: bytes
    items: list[bytes]
    points: bytes


class Reply(NamedTuple):
    """B's answer: A's points multiplied once more, in order, and B's own points in chance order."""

    doubled: bytes
    own: bytes


def offer(place: Place, items: Iterable[bytes]) -> Offer:
    """Begin: hide each item behind a fresh secret."""
    listed = sorted(items)
    secrets.SystemRandom().shuffle(listed)
    secret = group.random_scalar()
    return Offer(secret, listed, b"".join(group.multiply(secret, _point(place, one)) for one in listed))


def reply(place: Place, items: Iterable[bytes], points: bytes) -> Reply:
    """Answer an offer with the own items. Raises SharingError when the offer has too many points, or others than points."""
    asked = _checked(points)
    secret = group.random_scalar()
    own = [group.multiply(secret, _point(place, one)) for one in items]
    secrets.SystemRandom().shuffle(own)
    return Reply(b"".join(group.multiply(secret, asked[i]) for i in range(len(asked))), b"".join(own))


def common(made: Offer, answer: Reply) -> set[bytes]:
    """The own items that the other has. Raises SharingError when the answer does not fit the offer."""
    doubled, theirs = _checked(answer.doubled), _checked(answer.own)
    if len(doubled) != len(made.items):
        raise SharingError("the answer does not fit the offer")
    known = {group.multiply(made.secret, theirs[i]) for i in range(len(theirs))}
    return {one for i, one in enumerate(made.items) if doubled[i] in known}


def _checked(points: bytes) -> Points:
    if len(points) > MOST * group.SIZE:
        raise SharingError(f"at most {MOST} items are compared")
    return Points(points)


def _point(place: Place, item: bytes) -> bytes:
    return group.hash_to_group(item, f"spiritsafe match compare {place.epoch} {place.purpose}".encode())
