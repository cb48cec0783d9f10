"""Stage B: counts are added up by SQL where the executors are; the log they give is the one a single machine makes."""

from __future__ import annotations

from functools import partial
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from spiritsafe.campaigns import streams, templates
from spiritsafe.campaigns._radix import ranked
from spiritsafe.campaigns.company import Company, Wholes, numbered, possible, variants
from spiritsafe.campaigns.outvoted import Lost
from spiritsafe.campaigns.stored import Columns, assembled, doubled, own, roles
from spiritsafe.engine import parquet
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.spread import steps
from spiritsafe.state import parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spiritsafe.campaigns.log import Log
    from spiritsafe.engine import Engine
    from spiritsafe.engine.spark import Spark
    from spiritsafe.spread.taken import Spread

    Progress = Callable[[str, int, int], None]

_COLUMNS = (
    ("acc", np.int32),
    ("time", np.int64),
    ("exact", np.uint64),
    ("component", np.int32),
    ("roles", np.uint64),
)
_ROWS = 1 << 18
_SUSPECTS = 200_000
"""Ids that may occur twice, up to which they are looked at here; a log that was written twice has more."""


def builder(spark: Spark, shared: Path, memory: str) -> Callable[[Engine, Spread, Progress], Log]:
    """How a log is made on ``spark``. ``shared``: a folder that driver and executors reach under the same path."""
    return partial(_build, spark, shared, memory)


def _build(spark: Spark, shared: Path, memory: str, engine: Engine, taken: Spread, progress: Progress) -> Log:
    items: list[dict[str, Any]] = [
        {
            "folder": str(part.folder),
            "rows": part.rows,
            "before": part.before,
            "into": str(shared / f"{number}.columns"),
            "memory": memory,
        }
        for number, part in enumerate(taken.parts)
        if part.rows
    ]
    accounts = _sketch(spark, shared, taken)
    progress("finding templates", 0, 4)
    ranking, groups = _grouped(spark, shared, items, progress)
    held = {
        "accounts": accounts,
        "ranking": ranking and steps.keep(shared / "ranking", ranking.anchors, ranking.support, ranking.seen),
        "groups": groups
        and steps.keep(
            shared / "groups",
            *(groups.component, groups.size, groups.varied),
            *(groups.inner, groups.inside, groups.inner_size, groups.host),
        ),
    }
    frames: list[Any] = []
    stands = np.zeros(0, np.int64)
    if groups:
        around, stands, frames = _company(spark, shared, [item | held for item in items], groups.size.size)
        held |= around
    spark.spread("used", [item | held for item in items], steps.columns, steps.USED)
    used = spark.table("SELECT DISTINCT component FROM used").column(0).to_numpy()
    small: list[tuple[int, Any]] = []
    if ranking and groups:
        aside = Lost(groups.texts, taken.rows, taken.work)
        for item in items:
            aside.add(pq.read_table(item["into"] + steps.LOST).column(0).to_numpy())
        small = aside.outvoted(groups.stands(stands))
        used = np.append(used, [one for one, _ in small])
        number, found = templates.chosen(used, ranking, groups)
    else:
        number, found = np.zeros(0, np.int32), templates.Templates(None, np.zeros(0, np.uint64), [])
    made = {name: taken.array(name, kind) for name, kind in _COLUMNS}
    _gather(items, made)
    template = made.pop("component")
    for rows in _slices(taken.rows):
        has = template[rows] >= 0
        template[rows][has] = number[template[rows][has]]
    live = taken.array("live", bool)
    live[:] = True
    live[_doubled(spark, taken, items)] = False
    progress("finding templates", 3, 4)
    known = streams.registry(taken.projections(), own(template, live))
    made["near"] = taken.array("near", np.int32)
    kept = steps.keep(shared / "registry", known.centroids, known.key)
    there = [item | {"registry": kept, "into": f"{item['into']}-near"} for item in items]
    spark.spread("near", there, steps.near, steps.DONE)
    spark.table("SELECT count(*) AS parts FROM near")
    _gather(there, {"near": made["near"]})
    progress("finding templates", 4, 4)
    found = templates.Templates(template, found.key, found.anchors, *numbered(frames, small, number))
    return assembled(engine, taken, Columns(live=live, **made), found, known, _signals(taken))


