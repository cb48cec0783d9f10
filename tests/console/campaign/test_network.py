from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pyarrow as pa
import pytest

from spiritsafe.console.campaign import drawing, network
from spiritsafe.console.campaign.group import Group


def svg(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own drawing


@pytest.mark.parametrize("by", network.WAYS)
def test_no_account_and_no_exchange_is_lost_or_counted_twice(group: Any, by: str):
    graph = network.network(group, by=by)
    accounts = [one for one in graph.nodes if one.column == 1]
    assert sum(one.size for one in accounts) == len(group.entry["accounts"])
    work = [one for one in graph.edges if one.other.startswith("s:")]
    assert sum(one.weight for one in work) == group.rows.num_rows
    streams = Counter(group.rows["kind"].to_pylist())
    for one in graph.nodes:
        if one.column == 0 and one.key != "s:rest":
            assert one.size == streams[one.key[2:]]
            assert sum(edge.weight for edge in work if edge.other == one.key) == one.size
    layers = {one["layer"]: one["accounts"] for one in group.entry["layers"] if one["values"]}
    assert {one.name: one.size for one in graph.nodes if one.column == 2} == layers
    for name, many in layers.items():
        assert sum(edge.weight for edge in graph.edges if edge.other == f"l:{name}") == many
    assert network.network(group, by=by) == graph


def test_what_is_opened_shows_its_largest_and_the_rest(group: Any):
    closed = network.network(group, by="ties")
    key = max((one for one in closed.nodes if one.column == 1 and one.opens), key=lambda one: one.size)
    graph = network.network(group, by="ties", opened=[key.key, "l:payment"])
    opened = next(one for one in graph.nodes if one.key == key.key)
    own = [one for one in graph.nodes if one.kind == "account"]
    assert opened.open
    assert opened.size + len(own) == key.size
    assert sum(one.size for one in graph.nodes if one.column == 1) == len(group.entry["accounts"])
    values = [one for one in graph.nodes if one.kind == "value payment"]
    assert values
    assert [one.size for one in values] == sorted((one.size for one in values), reverse=True)
    assert graph != closed


def test_ties_are_chains_of_cards_and_devices(group: Any):
    graph = network.network(group, by="ties")
    sizes = {one.key: one.size for one in graph.nodes if one.column == 1}
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for row in group.holdings.to_pylist():
        if row["layer"] in {"payment", "device"}:
            parent[root(f"a {row['account_id']}")] = root(f"v {row['layer']} {row['number']}")
    chains = Counter(root(one) for one in list(parent) if one.startswith("a "))
    loose = len(group.entry["accounts"]) - sum(chains.values())
    told = sorted(size for key, size in sizes.items() if key not in {"a:loose", "a:rest"})
    assert sizes.get("a:loose", 0) == loose
    assert sorted(chains.values(), reverse=True)[: len(told)] == sorted(told, reverse=True)


def many(accounts: int) -> Group:
    """A group with so many accounts: each sends three exchanges, every fifth shares a card of forty."""
    names = [f"account-{n:05d}" for n in range(accounts)]
    rows = pa.table(
        {
            "exchange_id": [f"x{n}" for n in range(3 * accounts)],
            "time": pa.array(range(3 * accounts), pa.int64()),
            "account_id": pa.array([names[n % accounts] for n in range(3 * accounts)]).dictionary_encode(),
            "role": pa.array(["" for _ in range(3 * accounts)]).dictionary_encode(),
            "kind": pa.array([f"{n % 300:016x}" for n in range(3 * accounts)]).dictionary_encode(),
        }
    )
    tied = names[::5]
    held = pa.table(
        {
            "account_id": tied, "layer": ["payment"] * len(tied),
            "number": pa.array([n // 40 for n in range(len(tied))], pa.int64()),
            "value": [f"pay…{n // 40}" for n in range(len(tied))], "inside": pa.array([40] * len(tied), pa.int64()),
            "elsewhere": pa.array([0] * len(tied), pa.int64()),
        }
    )  # fmt: skip
    entry = {
        "campaign_id": "c-x",
        "label": "campaign",
        "accounts": [{"account_id": one, "membership": 1.0} for one in names],
    }
    return Group(entry, rows, True, held, ())


@pytest.mark.parametrize("by", network.WAYS)
def test_five_thousand_accounts_are_a_few_dozen_nodes(by: str):
    group = many(5_000)
    graph = network.network(group, by=by, opened=["l:payment", "a:loose", "a:none"])
    assert len(graph.nodes) < 100
    assert sum(one.size for one in graph.nodes if one.column == 1) == 5_000
    assert sum(one.weight for one in graph.edges if one.other.startswith("s:")) == 15_000


def test_nobody_and_nothing(group: Any):
    bare = Group(
        {"campaign_id": "c", "label": "campaign", "accounts": []},
        group.rows.slice(0, 0),
        True,
        group.holdings.slice(0, 0),
        (),
    )
    for by in network.WAYS:
        graph = network.network(bare, by=by)
        assert graph.accounts == 0
        assert drawing.network(graph, lambda _: None, key="n")


HOSTILE = '"><script>alert(1)</script>&<b> \u202egnp.exe\x00'


def test_a_name_cannot_leave_the_drawing():
    group = many(12)
    entry = {
        **group.entry,
        "accounts": [{"account_id": HOSTILE, "membership": 1.0}, *group.entry["accounts"][1:]],
    }
    rows = group.rows.set_column(
        2,
        "account_id",
        pa.array(
            [HOSTILE if one == "account-00000" else one for one in group.rows["account_id"].to_pylist()]
        ).dictionary_encode(),
    )
    held = group.holdings.set_column(3, "value", pa.array([HOSTILE] * group.holdings.num_rows))
    graph = network.network(Group(entry, rows, True, held, ()), by="role", opened=["a:none", "l:payment"])
    told = str(
        drawing.network(
            graph, lambda one: (f"/x?{urlencode({'open': one.key})}", "network" if one.opens else ""), key="n"
        )
    )
    assert "<script" not in told
    assert "\u202e" not in told
    assert "\x00" not in told.replace("&#0;", "")
    parsed = svg(told)
    assert {one.tag.rpartition("}")[2] for one in parsed.iter()} <= {
        "svg",
        "title",
        "desc",
        "a",
        "g",
        "rect",
        "text",
        "path",
    }
    assert not [
        one for one in parsed.iter() if any(key.startswith("on") or key == "style" for key in one.attrib)
    ]
