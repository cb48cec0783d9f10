"""Attribution on made-up models: who taught whom is found, unrelated models are ranked as chance has it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy import stats

from spiritsafe.provenance._resemblance import VIEWS, likeness
from spiritsafe.provenance._subject import ANSWERS, Subject, Teacher
from spiritsafe.provenance.attribution import Bench, attribution, conformal, scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROMPTS = 60
WORDS = np.array([f"w{n}" for n in range(40)])
HABITS = 40
"""Ways to begin and end an answer that models choose from."""


def habit(rng: np.random.Generator) -> NDArray[np.float64]:
    """How often a model begins and ends in each way: (2, HABITS)."""
    return rng.dirichlet(np.full(HABITS, 0.1), 2)


def answers(
    habits: NDArray[np.float64], rng: np.random.Generator, prompts: int = PROMPTS, status: str = "ok"
) -> pa.Table:
    """One answer a prompt: a way to begin, words of chance, a way to end."""
    begin = [f"Begin{k} so then{k} we" for k in range(HABITS)]
    end = [f"and so{k} it ends{k} ." for k in range(HABITS)]
    first, last = (rng.choice(HABITS, prompts, p=one) for one in habits)
    words = WORDS[rng.integers(WORDS.size, size=(prompts, 20))]
    texts = [
        f"{begin[a]} {' '.join(said)} {end[b]}"
        for a, said, b in zip(first, words.tolist(), last, strict=True)
    ]
    return pa.table(
        {
            "prompt_id": [f"p{n}" for n in range(prompts)],
            "sample": np.zeros(prompts, np.int32),
            "prompt": pa.nulls(prompts, pa.string()),
            "text": texts,
            "status": [status] * prompts,
        },
        schema=ANSWERS,
    )


def world(seed: int, *, exposure: float, lineages: int = 24, rivals: int = 8, prompts: int = PROMPTS):
    """A teacher, a suspect with ``exposure`` of its habits, rival candidates, and unrelated lineages of one to three."""
    rng = np.random.default_rng(seed)
    taught, own = habit(rng), habit(rng)
    teacher = Teacher("teacher", answers(taught, rng, prompts), group="ours")
    suspect = Subject(
        "suspect", answers(exposure * taught + (1 - exposure) * own, rng, prompts), group="suspect's"
    )
    controls = [
        Subject(f"rival{n}", answers(habit(rng), rng, prompts), group=f"maker{n}", facts={"candidate": "yes"})
        for n in range(rivals)
    ]
    for n in range(lineages):
        near = habit(rng)
        controls += [
            Subject(
                f"control{n}.{k}", answers(0.7 * near + 0.3 * habit(rng), rng, prompts), group=f"lineage{n}"
            )
            for k in range(1 + n % 3)
        ]
    return suspect, teacher, controls


def test_a_student_is_a_lead_and_its_teacher_comes_first():
    suspect, teacher, controls = world(1, exposure=0.8)
    found = attribution(suspect, teacher, controls, seed=0)
    assert (found.verdict, found.tier, found.access) == ("lead", "B", "text")
    assert found.details["rank_of_teacher"] == 1
    assert found.p_value == pytest.approx(1 / (found.n + 1))
    assert found.log10_p == pytest.approx(np.log10(found.p_value))
    assert found.interval[0] <= found.effect <= found.interval[1]
    assert found.interval[0] > 0


def test_p_is_never_too_small_for_unrelated_suspects():
    p = np.array(
        [
            attribution(*world(seed, exposure=0.0, lineages=12, rivals=7, prompts=12), seed=seed).p_value
            for seed in range(100)
        ]
    )
    for level in (0.05, 0.1, 0.2, 0.3, 0.5):
        # As many as chance has it would be exceeded in one run of a thousand.
        assert np.sum(p <= level) <= stats.binom.ppf(0.999, p.size, level), level
    assert p.min() >= 1 / 20


def test_conformal_ranks_are_uniform_with_one_member_a_group():
    rng = np.random.default_rng(5)
    p = [
        conformal(one[0], one[1:].tolist(), [str(n) for n in range(19)])[0]
        for one in rng.normal(size=(4000, 20))
    ]
    assert stats.chisquare(list(Counter(np.round(p, 6)).values())).pvalue > 1e-3


def test_conformal_is_valid_whatever_the_sizes_of_the_groups():
    # The suspect is one member of one more group; its own group's spread is that of all.
    rng, sizes = np.random.default_rng(6), [1, 1, 2, 5, 9, 1, 3, 1, 1]
    groups = [str(n) for n, size in enumerate(sizes) for _ in range(size)]
    p = []
    for _ in range(3000):
        centre = np.repeat(rng.normal(size=len(sizes)), sizes)
        controls = centre + rng.normal(size=len(groups))
        p.append(conformal(rng.normal() + rng.normal(), controls.tolist(), groups)[0])
    for level in (0.1, 0.2, 0.3, 0.5):
        assert np.sum(np.array(p) <= level) <= stats.binom.ppf(0.999, 3000, level)


def test_a_group_has_one_vote_and_ties_count_against():
    assert conformal(1.0, [2.0, 2.0, 2.0, 0.0], ["a", "a", "a", "b"]) == (2 / 3, 2)
    assert conformal(1.0, [1.0, 0.0], ["a", "b"]) == (2 / 3, 2)
    assert conformal(1.0, [], []) == (1.0, 0)


def test_few_groups_are_inconclusive_and_say_why():
    found = attribution(*world(2, exposure=0.9, lineages=1), seed=0)
    assert found.verdict == "inconclusive"
    assert "9 control groups" in str(found.details["reason"])
    assert found.details["floor"] == pytest.approx(0.1)
    assert attribution(*world(2, exposure=0.9, lineages=1), seed=0, alpha=0.2).verdict == "lead"


def test_known_students_and_relatives_do_not_vote():
    suspect, teacher, controls = world(2, exposure=0.8)
    rng = np.random.default_rng(9)
    told = {
        "taught_by_teacher": Subject(
            "copy", teacher.answers, group="x", facts={"taught_by": "another, teacher"}
        ),
        "of_teachers_group": Subject("sibling", teacher.answers, group="ours"),
        "of_suspects_group": Subject("relative", teacher.answers, group="suspect's"),
        "with_too_few_answers": Subject("terse", answers(habit(rng), rng, PROMPTS // 3), group="y"),
    }
    found = attribution(suspect, teacher, [*controls, *told.values()], seed=0)
    assert found.verdict == "lead"
    assert {role: found.details[f"controls_{role}"] for role in told} == dict.fromkeys(told, 1)
    # Without the fact the copy is a control like any other, and the suspect is no longer first.
    hidden = Subject("copy", teacher.answers, group="x")
    assert attribution(suspect, teacher, [*controls, hidden], seed=0).p_value == pytest.approx(
        2 / (found.n + 2)
    )


def test_versions_of_a_family_stand_together():
    suspect, teacher, controls = world(4, exposure=0.8)
    rng = np.random.default_rng(1)
    older = Teacher("teacher", answers(habit(rng), rng), group="ours")
    version = Subject(
        "teacher-2", teacher.answers, group="ours", facts={"candidate": "yes", "family": "teacher"}
    )
    found = attribution(suspect, older, [*controls, version], seed=0)
    assert (found.details["rank_of_teacher"], found.verdict) == (1, "lead")
    assert found.details["candidates"] == 9


@pytest.mark.parametrize("status", ["refused", "empty", "failed"])
def test_a_suspect_that_says_nothing_is_inconclusive(status: str):
    suspect, teacher, controls = world(5, exposure=0.8)
    mute = Subject("mute", suspect.answers.set_column(4, "status", pa.array([status] * PROMPTS)))
    found = attribution(mute, teacher, controls, seed=0)
    assert (found.verdict, found.p_value, found.counts[status]) == ("inconclusive", 1.0, PROMPTS)
    assert "0 prompts" in str(found.details["reason"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("no answers", "0 prompts"),
        ("no controls", "0 groups"),
        ("only four rivals", "too few rivals of its own"),
        ("rivals that say nothing", "0 groups"),
        ("one rival", "1 groups"),
        ("shared weights", "share weights"),
    ],
)
def test_what_cannot_be_told_is_said(change: str, reason: str):
    suspect, teacher, controls = world(5, exposure=0.8)
    if change == "no answers":
        suspect = Subject("suspect")
    elif change == "no controls":
        controls = []
    elif change == "only four rivals":
        controls = [c for c in controls if c.name in {f"rival{n}" for n in range(4)}]
    elif change == "rivals that say nothing":
        controls = [
            c if "candidate" not in c.facts else Subject(c.name, group=c.group, facts=c.facts)
            for c in controls
        ]
    elif change == "one rival":
        controls = [c for c in controls if c.name not in {f"rival{n}" for n in range(1, 8)}]
    else:
        suspect = Subject("suspect", suspect.answers, group="ours")
    found = attribution(suspect, teacher, controls, seed=0)
    assert (found.verdict, found.p_value) == ("inconclusive", 1.0)
    assert reason in str(found.details["reason"])


def test_counts_add_up():
    suspect, teacher, controls = world(7, exposure=0.5)
    status = ["ok"] * 30 + ["truncated"] * 10 + ["refused"] * 9 + ["empty"] * 6 + ["failed"] * 5
    mixed = Subject("suspect", suspect.answers.set_column(4, "status", pa.array(status)))
    known = Teacher("teacher", teacher.answers.slice(0, 35), group="ours")
    found = attribution(mixed, known, controls, seed=0)
    assert found.counts == {
        "compared": 35, "prompt_not_answered_by_teacher": 5, "refused": 9, "empty": 6, "failed": 5,
    }  # fmt: skip
    assert sum(found.counts.values()) == PROMPTS


def test_likeness_in_length_is_told_beside_likeness_in_habits():
    suspect, teacher, controls = world(8, exposure=0.8)
    found = attribution(suspect, teacher, controls, seed=0)
    longer = pc.binary_join_element_wise(suspect.answers["text"], " and".join([""] * 400), " so .", "")
    long = Subject(
        "suspect", suspect.answers.set_column(3, "text", longer.cast(pa.string())), group="suspect's"
    )
    other = attribution(long, teacher, controls, seed=0)
    assert float(other.details["p_style_alone"]) > 0.9 > float(found.details["p_style_alone"])
    assert int(found.details["groups_like_style"]) < found.n


def test_the_same_era_is_looked_at_alone():
    suspect, teacher, controls = world(8, exposure=0.8)
    dated = [
        Subject(c.name, c.answers, group=c.group, facts={**c.facts, "era": "2023" if n % 2 else "2024"})
        for n, c in enumerate(controls)
    ]
    old = Subject("suspect", suspect.answers, group="suspect's", facts={"era": "2023"})
    found = attribution(old, teacher, dated, seed=0)
    assert 0 < int(found.details["groups_same_era"]) < found.n
    assert "p_same_era" not in attribution(suspect, teacher, dated, seed=0).details


def test_a_model_is_nearest_to_the_lineage_it_comes_from():
    _, teacher, controls = world(9, exposure=0.0)
    rng = np.random.default_rng(2)
    parent = habit(rng)
    tuned = Subject("suspect", answers(parent, rng), group="house")
    found = attribution(
        tuned, teacher, [*controls, Subject("parent", answers(parent, rng), group="house")], seed=0
    )
    assert (found.details["lineage_most_alike"], found.details["rank_of_declared_lineage"]) == ("house", 1)


def test_kernels_are_gram_matrices_and_see_order_of_prompts():
    rng = np.random.default_rng(3)
    one = answers(habit(rng), rng)
    mixed = one.set_column(0, "prompt_id", pa.array([f"p{n}" for n in rng.permutation(PROMPTS)]))
    like = likeness([one, mixed, answers(habit(rng), rng)], pa.array([f"p{n}" for n in range(PROMPTS)]))
    assert like.kernels.shape == (len(VIEWS), 3, 3)
    assert np.linalg.eigvalsh(like.kernels).min() > -1e-9
    # The same texts in another order are no longer answers to the same prompts.
    assert like.kernels[0, 1, 1] == pytest.approx(like.kernels[0, 0, 0])
    assert like.kernels[0, 0, 1] < 0.9 * like.kernels[0, 0, 0]


def test_a_truncated_answer_has_no_closing():
    rng = np.random.default_rng(4)
    one = answers(habit(rng), rng)
    cut = one.set_column(4, "status", pa.array(["truncated"] * PROMPTS))
    kernels = likeness([one, cut], pa.array([f"p{n}" for n in range(PROMPTS)])).kernels
    assert kernels[0, 0, 1] == pytest.approx(kernels[0, 0, 0])
    assert kernels[1, 0, 1] == 0


def test_candidates_are_scored_beside_other_makers_only():
    # Six equal strangers and the model: a candidate must not look less alike because it is part of the comparison.
    kernels = np.eye(7)[None]
    families = {str(n): (n,) for n in range(6)}
    bench = Bench(kernels, tuple(str(n) for n in range(7)), families)
    assert set(scores(bench, 0)) == {"1", "2", "3", "4", "5"}
    assert set(scores(bench, 6)) == set(families)
    assert [value for n in range(7) for value in scores(bench, n).values()] == pytest.approx(
        [0.0] * 36, abs=1e-3
    )
