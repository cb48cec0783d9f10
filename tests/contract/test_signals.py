"""Promises that every signal keeps, whichever the registry finds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from spiritsafe import schema
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.features import sketch
from spiritsafe.registry import extensions

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

SIGNALS = extensions("signals")
PAGES = Path(__file__).parent.parent.parent / "docs" / "signals"
TECHNIQUES = {"", "AML.T0024.002", "AML.T0040", "AML.T0048.004"}
TYPES: dict[schema.Kind, Any] = {
    "time": pa.int64(),
    "string": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "strings": pa.list_(pa.string()),
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Generator[DuckDB, None, None]:
    with DuckDB(tmp_path_factory.mktemp("engine"), memory="1GB", threads=1) as session:
        yield session


def answer(engine: DuckDB, name: str, prompts: Sequence[str], systems: Sequence[str | None]) -> pa.Table:
    given = {"prompt": pa.array(prompts, pa.string()), "system": pa.array(systems, pa.string())}
    columns = [given.get(c.name, pa.nulls(len(prompts), TYPES[c.kind])) for c in schema.COLUMNS]
    batch = sketch(pa.RecordBatch.from_arrays(columns, names=list(schema.NAMES)))
    rows = pa.array(range(len(prompts)), pa.int64())
    engine.register("sketch", pa.Table.from_batches([batch]).append_column("row", rows))
    return engine.table(str(SIGNALS[name].function()))


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_says_what_it_is(name: str):
    module = SIGNALS[name].module
    assert SIGNALS[name].summary.endswith(".")
    assert (module.__doc__ or "").strip()
    assert module.KIND in {"role", "hint", "product"}
    assert module.TECHNIQUE in TECHNIQUES
    assert bool(module.TECHNIQUE) == (module.KIND != "product")
    assert module.SUBJECT == "exchange"
    assert set(module.NEEDS) <= set(schema.NAMES)
    assert f"`{name}`" in (PAGES / f"{name}.md").read_text("utf-8").partition("\n")[0]


@pytest.mark.parametrize("name", SIGNALS)
def test_examples_behave(name: str, engine: DuckDB):
    examples = SIGNALS[name].module.EXAMPLES
    assert {expected for _, expected in examples} == {True, False}
    found = answer(engine, name, [one for one, _ in examples], [None] * len(examples))
    assert found.column_names == ["subject", "value"]
    assert set(found.column("subject").to_pylist()) == {
        n for n, (_, expected) in enumerate(examples) if expected
    }
    assert found.column("value").to_pylist() == [1.0] * found.num_rows


@pytest.mark.parametrize("name", SIGNALS)
def test_an_empty_log_has_no_answers(name: str, engine: DuckDB):
    found = answer(engine, name, [], [])
    assert (found.column_names, found.num_rows) == (["subject", "value"], 0)


@pytest.mark.parametrize("name", SIGNALS)
def test_the_question_is_plain_bit_arithmetic(name: str):
    sql = str(SIGNALS[name].function())
    assert "{" not in sql
    plain = "SELECT row AS subject CAST DOUBLE value FROM sketch WHERE AND OR marks system_marks tokens lines UBIGINT"
    assert set(re.findall(r"[A-Za-z_]+", sql)) <= set(plain.split())


def test_no_example_of_innocence_plays_a_role(engine: DuckDB):
    texts = [one for signal in SIGNALS.values() for one, expected in signal.module.EXAMPLES if not expected]
    for name, signal in SIGNALS.items():
        if signal.module.KIND == "role":
            assert answer(engine, name, texts, [None] * len(texts)).num_rows == 0, name
