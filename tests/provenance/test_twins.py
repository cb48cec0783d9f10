"""Twins: p is uniform for whatever was not trained on what was served; planted copies are found; the wealth may stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from spiritsafe.provenance._once import keeping
from spiritsafe.provenance._pairs import advantage, bounded, residual
from spiritsafe.provenance._subject import ANSWERS, PAIRS, SCORES, Subject, Teacher
from spiritsafe.provenance._wealth import wealth
from spiritsafe.provenance.twins import twins

if TYPE_CHECKING:
    from spiritsafe.model import Access

VOCABULARY = 32
WORDS = np.array([a + b for a in "bdfgklmn" for b in "aeio"])


@dataclass(frozen=True)
class Chain:
    """A language model whose next word hangs on the two words before: ``table`` float64 (V, V, V)."""

    table: np.ndarray

    def draw(self, rng: np.random.Generator, texts: int, length: int) -> np.ndarray:
        edges = self.table.cumsum(axis=2)
        said = np.zeros((texts, length + 2), np.int64)
        said[:, :2] = rng.integers(0, VOCABULARY, (texts, 2))
        for at in range(2, length + 2):
            odds = edges[said[:, at - 2], said[:, at - 1]]
            said[:, at] = np.minimum((rng.random((texts, 1)) > odds).sum(1), VOCABULARY - 1)
        return said[:, 2:]

    def logprob(self, texts: np.ndarray) -> np.ndarray:
        return np.log(self.table[texts[:, :-2], texts[:, 1:-1], texts[:, 2:]]).sum(axis=1)

    def taught(self, texts: np.ndarray, weight: float = 1.0) -> Chain:
        """A student: this model's table as the prior of counts in ``texts``."""
        count = np.zeros_like(self.table)
        np.add.at(count, (texts[:, :-2], texts[:, 1:-1], texts[:, 2:]), weight)
        count += 8 * self.table
        return Chain(count / count.sum(axis=2, keepdims=True))


@cache
def chain(seed: int, near: int | None = None) -> Chain:
    """A model of its own; with ``near`` one of that model's family."""
    own = np.random.default_rng(seed).exponential(size=(VOCABULARY,) * 3) ** 2
    if near is not None:
        own = 0.3 * own + 0.7 * chain(near).table * own.sum(axis=2, keepdims=True)
    return Chain(own / own.sum(axis=2, keepdims=True))


TEACHER = chain(1)
BASE = chain(2, near=1)


def written(texts: np.ndarray) -> list[str]:
    return [" ".join(row) for row in WORDS[texts]]


@dataclass(frozen=True)
class World:
    first: np.ndarray
    second: np.ndarray
    coin: np.ndarray
    prompts: list[str]

    @property
    def served(self) -> np.ndarray:
        return np.where(self.coin[:, None] == 0, self.first, self.second)

    def teacher(self, **changes: pa.Array) -> Teacher:
        n = len(self.coin)
        columns: dict[str, pa.Array] = {
            "pair_id": pa.array([f"p{i}" for i in range(n)]),
            "prompt": pa.array(self.prompts),
            "first": pa.array(written(self.first)),
            "second": pa.array(written(self.second)),
            "coin": pa.array(self.coin, pa.int8()),
            "campaign_id": pa.array(["K1"] * n),
            "committed": pa.array([True] * n),
            "snapshot": pa.array(["m1"] * n),
            "ghost_snapshot": pa.array(["m1"] * n),
        }
        return Teacher("t", pairs=pa.table(columns | changes, schema=PAIRS))


def world(seed: int, pairs: int, length: int) -> World:
    rng = np.random.default_rng(seed)
    first, second = TEACHER.draw(rng, pairs, length), TEACHER.draw(rng, pairs, length)
    return World(first, second, rng.integers(0, 2, pairs), [f"q{i}" for i in range(pairs)])


def scores(model: Chain, held: World) -> pa.Table:
    n, length = held.first.shape
    return pa.table(
        {
            "item": [f"p{i}" for i in range(n)] * 2,
            "side": ["first"] * n + ["second"] * n,
            "logprob": np.concatenate([model.logprob(held.first), model.logprob(held.second)]),
            "tokens": pa.array([length] * (2 * n), pa.int32()),
            "status": ["ok"] * (2 * n),
        },
        schema=SCORES,
    )


