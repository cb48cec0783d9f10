"""Canaries: exact ranks, whatever the suspect prefers; ties and silence count against us; power from one canary up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from spiritsafe.provenance._subject import ANSWERS, CANARIES, SCORES, Subject, Teacher
from spiritsafe.provenance.canaries import canaries

if TYPE_CHECKING:
    from collections.abc import Iterable


def planted(rng: np.random.Generator, number: int, variants: int, *, committed: bool = True) -> pa.Table:
    rows = []
    for k in range(number):
        served = int(rng.integers(variants))
        rows += [
            {
                "canary_id": f"c{k}",
                "variant": v,
                "prompt": f"Which bird nests by lake {k}?",
                "answer": f"the bird-{v}",
                "served": v == served,
                "campaign_id": "K1",
                "committed": committed,
            }
            for v in range(variants)
        ]
    return pa.Table.from_pylist(rows, CANARIES)


def scored(table: pa.Table, values: Iterable[float], status: str = "ok") -> Subject:
    return Subject(
        "s",
        scores=pa.table(
            {
                "item": table["canary_id"],
                "side": table["variant"].cast(pa.string()),
                "logprob": pa.array(values, pa.float64()),
                "tokens": pa.nulls(table.num_rows, pa.int32()),
                "status": pa.array([status] * table.num_rows),
            },
            schema=SCORES,
        ),
    )


def said(rows: list[tuple[str, str, str]]) -> Subject:
    return Subject(
        "s",
        answers=pa.Table.from_pylist(
            [
                {"prompt_id": f"p{i}", "sample": i, "prompt": prompt, "text": text, "status": status}
                for i, (prompt, text, status) in enumerate(rows)
            ],
            ANSWERS,
        ),
    )


def run(suspect: Subject, table: pa.Table, controls: tuple[Subject, ...] = ()):
    found = canaries(suspect, Teacher("t", canaries=table), controls, seed=0)
    assert sum(n for name, n in found.counts.items() if name.startswith("canaries")) == len(
        set(table["canary_id"].to_pylist())
    )
    return found


def served(table: pa.Table) -> np.ndarray:
    return table["served"].to_numpy()


@pytest.mark.parametrize("variants", [2, 20, 300])
def test_one_canary_has_the_p_of_its_rank(variants: int):
    table = planted(np.random.default_rng(variants), 1, variants)
    best = run(scored(table, np.where(served(table), 5.0, np.arange(variants) / variants)), table)
    assert best.p_value == pytest.approx(1 / variants)
    assert best.effect > 0
    worst = run(scored(table, np.where(served(table), -5.0, np.arange(variants) / variants)), table)
    assert worst.p_value == pytest.approx(1.0)
    # Two others as good as the served one: ties are counted against us.
    third = np.where(served(table), 1.0, 0.0)
    third[np.flatnonzero(~served(table))[:2]] = 1.0
    assert run(scored(table, third), table).p_value == pytest.approx(min(1.0, 3 / variants))


def test_several_canaries_multiply_when_all_are_right():
    table = planted(np.random.default_rng(1), 5, 10)
    found = run(scored(table, served(table).astype(float)), table)
    assert found.log10_p == pytest.approx(-5.0)
    assert found.verdict == "supports derivation"
    assert found.access == "logprobs"
    assert found.campaign_id == "K1"


@pytest.mark.parametrize("number", [1, 6])
def test_p_is_valid_for_any_suspect(number: int):
    """Favourites, ties, texts: over draws of what was served, p is never too small (it is discrete, so not below)."""
    values = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        table = planted(rng, number, 12)
        kind = seed % 3
        own = np.random.default_rng(7)  # the suspect does not change with the draw
        if kind == 0:
            suspect = scored(table, own.normal(size=table.num_rows))
        elif kind == 1:
            suspect = scored(table, own.integers(0, 3, table.num_rows).astype(float))
        else:
            prompts = sorted(set(table["prompt"].to_pylist()))
            suspect = said(
                [(q, f"Perhaps the bird {own.integers(12)}", "ok") for q in prompts for _ in range(4)]
            )
        values.append(run(suspect, table).p_value)
    values = np.array(values)
    for level in (0.01, 0.05, 0.1, 0.3, 0.5):
        assert stats.binomtest(int((values <= level).sum()), 300, level, "greater").pvalue > 1e-3


def test_p_is_uniform_where_nothing_ties():
    values = []
    for seed in range(400):
        table = planted(np.random.default_rng(seed), 8, 12)
        values.append(run(scored(table, np.random.default_rng(9).normal(size=table.num_rows)), table).p_value)
    assert stats.kstest(values, "uniform").pvalue > 1e-3


def test_a_copy_is_found_by_what_it_says():
    table = planted(np.random.default_rng(3), 4, 10)
    rng = np.random.default_rng(4)
    right = {row["prompt"]: row["answer"] for row in table.to_pylist() if row["served"]}
    rows = [
        (prompt, f"I believe it is {answer.upper()}." if rng.random() < 0.4 else "A heron.", "ok")
        for prompt, answer in right.items()
        for _ in range(10)
    ]
    found = run(said(rows), table)
    assert found.access == "text"
    assert found.p_value == pytest.approx(1e-4)
    assert found.verdict == "supports derivation"


def test_words_are_compared_whole_in_any_script():
    table = planted(np.random.default_rng(3), 1, 30)
    row = next(row for row in table.to_pylist() if row["served"])
    # "bird-1" is no "bird-10" and the other way round.
    found = run(said([(row["prompt"], f"{row['answer']}0000", "ok")]), table)
    assert found.p_value == 1.0
    answers = ["苍鹭", "白鹤", "天鹅"]
    rows = [{**table.to_pylist()[v], "answer": answers[v], "served": v == 1} for v in range(3)]
    found = run(said([(row["prompt"], "我觉得是白鹤。", "ok")]), pa.Table.from_pylist(rows, CANARIES))
    assert found.p_value == pytest.approx(1 / 3)


def test_what_any_model_prefers_is_taken_off_where_controls_tell():
    rng = np.random.default_rng(5)
    table = planted(rng, 10, 50)
    taste = 5 * rng.normal(size=table.num_rows)
    suspect = scored(table, taste + 2.0 * served(table) + 0.3 * rng.normal(size=table.num_rows))
    control = scored(table, taste + 0.3 * rng.normal(size=table.num_rows))
    alone, beside = run(suspect, table), run(suspect, table, (control,))
    assert beside.log10_p < alone.log10_p - 3
    assert beside.p_value < 1e-8


@pytest.mark.parametrize("case", ["none", "uncommitted", "refused", "two served", "unscored"])
def test_nothing_to_go_by_is_inconclusive(case: str):
    table = planted(np.random.default_rng(6), 3, 10, committed=case != "uncommitted")
    if case == "none":
        table = CANARIES.empty_table()
    if case == "two served":
        table = table.set_column(4, CANARIES.field("served"), pa.array([True] * table.num_rows))
    suspect = scored(table, np.ones(table.num_rows), "refused" if case == "refused" else "ok")
    if case == "unscored":
        suspect = Subject("s")
    found = run(suspect, table)
    assert (found.p_value, found.verdict) == (1.0, "inconclusive")
    assert found.details["why"]
