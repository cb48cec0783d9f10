"""What scans and watches wrote, for the pages: the runs, one row a campaign, and any part of one on demand.

A result folder is indexed once for each state of its ``campaigns.json`` (modification time and size): summaries as an Arrow
table in memory, whole entries and members as Parquet below the cache folder. A page then reads the row group it needs, never
a whole result.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spiritsafe.console import _index
from spiritsafe.engine import quoted
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LOOK: Final = 2.0
"""Seconds between two looks at the folders."""
_RESULT: Final = "campaigns.json"
_EMPTY: Final = _index.SUMMARY.append(pa.field("run", pa.string()))


@dataclass(frozen=True, slots=True)
class Run:
    """One result folder as it stands. ``head`` is ``campaigns.json`` without its campaigns; ``stamp`` names this very state.

    ``campaigns``: one row a campaign, the columns of `_index.SUMMARY`. ``time``: when it was written, µs.
    """

    name: str
    path: Path
    stamp: str
    time: int
    head: Mapping[str, Any]
    campaigns: pa.Table
    index: Path

    @property
    def scanned(self) -> dict[str, Any]:
        """What was read: counts and the span of time."""
        return cast("dict[str, Any]", self.head.get("scanned", {}))


class Results:
    """All result folders. Safe for several threads.

    ``folders`` are result folders, or folders of result folders; ``cache`` is a folder that may be emptied at any time.
    """

    def __init__(self, folders: Sequence[Path], cache: Path) -> None:
        self.folders = tuple(folders)
        self.cache = cache
        self._lock = threading.Lock()
        self._runs: dict[Path, Run] = {}
        self._looked = -LOOK
        self._order: tuple[Run, ...] = ()
        self._queue: pa.Table | None = None
        self.troubles: dict[str, str] = {}
        self.generation = 0

    def runs(self) -> tuple[Run, ...]:
        """The runs, newest first. A result that cannot be read stays out; `troubles` says why, by folder."""
        with self._lock:
            if time.monotonic() - self._looked >= LOOK:
                self._look()
                self._looked = time.monotonic()
            return self._order

    def run(self, name: str) -> Run | None:
        """The run called ``name``."""
        return next((one for one in self.runs() if one.name == name), None)

    def queue(self, run: str = "") -> pa.Table:
        """One row a campaign, columns of `_index.SUMMARY` and ``run``: those of one run, or of all.

        Of a campaign that stands in several runs the newest counts.
        """
        runs = self.runs()
        if run:
            chosen = [one for one in runs if one.name == run]
            return pa.concat_tables(map(_with_run, chosen)) if chosen else _EMPTY.empty_table()
        with self._lock:
            if self._queue is None:
                whole = pa.concat_tables(map(_with_run, runs)) if runs else _EMPTY.empty_table()
                codes = whole["campaign_id"].combine_chunks().dictionary_encode().indices.to_numpy()
                self._queue = whole.take(pa.array(_first_of_each(codes))).combine_chunks()
            return self._queue

    def campaign(self, run: str, campaign: str) -> dict[str, Any] | None:
        """One entry of a run's ``campaigns.json``, whole (docs/contract.md); None when it is not there."""
        found = self.run(run)
        if found is None:
            return None
        at = pc.index(found.campaigns["campaign_id"], campaign).as_py()
        if at < 0:
            return None
        file = pq.ParquetFile(found.index / "entries.parquet")
        part = file.read_row_group(at // _index.GROUP, columns=["entry"])
        return cast("dict[str, Any]", orjson.loads(part["entry"][at % _index.GROUP].as_py()))

    def members(self, run: Run, campaign: str) -> pa.Table:
        """``account_id, membership`` of a campaign's accounts, surest first."""
        table = pq.read_table(
            run.index / "members.parquet",
            columns=["account_id", "membership"],
            filters=pc.field("campaign_id") == campaign,
        )
        return table.sort_by([("membership", "descending"), ("account_id", "ascending")])

    def of_account(self, account: str) -> list[dict[str, Any]]:
        """Where an account was seen: ``run, campaign_id, label, membership`` for each run, newest first.

        In a run that saw it and told nothing of it, ``campaign_id`` and ``label`` are None.
        """
        found: list[dict[str, Any]] = []
        for run in self.runs():
            rows = pq.read_table(
                run.index / "members.parquet", filters=pc.field("account_id") == account
            ).to_pylist()
            if not rows and self._saw(run, account):
                rows = [{"campaign_id": None, "label": None, "membership": 0.0, "account_id": account}]
            found += [{"run": run.name, "time": run.time, **row} for row in rows]
        return found

    def exchanges(
        self, run: Run, where: Mapping[str, str], *, offset: int = 0, limit: int = 100
    ) -> tuple[int, pa.Table]:
        """How many rows of ``exchanges.parquet`` fit ``where`` (column → value, all must), and a page of them."""
        known = ("exchange_id", "account_id", "stream_id", "campaign_id", "role")
        chosen = [key for key in where if key in known]
        clause = " AND ".join(f"{key} = ?" for key in chosen) or "true"
        return self.query(
            run, "exchanges.parquet", clause, [where[key] for key in chosen],
            order="account_id, exchange_id", offset=offset, limit=limit,
        )  # fmt: skip

    def query(
        self,
        run: Run,
        file: str,
        clause: str,
        values: Sequence[object],
        *,
        order: str,
        offset: int = 0,
        limit: int = 100,
    ) -> tuple[int, pa.Table]:
        """Count and page of a Parquet file of the run; ``clause`` and ``order`` are SQL of ours, ``values`` fill its ``?``."""
        path = run.path / file
        if not path.exists():
            return 0, pa.table({})
        with DuckDB(self.cache / "engine", memory="1GB", threads=1) as engine:
            source = f"read_parquet('{quoted(path)}')"
            total = engine.scalar(f"SELECT count(*) FROM {source} WHERE {clause}", list(values))
            rows = engine.table(
                f"SELECT * FROM {source} WHERE {clause} ORDER BY {order} LIMIT {int(limit)} OFFSET {int(offset)}",
                list(values),
            )
        return int(total or 0), rows

    def streams(self, run: Run, account: str, *, limit: int = 200) -> list[dict[str, Any]]:
        """The streams of an account in a run: ``stream_id, campaign_id, roles, exchanges``, largest first."""
        path = run.path / "exchanges.parquet"
        if not path.exists():
            return []
        with DuckDB(self.cache / "engine", memory="1GB", threads=1) as engine:
            return engine.table(
                "SELECT stream_id, max(campaign_id) AS campaign_id, count(*) AS exchanges, "
                "list_sort(list_distinct(list(role) FILTER (role IS NOT NULL))) AS roles "
                f"FROM read_parquet('{quoted(path)}') WHERE account_id = $1 GROUP BY stream_id "
                f"ORDER BY exchanges DESC, stream_id LIMIT {int(limit)}",
                [account],
            ).to_pylist()

    def _saw(self, run: Run, account: str) -> bool:
        path = run.path / "accounts.parquet"
        if not path.exists():
            return False
        return (
            pq.read_table(path, columns=["account_id"], filters=pc.field("account_id") == account).num_rows
            > 0
        )

    def _look(self) -> None:
        seen: dict[Path, Run] = {}
        self.troubles = {}
        there = self._found()
        alike = Counter(folder.name for folder in there)
        for folder in there:
            try:
                seen[folder] = self._current(folder, alone=alike[folder.name] == 1)
            except (StorageError, UsageError) as error:
                self.troubles[folder.name] = str(error)
                if folder in self._runs:
                    seen[folder] = self._runs[folder]  # rather what was there than nothing
        if {one.stamp for one in seen.values()} == {one.stamp for one in self._order} and self._looked >= 0:
            return
        self._runs = seen
        self._order = tuple(sorted(seen.values(), key=lambda one: (-one.time, one.name)))
        self._queue = None
        self.generation += 1

    def _found(self) -> list[Path]:
        found: list[Path] = []
        for folder in self.folders:
            if (folder / _RESULT).exists():
                found.append(folder)
            elif folder.is_dir():
                found += sorted(one.parent for one in folder.glob(f"*/{_RESULT}"))
        return list(dict.fromkeys(one.resolve() for one in found))

    def _current(self, folder: Path, *, alone: bool) -> Run:
        path = folder / _RESULT
        try:
            status = path.stat()
        except OSError as error:
            raise StorageError(f"cannot be read: {error.strerror}", where=str(path)) from error
        stamp = hashlib.sha256(f"{folder}\0{status.st_mtime_ns}\0{status.st_size}".encode()).hexdigest()[:16]
        before = self._runs.get(folder)
        if before is not None and before.stamp == stamp:
            return before
        index = self.cache / "runs" / f"{_index.VERSION}-{stamp}"
        head, campaigns = _index.opened(path, index)
        return Run(
            _name(folder, alone=alone), folder, stamp, status.st_mtime_ns // 1_000, head, campaigns, index
        )


def _name(folder: Path, *, alone: bool) -> str:
    """A folder's name for addresses; where two are called the same, with a mark of their path."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.name).strip("-") or "run"
    return name if alone else f"{name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:4]}"


def _with_run(run: Run) -> pa.Table:
    return run.campaigns.append_column("run", pa.array([run.name] * run.campaigns.num_rows, pa.string()))


def _first_of_each(codes: Any) -> Any:
    _, first = np.unique(codes, return_index=True)
    return np.sort(first)
