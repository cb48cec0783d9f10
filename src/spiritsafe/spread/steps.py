"""Stage B of one part, on an executor: what it counts goes through Spark, what it says of each exchange into files."""

from __future__ import annotations

import uuid
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spiritsafe.campaigns import streams, templates
from spiritsafe.campaigns._distinct import distinct
from spiritsafe.campaigns.company import Company, Wholes
from spiritsafe.campaigns.projections import Projections
from spiritsafe.campaigns.stored import roles
from spiritsafe.engine import parquet, quoted
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.spread.taken import points

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNTED = pa.schema([("anchor", pa.int64()), ("support", pa.int64()), ("seen", pa.int64())])
PAIRS = pa.schema([("pair", pa.int64()), ("support", pa.int64())])
USED = pa.schema([("component", pa.int32())])
IDS = pa.schema([("hash", pa.int64()), ("row", pa.int64())])
DONE = pa.schema([("part", pa.int64())])
"""What each step yields."""

LOST = "-lost"
"""Ends the name of a file of which component lost which exchange of a part, see ``_anchors.vote``."""

_ROWS = 65_536


def counted(item: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """The anchors of a part, each once, with how many exchanges have it: a template that fills a part is one row."""
    anchors, support, seen = templates.counted(_anchors(item))
    yield from _numbers(COUNTED, anchors.view(np.int64), support, seen.view(np.int64))


def ids(item: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """A hash of each exchange's id. Equal hashes are only a suspicion: whose hash it is changes no answer."""
    with DuckDB(Path(f"{item['into']}-engine"), memory=item["memory"], threads=1) as engine:
        for batch in engine.batches(
            f"SELECT hash(exchange_id) AS hash, place FROM read_parquet('{_named(item)}')"
        ):
            made, place = batch.column("hash").to_numpy(), batch.column("place").to_numpy()
            yield from _numbers(IDS, made.view(np.int64), place + item["before"])


def pairs(item: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """The neighbour pairs of a part's frequent anchors that tie there, each once, with how many exchanges have it."""
    keys, counts, tie = _lookup(item["ranking"]).pairs(_anchors(item))
    yield from _numbers(PAIRS, keys[tie], counts[tie])


def others(item: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """The same of those that tie in other parts only (``item["pairs"]``): what is lacking to their sums."""
    yield from _lacking(_wanted(item["pairs"]), *_lookup(item["ranking"]).pairs(_anchors(item)))


def together(item: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """Which components stand together in a part's exchanges, one nested there, and in how many; as ``-1 - one`` its own."""
    rows, pairs = _lookup(item["ranking"]).together(_anchors(item), _groups(item["groups"]))
    own = np.flatnonzero(rows)
    yield from _numbers(PAIRS, -1 - own, rows[own])
    for keys, count, nest in pairs:
        yield from _numbers(PAIRS, keys[nest], count[nest])


def besides(item: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """The same of those that are nested in other parts only (``item["pairs"]``)."""
    for told in _lookup(item["ranking"]).together(_anchors(item), _groups(item["groups"]))[1]:
        yield from _lacking(_wanted(item["pairs"]), *told)


def _lacking(wanted: Any, keys: Any, counts: Any, told: Any) -> Iterator[pa.RecordBatch]:
    """Of the pairs that are ``wanted`` (sorted), those that this part did not tell."""
    if wanted.size:
        place = np.minimum(np.searchsorted(wanted, keys), wanted.size - 1)
        kept = ~told & (wanted[place] == keys)
        yield from _numbers(PAIRS, keys[kept], counts[kept])


def around(item: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """What stands around each component in a part's exchanges, in how many."""
    found = _lookup(item["ranking"]).around(_anchors(item), _groups(item["groups"]), _wholes(item["wholes"]))
    for keys, count in found:
        yield from _numbers(PAIRS, keys, count)


def columns(item: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """Write account, time, prompt, component and roles of each exchange, and what lost it; yield the components that occur."""
    component, lost, at = np.full(item["rows"], -1, np.int32), [np.zeros(0, np.int64)], 0
    if item["groups"]:
        company = _company(item["company"], item["wholes"])
        for votes, some in _lookup(item["ranking"]).votes(_anchors(item), _groups(item["groups"]), company):
            component[at : at + votes.size] = votes
            lost.append(some + (at + item["before"]))
            at += votes.size
    _write(item["into"] + LOST, {"lost": np.concatenate(lost)})
    path = Path(item["folder"]) / "sketch.parquet"
    kept = pq.read_table(path, columns=["account_id", "time", "exact"])
    account = kept["account_id"].combine_chunks().dictionary_encode()
    code = pc.index_in(account.dictionary, value_set=_accounts(item["accounts"])).to_numpy()
    with DuckDB(Path(f"{item['into']}-engine"), memory=item["memory"], threads=1) as engine:
        engine.execute(f"CREATE VIEW sketch AS SELECT place AS row, * FROM read_parquet('{_named(item)}')")
        mask = roles(engine, np.empty(item["rows"], np.uint64))[0]
    _write(
        item["into"],
        {
            "acc": code[account.indices.to_numpy()].astype(np.int32),
            "time": kept["time"],
            "exact": kept["exact"],
            "component": component,
            "roles": mask,
        },
    )
    yield from _numbers(USED, distinct(component))


def near(item: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """Write the micro-cluster of each exchange."""
    known = streams.Registry(*_arrays(item["registry"], 2))
    projections = Projections([(points(Path(item["folder"])), item["rows"])])
    _write(item["into"], {"near": streams.near(projections, known)})
    yield pa.record_batch([pa.array([item["before"]], pa.int64())], schema=DONE)


def keep(path: Path, *arrays: Any) -> str:
    """Put arrays where executors find them; what is kept is never changed."""
    with path.open("wb") as file:
        for one in arrays:
            np.save(file, one, allow_pickle=False)
    return str(path)


def _named(item: dict[str, Any]) -> str:
    """A part's sketch as SQL names it."""
    return quoted(Path(item["folder"]) / "sketch.parquet")


def _anchors(item: dict[str, Any]) -> Iterator[templates.Batch]:
    with parquet(Path(item["folder"]) / "sketch.parquet") as file:
        yield from templates.each(file.iter_batches(batch_size=_ROWS, columns=list(templates.COLUMNS)))


def _numbers(schema: pa.Schema, *arrays: Any) -> Iterator[pa.RecordBatch]:
    table = pa.table(
        [pa.array(one).cast(kind) for one, kind in zip(arrays, schema.types, strict=True)], schema=schema
    )
    yield from table.to_batches(max_chunksize=1 << 20)


def _write(path: str, made: dict[str, Any]) -> None:
    """A file that appears whole: two attempts of one task write the same."""
    half = Path(f"{path}.{uuid.uuid4().hex[:8]}")
    pq.write_table(
        pa.table(made),
        half,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in ("acc", "component") if name in made],
    )
    half.replace(path)


def _arrays(path: str, count: int) -> list[Any]:
    with Path(path).open("rb") as file:
        return [np.load(file, allow_pickle=False) for _ in range(count)]


@lru_cache(maxsize=1)
def _wanted(path: str) -> Any:
    return _arrays(path, 1)[0]


@lru_cache(maxsize=1)
def _lookup(path: str) -> templates.Lookup:
    return templates.Lookup(templates.Ranking(*_arrays(path, 3)))


@lru_cache(maxsize=1)
def _groups(path: str) -> templates.Groups:
    return templates.Groups(*_arrays(path, 7))


@lru_cache(maxsize=1)
def _wholes(path: str) -> Wholes:
    return Wholes(*_arrays(path, 2))


@lru_cache(maxsize=1)
def _company(path: str, wholes: str) -> Company:
    (alike,) = _arrays(path, 1)
    return Company(alike, _wholes(wholes))


@lru_cache(maxsize=1)
def _accounts(path: str) -> Any:
    return pq.read_table(path)["account_id"].combine_chunks()
