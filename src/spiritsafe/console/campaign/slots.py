"""Shared texts of a group: fixed words, slots, and what stood in the slots where a result shows texts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from spiritsafe.campaigns.exhibits import SLOT
from spiritsafe.cases._page.record import Record, clean

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXT: Final = 6_000
_VALUE: Final = 240
_WORDS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Skeleton:
    """``parts``: (text, number of the slot or 0 for fixed words), in order. ``examples``: by slot, from 1 on, what stood there.

    ``fixed`` and ``slots`` count words and slots; ``accounts`` and ``exchanges`` who used it and how often. ``masked``: the
    result was made without texts, so that there are no examples.
    """

    parts: list[tuple[str, int]]
    examples: list[list[str]]
    fixed: int
    slots: int
    accounts: int
    exchanges: int
    masked: bool


def skeletons(entry: Mapping[str, Any]) -> list[Skeleton]:
    """The shared texts that a result tells, most used first."""
    rows = [row for row in Record.of(entry).rows("exhibits") if row.text("kind") == "skeleton"]
    return [_skeleton(row) for row in rows[:8] if row.text("text")]


def _skeleton(row: Record) -> Skeleton:
    text = row.text("text", limit=_TEXT, lines=True)
    pieces = text.split(SLOT)
    parts: list[tuple[str, int]] = []
    for at, piece in enumerate(pieces):
        if at:
            parts.append((SLOT, at))
        if piece.strip():
            parts.append((piece.strip(), 0))
    specimens = row.texts("specimens", limit=_TEXT)
    found = [values for one in specimens if (values := fillings(pieces, one)) is not None]
    examples = [
        list(dict.fromkeys(values[at] for values in found if values[at])) for at in range(len(pieces) - 1)
    ]
    fixed = sum(len(piece.split()) for piece in pieces)
    slots = len(pieces) - 1
    return Skeleton(
        parts, examples, fixed, slots, row.count("accounts"), row.count("exchanges"), not specimens
    )


def fillings(pieces: list[str], specimen: str) -> list[str] | None:
    """What stands in the slots of a text, one a slot between two ``pieces`` of fixed words; None when it does not fit.

    Fixed words are looked for in order, the first place each: linear in the text, whatever it holds.
    """
    text = _WORDS.sub(" ", specimen).strip()
    fixed = [_WORDS.sub(" ", piece).strip() for piece in pieces]
    if not text.startswith(fixed[0]):
        return None
    at, found = len(fixed[0]), list[str]()
    for number, piece in enumerate(fixed[1:], 1):
        last = number == len(fixed) - 1
        end = len(text) if last and not piece else text.find(piece, at)
        if last and piece:
            # The fixed end stands at the end, unless the text was cut before it.
            end = len(text) - len(piece) if text.endswith(piece) and len(text) - len(piece) >= at else end
        if end < 0:
            return None
        found.append(clean(text[at:end].strip(), limit=_VALUE))
        at = end + len(piece)
    return found
