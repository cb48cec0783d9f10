"""The lexicon's matcher against a plain one, and the character table against Unicode."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spiritsafe.errors import ExtensionError
from spiritsafe.features import _rules, _text, characters, kernel, lexicon

RULES = [
    (0, "phrase", "step by step"),
    (1, "prefix", "reason"),
    (2, "token", "thought"),
    (3, "phrase", "explain* your reason*"),
    (4, "substring", "推理过程"),
    (5, "prefix", "추론"),
    (6, "phrase", "ход мысл*"),
    (7, "phrase", "reasonab* step"),
    (8, "phrase", "reason* step"),
    (9, "token", "过"),
    (10, "prefix", "étap"),
    (63, "phrase", "by step by step now"),
]
PIECES = [
    "step",
    "Step",
    "by",
    "reason",
    "reasoning",
    "reasonable",
    "thought",
    "thoughts",
    "explaining",
    "your",
    "推理过程",
    "推理",
    "过程",
    "추론을",
    "ход",
    "Мыслей",
    "ÉTAPES",
    "now",
    ",",
    "-",
    '"',
    "12",
    "🙂",
]
pieces = st.lists(st.sampled_from(PIECES), max_size=14)


def marks(rules: list[tuple[int, str, str]], texts: list[str]) -> list[int]:
    column = _text.text(pa.array(texts, pa.string()))
    tokens = kernel.Tokens.room([column])
    counts, out = np.zeros((len(texts), 4), np.int32), np.zeros((2, len(texts)), np.uint64)
    kernel.read(column, tokens, _rules.tables(rules), counts, out[0], out[1])
    return out[1].tolist()


def plain(rules: list[tuple[int, str, str]], text: str) -> int:
    tokens = ["".join(map(chr, codes)) for codes, _ in _rules.words(text)]
    found = 0
    for bit, kind, rule in rules:
        wanted = _rules.words(rule + "*" if kind == "prefix" else rule)
        for k in range(len(tokens) - len(wanted) + 1):
            here = zip(tokens[k:], wanted, strict=False)
            spelled = [(token, "".join(map(chr, codes)), star) for token, (codes, star) in here]
            if all(
                token.startswith(word) and len(token) <= 64 if star else token == word
                for token, word, star in spelled
            ):
                found |= 1 << bit
    return found


@given(st.lists(pieces, max_size=5))
@settings(max_examples=300, deadline=None)
def test_marks_are_those_of_a_plain_matcher(rows: list[list[str]]):
    texts = [" ".join(row) for row in rows] + ["".join(row) for row in rows]
    assert marks(RULES, texts) == [plain(RULES, text) for text in texts]


def test_every_rule_of_the_shipped_lexicon_is_found():
    """A rule's own text, its stars taken as they are, bears the rule's bit; alone and inside other text."""
    rules: Any = list(lexicon.rules())
    texts = [text.replace("*", "") for _, _, text in rules]
    column = _text.text(pa.array([*texts, *(f"qqq {text}, zzz" for text in texts)], pa.string()))
    found = kernel.fingerprints(column).marks
    missing = [(*rule, k) for k, rule in enumerate(rules * 2) if not int(found[k]) >> rule[0] & 1]
    assert missing == []


def test_a_rule_without_letters_is_refused():
    with pytest.raises(ExtensionError, match="0 tokens"):
        _rules.tables([(0, "token", "?!")])


def test_the_table_is_this_unicode_versions():
    text = "\n".join(characters.build().splitlines()[1:])
    kept = characters.__spec__.loader.get_data(characters.__file__.replace(".py", ".txt")).decode()  # type: ignore[union-attr]
    if unicodedata.unidata_version == kept.splitlines()[0].rpartition("Unicode ")[2].partition(". ")[0]:
        assert text == "\n".join(kept.splitlines()[1:])


def test_folding_is_idempotent():
    table = characters.table()
    kinds, codes = table >> 26, table & 0x1FFFFF
    kept = kinds != characters.DROP
    kept &= codes < characters.SIZE  # a few ideographs fold to one beyond the table
    folded = table[codes[kept]]
    assert np.array_equal(folded & 0x1FFFFF, codes[kept])
    assert np.array_equal(folded >> 26, kinds[kept])


@given(st.characters(categories=["L"], max_codepoint=0x1FFFF))
@settings(max_examples=500)
def test_case_and_normal_form_do_not_matter(char: str):
    assume(
        not unicodedata.name(char, "").startswith(("TIBETAN", "MYANMAR"))
    )  # their vowel signs are letters here
    one = [code for codes, _ in _rules.words(char) for code in codes]
    other = [
        char.upper(),
        char.lower(),
        unicodedata.normalize("NFD", char),
        unicodedata.normalize("NFC", char),
    ]
    letters = [same for same in other if len([c for c in same if unicodedata.category(c) != "Mn"]) == 1]
    for same in letters:
        assert [code for codes, _ in _rules.words(same) for code in codes] == one
