"""Links: term frequencies, designated values, and a graph whose work and edges are bounded."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe.campaigns import links
from spiritsafe.campaigns.links import CAP, graph
from spiritsafe.engine.duckdb import DuckDB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

HOLDINGS = st.sets(st.tuples(st.integers(0, 11), st.integers(0, 7)), min_size=1, max_size=50)
PARTIES = 12


def arrays(pairs: set[tuple[int, int]]) -> tuple[Any, Any]:
    both = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def weights(pairs: set[tuple[int, int]], parties: int, cap: int) -> nx.Graph[int]:
    """The same graph, one pair of parties at a time."""
    held = nx.Graph()
    held.add_nodes_from(range(parties))
    for value in {v for _, v in pairs}:
        holders = sorted(p for p, v in pairs if v == value)
        if 2 <= len(holders) <= cap:
            bits = max(0.1, np.log2(parties / len(holders)))
            for a, b in combinations(holders, 2):
                before = held.get_edge_data(a, b, {"weight": 0.0})["weight"]
                held.add_edge(a, b, weight=before + bits)
    return held


@settings(max_examples=40)
@given(HOLDINGS, st.integers(2, 6))
def test_the_graph_is_that_of_all_pairs_counted_one_by_one_and_its_edges_are_bounded(
    pairs: set[tuple[int, int]], cap: int
):
    found = graph(*arrays(pairs), PARTIES, cap=cap)
    oracle = nx.to_numpy_array(weights(pairs, PARTIES, cap), nodelist=range(PARTIES))
    np.testing.assert_allclose(found.toarray(), oracle, atol=1e-12)
    assert found.nnz / 2 <= (cap - 1) / 2 * len(pairs), "no cliques beyond the cap"


@settings(max_examples=40)
@given(HOLDINGS, st.permutations(range(PARTIES)), st.permutations(range(8)), st.randoms())
def test_names_and_order_of_parties_and_values_do_not_matter(
    pairs: set[tuple[int, int]], party_name: list[int], value_name: list[int], random: Any
):
    party, value = arrays(pairs)
    order = np.array(random.sample(range(party.size), party.size))
    name = np.array(party_name)
    one = graph(party, value, PARTIES).toarray()
    other = graph(name[party][order], np.array(value_name)[value][order], PARTIES).toarray()
    np.testing.assert_allclose(other[np.ix_(name, name)], one, atol=1e-12)


@settings(max_examples=40)
@given(HOLDINGS, HOLDINGS)
def test_what_others_hold_among_themselves_adds_no_edge_to_a_group(
    pairs: set[tuple[int, int]], others: set[tuple[int, int]]
):
    apart = {(p + PARTIES, v + 8) for p, v in others}
    alone = graph(*arrays(pairs), 2 * PARTIES).toarray()
    among = graph(*arrays(pairs | apart), 2 * PARTIES).toarray()
    np.testing.assert_allclose(among[:PARTIES, :PARTIES], alone[:PARTIES, :PARTIES], atol=1e-12)
    assert not among[:PARTIES, PARTIES:].any()


def test_a_value_above_the_cap_ties_nobody_and_one_at_the_cap_ties_all_its_holders():
    many = np.arange(CAP + 1)
    assert graph(many, np.zeros_like(many), 5000).nnz == 0
    assert graph(many[:-1], np.zeros_like(many[:-1]), 5000).nnz == CAP * (CAP - 1)


def test_no_value_is_shared_in_an_empty_log_or_with_one_party():
    nobody = np.zeros(0, np.int64)
    assert graph(nobody, nobody, 7).shape == (7, 7)
    assert graph(nobody, nobody, 7).nnz == 0
    assert graph(np.array([0]), np.array([0]), 1).nnz == 0
    assert graph(np.array([0, 1, 2]), np.array([0, 1, 2]), 3).nnz == 0


def test_a_rare_value_weighs_more_than_a_popular_one():
    rare = graph(np.array([0, 1]), np.array([0, 0]), 1000)
    popular = graph(np.arange(50), np.zeros(50, np.int64), 1000)
    assert rare[0, 1] == pytest.approx(np.log2(500))
    assert popular[0, 1] == pytest.approx(np.log2(20))


def test_ten_thousand_parties_with_a_popular_value_each_make_no_clique():
    rng = np.random.default_rng(0)
    # Each holds a card of a group of twelve, and one of four values that thousands hold.
    party = np.tile(np.arange(10_000), 2)
    value = np.concatenate([rng.permutation(10_000) // 12, rng.integers(2000, 2004, 10_000)])
    found = graph(party, value, 10_000)
    assert found.nnz / 2 <= CAP * party.size
    assert found.nnz <= 10_000 * 11, "the popular values added nothing"


def test_a_party_is_designated_the_value_it_shares_with_most(make_layer: Callable[..., Layer]):
    layer = make_layer(
        "payment", [(0, "rare"), (0, "shared"), (1, "shared"), (2, "shared"), (2, "own"), (4, "alone")], 6
    )
    named = [layer.named(v) if v >= 0 else None for v in layer.designated]
    assert named == ["shared", "shared", "shared", None, "alone", None]
    told = dict(zip(layer.names.to_pylist(), layer.population.tolist(), strict=True))
    assert told == {"rare": 1, "shared": 3, "own": 1, "alone": 1}
    told = dict(zip(layer.names.to_pylist(), layer.designations.tolist(), strict=True))
    assert told == {"rare": 0, "shared": 3, "own": 0, "alone": 1}


@settings(max_examples=40)
@given(HOLDINGS)
def test_each_holder_is_designated_one_of_its_most_popular_values(
    make_layer: Callable[..., Layer], pairs: set[tuple[int, int]]
):
    layer = make_layer("device", [(p, f"v{v}") for p, v in pairs], PARTIES)
    holders = {v: sum(1 for _, w in pairs if w == v) for _, v in pairs}
    for party in range(PARTIES):
        mine = {v for p, v in pairs if p == party}
        chosen = int(layer.designated[party])
        assert (chosen < 0) == (not mine)
        if mine:
            assert holders[int(layer.named(chosen)[1:])] == max(holders[v] for v in mine)
            assert int(layer.named(chosen)[1:]) in mine
    assert layer.designations.sum() == len({p for p, _ in pairs})
    assert layer.population.sum() == len(pairs)


@given(HOLDINGS, st.sets(st.integers(0, PARTIES - 1)))
def test_the_pairs_of_some_parties_are_those_that_a_mask_finds(
    make_layer: Callable[..., Layer], pairs: set[tuple[int, int]], some: set[int]
):
    layer = make_layer("device", [(p, f"v{v}") for p, v in pairs], PARTIES)
    begins = layer.begins()
    mine = [pair for party in sorted(some) for pair in range(begins[party], begins[party + 1])]
    assert mine == np.flatnonzero(np.isin(layer.party, sorted(some))).tolist()


def test_layers_are_read_from_the_columns_that_the_log_has(make_log: Callable[..., Log], tmp_path: Path):
    log = make_log([0, 0, 1, 2], party=[0, 1, 1])
    log.present = {"payment_id", "account_created", "device_id"}
    hour = 3_600_000_000
    sketch = pa.table(
        {
            "acc": pa.array([0, 0, 1, 2], pa.int32()),
            "payment_id": ["card", "card", "card", None],
            "account_created": pa.array([5 * hour, 5 * hour, 5 * hour + 7, 6 * hour], pa.int64()),
            "device_id": pa.nulls(4, pa.string()),
            "client_ip": ["10.0.0.1"] * 4,
        }
    )
    with DuckDB(tmp_path, memory="200MB", threads=1) as engine:
        engine.register("sketch", sketch)
        found = links.layers(engine, log)
    # No device is known, and the address column was not declared present.
    assert sorted(found) == ["cohort", "payment"]
    payment = found["payment"]
    assert (payment.party.tolist(), payment.names.to_pylist(), payment.population.tolist()) == (
        [0, 1],
        ["card"],
        [2],
    )
    cohort = found["cohort"]
    assert cohort.names.to_pylist() == ["1970-01-01T05", "1970-01-01T06"]
    assert cohort.population.tolist() == [2, 1]
