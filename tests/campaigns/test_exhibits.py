"""Exhibits: what people look at is what the log holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from spiritsafe.campaigns.clusters import Candidate
from spiritsafe.campaigns.evidence import view
from spiritsafe.campaigns.exhibits import exhibits, skeleton
from spiritsafe.campaigns.log import Log
from spiritsafe.campaigns.verdict import Verdict

MakeLog = Callable[..., Log]


def verdict(log: Log, rows: Any, label: str = "campaign") -> Verdict:
    candidate = Candidate("template", rows, np.unique(log.template[rows]))
    parties = np.unique(log.row_party[rows])
    return Verdict(
        candidate, view(log, candidate), 0.9, 0.001, label=label,
        parties=parties, probability=np.ones(parties.size), rows=rows,
    )  # fmt: skip


def shown(log: Log, made: Verdict) -> dict[str, dict[str, Any]]:
    found = exhibits(
        log, made, {}, lambda rows: {int(row): f"say {row} in verse" for row in rows}, show_text=False
    )
    return {str(one["kind"]): one for one in found}


def test_the_matrix_counts_every_exchange_of_the_busiest_accounts_by_stream(make_log: MakeLog):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        who = np.sort(rng.integers(0, 9, 300))
        log = make_log(who, template=rng.integers(-1, 5, 300), live=rng.random(300) < 0.9)
        matrix = shown(log, verdict(log, np.flatnonzero(log.live & (log.template == 2))))["matrix"]
        for account, row in zip(matrix["accounts"], matrix["counts"], strict=True):
            mine = log.live & (log.acc == log.accounts.index(account))
            by_template = [int((mine & (log.template == key)).sum()) for key in range(-1, 5)]
            # Six streams and a matrix of up to ten columns: nothing is left out.
            assert sorted(row) == sorted(by_template)
        first = [column for column, name in enumerate(matrix["streams"]) if name.endswith("(campaign)")]
        assert first == [0]


def test_a_pool_shows_what_ties_it_and_no_text(make_log: MakeLog):
    log = make_log(np.repeat(np.arange(6), 4))
    pool = shown(log, verdict(log, np.arange(24), label="pool"))
    assert set(pool) == {"load"}
    assert cast("list[int]", pool["load"]["counts"]) == [4] * 6
    assert {"skeleton", "matrix", "timeline"} <= set(shown(log, verdict(log, np.arange(24))))


@pytest.mark.parametrize(
    ("specimens", "text", "slots"),
    [
        (["grade this: red", "grade this: blue"], "grade this: ⟨…⟩", 1),
        (["a b c d", "a b x d"], "a b ⟨…⟩", 1),
        (["only one"], "⟨…⟩", 1),
    ],
)
def test_a_skeleton_shows_only_what_all_specimens_share(specimens: list[str], text: str, slots: int):
    assert skeleton(specimens) == (text, slots)
