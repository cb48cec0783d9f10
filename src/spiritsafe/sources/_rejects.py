"""Where records that were set aside go: JSON Lines of file, line, reason and the beginning of the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spiritsafe.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spiritsafe.engine.duckdb import DuckDB

#: Characters of a record that are kept beside the reason.
KEPT = 2000
SHOWN = f"rtrim(left(raw, {KEPT}), chr(10) || chr(13))"
"""SQL for what is kept of the text of a record."""


def rejected_table(
    rejected: pa.Table, relation: pa.Table, hopeless: Sequence[tuple[int, int, str, str]]
) -> pa.Table:
    """``file``, ``line``, ``reason``, ``raw`` of all that a unit sets aside, in order of file and line.

    ``raw`` is null for formats that have no text of a record (Parquet: file and row number tell it).
    """
    raw: Any = pa.nulls(len(rejected), pa.string())
    if "raw" in relation.column_names and len(rejected):
        raw = relation["raw"].combine_chunks().take(pa.array(np.searchsorted(_key(relation), _key(rejected))))
    table = rejected.select(["file", "line", "reason"]).append_column("raw", raw)
    if hopeless:
        rows = [dict(zip(("file", "line", "reason", "raw"), row, strict=True)) for row in hopeless]
        table = pa.concat_tables([table, pa.Table.from_pylist(rows, schema=table.schema)])
        table = table.take(pa.array(np.argsort(_key(table), kind="stable")))
    return table


def _key(table: pa.Table) -> np.ndarray:
    return table["file"].to_numpy().astype(np.int64) << 40 | table["line"].to_numpy()


def json_lines(table: pa.Table, engine: DuckDB) -> bytes:
    """Records set aside as they stand in ``rejected.jsonl``, in the order of name and line.

    ``table``: ``name``, ``line``, ``reason``, ``raw``.
    """
    engine.register("rejected", table)
    lines = engine.table(
        "SELECT CAST(to_json(struct_pack(file := name, line := line, reason := reason, "
        f"raw := {SHOWN})) AS VARCHAR) AS text FROM rejected ORDER BY name, line"
    )
    engine.unregister("rejected")
    return ("\n".join(lines["text"].to_pylist()) + "\n").encode()


class Rejects:
    """Where records that were set aside go. Errors come out as StorageError.

    ``position`` and ``truncate`` serve readings of several files, of which one may prove damaged.
    """

    def write(self, table: pa.Table, paths: Sequence[str], engine: DuckDB) -> None:
        """Append the rows of ``rejected_table``; ``paths`` gives the name for each file number."""
        raise NotImplementedError

    def position(self) -> int:
        """Bytes that were written."""
        return 0

    def truncate(self, position: int) -> None:
        """Take back what was written behind ``position``."""

    def close(self) -> None:
        """Flush to disk."""


class RejectedLines(Rejects):
    """JSON lines in the file at ``path``; the file is made at the first record."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None

    def write(self, table: pa.Table, paths: Sequence[str], engine: DuckDB) -> None:
        """Append the rows of ``rejected_table``; ``paths`` gives the name for each file number."""
        if not len(table):
            return
        names = pa.array(paths, pa.string()).take(table["file"].combine_chunks())
        told = json_lines(table.drop_columns(["file"]).append_column("name", names), engine)
        try:
            if self._file is None:
                self._file = self.path.open("wb")
            self._file.write(told)
        except OSError as error:
            raise StorageError(
                f"cannot write the records set aside: {error.strerror}", where=str(self.path)
            ) from error

    def position(self) -> int:
        """Bytes that were written."""
        return self._file.tell() if self._file is not None else 0

    def truncate(self, position: int) -> None:
        """Take back what was written behind ``position``."""
        if self._file is not None:
            self._file.seek(position)
            self._file.truncate()

    def close(self) -> None:
        """Flush to disk."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                raise StorageError(
                    f"cannot write the records set aside: {error.strerror}", where=str(self.path)
                ) from error
            self._file = None
