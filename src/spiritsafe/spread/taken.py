"""What stage A leaves in many parts, in the one order of a scan: the order of files, then of lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spiritsafe.campaigns.kept import POINTS
from spiritsafe.campaigns.stored import Ingest, texts
from spiritsafe.engine.duckdb import DuckDB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from spiritsafe.campaigns.log import Log
    from spiritsafe.engine import Engine

_MAPPED = 256
"""Files of projections that are mapped at once."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file's part: its ``folder``, its ``rows``, and how many rows stand ``before`` it."""

    folder: Path
    rows: int
    before: int

    @property
    def sketch(self) -> Path:
        """Its sketch."""
        return self.folder / "sketch.parquet"


class Projections:
    """int8 (rows, 64) in many files, each mapped when it is first asked for; the last ``_MAPPED`` stay so."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = [part for part in parts if part.rows]
        self._begins = np.array([part.before for part in self._parts], np.int64)
        self.shape = (sum(part.rows for part in self._parts), POINTS)
        # A mapped file is an open one, and a process may have some thousand.
        self._mapped = lru_cache(maxsize=_MAPPED)(self._map)

    def __getitem__(self, rows: Any) -> Any:
        rows = np.asarray(rows, np.int64)
        out = np.empty((rows.size, POINTS), np.int8)
        of = np.searchsorted(self._begins, rows, side="right") - 1
        for index in np.unique(of).tolist():
            part, mine = self._parts[index], of == index
            out[mine] = self._mapped(index)[rows[mine] - part.before]
        return out

    def __reduce__(self) -> tuple[Any, ...]:
        """Other processes, which test groups, map for themselves."""
        return Projections, (self._parts,)

    def _map(self, index: int) -> Any:
        return points(self._parts[index].folder, self._parts[index].rows)


def points(folder: Path, rows: int) -> Any:
    """int8 (rows, 64): the projections of one part, mapped."""
    return np.memmap(folder / "projection.bin", np.int8, "r", shape=(rows, POINTS))


@dataclass(slots=True)
class Spread(Ingest):
    """What stage A left in ``parts``. ``make``: how the log is made of it."""

    parts: list[Part] = field(default_factory=list)
    make: Callable[[Engine, Spread, Callable[[str, int, int], None]], Log] | None = None

    def log(self, engine: Engine, progress: Callable[[str, int, int], None]) -> Log:
        """Stage B on the executors."""
        assert self.make is not None  # noqa: S101 - given by whoever made this
        return self.make(engine, self, progress)

    def kept(self, engine: Engine) -> Callable[[Any], dict[int, str]]:
        """A reader of a few exchanges' text: read here, ten rows are not worth a job."""
        del engine

        def read(rows: Any) -> dict[int, str]:
            with DuckDB(self.work, memory="200MB", threads=1) as local:
                return texts(local, self.texts)(rows)

        return read

    def projections(self) -> Any:
        """int8 (rows, 64), mapped from the parts."""
        return Projections(self.parts)

    def batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """These columns of the sketch, as record batches in the order of rows."""
        for part in self.parts:
            if part.rows:
                with pq.ParquetFile(part.sketch) as file:
                    yield from file.iter_batches(columns=list(columns))

    def some(self, columns: Sequence[str], rows: Any) -> Iterator[tuple[Any, Any]]:
        """These columns of the sketch for ``rows``; row groups that hold none of them are not read."""
        for part in self.parts:
            inside = slice(*np.searchsorted(rows, [part.before, part.before + part.rows]))
            if not rows[inside].size:
                continue
            with pq.ParquetFile(part.sketch) as file:
                at = part.before
                for group in range(file.metadata.num_row_groups):
                    size = file.metadata.row_group(group).num_rows
                    here = rows[slice(*np.searchsorted(rows, [at, at + size]))]
                    if here.size:
                        table = file.read_row_group(group, columns=list(columns)).take(pa.array(here - at))
                        yield table.combine_chunks().to_batches()[0], here
                    at += size

    def array(self, name: str, kind: Any) -> Any:
        """A new array of ``kind`` (rows,) that lies in a file of the work folder: pages, not memory, hold it."""
        return np.memmap(self.work / f"column-{name}.bin", kind, "w+", shape=(self.rows,))
