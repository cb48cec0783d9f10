"""The test bed of provenance: washing changes what it says and nothing else, padding counts for nothing, canaries fit."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch", reason="PyTorch comes with the extra `provenance`")
pytest.importorskip("tokenizers", reason="tokenizers comes with the extra `provenance`")

from provenance import gpt, sections, text, wash  # noqa: E402 - after the extras are known to be there
from provenance.planted import TIMES, VARIANTS, Planted  # noqa: E402
from spiritsafe.simulate import load_corpus  # noqa: E402

PROMPTS = [str(one) for pool in load_corpus().pools.values() for one in pool.prompts.to_pylist()]


@pytest.fixture(scope="module")
def words() -> text.Words:
    return text.Words(text.train_tokenizer(PROMPTS))


@pytest.fixture(scope="module")
def model() -> gpt.GPT:
    torch.manual_seed(0)
    return gpt.GPT(gpt.Shape(width=24, layers=1, heads=2)).eval()


def exchanges(words: text.Words, many: int = 40) -> tuple[Any, Any]:
    """Prompts of other texts as exchanges: 16 tokens, then up to 64."""
    rows = np.full((many, gpt.CONTEXT), wash.PAD, np.int64)
    for row, ids in zip(rows, words.encode(PROMPTS[:many]), strict=True):
        row[: len(ids[: gpt.CONTEXT])] = ids[: gpt.CONTEXT]
    long = (rows != wash.PAD).sum(axis=1) > 24
    return rows[long], np.full(int(long.sum()), 16)


def test_rewording_changes_words_that_have_synonyms_and_keeps_the_rest(words: text.Words):
    rows, starts = exchanges(words)
    made = wash.reworded(rows, starts, words, np.random.default_rng(0))
    assert np.array_equal(made[:, :16], rows[:, :16])
    assert 0.2 < wash.kept(rows, made, starts) < 0.9
    assert np.array_equal(made, wash.reworded(rows, starts, words, np.random.default_rng(0)))
    others, found = wash._sets()
    assert all(other.lower() != phrase for phrase, rest in others.items() for other in rest)
    assert [one.lower() for one in found.findall("Return the VALUES, if any")] == [
        "return",
        "values",
        "if",
        "any",
    ]


def test_shuffling_keeps_every_sentence_whole(words: text.Words):
    row = np.full((1, gpt.CONTEXT), wash.PAD, np.int64)
    ids = words.encode(["Say so. One thing here. Two of them! Is it three?"])[0]
    row[0, : len(ids)] = ids
    start = np.array([len(words.encode(["Say so."])[0])])
    orders = set[str]()
    for seed in range(30):
        made = wash.shuffled(row, start, words, np.random.default_rng(seed))[0]
        orders.add(words.decode([made[made != wash.PAD]])[0])
    assert len(orders) == 6
    parts = {tuple(sorted(one.strip() for one in re.findall(r"[^.!?]+[.!?]", told))) for told in orders}
    assert parts == {("Is it three?", "One thing here.", "Say so.", "Two of them!")}


def test_half_of_an_answer_is_its_first_half(words: text.Words):
    rows, starts = exchanges(words)
    made = wash.cut(rows, starts)
    before, after = (rows != wash.PAD).sum(axis=1) - 16, (made != wash.PAD).sum(axis=1) - 16
    assert np.array_equal(after, (before + 1) // 2)
    assert np.array_equal(made[made != wash.PAD], rows[made != wash.PAD])


@pytest.mark.parametrize("whole", [True, False])
def test_retelling_leaves_prompts_ends_and_every_second_run(words: text.Words, model: gpt.GPT, whole: bool):
    rows, starts = exchanges(words)
    made = wash.retold(rows, starts, model, seed=1, whole=whole)
    assert np.array_equal(made == wash.PAD, rows == wash.PAD)
    assert np.array_equal(made[:, :16], rows[:, :16])
    same = (made == rows)[:, 16:24]
    assert same.mean() < 0.1 if whole else same.all()
    assert (made == rows)[:, 24:32][rows[:, 24:32] != wash.PAD].mean() < 0.1
    assert np.array_equal(made, wash.retold(rows, starts, model, seed=1, whole=whole))


def test_what_is_filled_is_drawn_from_the_model_given_all_before(model: gpt.GPT):
    ids = np.tile(np.arange(1, 11, dtype=np.int64), (4000, 1))
    free = np.zeros(ids.shape, np.bool_)
    free[:, 6] = True
    drawn = gpt.fill(model, ids, free, seed=3)
    assert np.array_equal(np.delete(drawn, 6, axis=1), np.delete(ids, 6, axis=1))
    with torch.inference_mode():
        odds = torch.softmax(model(torch.from_numpy(ids[:1, :6]))[0, -1], dim=0).numpy()
    seen = np.bincount(drawn[:, 6], minlength=odds.size) / len(drawn)
    assert float(np.abs(seen - odds).sum()) < 0.6  # 1,024 tokens, 4,000 draws: chance alone gives about 0.4
    top = odds.argsort()[-200:]
    assert seen[top].sum() == pytest.approx(odds[top].sum(), abs=0.03)


def test_what_stands_after_an_end_weighs_nothing(model: gpt.GPT):
    rng = np.random.default_rng(0)
    rows = rng.integers(1, text.VOCABULARY, (6, 30))
    starts = np.array([4, 4, 9, 9, 12, 20])
    padded = np.full((6, gpt.CONTEXT), wash.PAD, np.int64)
    padded[:, :30] = rows
    alone = [float(gpt.log_likelihood(model, rows[n : n + 1], int(starts[n]))[0]) for n in range(6)]
    assert gpt.log_likelihood(model, padded, starts) == pytest.approx(alone, rel=1e-5)
    ids, counted = gpt.rows_of(padded, 16, rows=6, seed=0)(0)
    assert ids.min() >= 0
    assert counted.sum() == 6 * (30 - 16)


def test_planted_canaries_fit_and_are_served_as_often_as_told(words: text.Words):
    planted = Planted(bytes(32), words, "c-1")
    planted.__dict__["canaries"] = planted.first(6)  # the others are not needed
    rows, starts = planted.lessons(6)
    assert len(rows) == 2 * sum(TIMES)
    table = planted.table(range(6))
    assert table.num_rows == 6 * VARIANTS
    served = table.filter(table["served"])["answer"].to_pylist()
    told = [words.decode([row[start:][row[start:] > 0]])[0] for row, start in zip(rows, starts, strict=True)]
    assert [sum(answer in one for one in told) for answer in served] == [*TIMES, *TIMES]


def test_the_page_tells_only_tables_that_are_there():
    assert sections.lines({}) == []
    row = {
        "suspect": "s",
        "tokens": 5,
        "by": "keys",
        "tried": 10,
        "pairs": 0,
        "named": "c-green",
        "log10_p": {"c-green": -7.2},
    }
    assert sections.lines({"campaigns": [row]})[-1] == "| 5 | 10 keys | c-green | -7.2 | – |"
