"""A holder's own count of what it evaluated, for whom, in which class, on which day: never for what.

The hub counts too, but a hub and a member that work together could agree on any number. What a request was counted for
is remembered by its id, so a hub that plays a request again wears out nobody's quota.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from spiritsafe.errors import SharingError, StorageError
from spiritsafe.sharing.matching.epoch import DAY

if TYPE_CHECKING:
    from pathlib import Path

AGAIN = 8
"""Times that one request is evaluated, before it is taken for a flood."""
_TABLES = """
CREATE TABLE IF NOT EXISTS counts (
  epoch TEXT NOT NULL, member TEXT NOT NULL, class TEXT NOT NULL, day INTEGER NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY (epoch, member, class, day)) STRICT;
CREATE TABLE IF NOT EXISTS requests (
  id TEXT PRIMARY KEY, epoch TEXT NOT NULL, times INTEGER NOT NULL) STRICT;
"""


class OverQuota(SharingError):  # noqa: N818 - reads as the fact it states
    """A member asked for more evaluations than its quota of the day."""


class Counts:
    """Counts in a SQLite file, or in memory without one. Raises StorageError."""

    def __init__(self, path: Path | None = None) -> None:
        try:
            self._base = sqlite3.connect(
                str(path) if path else ":memory:", isolation_level=None, check_same_thread=False
            )
            if path:
                path.chmod(0o600)
            self._base.executescript(_TABLES)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"the counts cannot be kept: {error}", where=str(path)) from error

    def take(
        self, epoch: str, request: str, member: str, name: str, count: int, quota: int, now: int
    ) -> None:
        """Count a request before it is evaluated, once however often it comes. Raises OverQuota, StorageError."""
        try:
            with self._base:
                self._base.execute("BEGIN IMMEDIATE")
                self._take(epoch, request, member, name, count, quota, now)
        except sqlite3.Error as error:
            raise StorageError(f"the counts cannot be kept: {error}") from error

    def _take(
        self, epoch: str, request: str, member: str, name: str, count: int, quota: int, now: int
    ) -> None:
        found = self._base.execute("SELECT times FROM requests WHERE id = ?", (request,)).fetchone()
        if found is None:
            used = self.used(epoch, member, name, now)
            if used + count > quota:
                raise OverQuota(f"{used} of {quota} evaluations of {name} are used up today")
            self._base.execute(
                "INSERT INTO counts VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                (epoch, member, name, now // DAY, count),
            )
        elif found[0] >= AGAIN:
            raise OverQuota("this request came too often")
        self._base.execute(
            "INSERT INTO requests VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1",
            (request, epoch),
        )

    def used(self, epoch: str, member: str, name: str, now: int) -> int:
        """Evaluations of a member in a class today."""
        found = self._base.execute(
            "SELECT count FROM counts WHERE epoch = ? AND member = ? AND class = ? AND day = ?",
            (epoch, member, name, now // DAY),
        ).fetchone()
        return int(found[0]) if found else 0

    def forget(self, epoch: str) -> None:
        """Drop what was counted for an epoch that is over."""
        self._base.execute("DELETE FROM counts WHERE epoch = ?", (epoch,))
        self._base.execute("DELETE FROM requests WHERE epoch = ?", (epoch,))

    def close(self) -> None:
        """Close the file."""
        self._base.close()
