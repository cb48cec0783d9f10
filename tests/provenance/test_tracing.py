"""Tracing names the campaign whose answers were copied, and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom

from spiritsafe.marking import prf
from spiritsafe.marking.choice import Words
from spiritsafe.marking.keys import MarkKey, derive
from spiritsafe.model import Finding
from spiritsafe.provenance import _tails
from spiritsafe.provenance._holm import holm
from spiritsafe.provenance._once import keeping
from spiritsafe.provenance._subject import ANSWERS, PAIRS, SCORES, Subject, Teacher
from spiritsafe.provenance.tracing import tracing
from spiritsafe.simulate import load_corpus

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = bytes(range(32))
TEXTS = [str(text) for pool in load_corpus().pools.values() for text in pool.prompts.to_pylist()[:6]]


def answers(texts: list[str]) -> pa.Table:
    rows = [
        {"prompt_id": f"p-{n}", "sample": 0, "prompt": "", "text": text, "status": "ok"}
        for n, text in enumerate(texts)
    ]
    return pa.Table.from_pylist(rows, schema=ANSWERS)


def keys(many: int, root: bytes = ROOT) -> tuple[MarkKey, ...]:
    return tuple(derive(root, f"c-{n}", 0) for n in range(many))


def marked(key: MarkKey, share: float) -> list[str]:
    """Natural texts in which a share of the words after marked contexts was changed to what the key prefers."""
    rng, words = np.random.default_rng(2), Words()
    spare = sorted({word for text in TEXTS for word in text.split()})[:400]
    ids = np.array([one[0] if one else 0 for one in words.encode(spare)], np.int64)
    made = []
    for text in TEXTS:
        said = text.split()
        for at in range(key.width, len(said)):
            before = words.encode([" ".join(said[at - key.width : at])])[0]
            if rng.random() < share and len(before) == key.width:
                start = prf.seeds(key.words, np.array([before], np.int64))
                green = np.flatnonzero(prf.uniforms(np.repeat(start, ids.size), ids) < key.share)
                said[at] = spare[int(rng.choice(green))]
        made.append(" ".join(said))
    return made


def test_the_campaign_is_named_among_many_and_alone():
    all_keys = keys(200)
    copy = Subject("copy", answers(marked(all_keys[137], 0.25)))
    told = Teacher("t", keys=all_keys, decoys=keys(20, bytes(32)), tokenizer=Words())
    finding = tracing(copy, told, [], seed=1)
    assert finding.verdict == "supports derivation"
    assert finding.campaign_id == finding.details["named"] == "c-137"
    assert finding.p_value < 1e-6
    assert float(finding.details["least log10 p of decoys"]) > -4
    assert finding.interval[0] > 0


def test_two_campaigns_of_one_suspect_are_both_named_and_no_third():
    all_keys = keys(100)
    texts = marked(all_keys[31], 0.3) + marked(all_keys[77], 0.3)
    told = Teacher("t", keys=all_keys, decoys=keys(20, bytes(32)), tokenizer=Words())
    finding = tracing(Subject("copy", answers(texts)), told, [], seed=1)
    assert sorted(str(finding.details["named"]).split(", ")) == ["c-31", "c-77"]
    assert finding.campaign_id in {"c-31", "c-77"}
    adjusted = [value for name, value in finding.details.items() if name.startswith(("c-31 by", "c-77 by"))]
    assert len(adjusted) == 2
    assert all(float(str(value)) <= -2 for value in adjusted)


def test_an_innocent_suspect_is_named_no_oftener_than_alpha():
    # 100 families of 20 keys at alpha = 10 %: with exact p-values about ten name somebody.
    innocent = Subject("innocent", answers(TEXTS))
    wrong, words = 0, Words()
    with keeping():  # what the innocent said is read once, as in a run
        for n in range(100):
            told = Teacher("t", keys=keys(20, bytes([n]) * 32), tokenizer=words)
            wrong += tracing(innocent, told, [], seed=1, alpha=0.1).campaign_id is not None
    assert binom.sf(wrong - 1, 100, 0.1) > 1e-3


def test_epochs_of_one_campaign_are_keys_of_their_own():
    epochs = tuple(derive(ROOT, "c-9", n) for n in range(3))
    copy = Subject("copy", answers(marked(epochs[2], 0.3)))
    finding = tracing(copy, Teacher("t", keys=(*keys(5), *epochs), tokenizer=Words()), [], seed=1)
    assert finding.details["named"] == "c-9"
    assert any(name == f"c-9 by key {epochs[2].key_id}" for name in finding.details)


def signs_of(
    suspect: Subject, teacher: Teacher, controls: Sequence[Subject], /, *, seed: int, alpha: float
) -> Finding:
    """A plain test of pairs: the sum of signed differences of log-probability."""
    said = {(row["item"], row["side"]): row["logprob"] for row in suspect.scores.to_pylist()}
    rows = teacher.pairs.to_pylist()
    gap = np.array([said[row["pair_id"], "first"] - said[row["pair_id"], "second"] for row in rows])
    sign = np.array([1 if row["coin"] == 0 else -1 for row in rows])
    tail = _tails.signs(gap, float(gap @ sign))
    return Finding(
        "signs", "A", suspect.name, "", 0.0, tail.p, tail.log10, float((gap * sign).mean()), (0.0, 0.0), "nats",
        len(rows), "logprobs", alpha, "inconclusive", seed, campaign_id=rows[0]["campaign_id"],
    )  # fmt: skip


def test_pairs_of_campaigns_are_tests_of_the_same_family():
    rng = np.random.default_rng(3)
    pairs, scores = [], []
    for n in range(300):
        coin, campaign = int(rng.integers(2)), f"c-{n % 3}"
        pairs.append(
            {"pair_id": f"q-{n}", "prompt": "p", "first": "a", "second": "b", "coin": coin}
            | {"campaign_id": campaign, "committed": True, "snapshot": "s", "ghost_snapshot": "s"}
        )
        for side in ("first", "second"):
            served = (side == "first") == (coin == 0)
            lift = 0.8 if served and campaign == "c-1" else 0.0
            scores.append(
                {
                    "item": f"q-{n}",
                    "side": side,
                    "logprob": float(rng.normal() + lift),
                    "tokens": 9,
                    "status": "ok",
                }
            )
    told = Teacher("t", pairs=pa.Table.from_pylist(pairs, schema=PAIRS))
    suspect = Subject("copy", scores=pa.Table.from_pylist(scores, schema=SCORES))
    finding = tracing(suspect, told, [], seed=1, pairs=signs_of)
    assert finding.campaign_id == "c-1"
    assert finding.details["campaigns tried"] == 3
    assert (finding.counts["pairs of a campaign"], finding.counts["pairs not looked at"]) == (300, 0)
    # By twins, the usual test, too.
    assert tracing(suspect, told, [], seed=1).campaign_id == "c-1"
    without = tracing(suspect, told, [], seed=1, pairs=None)
    assert without.verdict == "inconclusive"
    assert without.counts["pairs not looked at"] == 300


def test_a_decoy_that_is_found_voids_the_finding():
    decoys = keys(3, bytes(32))
    suspect = Subject("odd", answers(marked(decoys[1], 0.4)))
    finding = tracing(suspect, Teacher("t", keys=keys(3), decoys=decoys, tokenizer=Words()), [], seed=1)
    assert (finding.verdict, finding.campaign_id) == ("inconclusive", None)
    assert "never used" in str(finding.details["why"])


def test_nothing_to_look_at_is_inconclusive():
    for told in (Teacher("t"), Teacher("t", keys=keys(2), tokenizer=Words())):
        finding = tracing(Subject("silent"), told, [], seed=1)
        assert (finding.verdict, finding.p_value, finding.n) == ("inconclusive", 1.0, 0)
        assert finding.details["why"]


@pytest.mark.parametrize(
    ("log10_p", "adjusted"),
    [
        ([], []),
        ([-3.0], [-3.0]),
        ([-1.0, -4.0], [-1.0, -4.0 + np.log10(2)]),
        ([-0.2, -0.1, -0.3], [0.0, 0.0, 0.0]),
    ],
)
def test_holm(log10_p: list[float], adjusted: list[float]):
    assert holm(log10_p) == pytest.approx(adjusted)
