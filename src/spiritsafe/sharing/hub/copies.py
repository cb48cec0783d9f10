"""Backup while the hub serves, and restore: a copy is always one SQLite file, from whatever database, into whatever database.

So a hub also moves from SQLite to PostgreSQL and back. A copy is checked in full before it is called one.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from spiritsafe.errors import StorageError, UsageError
from spiritsafe.sharing.hub.store import migrate, opened, parts, tables
from spiritsafe.sharing.hub.verify import Report, verify

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from spiritsafe.sharing.hub.store import Row, Store, Tx

_AT_ONCE: Final = 2_000
_PATIENCE: Final = 24 * 3_600.0  # seconds that reading all of it may take


def backup(database: str, target: Path, key: Ed25519PublicKey, *, seen: str | None = None) -> Report:
    """Copy the hub's ``database`` to the new file ``target`` as it is at one moment, and verify the copy.

    Raises StorageError, UsageError when ``target`` exists, AttestError when the copy does not verify; it is then removed.
    """
    _fresh(target)
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    try:
        if _elsewhere(database):
            asyncio.run(_to_sqlite(database, part))
        else:
            _snapshot(database.removeprefix("sqlite:///"), part)
        report = asyncio.run(_verified(str(part), key, seen))
        part.chmod(0o600)
        part.replace(target)
    except BaseException:
        for name in (part, *(Path(f"{part}{end}") for end in ("-wal", "-shm"))):
            name.unlink(missing_ok=True)
        raise
    return report


def restore(source: Path, database: str, key: Ed25519PublicKey, *, seen: str | None = None) -> Report:
    """Fill the empty ``database`` from the backup ``source``, which is verified first, and verify what came of it.

    ``seen``, a signed head from elsewhere, shows that the backup is not older than it. Raises as `backup`.
    """
    if not source.is_file():
        raise UsageError("there is no such backup", where=str(source))
    asyncio.run(_verified(str(source), key, seen))
    if _elsewhere(database):
        asyncio.run(_from_sqlite(source, database))
    else:
        path = Path(database.removeprefix("sqlite:///"))
        _fresh(path)
        _snapshot(str(source), path)
        path.chmod(0o600)
    return asyncio.run(_verified(database, key, seen))


def _elsewhere(database: str) -> bool:
    return database.startswith(("postgresql://", "postgres://"))


async def _verified(database: str, key: Ed25519PublicKey, seen: str | None) -> Report:
    store = opened(database, readers=1, patience=_PATIENCE)
    try:
        return await verify(store, key, seen=seen)
    finally:
        await store.close()


def _fresh(path: Path) -> None:
    if path.exists():
        raise UsageError("this file exists and is kept", where=str(path), hint="choose another name")


def _snapshot(source: str, target: Path) -> None:
    """One moment of a SQLite file, while others write to it."""
    try:
        before = sqlite3.connect(f"file:{quote(source)}?mode=ro", uri=True)
        after = sqlite3.connect(target)
        try:
            before.backup(after)
            found = after.execute("PRAGMA integrity_check").fetchone()
            after.execute("PRAGMA journal_mode = DELETE")
        finally:
            before.close()
            after.close()
        file = os.open(target, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"the copy fails: {error}", where=source) from error
    if found != ("ok",):
        raise StorageError("the database is damaged", where=source, hint="restore an earlier backup")


async def _to_sqlite(source: str, target: Path) -> None:
    """All tables of all parts, read at one moment."""
    before, after = _both(source, target)
    try:

        async def job(old: Tx) -> None:
            for part, steps in await parts(old):
                await migrate(after, part, steps)
                for table in tables(steps):
                    async for rows in old.chunks(f"SELECT * FROM {table}", size=_AT_ONCE):
                        await _filled(after, table, rows)

        await before.read(job)
    finally:
        await before.close()
        await after.close()


async def _from_sqlite(source: Path, target: str) -> None:
    """All tables of all parts, written in one transaction."""
    after, before = _both(target, source)
    try:
        found = await before.read(parts)
        if not await after.read(_empty):
            raise UsageError(
                "this database is in use and is kept", where=source.name, hint="name an empty one"
            )
        for part, steps in found:
            await migrate(after, part, steps)

        async def job(new: Tx) -> None:
            for _, steps in found:
                for table in tables(steps):
                    await _poured(before, new, table)

        await after.write(job)
    finally:
        await before.close()
        await after.close()


def _both(postgresql: str, sqlite: Path) -> tuple[Store, Store]:
    return (
        opened(postgresql, readers=1, patience=_PATIENCE),
        opened(str(sqlite), readers=1, patience=_PATIENCE),
    )


async def _empty(tx: Tx) -> bool:
    sql = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = current_schema()"
    return await tx.one(sql) == (0,)


async def _filled(store: Store, table: str, rows: list[Row]) -> None:
    async def job(tx: Tx) -> None:
        await _insert(tx, table, rows)

    await store.write(job, durable=False)


async def _poured(before: Store, new: Tx, table: str) -> None:
    after = -(2**63)

    async def job(tx: Tx) -> list[Row]:
        return await tx.all(
            f"SELECT rowid, * FROM {table} WHERE rowid > $1 ORDER BY rowid LIMIT {_AT_ONCE}", after
        )

    while rows := await before.read(job):
        after = rows[-1][0]
        await _insert(new, table, [row[1:] for row in rows])


async def _insert(tx: Tx, table: str, rows: list[Row]) -> None:
    marks = ", ".join(f"${number}" for number in range(1, len(rows[0]) + 1))
    await tx.many(f"INSERT INTO {table} VALUES ({marks})", rows)
