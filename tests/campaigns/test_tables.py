"""The two tables: one row an account, one row a live exchange, whatever the cut into batches."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe.campaigns import tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from spiritsafe.campaigns.log import Log

    MakeLog = Callable[..., Log]


def entry(name: str, label: str, **accounts: float) -> dict[str, Any]:
    return {
        "campaign_id": name,
        "label": label,
        "accounts": [{"account_id": one.replace("_", "-"), "membership": p} for one, p in accounts.items()],
    }


def test_every_account_has_one_row_and_the_accusation_goes_first(make_log: MakeLog, tmp_path: Path):
    log = make_log([3, 1, 0, 2])
    log.accounts.reverse()
    told = [
        entry("c-1", "campaign", account_0002=0.9),
        entry("c-2", "pool", account_0002=1.0, account_0000=1.0),
    ]
    tables.accounts(tmp_path / "a.parquet", log, told)
    found = pq.read_table(tmp_path / "a.parquet")
    assert found.schema.equals(tables.ACCOUNTS)
    assert found.to_pylist() == [
        {"account_id": "account-0000", "label": "pool", "campaign_id": "c-2", "membership": 1.0},
        {"account_id": "account-0001", "label": None, "campaign_id": None, "membership": 0.0},
        {"account_id": "account-0002", "label": "campaign", "campaign_id": "c-1", "membership": 0.9},
        {"account_id": "account-0003", "label": None, "campaign_id": None, "membership": 0.0},
    ]


def test_no_log_gives_empty_tables_of_the_same_columns(tmp_path: Path):
    tables.accounts(tmp_path / "a.parquet", None, [])
    tables.exchanges(tmp_path / "e.parquet", None, [], [])
    assert pq.read_table(tmp_path / "a.parquet").schema.equals(tables.ACCOUNTS)
    assert pq.read_table(tmp_path / "e.parquet").schema.equals(tables.EXCHANGES)
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 0
    assert pq.read_table(tmp_path / "e.parquet").num_rows == 0


def ids(rows: int, cuts: list[int]) -> list[pa.RecordBatch]:
    whole = pa.record_batch({"exchange_id": [f"x{i}" for i in range(rows)]})
    ends = [0, *sorted(cut for cut in cuts if cut <= rows), rows]
    return [whole.slice(a, b - a) for a, b in pairwise(ends)]


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 8), max_size=4))
def test_exchanges_tell_account_stream_campaign_and_role(
    make_log: MakeLog, tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
):
    path = tmp_path_factory.mktemp("tables") / "e.parquet"
    log = make_log(
        [0, 0, 1, 1, 2, 2, 2, 0],
        template=[0, -1, 0, 1, 1, 1, -1, 0],
        roles=[1, 2, 3, 0, 4, 6, 5, 1],
        live=[1, 1, 1, 1, 1, 0, 1, 1],
    )
    accused = [("c-first", np.array([0, 2])), ("c-second", np.array([2, 3]))]
    tables.exchanges(path, log, ids(8, cuts), accused)
    found = pq.read_table(path)
    assert found.schema.equals(tables.EXCHANGES)
    assert found.column("exchange_id").to_pylist() == ["x0", "x1", "x2", "x3", "x4", "x6", "x7"]
    assert found.column("account_id").to_pylist() == [f"account-000{i}" for i in (0, 0, 1, 1, 2, 2, 0)]
    first, second = f"{1000:016x}", f"{2000:016x}"
    assert found.column("stream_id").to_pylist() == [
        f"account-0000/{first}",
        "account-0000/own",
        f"account-0001/{first}",
        f"account-0001/{second}",
        f"account-0002/{second}",
        "account-0002/own",
        f"account-0000/{first}",
    ]
    assert found.column("campaign_id").to_pylist() == [
        "c-first", None, "c-first", "c-second", None, None, None,
    ]  # fmt: skip
    # An extraction role goes before a product's.
    assert found.column("role").to_pylist() == [
        "grade",
        "translate",
        "grade",
        None,
        "own_affairs",
        "grade",
        "grade",
    ]


def test_a_log_without_accusations_names_no_campaign(make_log: MakeLog, tmp_path: Path):
    tables.exchanges(tmp_path / "e.parquet", make_log([0, 1, 0]), ids(3, [1]), [])
    found = pq.read_table(tmp_path / "e.parquet")
    assert found.column("campaign_id").to_pylist() == [None] * 3
    assert found.column("role").to_pylist() == [None] * 3


def test_extraction_roles_go_first_whatever_their_place(make_log: MakeLog):
    log = make_log(np.arange(4), roles=[7, 6, 3, 0])
    log.extraction = 0b100
    assert tables._first_role(log).tolist() == [2, 2, 0, -1]