def _sketch(spark: Spark, shared: Path, taken: Spread) -> str:
    """The view ``sketch`` over all parts, as on one machine but for lists; the accounts, numbered by first appearance."""
    there = [part for part in taken.parts if part.rows]
    schema = pq.read_schema(there[0].sketch)
    flat = [field.name for field in schema if not pt.is_list(field.type)]
    spark.files("made", [str(part.sketch) for part in there], flat)
    begins = {
        "part": pa.array([parts.number(part.folder.name) for part in there], pa.int64()),
        "before": pa.array([part.before for part in there], pa.int64()),
    }
    spark.register("parts", pa.table(begins))
    first = spark.table(
        "SELECT m.account_id, min(p.before + m.place) AS first FROM made m JOIN parts p ON m.part = p.part "
        "GROUP BY m.account_id ORDER BY first"
    )
    names = first.column("account_id").combine_chunks()
    taken.accounts[:] = names.to_pylist()
    path = shared / "accounts.parquet"
    table = pa.table({"account_id": names, "acc": pa.array(np.arange(len(names), dtype=np.int32))})
    pq.write_table(table, path)
    spark.files("accounts", [str(path)], table.column_names)
    spark.execute(
        "CREATE VIEW sketch AS SELECT p.before + m.place AS row, a.acc, m.* FROM made m "
        "JOIN parts p ON m.part = p.part JOIN accounts a ON m.account_id = a.account_id"
    )
    return str(path)


def _doubled(spark: Spark, taken: Spread, items: list[dict[str, Any]]) -> Any:
    """As ``doubled``, but what moves is eight bytes an exchange, and the ids of those few that may be doubles."""
    spark.spread("ids", items, steps.ids, steps.IDS)
    suspects = spark.table(f"SELECT hash FROM ids GROUP BY hash HAVING count(*) > 1 LIMIT {_SUSPECTS + 1}")
    if suspects.num_rows > _SUSPECTS:
        return doubled(spark)
    if not suspects.num_rows:
        return np.zeros(0, np.int64)
    spark.register("suspects", suspects)
    found = spark.table("SELECT i.row FROM ids i JOIN suspects s ON i.hash = s.hash")
    rows = np.sort(found.column("row").to_numpy())
    told = [batch.column("exchange_id").cast(pa.string()) for batch, _ in taken.some(["exchange_id"], rows)]
    names = pa.chunked_array(told).combine_chunks().dictionary_encode().indices.to_numpy()
    first = np.zeros(rows.size, bool)
    first[np.unique(names, return_index=True)[1]] = True
    return rows[~first]


def _grouped(
    spark: Spark, shared: Path, items: list[dict[str, Any]], progress: Progress
) -> tuple[templates.Ranking | None, templates.Groups | None]:
    """Frequent anchors and their components; None and None when no anchor is frequent."""
    spark.spread("counted", items, steps.counted, steps.COUNTED)
    ranking = _often(spark)
    progress("finding templates", 1, 4)
    if not ranking.anchors.size:
        return None, None
    held = steps.keep(shared / "ranking", ranking.anchors, ranking.support, ranking.seen)
    tied = [item | {"ranking": held} for item in items]
    spark.spread("pairs", tied, steps.pairs, steps.PAIRS)
    told = list(_summed(spark, "pairs"))
    groups = templates.grouped(ranking, [_whole(spark, shared, told, "pairs", steps.others, tied)])
    progress("finding templates", 2, 4)
    return ranking, groups


def _whole(
    spark: Spark,
    shared: Path,
    told: list[Any],
    name: str,
    rest: Callable[..., Any],
    items: list[dict[str, Any]],
) -> tuple[Any, Any]:
    """Pairs and in how many exchanges of all parts they are (int64), sorted. ``told``: of those that one part or more told.

    Most pairs tell nothing in any part: they are a chance of one exchange, and need not move. What parts that did not tell a
    pair lack to its sum, ``rest`` (a step) yields.
    """
    if not told:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    keys, order = ranked(np.concatenate([pair for pair, _ in told]))
    counts = np.concatenate([many for _, many in told])[order].astype(np.int64)
    wanted = {"pairs": steps.keep(shared / name, keys)}
    spark.spread("lacking", [item | wanted for item in items], rest, steps.PAIRS)
    for pair, many in _summed(spark, "lacking"):
        counts[np.searchsorted(keys, pair)] += many
    return keys, counts


