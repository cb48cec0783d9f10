"""Merkle trees of logs (RFC 6962, RFC 9162 section 2.1): what a log holds, that it only grew, in a few hashes.

A tree of ``size`` leaves is kept as its *peaks*, the roots of the perfect trees it consists of, from large to small:
O(log n). For proofs a store keeps the leaf hashes and every eighth level of inner nodes above them (n/256 more rows);
what is between is computed from at most 128 of them. A node is named ``(level, place)``: it stands over the leaves
``place << level`` to ``(place + 1) << level``.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from spiritsafe.errors import AttestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Span = tuple[int, int]

EMPTY = hashlib.sha256(b"").digest()
"""The root of a log without leaves."""
STRIDE = 8
"""Levels from one that is stored to the next."""
_HASH = 32


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf's bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """The root over all leaf hashes, at once."""
    return Tree().extended(hashes).root()


class Node(NamedTuple):
    """An inner node or leaf: ``hash`` over the leaves from ``place << level``."""

    level: int
    place: int
    hash: bytes


class Tree:
    """An append-only tree: its size and its peaks, nothing else."""

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)
        if len(self.peaks) != size.bit_count():
            raise AttestError(f"a tree of {size} leaves has {size.bit_count()} peaks, not {len(self.peaks)}")

    def append(self, leaf: bytes) -> list[Node]:
        """Add one leaf hash; the inner nodes of stored levels that it completes (mostly none)."""
        made: list[Node] = []
        index, level, carry = self.size, 0, leaf
        while index & 1:
            carry = node_hash(self.peaks.pop(), carry)
            index >>= 1
            level += 1
            if level % STRIDE == 0:
                made.append(Node(level, index, carry))
        self.peaks.append(carry)
        self.size += 1
        return made

    def extended(self, leaves: Iterable[bytes]) -> Tree:
        """The same tree with more leaf hashes."""
        for leaf in leaves:
            self.append(leaf)
        return self

    def root(self) -> bytes:
        """The root hash."""
        return _bagged(self.peaks)


def inclusion_spans(index: int, size: int) -> list[Span]:
    """Ranges of leaves whose roots, in this order, prove that leaf ``index`` is in the tree of ``size`` leaves.

    Raises AttestError when there is no such leaf.
    """
    if not 0 <= index < size:
        raise AttestError(f"a tree of {size} leaves has no leaf {index}")
    spans: list[Span] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    return spans[::-1]


def consistency_spans(old: int, new: int) -> list[Span]:
    """Ranges of leaves whose roots prove that the tree of ``old`` leaves is the beginning of the tree of ``new``.

    Raises AttestError when ``old`` is more than ``new``.
    """
    if not 0 <= old <= new:
        raise AttestError(f"a tree of {new} leaves does not go on from one of {old}")
    spans: list[Span] = []
    start, end, whole = 0, new, True
    if old in {0, new}:
        return spans
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start, whole = middle, False
    if not whole:  # the verifier has the old root itself, unless it is hidden inside a larger perfect tree
        spans.append((start, end))
    return spans[::-1]


def reads(spans: Iterable[Span]) -> list[tuple[int, int, int]]:
    """What must be read from the store to compute the roots of ``spans``: (stored level, first place, count)."""
    return [
        (level - level % STRIDE, index << level % STRIDE, 1 << level % STRIDE)
        for span in spans
        for level, index in _perfect(*span)
    ]


def roots(spans: Sequence[Span], fetched: Iterable[Sequence[bytes]]) -> list[bytes]:
    """The roots of ``spans`` from what `reads` named, in the same order. Raises AttestError when nodes are missing."""
    rows = iter(fetched)
    out: list[bytes] = []
    for span in spans:
        peaks: list[bytes] = []
        for level, _ in _perfect(*span):
            hashes = next(rows, ())
            if len(hashes) != 1 << level % STRIDE:
                raise AttestError("nodes of the tree are missing in the store", hint="verify the log")
            peaks.append(root(hashes))
        out.append(_bagged(peaks))
    return out


def prove(spans: Sequence[Span], read: Callable[[int, int, int], Sequence[bytes]]) -> list[bytes]:
    """A proof by its spans, with ``read(level, first, count)`` giving stored hashes."""
    return roots(spans, [read(*one) for one in reads(spans)])


def inclusion(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The inclusion proof of leaf ``index`` of a tree whose leaf hashes are all at hand."""
    return [root(hashes[start:end]) for start, end in inclusion_spans(index, len(hashes))]


def consistency(hashes: Sequence[bytes], old: int) -> list[bytes]:
    """The proof that the first ``old`` leaves are the beginning of the tree with all of ``hashes``."""
    return [root(hashes[start:end]) for start, end in consistency_spans(old, len(hashes))]


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], expected: bytes) -> None:
    """Check that leaf hash ``leaf`` is number ``index`` of the tree with ``size`` leaves and root ``expected``.

    Raises AttestError. RFC 9162, 2.1.3.2.
    """
    if not 0 <= index < size or any(len(part) != _HASH for part in (leaf, expected, *proof)):
        raise AttestError("the inclusion proof is malformed")
    place, last, found = index, size - 1, leaf
    for part in proof:
        if last == 0:
            raise AttestError("the inclusion proof is too long")
        if place & 1 or place == last:
            found = node_hash(part, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, part)
        place, last = place >> 1, last >> 1
    if last or found != expected:
        raise AttestError("the inclusion proof does not lead to the root")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of ``old`` leaves with ``old_root`` is the beginning of that of ``new`` with ``new_root``.

    Raises AttestError. RFC 9162, 2.1.4.2; a tree without leaves is the beginning of each.
    """
    if not 0 <= old <= new or any(len(part) != _HASH for part in (old_root, new_root, *proof)):
        raise AttestError("the consistency proof is malformed")
    if old in {0, new}:
        if proof or old_root != (EMPTY if old == 0 else new_root):
            raise AttestError("the consistency proof does not fit")
        return
    parts = iter(proof if old & (old - 1) else (old_root, *proof))
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = next(parts, b"")
    for part in parts:
        if last == 0:
            raise AttestError("the consistency proof is too long")
        if place & 1 or place == last:
            first, second = node_hash(part, first), node_hash(part, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, part)
        place, last = place >> 1, last >> 1
    if last or first != old_root or second != new_root:
        raise AttestError("the consistency proof does not lead to both roots")


def _split(count: int) -> int:
    """The largest power of two smaller than ``count``, which is at least 2."""
    return 1 << (count - 1).bit_length() - 1


def _perfect(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The perfect trees over the leaves from ``start`` to ``end``, from large to small; ``start`` fits the largest."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _bagged(peaks: Sequence[bytes]) -> bytes:
    if not peaks:
        return EMPTY
    found = peaks[-1]
    for peak in peaks[-2::-1]:
        found = node_hash(peak, found)
    return found
