"""The lexicon, its loader, and that the kernel reads it as meant."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spiritsafe.features import kernel, lexicon
from spiritsafe.features._text import text
from spiritsafe.marks import BITS, CONCEPTS, mask

sys.path.insert(0, str(Path(__file__).parent))

import oracle

PARAPHRASES = json.loads(Path(__file__).with_name("paraphrases.json").read_text("utf-8"))["prompts"]
ENTRIES = sorted(
    {entry.replace("*", "") for by in lexicon.entries().values() for one in by.values() for entry in one}
)


def kernel_marks(texts: list[str]) -> list[int]:
    return [int(one) for one in kernel.fingerprints(text(pa.array(texts)), prints=False).marks]


def names(value: int) -> list[str]:
    return [name for bit, name in enumerate(CONCEPTS) if value >> bit & 1]


def test_concepts_fit_into_one_word():
    assert len(CONCEPTS) == len(set(CONCEPTS)) <= 64
    assert mask(*CONCEPTS) == (1 << len(CONCEPTS)) - 1
    with pytest.raises(KeyError):
        mask("no such concept")


def test_core_concepts_are_written_in_every_language():
    core = ("steps", "chain", "reason", "final_answer", "score", "criteria", "better", "generate", "rewrite")
    for name in core:
        assert set(lexicon.LANGUAGES) == set(lexicon.entries()[name]), name


def test_rules_say_what_the_kernel_can_match():
    for bit, kind, entry in lexicon.rules():
        words = entry.split()
        assert 0 <= bit < len(CONCEPTS)
        assert {
            "token": len(words) == 1 and "*" not in entry,
            "prefix": len(words) == 1 and "*" not in entry,
            "phrase": 2 <= len(words) <= 6,
            "substring": 2 <= len(entry) <= 6,
        }[kind], entry


def test_every_entry_sets_its_own_bit():
    bits, texts = zip(
        *(
            (BITS[name], entry.replace("*", ""))
            for name, by in lexicon.entries().items()
            for one in by.values()
            for entry in one
        ),
        strict=True,
    )
    found = kernel_marks(list(texts))
    assert [entry for bit, entry, value in zip(bits, texts, found, strict=True) if not value >> bit & 1] == []


def test_arabic_words_are_found_behind_their_clitics():
    assert "score" in names(kernel_marks(["والتقييم"])[0])


def test_the_kernel_finds_what_the_oracle_finds():
    texts = [row["text"] for row in PARAPHRASES]
    found = kernel_marks(texts)
    assert [
        (row["text"], names(value), names(expected))
        for row, value in zip(PARAPHRASES, found, strict=True)
        if value != (expected := oracle.marks(row["text"]))
    ] == []


@settings(max_examples=25)
@example(["ai 답변", "abaixo está uma instrução"], " ")
@given(
    st.lists(st.sampled_from(ENTRIES), min_size=1, max_size=12),
    st.sampled_from([" ", ", ", "\n", " – ", "! "]),
)
def test_any_mixture_of_entries_is_read_the_same(entries: list[str], between: str):
    whole = between.join(entries)
    assert names(kernel_marks([whole])[0]) == names(oracle.marks(whole))
