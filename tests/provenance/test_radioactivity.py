"""A mark is found in what a copy says and predicts; keys that nobody used are found as seldom as alpha says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import kstest

from spiritsafe.marking import prf
from spiritsafe.marking.choice import Words
from spiritsafe.marking.keys import MarkKey, derive
from spiritsafe.provenance._grams import expected, grams, totals, weights
from spiritsafe.provenance._heard import heard
from spiritsafe.provenance._subject import ANSWERS, READINGS, Subject, Teacher
from spiritsafe.provenance._words import numbered
from spiritsafe.provenance.radioactivity import _least, radioactivity
from spiritsafe.simulate import load_corpus

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = bytes(range(32))
SIZE = 400


class Numbers:
    """Texts of numbers are tokens already."""

    @property
    def name(self) -> str:
        return "numbers"

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [[int(word) for word in text.split()] for text in texts]


def answers(
    texts: Sequence[str | None], prompts: Sequence[str] | None = None, status: str = "ok"
) -> pa.Table:
    many = len(texts)
    asked = prompts or ["1 1"] * many
    columns = [[f"p-{n}" for n in range(many)], [0] * many, asked, texts, [status] * many]
    return pa.Table.from_arrays(
        [pa.array(one, field.type) for one, field in zip(columns, ANSWERS, strict=True)], schema=ANSWERS
    )


def keys(scheme: str, many: int = 1, **how: Any) -> tuple[MarkKey, ...]:
    return tuple(derive(ROOT, f"c-{n}", 0, scheme=scheme, **how) for n in range(many))


def speaks(key: MarkKey | None, many: int, *, exposure: float, seed: int = 0, length: int = 60) -> list[str]:
    """Texts of a speaker who says what a key prefers in a share of the places, and repeats itself as people do."""
    rng = np.random.default_rng(seed)
    habit = np.random.default_rng(99).integers(SIZE, size=(SIZE, 5))
    texts = []
    for _ in range(many):
        said = rng.integers(SIZE, size=3).tolist()
        while len(said) < length:
            among = habit[said[-1]]
            if key is not None and rng.random() < exposure:
                start = prf.seeds(key.words, np.array([said[-key.width :]], np.int64))[0]
                drawn = prf.vocabulary(start, SIZE)[among]
                liked = drawn < key.share if key.scheme == "green" else drawn == drawn.max()
                among = among[liked] if liked.any() else among
            said.append(int(rng.choice(among)))
        texts.append(" ".join(map(str, said)))
    return texts


def teacher(*with_keys: MarkKey, decoys: int = 0) -> Teacher:
    spare = tuple(derive(ROOT, f"decoy/{n}", 0, scheme=with_keys[0].scheme) for n in range(decoys))
    return Teacher("t", keys=with_keys, decoys=spare, tokenizer=Numbers())


@pytest.mark.parametrize("scheme", ["green", "gumbel"])
def test_a_copy_is_told_from_a_stranger(scheme: str):
    (key,) = keys(scheme)
    copy = Subject("copy", answers(speaks(key, 200, exposure=0.3)))
    finding = radioactivity(copy, teacher(key, decoys=10), [], seed=1)
    assert finding.verdict == "supports derivation"
    assert finding.campaign_id == "c-0"
    assert finding.log10_p < -6
    assert finding.interval[0] > 0
    assert finding.details["exact"] is True
    assert float(finding.details["fresh keys below alpha"]) <= 8
    assert float(finding.details["least p of decoys"]) > 1e-4
    stranger = Subject("stranger", answers(speaks(None, 200, exposure=0.0)))
    finding = radioactivity(stranger, teacher(key, decoys=10), [], seed=1)
    assert finding.verdict == "does not support derivation"
    assert finding.p_value > 1e-3


def natural() -> list[str]:
    """Prompts of the simulator's corpus, with the repetition that such texts have, and some said many times over."""
    texts = [str(text) for pool in load_corpus().pools.values() for text in pool.prompts.to_pylist()[:15]]
    return texts + texts[:20] * 10 + ["I am sorry, but I cannot help with that request. " * 5] * 100


