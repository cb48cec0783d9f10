"""The embedded engine: DuckDB in this process, with bounded memory and its spill files in the work folder."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self

import duckdb as _duckdb

from spiritsafe.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    Parameters = Sequence[object] | Mapping[str, object] | None


class DuckDB:
    """A DuckDB session. Use it as a context manager; not for use from several threads: give each a ``cursor``.

    ``work`` is a folder that exists or can be made; ``memory`` as DuckDB takes it ("3GB"); ``threads`` ≥ 1.
    Row order is not kept unless a query says ORDER BY. Time zone is UTC.
    Disk-full, I/O and out-of-memory errors come out as StorageError; wrong SQL stays a DuckDB error.
    """

    def __init__(self, work: Path, *, memory: str, threads: int) -> None:
        spill = work / "spill"
        self.work = work
        self.threads = threads
        try:
            spill.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make the work folder: {error.strerror}", where=str(work)) from error
        try:
            self._connection: Any = _duckdb.connect(
                ":memory:",
                config={
                    "memory_limit": memory,
                    "threads": threads,
                    "temp_directory": str(spill),
                    "preserve_insertion_order": False,
                },
            )
        except _duckdb.Error as error:
            raise UsageError(
                f"the engine does not start: {error}", hint="memory is written like 3GB, threads is 1 or more"
            ) from error
        self._begin()

    def _begin(self) -> None:
        """Settings that each session has for itself: without the second, a bar is drawn into the output of a long scan."""
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET enable_progress_bar = false")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session and remove its spill files."""
        self._connection.close()
        with contextlib.suppress(OSError):
            (self.work / "spill").rmdir()

    def cursor(self) -> DuckDB:
        """A second session on the same tables for another thread; what is registered on it is its own."""
        other = object.__new__(DuckDB)
        other.work = self.work
        other.threads = self.threads
        other._connection = self._connection.cursor()
        other._begin()
        return other

    def register(self, name: str, relation: object) -> None:
        """Make an Arrow table, record batch or reader readable in SQL as ``name``, without a copy."""
        with _storage_errors(self.work):
            self._connection.register(name, relation)

    def unregister(self, name: str) -> None:
        """Forget ``name``; the Arrow memory behind it may then be freed."""
        self._connection.unregister(name)

    def execute(self, sql: str, params: Parameters = None) -> None:
        """Run one statement for its effect (CREATE TABLE, COPY, …)."""
        with _storage_errors(self.work):
            self._connection.execute(sql, params).fetchall()

    def table(self, sql: str, params: Parameters = None) -> pa.Table:
        """Run a query; all its rows as an Arrow table."""
        with _storage_errors(self.work):
            return self._connection.sql(sql, params=params).to_arrow_table()

    def batches(self, sql: str, rows: int = 65_536, params: Parameters = None) -> Iterator[pa.RecordBatch]:
        """Run a query; its rows as record batches of at most ``rows`` rows, never all in memory.

        While it runs this session is busy: use a ``cursor`` for other queries in between.
        """
        with _storage_errors(self.work):
            reader = self._connection.sql(sql, params=params).to_arrow_reader(rows)
        while True:
            with _storage_errors(self.work):
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
            yield batch

    def scalar(self, sql: str, params: Parameters = None) -> Any:
        """The first column of the first row; None when there is no row."""
        with _storage_errors(self.work):
            rows = self._connection.execute(sql, params).fetchall()
        return rows[0][0] if rows else None

    def types(self, sql: str) -> dict[str, str]:
        """Column names of a query and their SQL types, in order, without running it."""
        with _storage_errors(self.work):
            relation = self._connection.sql(sql)
            return dict(zip(relation.columns, map(str, relation.types), strict=True))


@contextlib.contextmanager
def _storage_errors(work: Path) -> Generator[None]:
    try:
        yield
    except _duckdb.OutOfMemoryException as error:
        raise StorageError(
            f"the engine ran out of memory or spill space: {_first_line(error)}",
            where=str(work),
            hint="raise the memory setting or free disk space",
        ) from error
    except (_duckdb.IOException, OSError) as error:
        raise StorageError(
            f"the engine cannot read or write: {_first_line(error)}", where=str(work)
        ) from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
