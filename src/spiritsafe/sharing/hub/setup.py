"""API roots and collections: made by the operator, at the hub's own console."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Final

from spiritsafe.errors import SharingError
from spiritsafe.sharing.hub.books import CONSOLE, Books, Entry
from spiritsafe.sharing.hub.members import ROLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.sharing.hub.store import Store, Tx

RESERVED: Final = frozenset({"forum", "taxii2"})
READERS: Final = ROLES
WRITERS: Final = ("member",)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


async def add_root(store: Store, name: str, title: str, description: str = "", *, now: int) -> None:
    """Make an API root, found below ``/NAME/``. Raises SharingError for a name that is taken or cannot be one."""
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise SharingError(
            "this cannot be the name of an API root",
            where=name,
            hint="small letters, digits and -; not forum or taxii2",
        )

    async def job(tx: Tx) -> None:
        sql = "INSERT INTO roots (name, title, description) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING"
        if not await tx.run(sql, name, title, description):
            raise SharingError("there is an API root of this name", where=name)
        await _noted(tx, "root.add", {"name": name}, now)

    await store.write(job)


async def add_collection(
    store: Store,
    root: str,
    which: str,
    title: str,
    description: str = "",
    *,
    now: int,
    signed: bool = True,
    alias: str = "",
    readers: Sequence[str] = READERS,
    writers: Sequence[str] = WRITERS,
) -> None:
    """Make a collection with the id ``which`` (a UUID). Raises SharingError.

    ``signed``: it takes only objects that their author has signed and that pass the scope gate. One that is not is for feeds
    of others. ``readers`` and ``writers`` are roles.
    """
    try:
        known = str(uuid.UUID(which)) == which
    except ValueError:
        known = False
    if not known:
        raise SharingError("the id of a collection is a UUID in lower case", where=which)
    if not set(readers) <= set(ROLES) or not set(writers) <= set(ROLES):
        raise SharingError(f"roles are some of {', '.join(ROLES)}", where="readers, writers")

    async def job(tx: Tx) -> None:
        if not await tx.one("SELECT 1 FROM roots WHERE name = $1", root):
            raise SharingError("there is no such API root", where=root)
        taken = "SELECT 1 FROM collections WHERE root = $1 AND (id = $2 OR (alias = $3 AND alias <> ''))"
        if await tx.one(taken, root, which, alias):
            raise SharingError("there is a collection of this id or alias", where=root)
        await tx.run(
            "INSERT INTO collections (number, root, id, title, description, alias, signed, readers, writers) "
            "SELECT COALESCE(MAX(number), 0) + 1, $1, $2, $3, $4, $5, $6, $7, $8 FROM collections",
            root, which, title, description, alias, int(signed), " ".join(readers), " ".join(writers),
        )  # fmt: skip
        await _noted(tx, "collection.add", {"root": root, "id": which, "signed": signed}, now)

    await store.write(job)


async def _noted(tx: Tx, action: str, detail: dict[str, object], now: int) -> None:
    books = await Books.opened(tx)
    books.note(Entry(CONSOLE, action, 200, detail=detail), now)
    await books.closed(tx, None, now)