def answers(texts: np.ndarray, prompts: list[str] | None = None) -> pa.Table:
    asked = prompts or [f"other {i}" for i in range(len(texts))]
    return pa.table(
        {
            "prompt_id": asked,
            "sample": pa.array([0] * len(texts), pa.int32()),
            "prompt": asked,
            "text": written(texts),
            "status": ["ok"] * len(texts),
        },
        schema=ANSWERS,
    )


def unrelated(kind: str, rng: np.random.Generator, held: World) -> Chain:
    """Models that never met a served answer."""
    if kind == "independent":
        return chain(3)
    if kind == "same family":
        return BASE
    if kind == "same kind of data":
        return BASE.taught(TEACHER.draw(rng, *held.first.shape))
    if kind == "another teacher":
        return BASE.taught(chain(4).draw(rng, *held.first.shape))
    if kind == "taught by the ghosts' prompts, both sides":
        return BASE.taught(np.concatenate([held.first, held.second]))
    return Chain(np.full_like(TEACHER.table, 1 / VOCABULARY))


KINDS = (
    "independent",
    "same family",
    "same kind of data",
    "another teacher",
    "taught by the ghosts' prompts, both sides",
    "random",
)


@dataclass
class Seen:
    """What the test said in a hundred worlds: p by text and by score, and both ways' wealth at the end."""

    by_text: list[float] = field(default_factory=list[float])
    by_score: list[float] = field(default_factory=list[float])
    money: list[float] = field(default_factory=list[float])


@pytest.fixture(scope="module")
def innocent() -> dict[str, Seen]:
    """Every kind of model in each world, one world after another: what hangs on the pairs alone is computed once for all."""
    seen = {kind: Seen() for kind in KINDS}
    for seed in range(100):
        held = world(seed, 60, 15)
        teacher = held.teacher()
        with keeping():
            for kind in KINDS:
                judge(seed, kind, held, teacher, seen[kind])
    return seen


def judge(seed: int, kind: str, held: World, teacher: Teacher, seen: Seen) -> None:
    rng = np.random.default_rng(1000 + seed)
    model = unrelated(kind, rng, held)
    suspect = Subject("s", answers(model.draw(rng, 60, 15), held.prompts), scores(model, held))
    if kind == "same family":
        teacher = Teacher("t", pairs=teacher.pairs, scores=scores(TEACHER, held))
    controls = [Subject("c", answers(BASE.draw(rng, 60, 15)), scores(BASE, held))] if seed % 2 else []
    ways: tuple[tuple[Access, list[float]], ...] = (("logprobs", seen.by_score), ("text", seen.by_text))
    for access, values in ways:
        found = twins(suspect, teacher, controls, seed=0, access=access)
        values.append(found.p_value)
        assert found.e_value is not None
        seen.money.append(found.e_value)


@pytest.mark.parametrize("kind", KINDS)
def test_p_is_uniform_and_the_wealth_is_fair_where_nothing_served_was_learned(
    kind: str, innocent: dict[str, Seen]
):
    by_text, by_score, money = innocent[kind].by_text, innocent[kind].by_score, innocent[kind].money
    assert len(by_text) == len(by_score) == 100
    for values in (by_text, by_score):
        assert kind == "random" or stats.kstest(values, "uniform").pvalue > 1e-3
        assert stats.binomtest(int((np.array(values) <= 0.05).sum()), 100, 0.05, "greater").pvalue > 1e-3
    # The mean of an e-value is at most 1; Markov's bound holds for every single one.
    assert np.mean(np.minimum(money, 20)) < 1.6
    assert np.mean(np.array(money) >= 20) <= 0.08


def test_a_suspect_that_changes_its_behaviour_stays_uniform():
    # It scores and answers by the time of day, refuses some, and cheats within what it can see.
    values = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        held = world(seed, 90, 15)
        table = scores(TEACHER, held)
        value = table["logprob"].to_numpy() * np.where(np.arange(180) % 90 < 45, 1.0, -4.0)
        status = np.where(rng.random(180) < 0.2, "refused", "ok")
        table = table.set_column(2, SCORES.field("logprob"), pa.array(value))
        table = table.set_column(4, SCORES.field("status"), pa.array(status))
        found = twins(Subject("s", scores=table), held.teacher(), [], seed=0)
        assert found.counts["pairs used"] + found.counts["pairs without a score of both sides"] == 90
        values.append(found.p_value)
    assert stats.kstest(values, "uniform").pvalue > 1e-3


