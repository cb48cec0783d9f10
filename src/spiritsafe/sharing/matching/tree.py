"""A Merkle tree over a whole set (RFC 6962) and one proof for many of its leaves.

`spiritsafe.attest.merkle` proves single leaves of a growing log. Here thousands of leaves of one set are proven
together: siblings that several paths need are sent once. The root is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.attest.merkle import EMPTY, leaf_hash, node_hash
from spiritsafe.errors import SharingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Tree:
    """All levels of the tree over ``leaves``, from the leaf hashes up."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.levels = [[leaf_hash(one) for one in leaves]]
        while len(self.levels[-1]) > 1:
            below = self.levels[-1]
            above = [node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
            if len(below) % 2:
                above.append(below[-1])  # the last one without a sibling moves up as it is
            self.levels.append(above)

    @property
    def root(self) -> bytes:
        """The root hash."""
        return self.levels[-1][0] if self.levels[0] else EMPTY

    def prove(self, indices: Sequence[int]) -> list[bytes]:
        """The hashes with which the root follows from the leaves at ``indices``."""
        proof: list[bytes] = []
        known = sorted(set(indices))
        for level in self.levels[:-1]:
            here = set(known)
            proof += [level[i ^ 1] for i in known if i ^ 1 not in here and i ^ 1 < len(level)]
            known = sorted({i >> 1 for i in known})
        return proof


def verify(size: int, leaves: Mapping[int, bytes], proof: Sequence[bytes], root: bytes) -> None:
    """Check that ``leaves`` (by index) are in the tree of ``size`` leaves with this ``root``. Raises SharingError."""
    if not leaves or any(not 0 <= i < size for i in leaves):
        raise SharingError("the proof names leaves that the set does not have")
    parts, width = iter(proof), size
    known = {i: leaf_hash(one) for i, one in leaves.items()}
    while width > 1:
        above: dict[int, bytes] = {}
        for i in sorted(known):
            other = i ^ 1
            if i >> 1 in above:
                continue
            if other >= width:
                above[i >> 1] = known[i]
                continue
            sibling = known[other] if other in known else next(parts, b"")
            left, right = (known[i], sibling) if i < other else (sibling, known[i])
            above[i >> 1] = node_hash(left, right)
        known, width = above, (width + 1) >> 1
    if next(parts, None) is not None or known[0] != root:
        raise SharingError("the proof does not lead to the signed root")
