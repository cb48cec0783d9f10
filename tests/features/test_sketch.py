"""The sketch of a batch: its columns, what counts as nothing, and that cutting or threading changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe import schema
from spiritsafe.features import sketch

if TYPE_CHECKING:
    from collections.abc import Callable

Canonical = "Callable[..., pa.RecordBatch]"
ADDED = {
    "response_chars": pa.int32(),
    "prompt_chars": pa.int32(),
    "tokens": pa.int32(),
    "script": pa.uint8(),
    "lines": pa.int32(),
    "exact": pa.uint64(),
    "skeleton": pa.uint64(),
    "item": pa.uint64(),
    "anchors": pa.list_(pa.uint64()),
    "projection": pa.binary(64),
    "marks": pa.uint64(),
    "system_marks": pa.uint64(),
    "system_skeleton": pa.uint64(),
    "system_anchors": pa.list_(pa.uint64()),
}
texts = st.one_of(
    st.text(max_size=80),
    st.lists(
        st.sampled_from(
            ['say "', '"', "`", "```", "12", "step by step", "«", "请", "a@b.c", "http://x", "' ", "\n"]
        )
    ).map(" ".join),
)
rows = st.lists(st.tuples(st.one_of(st.none(), texts), st.one_of(st.none(), texts)), max_size=12)


def _batch(canonical: Any, pairs: list[tuple[str | None, str | None]]) -> pa.RecordBatch:
    return canonical([p for p, _ in pairs], [s for _, s in pairs])


def test_columns(canonical: Callable[..., pa.RecordBatch]):
    out = sketch(canonical(["a prompt", None], ["be kind", None], ["an answer ☺", None]), threads=1)
    kept = [
        name
        for name in (*schema.NAMES, "source_file", "source_line")
        if name not in {"system", "prompt", "response", "sketch"}
    ]
    assert out.schema.names == kept + list(ADDED)
    assert {name: out.schema.field(name).type for name in ADDED} == ADDED
    assert out.column("response_chars").to_pylist() == [11, None]
    assert out.column("prompt_chars").to_pylist() == [8, 0]
    assert out.column("source_line").to_pylist() == [0, 1]


def test_nothing_is_zero(canonical: Callable[..., pa.RecordBatch]):
    out = sketch(canonical(["", None, " \n ", "\u200b"], [None, "", "  ", None]), threads=1)
    for name in ("exact", "skeleton", "item", "marks", "system_marks", "system_skeleton", "tokens", "script"):
        assert out.column(name).to_pylist() == [0] * 4, name
    assert out.column("anchors").to_pylist() == [[]] * 4
    assert out.column("system_anchors").to_pylist() == [[]] * 4
    assert out.column("projection").to_pylist() == [bytes(64)] * 4


def test_no_rows(canonical: Callable[..., pa.RecordBatch]):
    assert sketch(canonical([]), threads=2).num_rows == 0


def test_a_null_column_is_all_empty(canonical: Callable[..., pa.RecordBatch]):
    out = sketch(canonical(pa.nulls(3), pa.nulls(3), pa.nulls(3)), threads=1)
    assert out.column("exact").to_pylist() == [0, 0, 0]
    assert out.column("response_chars").to_pylist() == [None] * 3


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_every_string_type_gives_the_same(canonical: Callable[..., pa.RecordBatch], kind: Any):
    prompts = ["one two three", None, "请解释", "", "one two three"]
    plain = pa.array(prompts, pa.string())
    other = plain.dictionary_encode() if pa.types.is_dictionary(kind) else plain.cast(kind)
    assert sketch(canonical(other, other, other), threads=1).equals(
        sketch(canonical(plain, plain, plain), threads=1)
    )


def test_nulls_may_hide_bytes(canonical: Callable[..., pa.RecordBatch]):
    plain = pa.array(["aa", "bb", "cc"], pa.string())
    hidden = pa.Array.from_buffers(pa.string(), 3, [pa.py_buffer(bytes([0b101])), *plain.buffers()[1:]])
    assert sketch(canonical(hidden), threads=1).column("exact")[1].as_py() == 0


def test_a_prompt_of_a_megabyte(canonical: Callable[..., pa.RecordBatch]):
    prompts = [
        "word " * 210_000,
        "«" * 500_000,
        "`'\"" * 350_000,
        "x" * 1_050_000,
        "字" * 350_000,
        "1 " * 500_000,
    ]
    out = sketch(canonical(prompts), threads=2)
    assert out.column("tokens").to_pylist() == [210_000, 0, 0, 1, 350_000, 500_000]
    assert max(len(anchors) for anchors in out.column("anchors").to_pylist()) <= 48


@given(rows, st.data())
@settings(max_examples=60, deadline=None)
def test_a_permutation_of_rows_permutes_the_answer(
    canonical: Callable[..., pa.RecordBatch], pairs: Any, data: Any
):
    order = data.draw(st.permutations(range(len(pairs))))
    whole = sketch(_batch(canonical, pairs), threads=1).drop_columns(["source_line"])
    other = sketch(_batch(canonical, [pairs[k] for k in order]), threads=1).drop_columns(["source_line"])
    assert other.to_pylist() == [whole.to_pylist()[k] for k in order]


@given(rows, st.integers(0, 12), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_slices_and_threads_give_the_same(
    canonical: Callable[..., pa.RecordBatch], pairs: Any, cut: int, threads: int
):
    batch = _batch(canonical, pairs)
    whole = sketch(batch, threads=1)
    parts = [sketch(part, threads=threads) for part in (batch.slice(0, cut), batch.slice(cut))]
    assert [row for part in parts for row in part.to_pylist()] == whole.to_pylist()


@given(st.lists(st.binary(max_size=60), max_size=8))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read(canonical: Callable[..., pa.RecordBatch], values: list[bytes]):
    raw = pa.array(values, pa.binary())
    column = pa.Array.from_buffers(pa.string(), len(raw), raw.buffers())
    out = sketch(canonical(column, column, column), threads=1)
    assert out.num_rows == len(values)
