"""The engine for logs that outgrow one machine: Spark, the same SQL, and Python that runs where the executors are.

``pyspark`` is imported when a session starts, so that a machine without it can read this file. Executors run the Python of
``spread``: the package must be installed there (``docs/spark.md``).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import warnings
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from spiritsafe.engine import _dialect, parquet
from spiritsafe.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from spiritsafe.engine import Parameters

UNSIGNED = pa.decimal128(20, 0)
"""What an unsigned 64-bit integer is to Spark."""
_SMALL = 1 << 20
"""Bytes up to which a registered table goes through the driver's JVM; a larger one through a file."""
_SLICES = 4_000
"""Tasks of one ``spread`` at most; more items share tasks."""


class Spark:
    """A Spark session. Use it as a context manager.

    ``work`` is a folder that driver and executors reach under the same path; ``master`` as Spark takes it (``local[2]``,
    ``spark://host:7077``, ``yarn``, ``k8s://…``); ``conf`` goes to the session as it is. A session that runs in this process is
    used and left running. Time zone is UTC. Failures of a job come out as StorageError; wrong SQL stays Spark's own error.
    """

    def __init__(self, work: Path, *, master: str, conf: Mapping[str, str] | None = None) -> None:
        self.work = work
        self._files = 0
        self._views: set[str] = set()
        self._session, self._mine = _session(master, conf or {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session, if this made it, and remove what was written for queries."""
        for name in list(self._views):
            self.unregister(name)
        shutil.rmtree(self.work / "engine", ignore_errors=True)
        if self._mine:
            self._session.stop()

    @property
    def application(self) -> str:
        """Spark's name for this run."""
        return str(self._session.sparkContext.applicationId)

    @property
    def session(self) -> Any:
        """The session itself, for measurements."""
        return self._session

    @property
    def processors(self) -> int:
        """Tasks that run at once, as far as Spark knows."""
        return int(self._session.sparkContext.defaultParallelism)

    def register(self, name: str, relation: object) -> None:
        """Make an Arrow table or record batch readable in SQL as ``name``."""
        given: Any = relation
        table = given if isinstance(given, pa.Table) else pa.Table.from_batches([given])
        table = pa.table([_plain(column) for column in table.columns], names=table.column_names)
        with _failures(self.work):
            if table.nbytes <= _SMALL:
                frame = self._session.createDataFrame(table)
            else:
                path = self._place() / "table.parquet"
                path.parent.mkdir(parents=True)
                pq.write_table(table, path, compression="zstd", compression_level=1)
                frame = self._session.read.parquet(str(path))
            self._name(frame, name)

    def unregister(self, name: str) -> None:
        """Forget ``name``."""
        self._session.catalog.dropTempView(name)
        self._views.discard(name)

    def files(self, name: str, paths: Sequence[str], columns: Sequence[str]) -> None:
        """Make ``columns`` of Parquet files that share a schema readable in SQL as ``name``."""
        with _failures(self.work):
            frame = self._session.read.parquet(*paths)
            self._name(frame.select(*(f"`{column}`" for column in columns)), name)

    def spread(
        self,
        name: str,
        items: Sequence[Mapping[str, Any]],
        work: Callable[[dict[str, Any]], Iterator[pa.RecordBatch]],
        schema: pa.Schema,
    ) -> None:
        """The view ``name``: what ``work`` yields for each item, on whatever executor takes it, each time it is read.

        Items are plain values. ``work`` is a function of a module; it may run twice for an item (a lost executor) and must
        then do and yield the same. Lists go one by one in their order, split over tasks.
        """
        from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415

        told = [json.dumps(item) for item in items]
        slices = max(1, min(len(told), _SLICES))
        with _failures(self.work), _quiet():
            frame = self._session.range(0, len(told), 1, slices)
            done = frame.mapInArrow(partial(_each, told, work), from_arrow_schema(schema))
            self._name(done, name)

    def execute(self, sql: str, params: Parameters = None) -> None:
        """Run one statement for its effect. ``CREATE VIEW`` makes a view of this session."""
        view = re.match(r"\s*CREATE\s+VIEW\s+(\w+)\s+AS\s+", sql, flags=re.IGNORECASE)
        with _failures(self.work):
            if view:
                self._name(self._sql(sql[view.end() :], params), view[1])
            else:
                self._sql(sql, params).collect()

    def table(self, sql: str, params: Parameters = None) -> pa.Table:
        """Run a query; all its rows as an Arrow table."""
        with _failures(self.work), _quiet():
            return _unsigned(self._sql(sql, params).toArrow())

    def batches(self, sql: str, rows: int = 65_536, params: Parameters = None) -> Iterator[pa.RecordBatch]:
        """Run a query; its rows as record batches, through files of the work folder, never all in memory."""
        place = self._place()
        with _failures(self.work):
            self._sql(sql, params).write.option("compression", "zstd").parquet(str(place))
        for path in sorted(place.glob("part-*.parquet")):
            with parquet(path) as file:
                for batch in file.iter_batches(batch_size=rows):
                    yield from _unsigned(pa.Table.from_batches([batch])).to_batches()
        shutil.rmtree(place, ignore_errors=True)

    def scalar(self, sql: str, params: Parameters = None) -> Any:
        """The first column of the first row; None when there is no row."""
        table = self.table(sql, params)
        return table.column(0)[0].as_py() if table.num_rows else None

    def types(self, sql: str) -> dict[str, str]:
        """Column names of a query and their types in Spark's words, in order, without running it."""
        return {field.name: field.dataType.simpleString() for field in self._sql(sql, None).schema}

    def _sql(self, sql: str, params: Parameters) -> Any:
        return self._session.sql(_dialect.spark(sql), args=params)

    def _place(self) -> Path:
        self._files += 1
        return self.work / "engine" / str(self._files)

    def _name(self, frame: Any, name: str) -> None:
        frame.createOrReplaceTempView(name)
        self._views.add(name)


def _each(
    told: list[str], work: Callable[[dict[str, Any]], Iterator[pa.RecordBatch]], batches: Iterator[Any]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for number in batch.column(0).to_pylist():
            for made in work(json.loads(told[number])):
                columns = [_plain(column) for column in made.columns]
                yield pa.RecordBatch.from_arrays(columns, names=made.schema.names)


def _plain(column: Any) -> Any:
    """A column in types that Spark knows."""
    if pa.types.is_uint64(column.type):
        return column.cast(UNSIGNED)
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _unsigned(table: pa.Table) -> pa.Table:
    for index, field in enumerate(table.schema):
        if field.type == UNSIGNED:
            table = table.set_column(index, field.name, table.column(index).cast(pa.uint64()))
    return table


def _session(master: str, conf: Mapping[str, str]) -> tuple[Any, bool]:
    try:
        with _quiet():
            from pyspark.sql import SparkSession  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            f"the engine spark needs {error.name or 'pyspark'}", hint="pip install 'spiritsafe[spark]'"
        ) from error
    if find_spec("pandas") is None:  # PySpark asks for it before it maps Arrow batches
        raise UsageError("the engine spark needs pandas", hint="pip install 'spiritsafe[spark]'")
    running = SparkSession.getActiveSession()
    if running is not None:
        return running, False
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    told = {**_defaults(master), **conf}
    builder: Any = SparkSession.builder.master(master)
    for name, value in told.items():
        builder = builder.config(name, value)
    try:
        with _quiet():
            return builder.getOrCreate(), True
    except Exception as error:  # a JVM that does not start raises what it likes
        raise UsageError(
            f"Spark does not start on {master}: {_cause(error)}",
            hint="Java 17 or newer must be there, the master reachable and each --spark-conf right",
        ) from error


def _defaults(master: str) -> dict[str, str]:
    """Settings without which answers, memory or a terminal would suffer. ``--spark-conf`` has the last word."""
    known = {
        "spark.app.name": "spiritsafe",
        "spark.log.level": "ERROR",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
        # One account with a tenth of all rows: joins with small tables move no exchange, others are cut at the heavy key.
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.adaptive.skewJoin.enabled": "true",
        "spark.sql.autoBroadcastJoinThreshold": "100m",
        # Most of what moves are counts and bits of few values beside anchors: zstd leaves 0.62 of what lz4 does, in less time.
        "spark.io.compression.codec": "zstd",
        # Anchors that are frequent, and pairs of them: 24 and 16 bytes each.
        "spark.driver.maxResultSize": "4g",
    }
    local = re.fullmatch(r"local(?:\[(\d+|\*)(?:,\s*\d+)?\])?", master)
    if local:
        cores = os.cpu_count() or 1 if local[1] == "*" else int(local[1] or 1)
        known |= {
            "spark.sql.shuffle.partitions": str(max(2, 2 * cores)),
            "spark.ui.enabled": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
        }
    return known


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """PySpark warns of its own use of pandas."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _failures(work: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the engine cannot read or write: {_first_line(error)}", where=str(work)
        ) from error
    except Exception as error:
        if type(error).__name__ not in {
            "Py4JJavaError",
            "PythonException",
            "SparkException",
            "Py4JNetworkError",
        }:
            raise
        cause = _cause(error)
        hint = "Spark's own log says more; a scan with --checkpoint goes on where it stopped"
        if "ModuleNotFoundError" in cause:
            hint = "install spiritsafe where the executors run, in the Python of PYSPARK_PYTHON"
        raise StorageError(f"a job of Spark failed: {cause}", where=str(work), hint=hint) from error


def _cause(error: BaseException) -> str:
    """The line of a stack trace that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if re.match(r"(Caused by: |[\w.]*(Error|Exception)\b)", line)]
    return (told[-1] if told else lines[0] if lines else type(error).__name__)[:300]


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
