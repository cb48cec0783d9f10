from __future__ import annotations

import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe.campaigns.exhibits import SLOT
from spiritsafe.console.campaign import slots


def test_fixed_words_slots_and_what_stood_in_them(scanned: Any):
    (*_, first) = reversed(slots.skeletons(scanned.entry))
    assert "".join(text for text, slot in first.parts if not slot).strip()
    assert first.slots == sum(slot > 0 for _, slot in first.parts) == len(first.examples)
    assert not first.masked
    assert any(first.examples)
    specimens = [
        one for row in scanned.entry["exhibits"] if row["kind"] == "skeleton" for one in row["specimens"]
    ]
    assert all(
        any(value.rstrip("…")[:40] in " ".join(one.split()) for one in specimens)
        for values in first.examples
        for value in values
    )


def test_texts_that_were_masked_stay_so():
    entry = {
        "exhibits": [
            {"kind": "skeleton", "text": f"Solve this: {SLOT} Then stop.", "accounts": 3, "exchanges": 9}
        ]
    }
    (one,) = slots.skeletons(entry)
    assert one.parts == [("Solve this:", 0), (SLOT, 1), ("Then stop.", 0)]
    assert (one.fixed, one.slots, one.masked, one.examples) == (4, 1, True, [[]])


def split(text: str) -> list[str]:
    return [*text.split(SLOT)]


def test_slots_are_what_stands_between_fixed_words():
    pieces = split(f"Translate {SLOT} into {SLOT} now.")
    assert slots.fillings(pieces, "Translate the  word cat into French now.") == ["the word cat", "French"]
    assert slots.fillings(pieces, "Something else") is None
    assert slots.fillings(["", ""], "anything") == ["anything"]
    assert slots.fillings(["a", "b"], "a b b") == ["b"]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.text("ab ", max_size=6), min_size=1, max_size=6),
    st.lists(st.text("abc", max_size=4), min_size=6, max_size=6),
)
def test_whatever_was_put_in_is_found_or_nothing_is_said(pieces: list[str], values: list[str]):
    text = pieces[0] + "".join(value + piece for value, piece in zip(values, pieces[1:], strict=False))
    found = slots.fillings(pieces, text)
    assert found is None or len(found) == len(pieces) - 1


def test_a_text_made_to_be_slow_is_not():
    begin = time.process_time()
    slots.fillings(["a"] * 400, "ab" * 3_000)
    assert time.process_time() - begin < 1


def test_what_is_no_skeleton_is_left_out():
    assert slots.skeletons({}) == []
    assert slots.skeletons({"exhibits": [{"kind": "skeleton"}, {"kind": "load"}, 7]}) == []
