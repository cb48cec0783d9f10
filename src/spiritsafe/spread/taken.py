"""What stage A leaves in many parts, in the one order of a scan: the order of files, then of lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spiritsafe.campaigns.projections import Projections
from spiritsafe.campaigns.stored import Ingest, texts
from spiritsafe.engine import parquet
from spiritsafe.engine.duckdb import DuckDB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from spiritsafe.campaigns.log import Log
    from spiritsafe.engine import Engine


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


def points(folder: Path) -> Path:
    """The file of a part's projections."""
    return folder / "projection.bin"


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
        """int8 (rows, 64), read from the parts."""
        return Projections([(points(part.folder), part.rows) for part in self.parts])

    def batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """These columns of the sketch, as record batches in the order of rows."""
        for part in self.parts:
            if part.rows:
                with parquet(part.sketch) as file:
                    yield from file.iter_batches(columns=list(columns))

    def some(self, columns: Sequence[str], rows: Any) -> Iterator[tuple[Any, Any]]:
        """These columns of the sketch for ``rows``; row groups that hold none of them are not read."""
        for part in self.parts:
            inside = slice(*np.searchsorted(rows, [part.before, part.before + part.rows]))
            if not rows[inside].size:
                continue
            with parquet(part.sketch) as file:
                at = part.before
                for group in range(file.metadata.num_row_groups):
                    size = file.metadata.row_group(group).num_rows
                    here = rows[slice(*np.searchsorted(rows, [at, at + size]))]
                    if here.size:
                        table = file.read_row_group(group, columns=list(columns)).take(pa.array(here - at))
                        yield table.combine_chunks().to_batches()[0], here
                    at += size
