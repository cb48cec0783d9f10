"""What is done from time to time: what has expired goes, and its going is in the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spiritsafe.sharing.hub import shelf
from spiritsafe.sharing.hub.books import CONSOLE, Books, Entry
from spiritsafe.sharing.hub.members import DAY

if TYPE_CHECKING:
    from spiritsafe.sharing.hub.store import Store, Tx

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
        rows = await shelf.expired(tx, now, _AT_ONCE)
        if rows:
            await shelf.remove(tx, rows, "expired", now)
            books = await Books.opened(tx)
            detail = {"log": [row[0] for row in rows]}
            books.note(Entry(CONSOLE, "objects.expired", 200, count=len(rows), detail=detail), now)
            await books.closed(tx, None, now)
        return len(rows) == _AT_ONCE

    return await store.read(due) and await store.write(job)
