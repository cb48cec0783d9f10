"""What leaves the exact hash unchanged, and what the skeleton unchanged; the shown skeleton says the same."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spiritsafe.features import _text, kernel, skeleton_text

WORDS = [
    "explain",
    "the",
    "old",
    "river",
    "кратко",
    "ответь",
    "на",
    "вопрос",
    "请",
    "解",
    "释",
    "ご",
    "説",
    "明",
    "résumé",
    "straße",
    "αρχή",
    "חלון",
    "نافذة",
    "खिड़की",
    "창문",
]
words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12)
slots = {
    "⟨number⟩": ["7", "3,000.25", "12:30", "2024-01-02", "5th", "٣٤", "0x1f", "１２"],
    "⟨url⟩": ["https://example.org/a(b)?c=1&d=é", "http://x.io", "www.example.net/path"],
    "⟨email⟩": ["a@b.org", "first.last+tag@mail.example.org"],
    "⟨quoted⟩": [
        '"a word"',
        "“two words”",
        "«три слова»",
        "「四个字」",
        "'it isn't'",
        '"see http://x.io/1"',
        "《红》",
    ],
    "⟨code⟩": ["`x = 1`", "```\nfor i in x:\n  'y'\n```", "``a`b``".replace("`b", " b")],
}


def prints(*texts: str) -> Any:
    return kernel.fingerprints(_text.text(pa.array(texts, pa.string())))


def one(text: str) -> tuple[int, int, int]:
    found = prints(text)
    return int(found.exact[0]), int(found.skeleton[0]), int(found.item[0])


@given(words, st.data())
@settings(max_examples=150, deadline=None)
def test_case_blanks_and_invisible_characters_leave_exact_unchanged(parts: list[str], data: Any):
    blanks = st.sampled_from([" ", "\n", "\t ", "\u00a0", "\u3000 ", "\r\n\r\n", " \u200b "])
    changed = data.draw(blanks)
    for part in parts:
        style = data.draw(st.sampled_from([str.upper, str.title, str.lower, str]))
        word = style(part) if "ß" not in part else part
        word = unicodedata.normalize(data.draw(st.sampled_from(["NFC", "NFD"])), word)
        at = data.draw(st.integers(0, len(word)))
        changed += (
            word[:at] + data.draw(st.sampled_from(["", "\u200d", "\ufeff", "\u00ad", "\x00"])) + word[at:]
        )
        changed += data.draw(blanks)
    assert one(changed)[0] == one(" ".join(parts))[0]


@given(words, words)
@settings(max_examples=100, deadline=None)
def test_other_words_have_other_hashes(a: list[str], b: list[str]):
    assume(a != b)
    assert one(" ".join(a))[:2] != one(" ".join(b))[:2]


@given(
    st.lists(st.one_of(st.sampled_from(WORDS), st.sampled_from(sorted(slots))), min_size=2, max_size=14),
    st.data(),
)
@settings(max_examples=200, deadline=None)
def test_numbers_links_quotations_and_code_leave_the_skeleton_unchanged(parts: list[str], data: Any):
    assume(any(part in WORDS for part in parts))
    filled = [" ".join(data.draw(st.sampled_from(slots.get(p, [p]))) for p in parts) for _ in range(2)]
    found = prints(*filled)
    assert found.skeleton[0] == found.skeleton[1]
    assert np.array_equal(found.anchors[: found.ends[1]], found.anchors[found.ends[1] :])
    assert np.array_equal(found.projection[0], found.projection[1])
    assert (found.item[0] != 0) == any(part in slots for part in parts)


@given(
    st.lists(st.one_of(st.sampled_from(WORDS), st.sampled_from(sorted(slots))), min_size=2, max_size=14),
    st.data(),
)
@settings(max_examples=200, deadline=None)
def test_the_shown_skeleton_is_the_kernels(parts: list[str], data: Any):
    assume(any(part in WORDS for part in parts))
    text = ", ".join(data.draw(st.sampled_from(slots.get(p, [p]))) for p in parts)
    shown = skeleton_text(text)
    again = shown
    for slot, values in slots.items():
        assert not any(value in shown for value in values)
        again = again.replace(slot, f" {values[0]} ")
    assert one(again)[1] == one(text)[1]
    merged = [part for k, part in enumerate(parts) if k == 0 or part not in slots or part != parts[k - 1]]
    assert shown == ", ".join(merged)


@given(st.text(max_size=120))
@settings(max_examples=200, deadline=None)
def test_any_text_can_be_shown(text: str):
    skeleton_text(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("It's the dogs' dinner, isn't it?", "It's the dogs' dinner, isn't it?"),
        ('a 5" pipe and "a b" here', 'a ⟨number⟩" pipe and ⟨quoted⟩ here'),
        ("never ``` closed", "never ``` closed"),
        ('"' + "far " * 200 + '" away', '"' + "far " * 200 + '" away'),
        ("python3 on gpt4 with B12 and 3d", "python3 on gpt4 with ⟨number⟩ and ⟨number⟩"),
        ("see (https://example.org/a_(b)), then go.", "see (⟨url⟩), then go."),
        ("请看http://x.io/a，然后说“好”。", "请看⟨url⟩，然后说⟨quoted⟩。"),
        ("unpaired “ and a@ and @b", "unpaired “ and a@ and @b"),
    ],
)
def test_where_a_slot_begins_and_ends(text: str, shown: str):
    assert skeleton_text(text) == shown


def test_a_text_of_nothing_but_slots_has_no_common_form():
    found = prints('"first text"', '"second text"', "12", "13", '"first text"')
    assert len({int(s) for s in found.skeleton}) == 4
    assert found.skeleton[0] == found.skeleton[4]


def test_items_differ_when_what_was_masked_differs():
    found = prints('grade "a b" now', 'grade "a c" now', "grade 'a b' now", "grade it now")
    assert found.item[0] == found.item[2] != found.item[1]
    assert found.item[3] == 0
