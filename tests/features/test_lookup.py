"""The lookup finds what sets find, whatever the keys; it bounds what a hostile list may cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe.features.inline import Inline, Sketch
from spiritsafe.features.lookup import MOST_OWNERS, Index, token
from spiritsafe.model import Indicator

INLINE = Inline()
NONE = np.zeros(0, np.uint64)


def indicator(number: int, kind: str, values: list[int] | list[str], least: int = 1) -> Indicator:
    texts = tuple(value if isinstance(value, str) else f"{value:016x}" for value in values)
    return Indicator(f"i-{number}", f"c-{number}", kind, texts, least, 0)  # type: ignore[arg-type]


def sketch_of(anchors: list[int], system: list[int] | None = None, skeleton: int = 0) -> Sketch:
    return Sketch(
        exact=1,
        skeleton=skeleton,
        item=0,
        marks=0,
        anchors=np.array(sorted(set(anchors)), np.uint64),
        projection=b"",
        prompt_chars=0,
        tokens=0,
        lines=0,
        script=0,
        system_marks=0,
        system_skeleton=0,
        system_anchors=np.array(sorted(set(system or [])), np.uint64),
    )


small = st.integers(1, 12)
lists = st.lists(st.tuples(st.lists(small, max_size=8), st.integers(1, 4)), max_size=30)


@settings(max_examples=300, deadline=None)
@given(lists, st.lists(small, max_size=8), st.lists(small, max_size=8))
def test_it_finds_what_sets_find(known: list[tuple[list[int], int]], anchors: list[int], system: list[int]):
    index = Index([indicator(n, "template", values, least) for n, (values, least) in enumerate(known)])
    expected = [
        n for n, (values, least) in enumerate(known) if len(set(values) & {*anchors, *system}) >= least
    ]
    for _ in range(2):  # nothing is left behind by the call before
        assert list(index.match(sketch_of(anchors, system), now=1)) == expected


def test_kinds_do_not_answer_for_each_other():
    index = Index([indicator(n, kind, [7]) for n, kind in enumerate(("template", "skeleton", "minhash"))])
    assert index.match(sketch_of([7]), now=1) == (0,)
    assert index.match(sketch_of([], skeleton=7), now=1) == (1,)


def test_devices_and_networks_are_told_by_their_tokens():
    index = Index(
        [
            indicator(0, "device", [token("d-1")]),
            indicator(1, "network", [token("10.0.0.1"), token("10.0.0.2")]),
        ]
    )
    assert index.match(None, device="d-1", network="10.0.0.2", now=1) == (0, 1)
    assert index.match(None, device="10.0.0.1", network="d-1", now=1) == ()


def test_an_indicator_holds_only_in_its_time():
    one = Indicator("i", "c", "template", ("0000000000000007",), 1, 10, 20)
    index = Index([one])
    assert [index.match(sketch_of([7]), now=now) for now in (9, 10, 19, 20)] == [(), (0,), (0,), ()]


def test_a_key_that_everybody_has_is_left_out_and_said():
    index = Index([indicator(n, "template", [5, 1000 + n]) for n in range(MOST_OWNERS + 1)])
    assert index.left_out == 1
    assert index.match(sketch_of([5]), now=1) == ()
    assert index.match(sketch_of([5, 1003]), now=1) == (3,)


def test_many_owners_of_few_keys_are_all_found():
    index = Index([indicator(n, "template", [5]) for n in range(MOST_OWNERS)])
    assert index.match(sketch_of([5]), now=1) == tuple(range(MOST_OWNERS))


def test_a_value_that_is_no_number_names_its_indicator():
    with pytest.raises(ValueError, match="i-3"):
        Index([indicator(3, "template", ["xyz"])])


def test_a_million_keys_fit_and_match_only_themselves():
    rng = np.random.default_rng(0)
    keys = rng.integers(1, 2**64 - 1, 1_000_000, dtype=np.uint64).tolist()
    index = Index([indicator(n, "template", keys[20 * n : 20 * n + 20], 2) for n in range(50_000)])
    assert index.bytes <= 40_000_000
    for n in (0, 77, 49_999):
        assert index.match(sketch_of(keys[20 * n : 20 * n + 2]), now=1) == (n,)
        assert index.match(sketch_of([keys[20 * n], 3, 4]), now=1) == ()


def test_a_request_that_is_in_no_indicator_matches_none():
    index = Index([indicator(0, "template", [1, 2, 3])])
    assert index.match(INLINE.sketch("Tell me about otters", "Be brief."), now=1) == ()
