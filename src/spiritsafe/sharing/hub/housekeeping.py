"""What is done from time to time: what has expired goes, and its going is in the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spiritsafe.errors import SharingError
from spiritsafe.sharing.hub import shelf
from spiritsafe.sharing.hub.books import CONSOLE, Books, Entry
from spiritsafe.sharing.hub.members import DAY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.sharing.hub.store import Row, Store, Tx

_AT_ONCE: Final = 500  # objects in one transaction: others wait no longer than for a small request


async def round_(store: Store, now: int) -> bool:
    """Take away expired objects, statuses, nonces and old counts; whether there is more to take away."""

    async def due(tx: Tx) -> bool:
        row = await tx.one(
            "SELECT EXISTS (SELECT 1 FROM objects WHERE expires <= $1) OR EXISTS (SELECT 1 FROM statuses WHERE expires <= $1) "
            "OR EXISTS (SELECT 1 FROM nonces WHERE expires <= $1)",
            now,
        )
        return bool(row and row[0])

    async def job(tx: Tx) -> bool:
        await tx.run("DELETE FROM statuses WHERE expires <= $1", now)
        await tx.run("DELETE FROM nonces WHERE expires <= $1", now)
        await tx.run("DELETE FROM used WHERE day < $1", now // DAY - 1)
        return await _expire(tx, now) == _AT_ONCE

    return await store.read(due) and await store.write(job)


async def expire(store: Store, now: int) -> int:
    """Take away all objects that have expired; how many."""
    count = 0
    while done := await store.write(lambda tx: _expire(tx, now)):
        count += done
    return count


async def withdraw(store: Store, names: Sequence[str], reason: str, now: int) -> int:
    """Take away objects by their ids, in all versions and collections, at the operator's word; how many versions.

    Raises SharingError, with nothing done, when one is not there.
    """

    async def job(tx: Tx) -> int:
        count = 0
        for name in names:
            rows = await tx.all(
                "SELECT seq, collection, id, owner FROM objects WHERE id = $1 ORDER BY seq", name
            )
            if not rows:
                raise SharingError("there is no such object", where=name)
            await _gone(tx, rows, reason, "objects.withdrawn", now)
            count += len(rows)
        return count

    return await store.write(job)


async def _expire(tx: Tx, now: int) -> int:
    rows = await shelf.expired(tx, now, _AT_ONCE)
    if rows:
        await _gone(tx, rows, "expired", "objects.expired", now)
    return len(rows)


async def _gone(tx: Tx, rows: Sequence[Row], why: str, action: str, now: int) -> None:
    await shelf.remove(tx, rows, why, now)
    books = await Books.opened(tx)
    detail = {"log": [row[0] for row in rows], "why": why}
    books.note(Entry(CONSOLE, action, 200, count=len(rows), detail=detail), now)
    await books.closed(tx, None, now)
