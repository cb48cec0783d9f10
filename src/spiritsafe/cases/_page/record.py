"""Reads a result as hostile text: the only way by which data reaches the page.

Prompts, account names and user agents are written by strangers. Every string that leaves a ``Record`` has a
bounded length, no control characters, no invisible characters and no characters that turn the reading direction; every
number is finite. A key may be missing or hold the wrong type: then the answer is empty, never an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

#: Longest text kept of one field (characters). Skeletons ask for more.
FIELD = 300
#: Longest list read from one field.
ITEMS = 100_000

# Controls (C0, C1, DEL), soft hyphen, direction marks and overrides, zero-width and invisible operators, variation
# selectors of the tag planes, lone surrogates, non-characters. Line feed and tab are handled before.
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff9-\uffff\ud800-\udfff\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Towers of combining marks that climb over the lines above.
_TOWER = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{3})[\u0300-\u036f"
    "\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)


def clean(value: object, *, limit: int = FIELD, lines: bool = False) -> str:
    """``value`` as text that is safe to set in a line (or, with ``lines``, in a block with line feeds).

    Removed characters show as U+FFFD, so that their presence is seen; a cut text ends on an ellipsis.
    """
    if value is None or isinstance(value, bool | Mapping) or not isinstance(value, str | int | float):
        return ""
    text = str(value)[: limit + 1]
    cut = len(text) > limit
    text = text[:limit].replace("\r\n", "\n").replace("\t", " ")
    kept = text.split("\n") if lines else [text.replace("\n", " ")]
    text = "\n".join(_TOWER.sub(r"\1", _INVISIBLE.sub("\ufffd", line)) for line in kept)
    return text.strip("\n ") + ("…" if cut else "")


def finite(value: object) -> float | None:
    """``value`` as a finite float, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _bounded(value: object) -> float:
    """A count from 0 to 10¹⁵ for drawings; anything else is 0."""
    return min(max(finite(value) or 0.0, 0.0), 1e15)


def moment(value: object) -> datetime | None:
    """An ISO 8601 text (or microseconds since the epoch) as a UTC time, or None."""
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1e6, UTC)
        if isinstance(value, str) and len(value) <= 40:
            found = datetime.fromisoformat(value)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


@dataclass(frozen=True, slots=True)
class Record:
    """A read-only view of one JSON object."""

    values: Mapping[str, object] = field(default_factory=dict[str, object])

    @classmethod
    def of(cls, value: object) -> Record:
        """A Record over ``value``; empty when ``value`` is no mapping."""
        return cls(cast("Mapping[str, object]", value)) if isinstance(value, Mapping) else cls()

    def __bool__(self) -> bool:
        return bool(self.values)

    def text(self, key: str, *, limit: int = FIELD, lines: bool = False) -> str:
        return clean(self.values.get(key), limit=limit, lines=lines)

    def number(self, key: str) -> float | None:
        return finite(self.values.get(key))

    def count(self, key: str) -> int:
        """A count; a list counts its items; else 0."""
        value = self.values.get(key)
        if isinstance(value, list | tuple):
            return len(cast("Sequence[object]", value))
        return int(finite(value) or 0)

    def time(self, key: str) -> datetime | None:
        return moment(self.values.get(key))

    def child(self, key: str) -> Record:
        return Record.of(self.values.get(key))

    def items(self, key: str) -> Sequence[object]:
        value = self.values.get(key)
        if isinstance(value, list | tuple):
            return cast("Sequence[object]", value)[:ITEMS]
        return ()

    def rows(self, key: str) -> list[Record]:
        """The objects of a list; anything else in it is left out."""
        return [Record.of(item) for item in self.items(key) if isinstance(item, Mapping) and item]

    def texts(self, key: str, *, limit: int = FIELD) -> list[str]:
        """The texts of a list (one text counts as a list of one)."""
        value = self.values.get(key)
        found = [
            clean(item, limit=limit) for item in ([value] if isinstance(value, str) else self.items(key))
        ]
        return [text for text in found if text]

    def numbers(self, key: str) -> list[float]:
        """The counts of a list; what is none counts as 0, so that positions stay."""
        return [_bounded(item) for item in self.items(key)]

    def grid(self, key: str) -> list[list[float]]:
        """A list of lists of numbers, padded with 0 to one width."""
        rows = [
            [_bounded(cell) for cell in cast("Sequence[object]", row)[:ITEMS]]
            for row in self.items(key)
            if isinstance(row, list | tuple)
        ]
        width = max((len(row) for row in rows), default=0)
        return [row + [0.0] * (width - len(row)) for row in rows]
