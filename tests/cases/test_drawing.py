"""The drawings: numbers end where they should, and thousands of accounts stay readable."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.cases._page import graph, heat, layout, load, phrase, svg, timeline


@given(st.floats(1e-6, 1e12), st.integers(2, 8))
def test_ticks_are_few_round_and_cover_the_top(top: float, most: int):
    marks = svg.ticks(top, most)
    assert marks[0] == 0
    assert marks[-1] >= top * (1 - 1e-9)
    assert len(marks) <= most + 2


def test_time_ticks_are_round_moments():
    marks = svg.times(datetime(2026, 9, 3, 5, tzinfo=UTC), datetime(2026, 9, 17, tzinfo=UTC), 8)
    assert [name for _, name in marks][:2] == ["4 Sep", "6 Sep"]
    assert len(marks) <= 8


def test_thinning_keeps_every_exchange():
    counts = list(range(1_000))
    thin, joined = timeline.thin([float(one) for one in counts], 200)
    assert sum(thin) == sum(counts)
    assert len(thin) <= 200
    assert joined == 5


def test_a_matrix_of_thousands_of_accounts_is_gathered_without_loss():
    table = np.random.default_rng(0).poisson(2, (5_000, 100)).astype(float)
    gathered = heat.gather(table.tolist())
    assert gathered.table.shape[0] <= 64
    assert gathered.table.shape[1] == 32
    sizes = np.full(gathered.table.shape[0], gathered.joined)
    sizes[-1] = 5_000 - gathered.joined * (gathered.table.shape[0] - 1)
    assert np.isclose((gathered.table.sum(axis=1) * sizes).sum(), table.sum())


def test_dispersion_tells_shared_out_work_from_chance():
    random = np.random.default_rng(0)
    chance = load.dispersion(random.poisson(50, 4_000))
    assert chance is not None
    assert 0.9 < chance < 1.1
    assert load.dispersion(np.array([50, 51, 50, 49, 50])) == 0.5 / 50


def test_a_histogram_holds_every_account():
    counts = np.random.default_rng(0).lognormal(4, 2, 3_000).round() + 1
    edges, _ = load.edges_of(counts)
    assert np.histogram(counts, edges)[0].sum() == 3_000


def test_a_graph_of_five_hundred_accounts_is_grouped_and_none_is_lost():
    random = np.random.default_rng(0)
    accounts = [f"a{at}" for at in range(500)]
    edges = [
        (name, f"v{random.integers(60)}", f"layer {random.integers(3)}")
        for name in accounts
        for _ in range(3)
    ]
    groups = layout.group(accounts, {}, edges)
    assert len(groups.values) <= 36
    assert len(groups.members) <= 44
    assert sum(len(members) for members in groups.members) + groups.accounts_left == 500
    drawn = graph.graph([(name, "account", name) for name in accounts], edges, width=980, key="g")
    assert drawn is None  # the edges' values are no nodes, so nothing joins two accounts


def test_circles_lie_inside_the_frame_and_hardly_overlap():
    radii = np.full(60, 9.0)
    links = [(at, 50 + at % 10, 1.0) for at in range(50)]
    at = layout.spread(radii, links, (900.0, 450.0))
    assert ((at >= 8.9) & (at <= np.array([900.0, 450.0]) - 8.9)).all()
    gap = np.sqrt(((at[:, None] - at[None]) ** 2).sum(axis=2)) + np.eye(60) * 100
    assert (gap > 17).all()
    assert (at == layout.spread(radii, links, (900.0, 450.0))).all()


def test_numbers_are_told_as_people_read_them():
    assert phrase.odds(10) == "once in 1 thousand"
    assert phrase.odds(20) == "once in 1 million"
    assert phrase.odds(100) == "once in 10³⁰"
    assert phrase.odds(0.5) == ""
    assert phrase.bits_of(8.0) == 3
    assert phrase.bits_of(None) is None
    assert phrase.decimal(3.2e-12) == "3.2 × 10⁻¹²"
    assert phrase.decimal(0.21) == "0.21"
    assert phrase.whole(1_204_331) == "1,204,331"
    assert phrase.span(datetime(2026, 9, 3, tzinfo=UTC), datetime(2026, 9, 17, tzinfo=UTC)) == "3–17 Sep 2026"
