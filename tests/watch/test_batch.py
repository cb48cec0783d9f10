"""A campaign step writes the bytes that a scan over the same files and window writes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

HOUR = 3_600_000_000
ODD = """not json
{"time": "2026-09-07T00:00:00Z", "account_id": "a", "unheard_of": 1}
{"time": "2126-01-01T00:00:00Z", "account_id": "a", "prompt": "from the future", "unheard_of": 1}
"""


def test_segments_of_two_hours_give_what_a_scan_gives(parts: list[pa.Table], moments: Any, field: Any):
    for number in range(0, 48, 2):
        field.write(pa.concat_tables(parts[number : number + 2]), f"{number:03}.parquet")
    until = int(moments.max()) + 1
    with field.watch(window=72 * HOUR) as watch:
        assert field.take(watch, now=until) == 24
        result = watch.campaigns(now=until)
    assert [entry["label"] for entry in result["campaigns"]].count("campaign") == 1
    assert field.differ(since=until - 72 * HOUR, until=until) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_any_order_format_and_cut_give_what_a_scan_gives(log: pa.Table, moments: Any, field: Any, seed: int):
    rng = np.random.default_rng(seed)
    # Names in no order of time, exchanges in no order within a segment, one in ten in two segments.
    ends = [0, *np.sort(rng.choice(len(log), 11, replace=False)), len(log)]
    cuts = [log.slice(a, b - a) for a, b in pairwise(ends)]
    for place, number in enumerate(rng.permutation(len(cuts))):
        again = log.take(pa.array(rng.choice(len(log), len(cuts[number]) // 10)))
        part = pa.concat_tables([cuts[number], again])
        part = part.take(pa.array(rng.permutation(len(part))))
        if number % 4 == 1:
            column = part.schema.get_field_index("payment_id")
            part = part.set_column(column, "payment_id", pa.nulls(len(part), pa.string()))
        ending = ("parquet", "jsonl", "jsonl.gz", "jsonl.zst")[place % 4]
        path = field.write(part, f"day-{place % 3}/{place:02}.{ending}")
        if ending == "jsonl":
            path.write_text(ODD + path.read_text())
    (field.segments / "empty.jsonl").write_text("\n")
    (field.segments / "still.jsonl.open").write_text("half a li")
    (field.segments / "notes.txt").write_text("no log at all\n")
    # A window that begins and ends inside segments, and segments that arrive in no order.
    since, until = (int(moments.min()) + hours * HOUR + 12_345 for hours in (9, 41))
    with field.watch(window=until - since) as watch:
        watch.look()
        found = watch.look()
        for index in rng.permutation(len(found)):
            watch.take([found[index]], now=until)
        scanned = watch.campaigns(now=until)["scanned"]
    assert scanned["duplicates"] > 50
    assert (scanned["rejected"], scanned["unknown_columns"]) == (6, {"unheard_of": 6})
    assert scanned["outside"] > 500
    assert field.differ(since=since, until=until) == []


def test_a_column_that_only_exchanges_before_the_window_have_is_blind(
    log: pa.Table, moments: Any, field: Any
):
    half = len(log) // 2
    new = log.slice(half).drop_columns(["payment_id", "response", "system"])
    field.write(pa.concat_tables([log.slice(0, half), new], promote_options="default"), "both.parquet")
    since, until = int(moments[half:].min()), int(moments.max()) + 1
    with field.watch(window=until - since) as watch:
        field.take(watch, now=until)
        result = watch.campaigns(now=until)
    assert "shared_payment" in {one["signal"] for one in result["blind"]}
    assert field.differ(since=since, until=until) == []


def test_no_exchange_in_the_window_has_a_defined_outcome(parts: list[pa.Table], moments: Any, field: Any):
    field.write(parts[0], "one.parquet")
    with field.watch(window=HOUR) as watch:
        field.take(watch, now=0)
        result = watch.campaigns(now=int(moments.max()) + 100 * HOUR)
    assert (result["campaigns"], result["scanned"]["accepted"]) == ([], 0)
    assert pq.read_table(field.out / "accounts.parquet").num_rows == 0
