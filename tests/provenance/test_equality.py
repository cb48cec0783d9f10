"""Model equality: p is uniform for the model itself, a student is another model, one answer a prompt is enough."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from spiritsafe.provenance import equality as module
from spiritsafe.provenance._subject import ANSWERS, Subject, Teacher
from spiritsafe.provenance.equality import equality

WORDS = np.array([f"{a}{b}" for a in "bcdfghklmnprst" for b in ("a", "e", "i", "o", "u", "an", "el")])


def answers(
    rng: np.random.Generator, weights: np.ndarray, prompts: int, samples: int, length: int = 30
) -> pa.Table:
    """A model: each prompt has a first word of its own, then words are drawn with the model's weights."""
    rows = []
    for k in range(prompts):
        for sample in range(samples):
            words = rng.choice(WORDS, int(rng.integers(length // 2, length)), p=weights)
            opening = WORDS[(k + int(rng.random() < 0.3)) % WORDS.size]
            text = " ".join([str(opening), *words])
            rows.append(
                {"prompt_id": f"p{k}", "sample": sample, "prompt": f"q{k}", "text": text, "status": "ok"}
            )
    return pa.Table.from_pylist(rows, ANSWERS)


def model(seed: int, sharpness: float = 1.0) -> np.ndarray:
    weights = np.random.default_rng(seed).exponential(size=WORDS.size) ** sharpness
    return weights / weights.sum()


def run(suspect: pa.Table, teacher: pa.Table, controls: tuple[pa.Table, ...] = (), seed: int = 0):
    found = equality(
        Subject("s", answers=suspect),
        Teacher("t", answers=teacher),
        [Subject(f"c{i}", answers=one) for i, one in enumerate(controls)],
        seed=seed,
    )
    assert sum(found.counts.values()) == suspect.num_rows
    assert found.tier != "A"
    assert "derivation" not in found.verdict
    return found


@pytest.mark.parametrize(("mine", "its"), [(1, 1), (3, 2), (2, 4)])
def test_p_is_uniform_for_the_model_itself(mine: int, its: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PERMUTATIONS", 199)
    weights, values = model(1), []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        values.append(
            run(answers(rng, weights, 12, mine, 12), answers(rng, weights, 12, its, 12), seed=seed).p_value
        )
    assert stats.kstest(values, "uniform").pvalue > 1e-3
    assert stats.binomtest(int((np.array(values) <= 0.05).sum()), 120, 0.05, "greater").pvalue > 1e-3


@pytest.mark.parametrize("samples", [1, 4])
def test_another_model_is_told_apart_and_controls_give_the_power(samples: int):
    rng = np.random.default_rng(3)
    teacher = answers(rng, model(1), 60, samples)
    controls = tuple(answers(rng, model(20 + k), 60, samples) for k in range(3))
    found = run(answers(rng, 0.5 * model(1) + 0.5 * model(2), 60, samples), teacher, controls)
    assert found.verdict == "different model"
    assert found.p_value == pytest.approx(1 / 2000)
    assert found.power == 1.0
    assert found.effect > 0
    assert found.interval[0] < found.effect < found.interval[1]
    same = run(answers(rng, model(1), 60, samples), teacher, controls)
    assert same.verdict == "same model not rejected"
    assert same.interval[0] <= 0 <= same.interval[1]


def test_a_lower_temperature_within_prompts_is_told_apart():
    # The mean answer is the same in each prompt; only how much answers to one prompt agree differs.
    rng = np.random.default_rng(5)

    def spoken(stubborn: bool) -> pa.Table:
        rows = []
        for k in range(40):
            fixed = rng.choice(WORDS, 12)
            for sample in range(4):
                words = fixed if stubborn else rng.choice(WORDS, 12)
                rows.append(
                    {
                        "prompt_id": f"p{k}",
                        "sample": sample,
                        "prompt": "",
                        "text": " ".join(words),
                        "status": "ok",
                    }
                )
        return pa.Table.from_pylist(rows, ANSWERS)

    assert run(spoken(stubborn=True), spoken(stubborn=False)).verdict == "different model"


def test_a_shorter_length_limit_alone_makes_no_other_model():
    rng = np.random.default_rng(6)
    teacher, suspect = answers(rng, model(1), 40, 3, 60), answers(rng, model(1), 40, 3, 60)
    rows = suspect.to_pylist()
    for row in rows:
        if len(row["text"]) > 70:
            row["text"], row["status"] = row["text"][:70], "truncated"
    assert any(row["status"] == "truncated" for row in rows)
    assert run(pa.Table.from_pylist(rows, ANSWERS), teacher).p_value > 0.01


def test_refusals_and_foreign_prompts_are_counted_and_a_few_prompts_are_inconclusive():
    rng = np.random.default_rng(7)
    teacher, rows = answers(rng, model(1), 4, 1), answers(rng, model(2), 6, 1).to_pylist()
    rows[0] |= {"text": None, "status": "refused"}
    found = run(pa.Table.from_pylist(rows, ANSWERS), teacher)
    assert found.counts["answers refused"] == 1
    assert found.counts["answers to prompts the teacher was not asked"] == 2
    assert (found.verdict, found.n) == ("inconclusive", 3)
    assert found.p_value > 0.01
    for nothing in (ANSWERS.empty_table(), pa.Table.from_pylist(rows[:1], ANSWERS)):
        found = run(nothing, teacher)
        assert (found.p_value, found.verdict) == (1.0, "inconclusive")
        assert found.details["why"]
