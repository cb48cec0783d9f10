"""Candidates: what proposes a group, that groups stay within bounds, and that a campaign is covered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from spiritsafe.campaigns import clusters
from spiritsafe.campaigns.clusters import LEAST_PARTIES, Candidate, candidates, communities
from spiritsafe.campaigns.crossings import Crossings
from spiritsafe.campaigns.links import CAP, graph
from spiritsafe.campaigns.log import SLOT
from spiritsafe.campaigns.traces import Traces

if TYPE_CHECKING:
    from collections.abc import Callable

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

    MakeLog = Callable[..., Log]
    MakeLayer = Callable[..., Layer]
    Scene = tuple[dict[str, Any], dict[str, list[tuple[int, str]]]]

GRADE, TRANSLATE = 1, 2


def members(log: Log, one: Candidate) -> set[int]:
    return set(np.unique(log.row_party[one.rows]).tolist())


def kinds(found: list[Candidate], kind: str) -> list[Candidate]:
    return [one for one in found if one.kind == kind]


# Nothing to find.


def test_an_empty_log_and_one_account_give_no_candidate(make_log: MakeLog):
    assert candidates(make_log([]), {}, seed=0) == []
    assert (
        candidates(make_log([0] * 50, template=[0] * 50, item=[7] * 50, roles=[GRADE] * 50), {}, seed=0) == []
    )


@pytest.mark.parametrize("left_out", ["live", "declared"])
def test_duplicates_and_declared_accounts_propose_nothing(
    make_log: MakeLog, make_layer: MakeLayer, left_out: str
):
    who = np.repeat(np.arange(10), 4)
    shared = {"template": np.zeros(40, int), "item": np.zeros(40, int), "roles": np.full(40, GRADE)}
    layers = {"payment": make_layer("payment", [(p, "card") for p in range(10)], 10)}
    assert candidates(make_log(who, **shared), layers, seed=0)
    none = {"live": np.zeros(40)} if left_out == "live" else {"declared": np.ones(10)}
    assert candidates(make_log(who, **shared, **none), layers, seed=0) == []


@pytest.mark.parametrize("parties", [LEAST_PARTIES - 1, LEAST_PARTIES])
def test_a_candidate_has_at_least_five_parties_however_many_accounts(make_log: MakeLog, parties: int):
    accounts = np.arange(20)
    log = make_log(np.repeat(accounts, 3), template=np.zeros(60, int), party=accounts % parties)
    assert bool(candidates(log, {}, seed=0)) == (parties >= LEAST_PARTIES)


# Templates.


def test_a_template_shared_by_everybody_is_one_candidate_of_all_its_exchanges(make_log: MakeLog):
    log = make_log(np.tile(np.arange(300), 2), template=np.repeat([0, -1], 300))
    (one,) = candidates(log, {}, seed=0)
    assert (one.kind, one.templates.tolist()) == ("template", [0])
    assert one.rows.tolist() == list(range(300))


USES = st.sets(st.tuples(st.integers(0, 6), st.integers(0, 11)), min_size=1, max_size=60)


@settings(max_examples=60)
@given(USES)
def test_templates_merge_when_half_of_their_users_are_the_same(make_log: MakeLog, uses: set[tuple[int, int]]):
    template, who = np.array(sorted(uses)).T
    users = {t: {p for s, p in uses if s == t} for t, _ in uses}
    wide = {t: some for t, some in users.items() if len(some) >= LEAST_PARTIES}
    oracle = nx.Graph()
    oracle.add_nodes_from(wide)
    oracle.add_edges_from(
        (a, b) for a in wide for b in wide if a < b and 2 * len(wide[a] & wide[b]) >= len(wide[a] | wide[b])
    )
    found = list(clusters._by_template(log := make_log(who, template=template), np.arange(log.acc.size)))
    assert {frozenset(one.templates.tolist()) for one in found} == set(
        map(frozenset, nx.connected_components(oracle))
    )
    for one in found:
        assert np.array_equal(one.rows, np.flatnonzero(np.isin(template, one.templates)))


def test_the_runner_of_every_template_merges_none(make_log: MakeLog):
    # One router sends 150 templates; five own users of each stay apart.
    template = np.concatenate([np.arange(150), np.repeat(np.arange(150), 5)])
    who = np.concatenate([np.zeros(150, int), 1 + np.arange(750)])
    found = list(clusters._by_template(make_log(who, template=template), np.arange(900)))
    assert len(found) == 150
    assert {one.templates.size for one in found} == {1}


def test_a_pool_that_uses_each_account_once_or_twice_is_a_candidate_by_the_values_of_one_instruction(
    make_log: MakeLog,
):
    rng = np.random.default_rng(0)
    who = np.concatenate([rng.integers(0, 200, 500), np.arange(200, 300)])
    template = np.concatenate([rng.integers(0, 5, 500), np.full(100, 6)])
    alone = make_log(who, template=template)
    assert all(one.templates.size == 1 for one in candidates(alone, {}, seed=0)), "few have the same users"
    log = replace(alone, variants=[np.arange(5, dtype=np.int32)])
    (one,) = [one for one in candidates(log, {}, seed=0) if one.templates.size > 1]
    assert one.kind == "template"
    assert one.templates.tolist() == list(range(5))
    assert one.rows.tolist() == list(range(500))
    before = {(c.kind, tuple(c.rows.tolist())) for c in candidates(alone, {}, seed=0)}
    after = {(c.kind, tuple(c.rows.tolist())) for c in candidates(log, {}, seed=0)}
    assert after - before == {(one.kind, tuple(one.rows.tolist()))}, "each value is one on its own, too"
    assert before <= after


# Items, roles, layers, crossings.


def test_parties_that_send_the_same_prompts_are_a_candidate_with_the_same_kind_of_work(make_log: MakeLog):
    who = np.concatenate([np.repeat(np.arange(6), 4), np.arange(6, 40)])
    item = np.concatenate([np.tile([1, 2, 3, 90], 6), 1000 + np.arange(34)])
    item[np.flatnonzero(item == 90)] = 90 + np.arange(6)  # each has one item of its own
    log = make_log(who, item=item)
    found = kinds(candidates(log, {}, seed=0), "items")
    assert members(log, found[0]) == set(range(6))
    assert found[0].rows.tolist() == list(range(24)), "own items of the same look are theirs too"


def test_a_role_counts_from_the_second_exchange_of_a_party_in_the_slots_of_the_choice(make_log: MakeLog):
    # Five parties play it twice in a slot of the choice; three once there and again in a tested slot, which must not count.
    who = np.repeat(np.arange(8), 2)
    time = np.where((who >= 5) & (np.arange(16) % 2 == 1), SLOT, 0)
    log = make_log(who, roles=np.full(who.size, GRADE | TRANSLATE), time=time)
    (one,) = candidates(log, {}, seed=0)
    assert (one.kind, members(log, one)) == ("role", set(range(5)))
    assert candidates(make_log(who, roles=np.full(who.size, TRANSLATE), time=time), {}, seed=0) == []


def test_shared_cards_propose_all_their_holders_send_and_what_of_it_has_a_role(
    make_log: MakeLog, make_layer: MakeLayer
):
    who = np.repeat(np.arange(30), 4)
    log = make_log(who, roles=np.where((who < 6) & (np.arange(120) % 2 == 0), GRADE, 0))
    layers = {"payment": make_layer("payment", [(p, "card" if p < 6 else f"own {p}") for p in range(30)], 30)}
    everything = np.arange(120)
    found = list(clusters._by_layer(log, everything, clusters._Sent(log, everything), layers, 0))
    for wide, narrow in zip(found[::2], found[1::2], strict=True):
        assert members(log, wide) == members(log, narrow) == set(range(6))
        assert wide.rows.tolist() == list(range(24))
        assert narrow.rows.tolist() == list(range(0, 24, 2))
        assert (wide.kind, wide.tied, wide.picked) == ("infrastructure", True, False)
        assert (narrow.kind, narrow.tied, narrow.picked) == ("tied", True, True)
    assert found


def test_the_same_exchanges_count_as_chosen_by_their_text_before_anything_else(
    make_log: MakeLog, make_layer: MakeLayer
):
    # All they ever send is one template: cards, roles, dense blocks and text all propose the same exchanges.
    who = np.repeat(np.arange(30), 4)
    held = [(p, f"card {p % 3}" if p < 12 else f"own {p}") for p in range(30)]
    log = make_log(who, template=np.where(who < 12, 0, -1), roles=np.where(who < 12, GRADE, 0))
    layers = {"payment": make_layer("payment", [*held, *((p, "hub") for p in range(12))], 30)}
    found = [one for one in candidates(log, layers, seed=0) if one.rows.tolist() == list(range(48))]
    assert [(one.kind, one.tied) for one in found] == [("template", False), ("infrastructure", True)]


def test_weak_layers_propose_nothing(make_log: MakeLog, make_layer: MakeLayer):
    log = make_log(np.arange(30))
    layers = {
        n: make_layer(n, [(p, "same") for p in range(10)], 30) for n in ("client", "cohort", "identity")
    }
    assert candidates(log, layers, seed=0) == []


def test_crossings_of_the_tested_slots_propose_nothing(make_log: MakeLog):
    log = make_log(np.repeat(np.arange(8), 4), roles=np.full(32, GRADE))
    source, target = np.arange(8), (np.arange(8) + 1) % 8
    for tested in (False, True):
        events = Crossings(source, target, np.full(8, SLOT if tested else 0), np.arange(8))
        log.traces = Traces(events, None, None, None, None, None)
        found = list(clusters._by_crossing(log, clusters._Sent(log, np.arange(32)), 0))
        assert bool(found) is not tested
        assert all(one.crossed and not one.tied and members(log, one) == set(range(8)) for one in found)


# Communities.


def two_way(edges: set[tuple[int, int]], n: int) -> csr_array:
    matrix = np.zeros((n, n))
    for a, b in edges:
        matrix[a, b] = matrix[b, a] = 8.0 * (a != b)
    return csr_array(matrix)


EDGES = st.sets(st.tuples(st.integers(0, 23), st.integers(0, 23)), max_size=40)


@settings(max_examples=40)
@given(EDGES)
def test_components_come_first_and_communities_lie_within_them(edges: set[tuple[int, int]]):
    found = [set(one.tolist()) for one in communities(two_way(edges, 24), 0)]
    oracle = nx.Graph((a, b) for a, b in edges if a != b)
    wide = [set(one) for one in nx.connected_components(oracle) if len(one) >= LEAST_PARTIES]
    assert sorted(map(sorted, found[: len(wide)])) == sorted(map(sorted, wide))
    for one in found[len(wide) :]:
        assert len(one) >= LEAST_PARTIES
        assert any(one <= whole for whole in wide)
    held = sum(len(one) for one in found)
    assert held <= 3 * 24, "a component, and one community at each of two resolutions"


@pytest.mark.parametrize("each", [12, 3], ids=["all hold each", "a ring"])
def test_two_groups_with_one_link_between_are_told_apart(each: int):
    # Twelve parties hold twelve cards, each card is held by ``each`` neighbours; one card is held in both groups.
    ring = np.arange(12)
    cards = np.concatenate([(ring + step) % 12 for step in range(each)])
    party = np.concatenate([np.tile(ring, each), np.tile(ring + 12, each), [0, 12]])
    value = np.concatenate([cards, cards + 12, [24, 24]])
    for seed in range(20):
        found = [set(one.tolist()) for one in communities(graph(party, value, 1000), seed)]
        assert found[0] == set(range(24))
        assert set(range(12)) in found
        assert set(range(12, 24)) in found


# Laws.


@pytest.fixture(scope="module")
def scene(
    make_log: MakeLog, make_layer: MakeLayer
) -> tuple[dict[str, Any], dict[str, list[tuple[int, str]]]]:
    """Sixty parties: a graded template, a pool of items, cards in groups, and people of their own."""
    rng = np.random.default_rng(1)
    who = np.repeat(np.arange(60), 6)
    template = np.where(who < 14, 0, np.where((who >= 14) & (who < 24), 1, -1))
    item = np.where((who >= 24) & (who < 34), rng.integers(0, 20, who.size), 100 + np.arange(who.size))
    roles = np.where(who < 14, GRADE, np.where(rng.random(who.size) < 0.2, GRADE, 0))
    held = {
        "payment": [(p, f"card {p // 7}" if p < 28 else f"own {p}") for p in range(60)],
        "device": [(p, "everyone's") for p in range(60)],
    }
    time = rng.integers(0, 12 * 3_600_000_000, who.size)
    return {"who": who, "template": template, "item": item, "roles": roles, "time": time}, held


def test_all_kinds_but_crossings_and_texts_are_proposed(
    make_log: MakeLog,
    make_layer: MakeLayer,
    scene: Scene,
):
    columns, held = scene
    layers = {name: make_layer(name, pairs, 60) for name, pairs in held.items()}
    found = candidates(make_log(**columns), layers, seed=0)
    assert {one.kind for one in found} == {
        *("template", "items", "infrastructure", "swept", "tied", "role", "dense")
    }
    assert [one.rows.size for one in found] == sorted((one.rows.size for one in found), reverse=True)
    assert len({(one.rows.tobytes(), one.kind == "infrastructure") for one in found}) == len(found)
    for one in found:
        assert np.array_equal(one.rows, np.unique(one.rows))


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_no_candidate(
    make_log: MakeLog,
    make_layer: MakeLayer,
    scene: Scene,
    seed: int,
):
    columns, held = scene
    layers = {name: make_layer(name, pairs, 60) for name, pairs in held.items()}
    order = np.random.default_rng(seed).permutation(columns["who"].size)
    plain = candidates(make_log(**columns), layers, seed=0)
    moved = candidates(make_log(**{name: one[order] for name, one in columns.items()}), layers, seed=0)
    back = {(one.kind, np.sort(order[one.rows]).astype(one.rows.dtype).tobytes()) for one in moved}
    assert back == {(one.kind, one.rows.tobytes()) for one in plain}


def test_unrelated_traffic_changes_no_candidate_of_the_group(
    make_log: MakeLog,
    make_layer: MakeLayer,
    scene: Scene,
):
    columns, held = scene
    exact = ("template", "items", "infrastructure")
    layers = {"payment": make_layer("payment", held["payment"], 100)}
    alone = candidates(make_log(**columns, party=range(100)), layers, seed=0)
    more = {
        "who": np.repeat(np.arange(60, 100), 5),
        "template": np.full(200, -1),
        "item": 5000 + np.arange(200),
        "roles": np.zeros(200, int),
        "time": np.arange(200) * 60_000_000,
    }
    among = candidates(
        make_log(**{name: np.concatenate([columns[name], more[name]]) for name in columns}), layers, seed=0
    )
    before = {(one.kind, one.rows.tobytes()) for one in alone if one.kind in exact}
    assert before
    assert before <= {(one.kind, one.rows.tobytes()) for one in among}


# Scale: two thousand parties of one campaign among ten thousand.


def test_a_campaign_of_two_thousand_that_shares_cards_by_the_dozen_is_covered_without_cliques(
    make_log: MakeLog, make_layer: MakeLayer
):
    rng = np.random.default_rng(7)
    campaign, everyone = 2000, 10_000
    who = np.repeat(np.arange(everyone), 4)
    roles = np.where((who < campaign) & (rng.random(who.size) < 0.9), GRADE, 0)
    log = make_log(who, roles=roles, time=rng.integers(0, 48 * 3_600_000_000, who.size))
    by_dozen = {n: rng.permutation(campaign) // 12 for n in ("payment", "device")}
    layers = {
        name: make_layer(
            name,
            [(p, f"{name} {group}") for p, group in enumerate(by_dozen[name].tolist())]
            + [(p, f"{name} of {p}") for p in range(campaign, everyone)]
            + [(p, f"popular {p % 40}") for p in range(campaign, everyone, 2)],
            everyone,
        )
        for name in by_dozen
    }
    for layer in layers.values():
        assert graph(layer.party, layer.value, log.parties).nnz / 2 <= CAP * layer.party.size
    found = candidates(log, layers, seed=0)
    ties = [one for one in found if one.kind in {"infrastructure", "tied"}]
    # Components are disjoint, communities too at each of two resolutions; then at most fifty popular values a layer.
    pairs = sum(layer.party.size for layer in layers.values())
    assert sum(len(members(log, one)) for one in ties) <= 2 * (3 * everyone + pairs)
    assert sum(one.rows.size for one in found) <= 12 * log.acc.size
    assert len(found) <= 2 * (3 * everyone // LEAST_PARTIES + 100)
    whole = [one for one in ties if set(range(campaign)) <= members(log, one)]
    assert whole
    assert min(len(members(log, one)) for one in whole) == campaign, "no outsider is drawn in"


# Pools without a text of their own.


def pooled(
    make_layer: MakeLayer, tied: int, *, everybody: int = 200
) -> tuple[dict[str, Any], dict[str, Layer]]:
    """``tied`` parties in a ring of cards send one or two of four texts each; a third of all use text 6, all have 7."""
    rng = np.random.default_rng(0)
    uses = [(p, t) for p in range(tied) for t in {p % 4, int(rng.integers(4))}]
    uses += [(p, 6) for p in range(0, everybody, 3)] + [(p, 7) for p in range(everybody)]
    who, template = np.array(uses * 12).T
    time = rng.integers(0, 24 * SLOT, who.size)
    held = [(p, f"card {q}") for p in range(tied) for q in (p, (p + 1) % tied)]
    held += [(p, f"own {p}") for p in range(tied, everybody)]
    return {"who": who, "template": template, "time": time}, {
        "payment": make_layer("payment", held, everybody)
    }


@pytest.mark.parametrize("tied", [clusters.MANY_PARTIES - 1, clusters.MANY_PARTIES, 60])
def test_many_tied_accounts_bring_their_texts_and_all_they_send(
    make_log: MakeLog, make_layer: MakeLayer, tied: int
):
    columns, layers = pooled(make_layer, tied)
    log = make_log(**columns)
    found = candidates(log, layers, seed=0)
    texts, swept = kinds(found, "texts"), kinds(found, "swept")
    if tied < clusters.MANY_PARTIES:
        assert texts == swept == []
        return
    assert texts[0].templates.tolist() == list(range(4))
    assert texts[0].rows.tolist() == np.flatnonzero(columns["template"] < 6).tolist()
    assert swept[0].rows.tolist() == np.flatnonzero(columns["who"] < tied).tolist()
    assert all(one.tied and not one.picked for one in (*texts, *swept))


def test_one_text_of_tied_accounts_and_texts_of_everybody_are_no_texts_of_theirs(
    make_log: MakeLog, make_layer: MakeLayer
):
    columns, layers = pooled(make_layer, 60)
    one = {**columns, "template": np.where(columns["template"] < 6, 0, columns["template"])}
    assert kinds(candidates(make_log(**one), layers, seed=0), "texts") == []
    # Half of all parties are tied: that a third of a text's users is among them says nothing.
    columns, layers = pooled(make_layer, 100)
    wide = {**columns, "template": np.where(columns["template"] < 6, 7, columns["template"])}
    assert kinds(candidates(make_log(**wide), layers, seed=0), "texts") == []


def test_an_item_that_comes_back_is_no_text_and_users_whom_nothing_ties_are_left_out(
    make_log: MakeLog, make_layer: MakeLayer
):
    columns, layers = pooled(make_layer, 60)
    strangers = {name: np.concatenate([column, column[:40]]) for name, column in columns.items()}
    strangers["who"][-40:] = 199  # asks what the pool asks, and holds a card of its own
    log = make_log(**strangers)
    (one,) = kinds(candidates(log, layers, seed=0), "texts")
    assert members(log, one) == set(range(60))
    items = make_log(**strangers, item=strangers["template"])
    assert kinds(candidates(items, layers, seed=0), "texts") == []
