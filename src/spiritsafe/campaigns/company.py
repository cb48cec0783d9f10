"""Company: what stands around each component of anchors, which tells an instruction from an item that many word alike.

What an instruction stands around differs from exchange to exchange. An item of which there are variants (the same question in
other numbers) comes bare, or in the frames of a few. Where both stand in one prompt the instruction is the template, or
a campaign would fall apart by its items (ADR 26).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

_PART = 9, 10
"""Share of a component's exchanges that another one stands in, too, from which it is a part of that one."""
_SEEN = 24
"""Exchanges that tell what a component is a part of, and what is around it, at least."""
_SEVERAL = 2
"""Values that a slot has at least."""


@dataclass(frozen=True, slots=True)
class Wholes:
    """What each component is a part of: ``of[start[one]:start[one + 1]]`` (int32), as the variants of a frame are of it."""

    start: Any
    of: Any

    @classmethod
    def among(cls, rows: Any, pairs: Iterable[tuple[Any, Any]]) -> Wholes:
        """From the exchanges of each component (``rows`` int64) and of two together (``_anchors.together``), each pair once."""
        found = [np.zeros((2, 0), np.int64)]
        for keys, count in pairs:  # kept are few: a batch at a time
            both, parts = _inside(keys, count, rows)
            for way, part in zip((both, both[::-1]), parts, strict=True):
                found.append(way[:, part & (rows[way[0]] >= _SEEN)])
        one, other = np.concatenate(found, axis=1)
        order = np.lexsort((other, one))
        return cls(np.searchsorted(one[order], np.arange(rows.size + 1)), other[order].astype(np.int32))


def _inside(keys: Any, count: Any, rows: Any) -> tuple[Any, Any]:
    """The two components of each pair; and bool, alike (2, pairs), whether each stands in the other as a part does.

    Whole numbers, so that what holds in the sum over a log's parts holds in one of them or more.
    """
    both = np.stack(np.divmod(keys, max(1, rows.size)))
    return both, _PART[1] * count >= _PART[0] * rows[both]


def nested(keys: Any, count: Any, rows: Any) -> Any:
    """Bool by pair: whether one of the two is a part of the other, as far as these exchanges tell."""
    return _inside(keys, count, rows)[1].any(axis=0)


def possible(keys: Any, rows: Any) -> Any:
    """Bool by pair: whether one can be a part of the other, in however many exchanges they stand together."""
    both, parts = _inside(keys, rows[np.stack(np.divmod(keys, max(1, rows.size)))].min(axis=0), rows)
    return (parts & (rows[both] >= _SEEN)).any(axis=0)


def variants(wholes: Wholes, rows: Any) -> list[Any]:
    """Components (int32) that may be one instruction whose slots take several values: a whole and its parts, a list each.

    The parts' exchanges (``rows`` int64 by component) add up to half of the whole's, or more: a preamble has all else around it.
    Parts that stand together, or in one another, are counted each, so a whole may be proposed that they fill by less.
    """
    part = np.repeat(np.arange(rows.size, dtype=np.int32), np.diff(wholes.start))
    order = np.argsort(wholes.of, kind="stable")
    part, whole = part[order], wholes.of[order]
    held = np.bincount(whole, weights=rows[part], minlength=rows.size)
    several = np.bincount(whole, minlength=rows.size) >= _SEVERAL
    framing = np.flatnonzero(several & (2 * held >= rows)).astype(np.int32)
    begin, end = (np.searchsorted(whole, framing, side=side) for side in ("left", "right"))
    return [np.append(part[a:b], one) for one, a, b in zip(framing, begin, end, strict=True)]


def numbered(
    frames: Iterable[Any], lost: Iterable[tuple[int, Any]], number: Any
) -> tuple[list[Any], list[tuple[int, Any]]]:
    """``variants`` as templates, those with several, and ``outvoted``; ``number`` int32 by component: its template or -1."""
    found = [np.sort(mine[mine >= 0]) for mine in (number[one] for one in frames)]
    return [one for one in found if one.size > 1], [(int(number[one]), mine) for one, mine in lost]


@dataclass(frozen=True, slots=True)
class Company:
    """By component ``alike`` (float32): how often two of its exchanges have the same others around it (Simpson 1949).

    Parts and wholes are no others, and exchanges that are mostly text of their own do not count. 1 where too few are left.
    """

    alike: Any
    wholes: Wholes

    @classmethod
    def of(cls, wholes: Wholes, seen: Any, squares: Any) -> Company:
        """``seen`` int64: exchanges that count; ``squares`` int64: sum of the squares of how many have the same around it."""
        alike = squares / np.maximum(1.0, seen.astype(float)) ** 2
        return cls(np.where(seen < _SEEN, 1.0, alike).astype(np.float32), wholes)


def added(counted: Iterable[tuple[Any, Any]], components: int) -> tuple[Any, Any]:
    """``seen`` and ``squares`` of ``Company.of``, from the keys of ``_anchors.around`` and their counts, each key once.

    Whole numbers, so that they are the same in whatever order parts of a log tell theirs.
    """
    seen, squares = np.zeros((2, components), np.int64)
    for keys, count in counted:
        np.add.at(seen, keys >> 32, count)
        np.add.at(squares, keys >> 32, count * count)
    return seen, squares
