"""A simulated log with a campaign in it, and a field: a folder that its parts are written to, with watches over it."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import zstandard

from spiritsafe import pipeline
from spiritsafe.settings import Settings
from spiritsafe.simulate import Plan, Population, load_corpus, simulate
from spiritsafe.watch.follow import Rhythm, Watch

if TYPE_CHECKING:
    from pathlib import Path

FILES = (
    "campaigns.json",
    "indicators.json",
    "candidates.json",
    "identifiers.jsonl",
    "report.html",
    "accounts.parquet",
    "exchanges.parquet",
    "holdings.parquet",
    "rejected.jsonl",
)


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """Two days, about 6,500 exchanges, a campaign of 80 accounts among them."""
    plan = Plan(
        (
            Population("chat_users", {"accounts": 300, "rate": 4.0}),
            Population("byo_key_app", {"accounts": 60, "rate": 5.0}),
            Population("A1", {"accounts": 80, "rate": 20.0}, sources=("problems",)),
        ),
        load_corpus(None),
        days=2.0,
    )
    return pq.read_table(simulate(plan, tmp_path_factory.mktemp("simulated") / "log", seed=3).log)


class Told(list[tuple[str, dict[str, Any]]]):
    """What a watch told, in order."""

    def __call__(self, event: str, /, **facts: Any) -> None:
        self.append((event, facts))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [facts for one, facts in self if one == event]


class Field:
    """A folder ``in`` for segments, a folder ``out`` for results, and what watches told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.segments = folder / "in"
        self.segments.mkdir()
        self.out = folder / "out"
        self.told = Told()

    def watch(self, **rhythm: int) -> Watch:
        """A watch that begins where the last one ended."""
        return Watch(
            self.segments,
            self.out,
            self.folder / "state",
            settings=Settings(),
            rhythm=Rhythm(**rhythm),
            tell=self.told,
        )

    def write(self, part: pa.Table, name: str) -> Path:
        """A part of the log as a segment; the format is that of the name."""
        path = self.segments / name
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".parquet":
            pq.write_table(part, path)
            return path
        for column in ("time", "account_created"):
            text = pc.strftime(part.column(column), "%Y-%m-%dT%H:%M:%SZ")  # with the fraction of a second
            part = part.set_column(part.schema.get_field_index(column), column, text)
        rows = [{key: value for key, value in row.items() if value is not None} for row in part.to_pylist()]
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        if path.suffix == ".gz":
            text = gzip.compress(text)
        elif path.suffix == ".zst":
            text = zstandard.compress(text)
        path.write_bytes(text)
        return path

    def take(self, watch: Watch, *, now: int) -> int:
        """Two looks, then take what is finished."""
        watch.look()
        return watch.take(watch.look(), now=now)

    def differ(self, *, since: int, until: int) -> list[str]:
        """Names of the outputs in which the watch and a scan over the same files and window differ."""
        pipeline.scan([self.segments], self.folder / "scan", settings=Settings(), since=since, until=until)
        read = {
            folder: {name: (folder / name).read_bytes() for name in FILES if (folder / name).exists()}
            for folder in (self.out, self.folder / "scan")
        }
        mine, theirs = read.values()
        return [name for name in FILES if mine.get(name) != theirs.get(name)]


@pytest.fixture
def field(tmp_path: Path) -> Field:
    return Field(tmp_path)


@pytest.fixture(scope="session")
def parts(log: pa.Table) -> list[pa.Table]:
    """The log in 48 parts of about the same size, in time order."""
    ends = np.linspace(0, len(log), 49).astype(int)
    return [log.slice(a, b - a) for a, b in pairwise(ends)]


@pytest.fixture(scope="session")
def moments(log: pa.Table) -> Any:
    """Microseconds of each exchange."""
    return pc.cast(log.column("time"), pa.int64()).to_numpy()