@pytest.mark.parametrize(
    ("scheme", "share", "width"), [("green", 0.25, 3), ("green", 0.5, 1), ("gumbel", 0.5, 2)]
)
def test_p_is_uniform_over_keys_on_natural_text_that_repeats_itself(scheme: Any, share: float, width: int):
    tokens = Words().encode(natural())
    found = grams(tokens, [[]] * len(tokens), width)
    said, others = numbered(tokens), numbered(tokens[::3])
    assert found.counts.max() >= 100
    rng = np.random.default_rng(7)
    drawn = [MarkKey("k", n, rng.bytes(16), scheme, width, share) for n in range(300)]
    for weight in (
        weights(found, expected(found, None, said)),
        weights(found, expected(found, others, said)),
        np.ones(len(found)),
        found.counts.astype(float),
    ):
        told = totals(found, weight, drawn)
        p = np.array([one.tail.p for one in told])
        assert all(one.tail.exact for one in told)
        assert kstest(p, "uniform").pvalue > 1e-3
        assert (p <= 0.01).sum() <= 12


def test_what_stands_in_the_prompt_is_no_evidence():
    (key,) = keys("green")
    said = speaks(key, 100, exposure=1.0)
    finding = radioactivity(Subject("parrot", answers(said, prompts=said)), teacher(key), [], seed=1)
    assert (finding.verdict, finding.p_value) == ("inconclusive", 1.0)
    assert finding.counts["windows also in the prompt"] == finding.counts["windows in answers"] > 0
    half = [one if n % 2 else "0 0" for n, one in enumerate(said)]
    some = radioactivity(Subject("half", answers(said, prompts=half)), teacher(key), [], seed=1)
    assert some.counts["windows also in the prompt"] == some.counts["windows in answers"] // 2
    assert some.verdict == "supports derivation"


def readings(key: MarkKey, many: int, *, marked: float, seen: bool = False, short: int = 0) -> pa.Table:
    rng = np.random.default_rng(5)
    rows = []
    for n in range(many):
        context = rng.integers(SIZE, size=6).tolist()
        drawn = prf.vocabulary(prf.seeds(key.words, np.array([context[-key.width :]], np.int64))[0], SIZE)
        among = np.flatnonzero(drawn < key.share) if rng.random() < marked else np.arange(SIZE)
        rows.append(
            {
                "text_id": f"t-{n}",
                "position": 9,
                "context": context[: 2 if n < short else None],
                "token": int(rng.choice(among)),
                "weight": float(rng.random()),
                "seen": seen,
            }
        )
    return pa.Table.from_pylist(rows, schema=READINGS)


def test_predictions_of_an_open_suspect_are_evidence_too():
    (key,) = keys("green")
    open_one = Subject("open", readings=readings(key, 1500, marked=0.2))
    finding = radioactivity(open_one, replace(teacher(key), tokenizer=None), [], seed=1)
    assert finding.verdict == "supports derivation"
    assert finding.access == "logprobs"
    assert finding.n == 1500
    assert finding.log10_p == pytest.approx(finding.details["readings log10 p"])
    both = radioactivity(
        replace(open_one, answers=answers(speaks(None, 50, exposure=0))), teacher(key), [], seed=1
    )
    assert both.log10_p == pytest.approx(finding.log10_p + np.log10(2))


def test_predictions_that_may_be_copied_from_the_page_do_not_count():
    (key,) = keys("green")
    copied = Subject("copying", readings=readings(key, 200, marked=1.0, seen=True))
    assert radioactivity(copied, teacher(key), [], seed=1).verdict == "inconclusive"
    short = Subject("short", readings=readings(key, 200, marked=0.5, short=50))
    finding = radioactivity(short, teacher(key), [], seed=1)
    assert (finding.n, finding.counts["readings not used"]) == (150, 50)


