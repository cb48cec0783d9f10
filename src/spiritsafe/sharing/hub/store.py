"""The database: one writer at a time, many readers, one SQL for SQLite and PostgreSQL.

A *job* is an async function of a transaction. ``read`` gives it a snapshot; ``write`` runs it alone, and what it did is
there wholly or not at all. Parameters are written ``$1``, ``$2``; rows are tuples. Other parts of the forum keep tables of
their own here: `migrate` them under a name of their own.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from spiritsafe.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    Row = tuple[Any, ...]

T = TypeVar("T")


class TooLong(StorageError):  # noqa: N818 - reads as the fact it states
    """A read took longer than a read may take."""


class Tx(Protocol):
    """A transaction."""

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        ...

    async def all(self, sql: str, *values: Any) -> list[Row]:
        """All rows."""
        ...

    async def one(self, sql: str, *values: Any) -> Row | None:
        """The first row."""
        ...

    async def until(self, sql: str, *values: Any, enough: Callable[[Row], bool]) -> list[Row]:
        """Rows up to and with the first that is ``enough``."""
        ...

    def chunks(self, sql: str, *values: Any, size: int) -> AsyncIterator[list[Row]]:
        """All rows, ``size`` at a time."""
        ...

    async def run(self, sql: str, *values: Any) -> int:
        """Change rows; how many."""
        ...

    async def many(self, sql: str, rows: Iterable[Row]) -> None:
        """The same statement for each of ``rows``."""
        ...

    async def script(self, sql: str) -> None:
        """Several statements without parameters."""
        ...


class Store(Protocol):
    """A database. Errors of it are StorageError."""

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        ...

    async def read(self, job: Callable[[Tx], Awaitable[T]]) -> T:
        """What ``job`` returns, on a snapshot of the database that it cannot change."""
        ...

    async def write(self, job: Callable[[Tx], Awaitable[T]], *, durable: bool = True) -> T:
        """What ``job`` returns, once what it did is committed. When it raises, nothing was done.

        ``durable``: it also survives power loss; else only the end of this process at any moment.
        """
        ...

    async def close(self) -> None:
        """Finish what is under way."""
        ...


async def migrate(store: Store, part: str, steps: Sequence[str]) -> None:
    """Bring the tables of ``part`` to version ``len(steps)``, each step in order and once, all in one transaction.

    In a step ``{int}`` is a 64-bit integer, ``{bytes}`` is bytes, and ``{strict}`` ends a table. Steps are never edited after
    a release, only added. Raises StorageError when the database is newer than this program.
    """

    async def job(tx: Tx) -> None:
        words = (
            {"int": "INTEGER", "bytes": "BLOB", "strict": " STRICT"}
            if tx.dialect == "sqlite"
            else {"int": "BIGINT", "bytes": "BYTEA", "strict": ""}
        )
        await tx.script(
            "CREATE TABLE IF NOT EXISTS parts (name TEXT PRIMARY KEY, version BIGINT NOT NULL, steps TEXT NOT NULL);"
        )
        found = await tx.one("SELECT version FROM parts WHERE name = $1", part)
        version = found[0] if found else 0
        if version > len(steps):
            raise StorageError(
                f"this database has version {version} of the tables of {part!r}, this program knows {len(steps)}",
                hint="use the newer program, or a backup from before",
            )
        for step in steps[version:]:
            await tx.script(step.format(**words))
        await tx.run(
            "INSERT INTO parts (name, version, steps) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET "
            "version = excluded.version, steps = excluded.steps",
            part, len(steps), json.dumps(list(steps)),
        )  # fmt: skip

    await store.write(job)


async def parts(tx: Tx) -> list[tuple[str, list[str]]]:
    """All parts that have tables here, and the steps that made them: what a copy into another database needs."""
    return [
        (name, json.loads(steps))
        for name, steps in await tx.all("SELECT name, steps FROM parts ORDER BY name")
    ]


def tables(steps: Sequence[str]) -> list[str]:
    """The tables that steps make, in the order in which they can be filled."""
    return re.findall(r"CREATE TABLE (\w+)", "\n".join(steps))


def opened(url: str, *, readers: int = 4, patience: float = 5.0) -> Store:
    """The store at ``url``: ``postgresql://…``, or the path of a SQLite file, made if absent.

    ``patience`` is how many seconds a read may take. Raises StorageError.
    """
    if url.startswith(("postgresql://", "postgres://")):
        try:
            from spiritsafe.sharing.hub.postgresql import PostgreSQL  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise StorageError(
                "this needs asyncpg", where="postgresql", hint="pip install 'spiritsafe[postgresql]'"
            ) from error
        return PostgreSQL(url, readers=readers, patience=patience)
    from spiritsafe.sharing.hub.sqlite import SQLite  # noqa: PLC0415 - its twin above

    return SQLite(url.removeprefix("sqlite:///"), readers=readers, patience=patience)
