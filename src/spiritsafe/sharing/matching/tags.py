"""Tags: what a member posts about its tokens, so that equal identifiers can be found and nothing else.

A row is ``tag (32) | mark (16)``. The tag is the same for each member that holds the identifier: by it the hub finds
equals. The mark is the member's own, made with the token: whoever copies a tag off the hub cannot make its mark, so a
member counts towards k only if it knows the identifier. Both are pseudorandom: without the epoch's keys nobody gets
from them to a token, and chance looks the same, with which a set is filled up.

A set is one flat, sorted list: which rows belong to one candidate, or to which class, is not in it.
"""

from __future__ import annotations

import hashlib
import hmac
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spiritsafe.errors import SharingError
from spiritsafe.sharing.matching.sealed import padme
from spiritsafe.sharing.matching.statements import Statement, b64, sign
from spiritsafe.sharing.matching.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

TAG, MARK = 32, 16
ROW = TAG + MARK
SMALLEST = 256
MOST = 196_608
"""Rows of a set: nine megabytes."""


class Place(NamedTuple):
    """Where tags are compared: in one epoch, for one purpose. Tags of two places have nothing in common."""

    epoch: str
    purpose: str

    def tag(self, name: str, token: bytes) -> bytes:
        """The tag of a token of a class."""
        return hmac.digest(
            token, f"spiritsafe match tag\0{self.epoch}\0{self.purpose}\0{name}".encode(), "sha256"
        )

    def mark(self, member: str, token: bytes) -> bytes:
        """The mark of a member that knows the token."""
        text = f"spiritsafe match mark\0{self.epoch}\0{self.purpose}\0{member}".encode()
        return hmac.digest(token, text, "sha256")[:MARK]

    def item(self, name: str, token: bytes) -> bytes:
        """What stands for a token where two members compare without the hub; it follows from no tag."""
        text = f"spiritsafe match item\0{self.epoch}\0{self.purpose}\0{name}".encode()
        return hmac.digest(token, text, "sha256")


def rows(place: Place, member: str, tokens: Mapping[bytes, tuple[str, bytes]], filler: bytes) -> bytes:
    """The sorted rows of a set: those of ``tokens`` (class and token by tag), filled up with chance from ``filler``.

    The same ``filler`` gives the same chance, so that a set posted again with one identifier more does not show which
    rows are real by those that stayed. Raises SharingError when there are too many.
    """
    real = [tag + place.mark(member, token) for tag, (_, token) in tokens.items()]
    size = padme(len(real), SMALLEST)
    if size > MOST:
        raise SharingError(f"a set has at most {MOST} rows")
    chance = (
        hashlib.shake_256(filler + place.epoch.encode() + number.to_bytes(4, "big")).digest(ROW)
        for number in range(size - len(real))
    )
    return ordered(b"".join([*real, *chance]))


def ordered(unsorted: bytes) -> bytes:
    """Rows in order, each once."""
    return np.unique(np.frombuffer(unsorted, f"S{ROW}")).tobytes() if unsorted else b""


def split(data: bytes) -> list[bytes]:
    """The rows, one by one. Raises SharingError when they are not sorted, or two have one tag."""
    found = [data[i : i + ROW] for i in range(0, len(data), ROW)]
    if len(data) % ROW or any(a[:TAG] >= b[:TAG] for a, b in pairwise(found)):
        raise SharingError("rows are sorted, and no tag stands twice")
    return found


def post(
    place: Place,
    member: str,
    key: Ed25519PrivateKey,
    data: bytes,
    *,
    version: int,
    seal_to: bytes,
    made: int,
    until: int,
) -> Statement:
    """Sign a set. It takes the place of the member's earlier versions; one without rows withdraws them all.

    ``seal_to``: the member's public X25519 key of this epoch. ``until`` bounds how long a hub could go on with a set
    that was withdrawn.
    """
    body = {
        "by": member,
        "epoch": place.epoch,
        "purpose": place.purpose,
        "version": version,
        "size": len(data) // ROW,
        "root": Tree(split(data)).root.hex(),
        "key": b64(seal_to),
        "made": made,
        "until": until,
    }
    return sign("set", body, key)


def fits(statement: Statement, data: bytes) -> bool:
    """Whether ``data`` are the rows that a set's statement signs."""
    try:
        found = split(data)
    except SharingError:
        return False
    return len(found) == statement.body["size"] and Tree(found).root.hex() == statement.body["root"]


def common(sets: Mapping[str, bytes], member: str, least: int) -> dict[str, list[int]]:
    """For each other member the indices of its rows whose tag ``member`` and, in all, at least ``least`` members have.

    What the hub computes: equality of tags, nothing more.
    """
    if member not in sets:
        return {}
    names = sorted(sets)
    tags = [np.frombuffer(sets[name], np.uint8).reshape(-1, ROW)[:, :TAG] for name in names]
    whole: Any = np.ascontiguousarray(np.concatenate(tags)).view(f"S{TAG}").reshape(-1)
    owner = np.repeat(np.arange(len(names)), [len(one) for one in tags])
    _, group, counts = np.unique(whole, return_inverse=True, return_counts=True)
    mine = np.zeros(counts.size, bool)
    mine[group[owner == names.index(member)]] = True
    wanted = (mine & (counts >= least))[group]
    start = np.concatenate([[0], np.cumsum([len(one) for one in tags])])
    return {
        name: np.flatnonzero(wanted[start[i] : start[i + 1]]).tolist()
        for i, name in enumerate(names)
        if name != member
    }


def chosen(data: bytes, indices: Sequence[int]) -> bytes:
    """The rows at ``indices``."""
    return b"".join(data[ROW * i : ROW * i + ROW] for i in indices)
