"""Holdings: what an organization holds stands at each of its accounts; what one party alone holds stands nowhere."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe.campaigns.holdings import HOLDINGS, holdings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

    MakeLog = Callable[..., Log]
    MakeLayer = Callable[..., Layer]


def written(folder: Path, log: Log, parties: list[int], layers: dict[str, Layer]) -> list[dict[str, Any]]:
    """The rows for one told group of these parties, with all that they sent."""
    rows = np.flatnonzero(np.isin(log.row_party, parties))
    verdict: Any = SimpleNamespace(rows=rows, parties=np.array(parties))
    holdings(folder, log, [{"campaign_id": "c-1"}], [verdict], layers)
    table = pq.read_table(folder / "holdings.parquet")
    assert table.schema.equals(HOLDINGS)
    return table.to_pylist()


def test_accounts_of_one_organization_hold_what_it_holds(
    make_log: MakeLog, make_layer: MakeLayer, tmp_path: Path
):
    # Accounts 0 and 1 are one organization (party 0); 2, 3 and 4 are parties of their own.
    log = make_log([0, 1, 2, 3, 4, 0], party=[0, 0, 1, 2, 3])
    pairs = [(0, "card-a-000001"), (1, "card-a-000001"), (2, "card-b-000002"), (3, "card-a-000001")]
    told = written(tmp_path, log, [0, 1, 2], {"payment": make_layer("payment", pairs, 4)})
    assert {(one["account_id"], one["value"]) for one in told} == {
        ("account-0000", "car…001"),
        ("account-0001", "car…001"),
        ("account-0002", "car…001"),
    }
    # Two parties here, one elsewhere; card b is one party's alone and is no tie.
    assert {(one["inside"], one["elsewhere"]) for one in told} == {(2, 1)}
    assert "card-a-000001" not in str(told)


def test_no_log_and_nobody_give_the_same_columns(tmp_path: Path):
    holdings(tmp_path, None, [], [], {})
    table = pq.read_table(tmp_path / "holdings.parquet")
    assert table.schema.equals(HOLDINGS)
    assert table.num_rows == 0


@settings(max_examples=40, deadline=None)
@given(
    owner=st.lists(st.integers(0, 5), min_size=1, max_size=12),
    pairs=st.sets(st.tuples(st.integers(0, 5), st.sampled_from("abcd")), max_size=16),
    chosen=st.sets(st.integers(0, 5), min_size=1),
)
def test_every_account_with_every_value_that_two_parties_of_the_group_hold(
    make_log: MakeLog,
    make_layer: MakeLayer,
    tmp_path_factory: Any,
    owner: list[int],
    pairs: set[tuple[int, str]],
    chosen: set[int],
):
    _, party = np.unique(np.array(owner), return_inverse=True)
    count = int(party.max()) + 1
    pairs = {(one, value) for one, value in pairs if one < count}
    group = sorted(one for one in chosen if one < count)
    if not pairs or not group:
        return
    log = make_log(list(range(len(owner))), party=party.tolist())
    told = written(
        tmp_path_factory.mktemp("held"), log, group, {"device": make_layer("device", pairs, count)}
    )
    inside = Counter(value for one, value in pairs if one in group)
    everywhere = Counter(value for _, value in pairs)
    expected = sorted(
        (f"account-{account:04}", value, inside[value], everywhere[value] - inside[value])
        for account, one in enumerate(party.tolist())
        for other, value in pairs
        if one == other and one in group and inside[value] > 1
    )
    assert (
        sorted((one["account_id"], one["value"], one["inside"], one["elsewhere"]) for one in told) == expected
    )
