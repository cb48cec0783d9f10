"""Text that transformers generate under a mark carries it, and no other text does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spiritsafe.errors import UsageError
from spiritsafe.marking.draw import Sampler
from spiritsafe.marking.huggingface import Marks
from spiritsafe.marking.keys import MarkKey, derive
from spiritsafe.provenance._grams import expected, grams, totals, weights
from spiritsafe.provenance._words import numbered

torch = pytest.importorskip("torch", reason="needs the extra `provenance`")
transformers = pytest.importorskip("transformers", reason="needs the extra `provenance`")

ROOT = bytes(range(32))
SIZE = 256


@pytest.fixture(scope="module")
def model() -> Any:
    """A random transformer: as good as any to draw from, and nothing to fetch."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape = transformers.GPT2Config(
        vocab_size=SIZE,
        n_positions=64,
        n_embd=32,
        n_layer=1,
        n_head=2,
        bos_token_id=0,
        eos_token_id=None,
        tie_word_embeddings=False,
    )
    made = transformers.GPT2LMHeadModel(shape).eval()
    with torch.no_grad():  # a spread of logits as a trained model has it
        made.lm_head.weight.mul_(20)
    return made


def answers(model: Any, marks: Marks | None, *, prompts: int = 4, each: int = 1, **how: Any) -> np.ndarray:
    torch.manual_seed(1)
    given = torch.arange(prompts * 3).reshape(prompts, 3)
    made = model.generate(
        given,
        attention_mask=torch.ones_like(given),
        do_sample=how.pop("do_sample", True),
        max_new_tokens=60,
        top_k=0,
        pad_token_id=0,
        num_return_sequences=each,
        logits_processor=transformers.LogitsProcessorList([] if marks is None else [marks]),
        **how,
    )
    return made[:, 3:].numpy()


def log10_p(texts: np.ndarray, key: MarkKey) -> float:
    found = grams(texts.tolist(), [[]] * len(texts), key.width)
    return totals(found, weights(found, expected(found, None, numbered(texts.tolist()))), [key])[0].tail.log10


@pytest.mark.parametrize("scheme", ["green", "gumbel"])
def test_marked_text_is_found_and_unmarked_text_is_not(model: Any, scheme: str):
    key, other = (derive(ROOT, name, 0, scheme=scheme) for name in ("c-1", "c-2"))
    marks = Marks([key])
    marked = answers(model, marks, prompts=1, each=8)
    assert marks.marked > 400
    assert log10_p(marked, key) < -20
    assert log10_p(marked, other) > -3
    assert log10_p(answers(model, None, prompts=1, each=8), key) > -3


def test_each_row_has_its_own_key_and_rows_without_one_are_left_alone(model: Any):
    keys = [derive(ROOT, f"c-{n}", 0, strength=4.0) for n in range(3)]
    texts = answers(model, Marks([keys[0], None, keys[1], keys[2]]), each=2)
    found = np.array([[log10_p(texts[2 * n : 2 * n + 2], key) for key in keys] for n in range(4)])
    assert (found[[0, 2, 3], [0, 1, 2]] < -10).all()
    rest = np.delete(found.ravel(), [0, 7, 11])
    assert (rest > -3).all()


def test_a_green_mark_needs_no_sampling(model: Any):
    key = derive(ROOT, "c-1", 0, strength=4.0)
    assert log10_p(answers(model, Marks([key]), do_sample=False), key) < -10


def test_the_race_keeps_to_temperature_and_cuts(model: Any):
    key = derive(ROOT, "c-1", 0, scheme="gumbel")
    # With one token left there is nothing to choose: the answer is the greedy one.
    scores = torch.randn(4, SIZE)
    raced = Marks([key], sampler=Sampler(0.7, top_k=1), start=0)(torch.arange(12).reshape(4, 3), scores)
    assert torch.equal(raced.argmax(1), scores.argmax(1))
    assert (
        log10_p(
            answers(model, Marks([key], sampler=Sampler(0.8, top_p=0.9)), temperature=0.8, top_p=0.9), key
        )
        < -10
    )


def test_a_context_is_marked_once(model: Any):
    key = derive(ROOT, "c-1", 0)
    looping = torch.tensor([[1, 2, 3, 4, 1, 2, 3]])
    scores = torch.zeros(1, SIZE)
    assert Marks([key], start=0)(looping, scores) is scores
    assert not torch.equal(Marks([key], start=0, once=False)(looping, scores), scores)
    assert not torch.equal(Marks([key], start=0)(looping[:, :4], scores), scores)


def test_the_first_tokens_of_an_answer_are_drawn_freely_and_a_new_generation_begins_anew():
    marks, scores = Marks([derive(ROOT, "c-1", 0)]), torch.zeros(1, SIZE)
    for length in (10, 11, 12, 4, 5, 6):
        assert marks(torch.arange(length)[None], scores) is scores
    assert marks(torch.arange(7)[None], scores) is not scores
    assert marks.marked == 1
    assert not scores.any()


def test_keys_that_do_not_fit_the_batch_are_refused():
    with pytest.raises(UsageError, match="do not fit a batch of 3"):
        Marks([None, None])(torch.zeros(3, 5, dtype=torch.long), torch.zeros(3, SIZE))
    with pytest.raises(UsageError, match="for each prompt"):
        Marks([])
