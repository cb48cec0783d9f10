"""What is counted while files are read, what part of a file that is, and what stops it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spiritsafe.errors import InputChanged, InputError, InputUnreachable, MalformedRecord, UnknownFormat

if TYPE_CHECKING:
    from spiritsafe.sources._blocks import Span

FATAL = (InputChanged, InputUnreachable, MalformedRecord)
"""What stops a scan even where it is one file of many."""
COUNTS = ("records", "accepted", "rejected", "outside", "other", "repaired")


def nothing(path: str, error: InputError) -> InputError:
    """What stops a scan of files of which none can be read. ``error``: the first one's."""
    if isinstance(error, UnknownFormat):
        return UnknownFormat(f"no file is a log; the first {error.message}", where=path)
    return error


@dataclass(frozen=True, slots=True)
class Piece:
    """What to read of a file: ``span`` (see ``cuts``; None: all), whose first line has number ``first``."""

    span: Span | None = None
    first: int = 1

    @property
    def opens(self) -> bool:
        """It is the beginning of the file."""
        return not self.span or not self.span[0]


@dataclass(slots=True)
class Tally:
    """What was counted of one file, or of all so far. ``at``: bytes of records set aside before this file's."""

    at: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    unread: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    present: set[str] = field(default_factory=set)

    def add(self, other: Tally) -> None:
        """Count in what another counted."""
        for name, count in other.counts.items():
            self.counts[name] += count
        self.unread.update(other.unread)
        self.unknown.update(other.unknown)
        self.present |= other.present
