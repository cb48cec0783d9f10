"""Engines: where SQL text runs. One dialect (DuckDB's), one adapter a file; only this room imports an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    Parameters = Sequence[object] | Mapping[str, object] | None


def quoted(path: Path) -> str:
    """A file's name as it stands between single quotes in SQL."""
    return str(path).replace("'", "''")


def parquet(path: Path | str) -> pq.ParquetFile:
    """A Parquet file that is read a row group at a time: as Arrow opens it, it keeps all that it read until it is closed."""
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)


class Engine(Protocol):
    """What later stages ask of an engine; its adapter says how. SQL is DuckDB's, tables are Arrow's."""

    def register(self, name: str, relation: object) -> None:
        """Make an Arrow table or record batch readable in SQL as ``name``."""

    def unregister(self, name: str) -> None:
        """Forget ``name``."""

    def execute(self, sql: str, params: Parameters = None) -> None:
        """Run one statement for its effect."""

    def table(self, sql: str, params: Parameters = None) -> pa.Table:
        """Run a query; all its rows as an Arrow table."""
        ...

    def batches(self, sql: str, rows: int = 65_536, params: Parameters = None) -> Iterator[pa.RecordBatch]:
        """Run a query; its rows as record batches, never all in memory."""
        ...

    def scalar(self, sql: str, params: Parameters = None) -> Any:
        """The first column of the first row; None when there is no row."""
        ...
