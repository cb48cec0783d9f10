"""A suspect that is there as weights: a tiny model made here, loaded from its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spiritsafe.errors import InputError
from spiritsafe.provenance._local import Local

if TYPE_CHECKING:
    from pathlib import Path

torch: Any = pytest.importorskip("torch", reason="PyTorch comes with the extra `provenance`")
transformers: Any = pytest.importorskip(
    "transformers", reason="transformers comes with the extra `provenance`"
)
tokenizers: Any = pytest.importorskip("tokenizers", reason="tokenizers comes with the extra `provenance`")
WORDS = ["<s>", "</s>", "?", "a", "b", "c", "d", "e", "f", "g", "hello", "world", "say", "it"]

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "?"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("model")
    inner = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: at for at, w in enumerate(WORDS)}, unk_token=SPECIAL["unk_token"])
    )
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **SPECIAL).save_pretrained(where)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=32, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(where)
    return where


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
