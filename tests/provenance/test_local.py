"""A suspect that is there as weights: a tiny model made here, loaded from its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spiritsafe.errors import InputError
from spiritsafe.provenance._local import Local

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

torch: Any = pytest.importorskip("torch", reason="PyTorch comes with the extra `provenance`")
WORDS = ["<s>", "</s>", "?", "a", "b", "c", "d", "e", "f", "g", "hello", "world", "say", "it"]


@pytest.fixture(scope="module", params=[False, True], ids=["relative places", "learned places"])
def folder(
    request: pytest.FixtureRequest, weights: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return weights(tmp_path_factory.mktemp("model"), WORDS[3:], places=request.param)


def test_a_text_has_the_sum_of_its_tokens_log_probabilities_whatever_it_is_batched_with(folder: Path):
    local = Local(folder, before="say {prompt} ")
    (said,) = local.score(["it"], ["hello world"])
    ids = torch.tensor([[WORDS.index(one) for one in ("say", "it", "hello", "world")]])
    with torch.no_grad():
        told = torch.log_softmax(local._model(ids).logits[0].float(), -1)
    expected = float(told[1, ids[0, 2]] + told[2, ids[0, 3]])
    assert (said.status, said.tokens) == ("ok", 2)
    assert said.logprob == pytest.approx(expected, abs=1e-4)
    both = local.score(["it", "a b c d"], ["hello world", "e f g"])
    assert both[0].logprob == pytest.approx(expected, abs=1e-4)
    assert both[1].tokens == 3


def test_a_text_too_long_for_the_model_has_failed_and_the_others_have_not(folder: Path):
    said = Local(folder, before="say {prompt} ").score(["a", "a"], ["b " * 60, "b"])
    assert [one.status for one in said] == ["failed", "ok"]
    assert "the model takes 32" in (said[0].detail or "")


def test_what_is_likeliest_after_each_token_of_a_text_whatever_it_is_batched_with(folder: Path):
    local = Local(folder, before="say {prompt} ")
    said = local.read(["it", "a b c d", "a"], ["hello world a", "e f g", "b " * 60])
    assert [one.status for one in said] == ["ok", "ok", "failed"]
    assert "the model takes 32" in (said[2].detail or "")
    assert local.read(["it"], [""])[0].status == "failed"
    first, second = (one.reading or {} for one in said[:2])
    before, shown = ([WORDS.index(word) for word in text.split()] for text in ("say it", "hello world a"))
    assert (first["before"], first["shown"]) == (before, shown)
    with torch.no_grad():
        best = local._model(torch.tensor([[*before, *shown]])).logits[0].argmax(-1).tolist()
    assert first["predicted"] == best[2:]
    assert len(second["predicted"]) == len(second["shown"]) == 3


def test_samples_are_those_of_their_seed_and_a_cut_one_is_told(folder: Path):
    local = Local(folder)
    first, again, other = (
        local.ask(["a b", "c"], {"max_tokens": 12, "temperature": 1.0}, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert all(one.status in {"ok", "truncated", "empty"} for one in first)
    assert all((one.tokens_out == 12) == (one.status == "truncated") for one in first)
    greedy = local.ask(["a b"], {"max_tokens": 3, "temperature": 0.0}, seed=9)
    assert greedy == local.ask(["a b"], {"max_tokens": 3, "temperature": 0.0}, seed=10)


def test_a_folder_without_a_model_is_told(tmp_path: Path):
    with pytest.raises(InputError, match="holds no model"):
        Local(tmp_path)
