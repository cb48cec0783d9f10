"""The store in PostgreSQL, for hubs of several processes or machines.

Writers take one advisory lock, so that they come one after another everywhere: positions in the log then have no gaps and
are in the order of commits, and a reader never sees a later one before an earlier one.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

import asyncpg

from spiritsafe.errors import StorageError
from spiritsafe.sharing.hub.store import TooLong

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterable

    from spiritsafe.sharing.hub.store import Row, Tx

T = TypeVar("T")
_LOCK = 0x53_50_49_52_49_54
_FETCH = 500


class PostgreSQL:
    """The store at ``url``; see `store.Store`. Connects at the first use."""

    dialect = "postgresql"

    def __init__(self, url: str, *, readers: int = 4, patience: float = 5.0) -> None:
        parts = urlsplit(url)
        self._where = f"postgresql://{parts.hostname or ''}{parts.path}"  # without what may be a password
        self._url = url
        self._readers = readers
        self._patience = round(patience * 1_000)
        self._pool: asyncpg.Pool | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn: asyncio.Lock
        self._opening: asyncio.Lock

    async def read(self, job: Callable[[Tx], Awaitable[T]]) -> T:
        """See `store.Store.read`. Raises TooLong."""
        async with (
            self._connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.execute(f"SET LOCAL statement_timeout = {self._patience}")
            return await job(_Transaction(connection))

    async def write(self, job: Callable[[Tx], Awaitable[T]], *, durable: bool = True) -> T:
        """See `store.Store.write`."""
        await self._started()
        # First the turn, then a connection: writers that wait leave all others to readers.
        async with self._turn, self._connection() as connection, connection.transaction():
            if not durable:
                await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            return await job(_Transaction(connection))

    async def close(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    async def _started(self) -> asyncpg.Pool:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._pool, self._turn, self._opening = loop, None, asyncio.Lock(), asyncio.Lock()
        async with self._opening:  # those who come together open one pool
            if self._pool is None:
                with _storage(self._where):
                    self._pool = await asyncpg.create_pool(self._url, min_size=1, max_size=self._readers + 1)
        return self._pool

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Any]:
        pool = await self._started()
        with _storage(self._where):
            async with pool.acquire() as connection:
                yield connection


@contextmanager
def _storage(where: str) -> Generator[None]:
    try:
        yield
    except asyncpg.QueryCanceledError as error:
        raise TooLong("the question takes too long", hint="ask for less at once") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        raise StorageError(f"the database fails: {error}", where=where) from error


class _Transaction:
    """See `store.Tx`."""

    __slots__ = ("_connection",)
    dialect = "postgresql"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def all(self, sql: str, *values: Any) -> list[Row]:
        return [tuple(row) for row in await self._connection.fetch(sql, *values)]

    async def one(self, sql: str, *values: Any) -> Row | None:
        row = await self._connection.fetchrow(sql, *values)
        return None if row is None else tuple(row)

    async def until(self, sql: str, *values: Any, enough: Callable[[Row], bool]) -> list[Row]:
        rows: list[Row] = []
        async for row in self._connection.cursor(sql, *values, prefetch=_FETCH):
            rows.append(tuple(row))
            if enough(rows[-1]):
                break
        return rows

    async def chunks(self, sql: str, *values: Any, size: int) -> AsyncIterator[list[Row]]:
        cursor = await self._connection.cursor(sql, *values)
        while rows := await cursor.fetch(size):
            yield [tuple(row) for row in rows]

    async def run(self, sql: str, *values: Any) -> int:
        told = cast("str", await self._connection.execute(sql, *values))  # as "UPDATE 3" or "INSERT 0 3"
        last = told.rpartition(" ")[2]
        return int(last) if last.isdecimal() else 0

    async def many(self, sql: str, rows: Iterable[Row]) -> None:
        await self._connection.executemany(sql, rows)

    async def script(self, sql: str) -> None:
        await self._connection.execute(sql)
