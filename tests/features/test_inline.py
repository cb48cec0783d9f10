"""One row at a time gives what a batch gives; packed and read back it is the same; a scan of sketches finds the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe import pipeline
from spiritsafe.features import bands, minhash, sketch
from spiritsafe.features._packed import unpack
from spiritsafe.features.inline import Inline
from spiritsafe.settings import Settings
from spiritsafe.simulate import Plan, Population, load_corpus, shipped, simulate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

INLINE = Inline()
TEXTS = [
    "",
    "Hello",
    "Solve step by step: 12 + 7 = ?\n\nShow your reasoning in <think> tags.",
    "请一步一步地推理并给出最终答案：苹果有多少个？" * 9,
    "x" * 70_000 + " and a tail of words that come after",
    "Write a function `f(n)` that returns n! and explain https://example.com/a?b=1 to alice@example.com "
    * 40,
    "\u0000\ufeff\u202e emoji 🧪🧪 and e\u0301 \u00e9",
]
SYSTEMS = [None, "", "You are a helpful assistant. Answer in JSON with the keys a, b and c.", "Be brief."]
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def batch(
    rows: Sequence[tuple[str | None, str | None, str | None]], packed: Sequence[str | None]
) -> pa.RecordBatch:
    return pa.record_batch(
        {
            "account_id": pa.array(["a"] * len(rows)),
            "system": pa.array([system for _, system, _ in rows], pa.string()),
            "prompt": pa.array([prompt for prompt, _, _ in rows], pa.string()),
            "response": pa.array([response for _, _, response in rows], pa.string()),
            "sketch": pa.array(packed, pa.string()),
        }
    )


def packed(prompt: str, system: str | None, response: str | None) -> str:
    return INLINE.sketch(prompt, system).pack(None if response is None else len(response))


def check(rows: list[tuple[str, str | None, str | None]]) -> None:
    by_text = sketch(batch(rows, [None] * len(rows)))
    by_sketch = sketch(batch([(None, None, None)] * len(rows), [packed(*row) for row in rows]))
    assert by_sketch.schema == by_text.schema
    for name in by_text.schema.names:
        assert by_sketch.column(name).to_pylist() == by_text.column(name).to_pylist(), name


def test_a_row_gives_what_a_batch_gives():
    check(
        [
            (prompt, system, response)
            for prompt in TEXTS
            for system in SYSTEMS
            for response in (None, "", "Sure é")
        ]
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(text, st.none() | text, st.none() | text), min_size=1, max_size=6))
def test_any_text_gives_what_a_batch_gives(rows: list[tuple[str, str | None, str | None]]):
    check(rows)


def test_text_and_sketch_may_stand_in_one_batch_and_text_goes_before():
    rows = [(prompt, "Be brief.", "ok") for prompt in TEXTS]
    whole = sketch(batch(rows, [None] * len(rows)))
    odd = [packed(*row) if n % 2 else None for n, row in enumerate(rows)]
    mixed: list[Any] = [(None, None, None) if n % 2 else row for n, row in enumerate(rows)]
    assert sketch(batch(mixed, odd)).equals(whole)
    other = packed("something else entirely, with words of its own", None, None)
    assert sketch(batch(rows, [other] * len(rows))).equals(whole)


def test_band_keys_are_those_of_the_batch():
    prompts = [prompt for prompt in TEXTS if prompt]
    expected = bands(minhash(pa.array(prompts)))
    for prompt, keys in zip(prompts, expected, strict=True):
        found = INLINE.sketch(prompt, minhash=True).bands
        assert found is not None
        assert np.array_equal(found, keys)


def test_many_system_texts_are_not_kept_for_ever():
    one = Inline()
    for number in range(3000):
        one.sketch("Hello", f"You are assistant number {number}. " * 10)
    assert len(one._systems) <= 1024
    assert one._system_bytes <= 4 << 20
    for number in range(200):
        one.sketch("Hello", f"{number} " + "x" * 60_000)
    assert one._system_bytes <= 4 << 20


def test_unpacking_a_slice_gives_its_rows():
    strings = [packed(prompt, "Be brief.", None) for prompt in TEXTS]
    whole, part = unpack(pa.array(strings)), unpack(pa.array(strings).slice(2, 3))
    for name, column in whole.items():
        assert part[name].to_pylist() == column.to_pylist()[2:5], name


def test_a_scan_of_sketches_finds_what_a_scan_of_text_finds(tmp_path: Path):
    plan = Plan(
        (
            Population("reasoning_harvest", {"accounts": 40, "rate": 40.0}),
            Population("chat_users", {"accounts": 150, "rate": 8.0}),
        ),
        load_corpus(shipped()),
    )
    made = simulate(plan, tmp_path / "made", seed=3)
    log = pq.read_table(made.log)
    rows = log.select(["prompt", "system", "response"]).to_pylist()
    strings = [packed(row["prompt"], row["system"], row["response"]) for row in rows]
    texts = ("prompt", "system", "response", "sketch")
    bare = log.drop_columns([name for name in texts if name in log.schema.names])
    pq.write_table(bare.append_column("sketch", pa.array(strings)), tmp_path / "bare.parquet")
    found = [
        pipeline.scan([path], tmp_path / f"out{n}", settings=Settings())
        for n, path in enumerate((made.log, tmp_path / "bare.parquet"))
    ]
    told = [
        [{key: value for key, value in one.items() if key != "exhibits"} for one in record["campaigns"]]
        for record in found
    ]
    assert any(one["label"] == "campaign" for one in told[0])
    assert json.dumps(told[0], sort_keys=True) == json.dumps(told[1], sort_keys=True)
    # That there was no system text, a sketch does not tell.
    unseen = [[one for one in record["blind"] if one["missing"] != ["system"]] for record in found]
    assert unseen[0] == unseen[1]
    indicators = [json.loads((tmp_path / f"out{n}" / "indicators.json").read_text()) for n in (0, 1)]
    assert indicators[0] == indicators[1]


@pytest.mark.parametrize(
    "broken",
    ["", "s1:", "s2:00000:" + "A" * 172, "s1:00100:" + "A" * 172, "s1:00000:" + "A" * 171 + "é", "hello"],
)
def test_a_damaged_sketch_is_set_aside_with_its_line(tmp_path: Path, broken: str):
    whole = packed("Hello there", None, None)
    lines = [
        {"time": 1772366400000, "account_id": "a", "exchange_id": str(n), "sketch": text}
        for n, text in enumerate([whole, broken])
    ]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = pipeline.scan([path], tmp_path / "out", settings=Settings())
    assert record["scanned"]["accepted"] == 1
    reject = json.loads((tmp_path / "out" / "rejected.jsonl").read_text().splitlines()[0])
    assert reject["line"] == 2
    assert "sketch" in reject["reason"]