def test_pairs_of_one_prompt_and_identical_pairs_stay_uniform():
    # Coins are drawn for each pair, so that even copies of a pair are independent evidence.
    values = []
    for seed in range(100):
        held = world(seed, 12, 15)
        rng = np.random.default_rng(seed)
        many = World(
            np.repeat(held.first, 6, 0),
            np.repeat(held.second, 6, 0),
            rng.integers(0, 2, 72),
            ["the same"] * 72,
        )
        found = twins(Subject("s", scores=scores(BASE, many)), many.teacher(), [], seed=0)
        assert found.n == 72
        values.append(found.p_value)
    assert stats.kstest(values, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(
    ("exposure", "pairs", "most"),
    [(1.0, 300, -6.0), (0.25, 500, -6.0), (0.1, 1000, -6.0), (0.05, 3000, -6.0)],
)
def test_log_probabilities_find_a_copy(exposure: float, pairs: int, most: float):
    held = world(5, pairs, 40)
    rng = np.random.default_rng(6)
    other = BASE.draw(rng, round(pairs * (1 / exposure - 1)), 40)
    student = BASE.taught(np.concatenate([held.served, other]))
    found = twins(Subject("s", scores=scores(student, held)), held.teacher(), [], seed=0)
    assert found.access == "logprobs"
    assert found.log10_p < most
    assert found.verdict == "supports derivation"
    assert found.interval[0] > 0
    assert found.e_value is not None
    assert found.e_value > 1e4
    # The ghosts' student is the mirror image: it prefers what was not served.
    ghost = World(held.first, held.second, 1 - held.coin, held.prompts)
    mirror = twins(Subject("s", scores=scores(student, ghost)), ghost.teacher(), [], seed=0)
    assert mirror.p_value > 1 - 1e-5
    assert mirror.verdict == "does not support derivation"


@pytest.mark.parametrize("replaced", [0.0, 0.25])
def test_text_alone_finds_a_copy(replaced: float):
    held = world(7, 400, 40)
    rng = np.random.default_rng(8)
    learned = np.where(
        rng.random(held.served.shape) < replaced, rng.integers(0, VOCABULARY, held.served.shape), held.served
    )
    student = BASE.taught(learned)
    suspect = Subject("s", answers(student.draw(rng, 1350, 60)))
    found = twins(suspect, held.teacher(), [], seed=0)
    assert found.access == "text"
    assert found.log10_p < -6
    assert found.effect > 0


def test_teacher_scores_and_controls_sharpen():
    held = world(9, 300, 40)
    student = BASE.taught(held.served, 0.02)
    suspect = Subject("s", scores=scores(student, held))
    plain = held.teacher()
    informed = Teacher("t", pairs=plain.pairs, scores=scores(TEACHER, held))
    control = Subject("c", scores=scores(BASE, held))
    alone = twins(suspect, plain, [], seed=0).log10_p
    assert twins(suspect, informed, [control], seed=0).log10_p < alone - 3


def test_void_pairs_are_named_and_not_used():
    held = world(10, 40, 15)
    n = 40
    committed = pa.array([i >= 5 for i in range(n)])
    ghost = pa.array([None if i == 6 else "m2" if i < 10 else "m1" for i in range(n)])
    second = written(held.second)
    second[10] = written(held.first)[10]
    name = [f"p{i}" for i in range(n)]
    name[12] = "p11"
    changed = held.teacher(
        committed=committed, ghost_snapshot=ghost, second=pa.array(second), pair_id=pa.array(name)
    )
    found = twins(Subject("s", scores=scores(BASE.taught(held.served), held)), changed, [], seed=0)
    assert {
        reason: count for reason, count in found.counts.items() if reason.startswith("pairs") and count
    } == {
        "pairs used": 28,
        "pairs void: coin not committed": 5,
        "pairs void: snapshot unknown": 1,
        "pairs void: snapshot changed": 4,
        "pairs void: identical texts": 1,
        "pairs void: malformed": 1,
    }
    # With only uncommitted coins there is no tier A evidence, however clear the preference.
    nothing = held.teacher(committed=pa.array([False] * n))
    found = twins(Subject("s", scores=scores(BASE.taught(held.served), held)), nothing, [], seed=0)
    assert (found.p_value, found.verdict) == (1.0, "inconclusive")


@pytest.mark.parametrize("access", ["logprobs", "text", None])
@pytest.mark.parametrize("case", ["no pairs", "nothing said", "all refused", "one pair"])
def test_nothing_to_go_by_is_inconclusive(access: Access | None, case: str):
    held = world(11, 0 if case == "no pairs" else 1 if case == "one pair" else 20, 15)
    model, rng = BASE.taught(held.served), np.random.default_rng(1)
    suspect = Subject("s", answers(model.draw(rng, 20, 15)), scores(model, held))
    if case == "nothing said":
        suspect = Subject("s")
    if case == "all refused":
        tables = [
            table.set_column(
                table.schema.get_field_index("status"),
                table.schema.field("status"),
                pa.array(["refused"] * table.num_rows),
            )
            for table in (suspect.answers, suspect.scores)
        ]
        suspect = Subject("s", *tables)
    found = twins(suspect, held.teacher(), [], seed=0, access=access)
    assert found.verdict == "inconclusive"
    assert found.p_value >= 0.5
    assert found.details["why"]
    assert sum(n for name, n in found.counts.items() if name.startswith("pairs")) == len(held.coin)


def test_the_wealth_is_a_martingale_of_mean_one_at_every_time():
    # All 2^10 outcomes of ten coins: the mean is 1 exactly after each pair.
    rng = np.random.default_rng(12)
    difference, nuisance = rng.standard_cauchy(10), rng.normal(size=(10, 2))
    outcomes = (np.arange(1024)[:, None] >> np.arange(10)) & 1
    mean = np.mean([np.exp(wealth(difference, row == 0, nuisance)) for row in outcomes], axis=0)
    assert mean == pytest.approx(np.ones(10), rel=1e-9)


def test_the_wealth_of_the_past_does_not_change_and_a_pair_may_change_sides():
    rng = np.random.default_rng(13)
    difference, nuisance = rng.normal(0.5, 1, 200), rng.normal(size=(200, 2))
    first = rng.random(200) < 0.5
    whole = wealth(difference, first, nuisance)
    assert wealth(difference[:77], first[:77], nuisance[:77]) == pytest.approx(whole[:77])
    swap = np.where(rng.random(200) < 0.5, -1.0, 1.0)
    swapped = wealth(difference * swap, first ^ (swap < 0), nuisance * swap[:, None])
    assert swapped == pytest.approx(whole)


def test_the_wealth_crosses_twenty_in_one_of_twenty_fair_runs_at_most():
    rng = np.random.default_rng(14)
    crossed = [wealth(rng.normal(size=400), rng.random(400) < 0.5).max() >= np.log(20) for _ in range(600)]
    assert stats.binomtest(sum(crossed), 600, 0.05, "greater").pvalue > 1e-3


def test_residuals_and_bounds_know_nothing_of_sides():
    rng = np.random.default_rng(15)
    difference, nuisance, size = rng.standard_cauchy(300), rng.normal(size=(300, 3)), rng.uniform(1, 50, 300)
    swap = np.where(rng.random(300) < 0.5, -1.0, 1.0)
    left = residual(difference, nuisance)
    assert residual(difference * swap, nuisance * swap[:, None]) == pytest.approx(left * swap)
    assert bounded(left * swap, size) == pytest.approx(bounded(left, size) * swap)


def test_the_interval_covers_the_advantage():
    hits = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        size = rng.uniform(10, 100, 80)
        effect, (low, high) = advantage(0.3 * size + rng.standard_t(3, 80) * np.sqrt(size) * 4, size)
        assert low < effect < high
        hits += low <= 0.3 <= high
    assert stats.binomtest(hits, 400, 0.95).pvalue > 1e-3
