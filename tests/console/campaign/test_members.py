from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from spiritsafe.campaigns.log import screening
from spiritsafe.console.campaign import exchanges, members
from spiritsafe.console.campaign.group import kind_words, read


def test_each_member_with_what_the_tables_say(scanned: Any, group: Any):
    rows = pq.read_table(scanned.folder / "exchanges.parquet").to_pylist()
    mine = [one for one in rows if one["campaign_id"] == scanned.entry["campaign_id"]]
    sent = Counter(one["account_id"] for one in mine)
    told = {one["account_id"]: one for one in members.table(group).to_pylist()}
    assert {name: one["membership"] for name, one in told.items()} == {
        one["account_id"]: one["membership"] for one in scanned.entry["accounts"]
    }
    assert {name: one["exchanges"] for name, one in told.items()} == dict(sent)
    for name, one in list(told.items())[:5]:
        own = [row for row in mine if row["account_id"] == name]
        assert one["first"] == min(row["time"] for row in own)
        assert one["last"] == max(row["time"] for row in own)
        assert one["streams"] == len({row["stream_id"] for row in own})
        kinds = Counter(row["stream_id"].rpartition("/")[2] for row in own)
        assert kinds[one["main_kind"]] == max(kinds.values())
    held = pq.read_table(scanned.folder / "holdings.parquet").to_pylist()
    layers: dict[str, set[str]] = {}
    for row in held:
        if row["campaign_id"] == scanned.entry["campaign_id"]:
            layers.setdefault(row["account_id"], set()).add(row["layer"])
    assert {name: set(one["layers"]) for name, one in told.items() if one["layers"]} == layers


def test_holdings_say_what_the_layers_say(scanned: Any):
    held = pq.read_table(scanned.folder / "holdings.parquet")
    mine = held.filter(pc.equal(held["campaign_id"], scanned.entry["campaign_id"]))
    for layer in scanned.entry["layers"]:
        rows = mine.filter(pc.equal(mine["layer"], layer["layer"])).to_pylist()
        assert len({one["account_id"] for one in rows}) == layer["accounts"]
        assert len({one["number"] for one in rows}) == layer["values"]
        top = Counter(one["number"] for one in rows)
        for one in rows[:20]:
            assert one["inside"] == top[one["number"]]
        if layer["top"]:
            best = layer["top"][0]
            assert any(
                (one["value"], one["inside"], one["elsewhere"])
                == (best["value"], best["accounts"], best["elsewhere"])
                for one in rows
            )


@pytest.mark.parametrize("sort", members.SORTS)
@pytest.mark.parametrize("up", [True, False])
def test_sorted_by_each_column(group: Any, sort: str, up: bool):
    total, page, rows = members.page(group, members.Asked(sort=sort, up=up))
    found = [one for one in rows[sort].to_pylist() if one is not None]
    assert total == len(group.entry["accounts"])
    assert page == 1
    assert found == sorted(found, reverse=not up)


def test_filters_narrow_and_pages_end(scanned: Any, group: Any):
    name = scanned.entry["accounts"][3]["account_id"]
    assert members.page(group, members.Asked(name=name[-8:].upper()))[2]["account_id"].to_pylist() == [name]
    assert members.page(group, members.Asked(name="%_"))[0] == 0
    payment = next(one for one in scanned.entry["layers"] if one["layer"] == "payment")
    assert members.page(group, members.Asked(layer="payment"))[0] == payment["accounts"]
    number = group.holdings.filter(pc.equal(group.holdings["layer"], "payment"))["number"][0].as_py()
    some = members.page(group, members.Asked(layer="payment", number=number))
    assert 2 <= some[0] <= payment["accounts"]
    assert members.page(group, members.Asked(page=10**9))[1] == 1
    assert members.page(group, members.Asked(page=-3))[1] == 1
    kind = group.rows["kind"][0].as_py()
    assert members.page(group, members.Asked(kind=kind))[0] >= 1
    assert members.page(group, members.Asked(kind="nothing of that name"))[0] == 0


def test_sureness_counts_each_member_once(scanned: Any):
    assert sum(many for _, many in members.sureness(scanned.entry)) == len(scanned.entry["accounts"])


def test_the_rows_behind_a_number(scanned: Any, group: Any):
    total, _, rows = exchanges.listed(group, exchanges.Wanted())
    assert total == scanned.entry["exchanges"]
    assert rows.num_rows == exchanges.PAGE
    assert rows["time"].to_pylist() == sorted(rows["time"].to_pylist())
    role = scanned.entry["roles"][0]
    assert exchanges.listed(group, exchanges.Wanted(role=role["role"]))[0] <= total
    test, choice = (exchanges.listed(group, exchanges.Wanted(slots=one))[0] for one in exchanges.SLOTS)
    assert test + choice == total
    assert choice == int(screening(group.times).sum())
    low, high = int(group.times[10]), int(group.times[20])
    assert exchanges.listed(group, exchanges.Wanted(start=low, stop=high))[0] == int(
        ((group.times >= low) & (group.times < high)).sum()
    )
    name = rows["account_id"][0].as_py()
    account = exchanges.listed(group, exchanges.Wanted(account=name))
    assert set(account[2]["account_id"].to_pylist()) == {name}
    assert exchanges.listed(group, exchanges.Wanted(account="nobody"))[0] == 0
    assert (
        exchanges.listed(group, exchanges.Wanted(role="none"))[0]
        + sum(
            exchanges.listed(group, exchanges.Wanted(role=one))[0]
            for one in group.rows["role"].combine_chunks().dictionary.to_pylist()
            if one
        )
        == total
    )


def test_a_group_without_accusation_has_all_that_its_accounts_sent(scanned: Any):
    entry = next(one for one in scanned.record["campaigns"] if one["label"] != "campaign")
    found = read(scanned.folder, entry)
    assert not found.own
    assert found.rows.num_rows >= entry["exchanges"]
    assert members.table(found)["exchanges"].to_pylist() == [
        sum(one == name["account_id"] for one in found.rows["account_id"].to_pylist())
        for name in entry["accounts"]
    ]


def test_an_older_result_is_shown_without_what_it_lacks(scanned: Any, tmp_path: Any):
    table = pq.read_table(scanned.folder / "exchanges.parquet").drop_columns(["time"])
    pq.write_table(table, tmp_path / "exchanges.parquet")
    old = read(tmp_path, scanned.entry)
    assert old.lacks == ("time", "holdings")
    assert old.times.size == 0
    assert members.page(old, members.Asked(sort="first"))[0] == len(scanned.entry["accounts"])
    assert exchanges.listed(old, exchanges.Wanted(start=5, slots="test"))[0] == scanned.entry["exchanges"]
    (tmp_path / "exchanges.parquet").unlink()
    bare = read(tmp_path, scanned.entry)
    assert bare.lacks == ("exchanges", "time", "holdings")
    assert members.page(bare, members.Asked())[2]["exchanges"].to_pylist() == [0] * min(
        50, len(scanned.entry["accounts"])
    )


def test_a_broken_table_is_told_by_name(scanned: Any, tmp_path: Any):
    from spiritsafe.errors import StorageError  # noqa: PLC0415

    (tmp_path / "exchanges.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(StorageError, match="table of exchanges") as caught:
        read(tmp_path, scanned.entry)
    assert "exchanges.parquet" in str(caught.value.where)


def test_kinds_of_streams_in_words():
    assert kind_words("own") == "own text"
    assert kind_words("own-00ff00ff00ff00ff") == "own text 00ff00ff"
    assert kind_words("0123456789abcdef") == "template 01234567"
