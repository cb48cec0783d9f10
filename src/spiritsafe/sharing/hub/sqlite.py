"""The store in one SQLite file, in WAL mode.

One thread writes: it takes all jobs that wait, gives each a savepoint and commits them together, so that a hundred
small writes cost one sync of the disk. Readers have a thread and a connection each. Checkpoints are made beside them.

The jobs are async for the sake of PostgreSQL; here nothing they await is ever pending, so a thread runs them to the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import re
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from spiritsafe.errors import SpiritsafeError, StorageError
from spiritsafe.sharing.hub.store import TooLong

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable

    from spiritsafe.sharing.hub.store import Row, Tx

T = TypeVar("T")
_TOGETHER = 64  # jobs in one transaction
_BUSY = 30.0  # seconds to wait for another process, as a command of the operator, to finish its write
_STEPS = 20_000  # of SQLite's virtual machine between two looks at the clock: about a millisecond
_PAGES = 4_000  # of the WAL, 16 MB, from which on a checkpoint is worth it
_REST = 0.5  # seconds between looks at the WAL


class SQLite:
    """The store in the file ``path``; see `store.Store`."""

    dialect = "sqlite"

    def __init__(self, path: str, *, readers: int = 4, patience: float = 5.0) -> None:
        self.path = path
        self._patience = patience
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(readers, "hub-read")
        self._ended = threading.Event()
        with _storage(path):
            made = not Path(path).exists()
            self._writer = self._connect()
            if made:
                Path(path).chmod(0o600)
            self._writer.execute("PRAGMA journal_mode = WAL")
            self._writer.execute("PRAGMA wal_autocheckpoint = 0")
            self._writer.execute(
                "PRAGMA secure_delete = ON"
            )  # what expired is overwritten, not only unlinked
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in ((self._write_all, "hub-write"), (self._checkpoints, "hub-checkpoint"))
        ]
        for thread in self._threads:
            thread.start()

    async def read(self, job: Callable[[Tx], Awaitable[T]]) -> T:
        """See `store.Store.read`. Raises TooLong."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read, job)

    async def write(self, job: Callable[[Tx], Awaitable[T]], *, durable: bool = True) -> T:
        """See `store.Store.write`."""
        if self._ended.is_set():
            raise StorageError("the store is closed", where=self.path)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(job, durable, loop, future))
        return await future

    async def close(self) -> None:
        """Write what waits, and close."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._jobs.put(None)
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        for thread in self._threads:
            thread.join()
        self._readers.shutdown()
        for connection in (*self._opened, self._writer):
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        for pragma in ("foreign_keys = ON", "cache_size = -65536", "mmap_size = 1073741824"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def _read(self, job: Callable[[Tx], Awaitable[T]]) -> T:
        with _storage(self.path):
            connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = self._connect()
                connection.execute("PRAGMA query_only = ON")
                self._opened.append(connection)
            until = time.monotonic() + self._patience
            connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
            connection.execute("BEGIN")
            try:
                return _finished(job(_Transaction(connection)))
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                    raise TooLong("the question takes too long", hint="ask for less at once") from error
                raise
            finally:
                connection.rollback()

    def _write_all(self) -> None:
        ended = False
        while not ended:
            taken: list[_Job] = []
            one = self._jobs.get()
            while one is not None:
                taken.append(one)
                if len(taken) == _TOGETHER:
                    break
                try:
                    one = self._jobs.get_nowait()
                except queue.Empty:
                    break
            else:
                ended = True
            if taken:
                self._write(taken)

    def _write(self, jobs: list[_Job]) -> None:
        done: list[Callable[[], None]] = []
        try:
            with _storage(self.path):
                full = any(job.durable for job in jobs)
                self._writer.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
                self._writer.execute("BEGIN IMMEDIATE")
                try:
                    done.extend(self._one(job) for job in jobs)
                    self._writer.execute("COMMIT")
                except BaseException:
                    self._writer.rollback()
                    raise
        except Exception as error:  # noqa: BLE001 - nothing was written; each of those who wait is told
            for job in jobs:
                job.failed(error)
            return
        for tell in done:
            tell()

    def _one(self, job: _Job) -> Callable[[], None]:
        """Run one job; what to tell its caller once all are committed."""
        self._writer.execute("SAVEPOINT job")
        try:
            with _storage(self.path):
                value = _finished(job.job(_Transaction(self._writer)))
        except Exception as error:  # noqa: BLE001 - it is the caller's
            self._writer.execute("ROLLBACK TO job")
            self._writer.execute("RELEASE job")
            told = error
            return lambda: job.failed(told)
        self._writer.execute("RELEASE job")
        return lambda: job.succeeded(value)

    def _checkpoints(self) -> None:
        """Copy the WAL into the file beside the writer, which else would stop for it in the middle of a request."""
        log = Path(f"{self.path}-wal")
        connection = self._connect()
        while not self._ended.wait(_REST):
            with contextlib.suppress(sqlite3.Error, OSError):
                if log.stat().st_size > _PAGES * 4096:
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        connection.close()


class _Job:
    """A write that waits, and whom to tell."""

    __slots__ = ("_future", "_loop", "durable", "job")

    def __init__(
        self,
        job: Callable[[Tx], Awaitable[Any]],
        durable: bool,  # noqa: FBT001 - a value like the others
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[Any],
    ) -> None:
        self.job = job
        self.durable = durable
        self._loop = loop
        self._future = future

    def succeeded(self, value: Any) -> None:
        self._tell(lambda: None if self._future.done() else self._future.set_result(value))

    def failed(self, error: BaseException) -> None:
        self._tell(lambda: None if self._future.done() else self._future.set_exception(error))

    def _tell(self, call: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            self._loop.call_soon_threadsafe(call)


class _Transaction:
    """See `store.Tx`."""

    __slots__ = ("_connection",)
    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def all(self, sql: str, *values: Any) -> list[Row]:
        return self._connection.execute(_numbered(sql), values).fetchall()

    async def one(self, sql: str, *values: Any) -> Row | None:
        return self._connection.execute(_numbered(sql), values).fetchone()

    async def until(self, sql: str, *values: Any, enough: Callable[[Row], bool]) -> list[Row]:
        rows: list[Row] = []
        for row in self._connection.execute(_numbered(sql), values):
            rows.append(row)
            if enough(row):
                break
        return rows

    async def chunks(self, sql: str, *values: Any, size: int) -> AsyncIterator[list[Row]]:
        cursor = self._connection.execute(_numbered(sql), values)
        while rows := cursor.fetchmany(size):
            yield rows

    async def run(self, sql: str, *values: Any) -> int:
        return self._connection.execute(_numbered(sql), values).rowcount

    async def many(self, sql: str, rows: Iterable[Row]) -> None:
        self._connection.executemany(_numbered(sql), rows)

    async def script(self, sql: str) -> None:
        for statement in filter(str.strip, sql.split(";")):  # executescript() would commit first
            self._connection.execute(statement)


def _finished(job: Awaitable[T]) -> T:
    """What a job returns that never waits."""
    running = cast("Coroutine[Any, Any, T]", job)
    try:
        running.send(None)
    except StopIteration as end:
        return end.value
    running.close()
    raise RuntimeError("a job of the store waited for something that is not the store")


@lru_cache(1_024)
def _numbered(sql: str) -> str:
    return re.sub(r"\$(\d+)", r"?\1", sql)


@contextlib.contextmanager
def _storage(path: str) -> Generator[None]:
    try:
        yield
    except SpiritsafeError:
        raise
    except sqlite3.Error as error:
        raise StorageError(f"the database fails: {error}", where=path) from error
    except OSError as error:
        raise StorageError(f"the database cannot be opened: {error.strerror}", where=path) from error