def _company(
    spark: Spark, shared: Path, items: list[dict[str, Any]], components: int
) -> tuple[dict[str, str], Any, list[Any]]:
    """What stands around each component, and what it is a part of, as the executors find it.

    Also in how many exchanges it stands (int64 by component), and ``company.variants``.
    """
    spark.spread("together", items, steps.together, steps.PAIRS)
    rows, told, batches = np.zeros(components, np.int64), [], 0
    with TemporaryFile(dir=shared) as spool:  # which pairs matter is known once all rows are
        for pair, many in _summed(spark, "together"):
            alone = pair < 0
            rows[-1 - pair[alone]] = many[alone]
            np.save(spool, np.stack([pair[~alone], many[~alone]]), allow_pickle=False)
            batches += 1
        spool.seek(0)
        for _ in range(batches):
            pair, many = np.load(spool, allow_pickle=False)
            kept = possible(pair, rows)
            told.append((pair[kept], many[kept]))
    wholes = Wholes.among(rows, [_whole(spark, shared, told, "together", steps.besides, items)])
    kept = {"wholes": steps.keep(shared / "wholes", wholes.start, wholes.of)}
    spark.spread("around", [item | kept for item in items], steps.around, steps.PAIRS)
    seen, squares = np.zeros((2, components), np.int64)
    for component, many, square in _streamed(
        spark,
        "SELECT shiftright(pair, 32) AS component, CAST(sum(many) AS BIGINT), CAST(sum(many * many) AS BIGINT) FROM "
        "(SELECT pair, CAST(sum(support) AS BIGINT) AS many FROM around GROUP BY pair) GROUP BY shiftright(pair, 32)",
    ):
        seen[component], squares[component] = many, square
    kept |= {"company": steps.keep(shared / "company", Company.of(wholes, seen, squares).alike)}
    return kept, rows, variants(wholes, rows)


def _summed(spark: Spark, view: str) -> Iterator[tuple[Any, ...]]:
    """Pairs of a view, each once with its sum."""
    return _streamed(spark, f"SELECT pair, CAST(sum(support) AS BIGINT) AS support FROM {view} GROUP BY pair")


def _often(spark: Spark) -> templates.Ranking:
    """Frequent anchors, ranked."""
    found = list(
        _streamed(
            spark,
            "SELECT anchor, CAST(sum(support) AS BIGINT) AS support, bit_or(seen) AS seen FROM counted "
            f"WHERE anchor <> 0 GROUP BY anchor HAVING sum(support) >= {templates.LEAST}",
        )
    )
    if not found:
        return templates.Ranking(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.uint64))
    anchors, support, seen = map(np.concatenate, zip(*found, strict=True))
    del found
    return templates.Ranking.of(anchors.view(np.uint64), support, seen.view(np.uint64))


def _streamed(spark: Spark, sql: str) -> Iterator[tuple[Any, ...]]:
    """The columns of a query's rows (NumPy), a batch at a time by way of files: millions of rows never meet in the driver."""
    for batch in spark.batches(sql, _ROWS):
        yield tuple(column.to_numpy() for column in batch.columns)


def _gather(items: list[dict[str, Any]], made: dict[str, Any]) -> None:
    """Put what executors wrote for their parts in one array each, a batch at a time."""
    for item in items:
        at = item["before"]
        with parquet(item["into"]) as file:
            for batch in file.iter_batches(batch_size=_ROWS, columns=list(made)):
                for name, out in made.items():
                    out[at : at + batch.num_rows] = batch.column(name).to_numpy(zero_copy_only=False)
                at += batch.num_rows


def _slices(rows: int) -> Iterator[slice]:
    return (slice(at, min(at + _ROWS, rows)) for at in range(0, rows, _ROWS))


def _signals(taken: Spread) -> tuple[tuple[str, ...], int]:
    """The names of the role signals and the mask of extraction roles: what an empty sketch is told of them."""
    schema = pq.read_schema(next(part.sketch for part in taken.parts if part.rows))
    nothing = schema.empty_table()
    with DuckDB(taken.work, memory="100MB", threads=1) as engine:
        engine.register("sketch", nothing.append_column("row", pa.array([], pa.int64())))
        _, names, extraction = roles(engine, np.zeros(0, np.uint64))
    return names, extraction