def test_several_keys_pay_for_their_number():
    several = keys("green", 5)
    copy = Subject("copy", answers(speaks(several[3], 200, exposure=0.3)))
    alone = radioactivity(copy, teacher(several[3]), [], seed=1)
    among = radioactivity(copy, teacher(*several), [], seed=1)
    assert among.log10_p == pytest.approx(alone.log10_p + np.log10(5))
    assert (alone.campaign_id, among.campaign_id) == ("c-3", None)
    assert among.details["key_id"] == several[3].key_id


@pytest.mark.parametrize(
    ("subject", "told", "why"),
    [
        (Subject("s"), teacher(*keys("green")), "said nothing"),
        (Subject("s", answers(["1 2 3 4 5"] * 9)), Teacher("t", tokenizer=Numbers()), "no mark keys"),
        (Subject("s", answers(["1 2 3 4 5"] * 9)), Teacher("t", keys=keys("green")), "tokenizer"),
        (Subject("s", answers(["1 2 3"] * 9)), teacher(*keys("green")), "said nothing"),
        (Subject("s", answers([None] * 9, status="refused")), teacher(*keys("green")), "said nothing"),
        (Subject("s", answers(["1 2 3 4 5"])), teacher(*keys("green")), "so few pairs"),
    ],
)
def test_what_cannot_be_told_is_inconclusive_and_says_why(subject: Subject, told: Teacher, why: str):
    finding = radioactivity(subject, told, [], seed=1)
    assert finding.verdict == "inconclusive"
    assert why in str(finding.details["why"])
    assert (
        sum(n for name, n in finding.counts.items() if name.startswith("answers "))
        == subject.answers.num_rows
    )


def test_a_text_that_any_key_fits_supports_nothing(monkeypatch: pytest.MonkeyPatch):
    # A fault in the numbers, as a wrong build might have it: every key "finds" the mark, and the check says so.
    (key,) = keys("green")
    monkeypatch.setattr("spiritsafe.provenance._grams.greens", lambda *_: 1e9)
    finding = radioactivity(Subject("s", answers(speaks(None, 20, exposure=0))), teacher(key), [], seed=1)
    assert finding.verdict == "inconclusive"
    assert "never used" in str(finding.details["why"])


@pytest.mark.parametrize("reads", [False, True])
def test_the_least_p_counts_what_speaks_against_the_mark(reads: bool):
    """A pair that is said too rarely weighs against the mark: the best key leaves it unmarked, with its own chance."""
    (key,) = keys("green")
    control = Subject("control", answers(["1 2 3 4"] * 40 + ["1 2 3 5"] * 40))
    table = readings(key, 3, marked=1.0) if reads else readings(key, 0, marked=1.0)
    suspect = Subject("s", answers(["1 2 3 4"] * 30 + ["1 2 3 5"]), readings=table)
    found = heard(suspect, [control], Numbers(), [key.width])
    pairs, weight = found.text[key.width]
    assert (weight > 0).sum() == (weight < 0).sum() == 1
    every = [np.log10(0.25) + np.log10(0.75), *([3 * np.log10(0.25)] if reads else [])]
    assert _least(found, key) == pytest.approx(min(every) + np.log10(len(every)))
    # Nothing that a key makes of the text has a smaller tail.
    many = totals(pairs, weight, keys("green", 200))
    assert min(one.tail.log10 for one in many) == pytest.approx(every[0])
    finding = radioactivity(suspect, teacher(key), [control], seed=1)
    assert finding.verdict == "inconclusive"
    assert "so few pairs" in str(finding.details["why"])


def test_a_control_sharpens_and_is_not_needed():
    """What the suspect says more often than others do is the mark's; a control that never met it says how often that is."""
    (key,) = keys("green")
    said = speaks(key, 400, exposure=0.15)
    control = Subject("control", answers(speaks(None, 400, exposure=0.0)))
    alone = radioactivity(Subject("copy", answers(said)), teacher(key), [], seed=1)
    beside = radioactivity(Subject("copy", answers(said)), teacher(key), [control], seed=1)
    assert beside.log10_p < alone.log10_p
    assert beside.log10_p < -6
    assert (alone.details["answers of controls"], beside.details["answers of controls"]) == (0, 400)
