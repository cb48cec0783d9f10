"""What a run keeps is made once, is known again by what it was made of, and changes no result by a bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from spiritsafe.marking.choice import Words
from spiritsafe.marking.keys import derive
from spiritsafe.provenance._heard import heard
from spiritsafe.provenance._once import keeping, once, once_of_texts
from spiritsafe.provenance._reruns import false_labels
from spiritsafe.provenance._subject import ANSWERS, PAIRS, Subject, Teacher
from spiritsafe.provenance.radioactivity import radioactivity
from spiritsafe.provenance.tracing import tracing
from spiritsafe.provenance.twins import twins
from spiritsafe.simulate import load_corpus

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXTS = [str(text) for pool in load_corpus().pools.values() for text in pool.prompts.to_pylist()]


class Counted(Words):
    """The word tokenizer, which counts the texts that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        self.given += len(texts)
        return super().encode(texts)


def said(name: str, first: int) -> Subject:
    texts = TEXTS[first : first + 40]
    many = len(texts)
    columns = [[f"p-{n}" for n in range(many)], [0] * many, ["say it"] * many, texts, ["ok"] * many]
    arrays = [pa.array(one, field.type) for one, field in zip(columns, ANSWERS, strict=True)]
    return Subject(name, pa.Table.from_arrays(arrays, schema=ANSWERS), group=name)


def teacher(tokenizer: Words) -> Teacher:
    coin = np.random.default_rng(3).integers(0, 2, 60)
    pairs = [
        {
            "pair_id": f"b-{n}", "prompt": "say it", "first": TEXTS[200 + n], "second": TEXTS[300 + n], "coin": int(c),
            "campaign_id": f"c-{n % 2}", "committed": True, "snapshot": "1", "ghost_snapshot": "1",
        }
        for n, c in enumerate(coin)
    ]  # fmt: skip
    root = bytes(32)
    return Teacher(
        "ours", pairs=pa.Table.from_pylist(pairs, schema=PAIRS), tokenizer=tokenizer,
        keys=tuple(derive(root, f"c-{n}", 0, width=1 + n) for n in range(2)),
        decoys=tuple(derive(root, f"decoy/{n}", 0) for n in range(6)),
    )  # fmt: skip


def findings(tokenizer: Words) -> list[object]:
    """Every test of labels on a suspect and a control, and under false labels, as a run does it."""
    suspect, ours = said("s", 0), teacher(tokenizer)
    controls = [said("one", 50), said("two", 100)]
    found: list[object] = []
    for test, needs in ((twins, ("pairs",)), (radioactivity, ("keys",)), (tracing, ("keys", "pairs"))):
        found.append(test(suspect, ours, controls, seed=1))
        found.append(test(controls[0], ours, controls[1:], seed=1))
        for seed in range(3):
            false = false_labels(ours, needs, seed=seed)
            assert false is not None
            found.append(test(suspect, false, controls, seed=1))
    return found


def test_a_run_is_the_same_to_the_last_bit_and_reads_each_text_once():
    anew, again = Counted(), Counted()
    without = findings(anew)
    with keeping():
        kept = findings(again)
    assert kept == without
    # Three models' texts, the prompts that they share, both sides of the pairs, and of each campaign's.
    assert again.given == 3 * 40 + 40 + 2 * 60 + 2 * 60
    assert anew.given > 5 * again.given


def test_nothing_is_kept_outside_and_nothing_from_one_run_to_the_next():
    made: list[int] = []
    thing = object()

    def make() -> int:
        made.append(1)
        return len(made)

    assert [once("x", (thing,), make) for _ in range(2)] == [1, 2]
    for first in (3, 6):
        with keeping():
            assert [once("x", (thing,), make) for _ in range(3)] == [first] * 3
            assert [once("y", (thing,), make), once("x", (thing,), make, by=(1,))] == [first + 1, first + 2]
    with keeping():
        outer = once("x", (thing,), make)
        with keeping():
            assert once("x", (thing,), make) == outer + 1
        assert once("x", (thing,), make) == outer


def test_texts_are_known_by_content_and_objects_by_identity_while_they_are_held():
    column = pa.chunked_array([["a", None], ["b"]])
    with keeping():
        whole = once_of_texts("t", column, (), object)
        same = pa.table({"x": pa.chunked_array([["z", "a"], [None], ["b"]])}).slice(1)["x"]
        assert once_of_texts("t", same, (), object) is whole
        for other in (["a", "", "b"], ["a", None, "b", "c"], ["a", None, "c"], ["ab", None, ""]):
            assert once_of_texts("t", pa.array(other), (), object) is not whole
        # An object that is gone may leave its identity to another: what a value was made of is held, so that none can.
        values = {id(once("o", ([n],), object)) for n in range(50)}
        assert len(values) == 50


def test_what_breaks_is_not_kept():
    def broken() -> int:
        raise ValueError("no")

    with keeping():
        with pytest.raises(ValueError, match="no"):
            once("x", (), broken)
        assert once("x", (), lambda: 5) == 5


def test_a_key_is_looked_for_once_under_any_name():
    suspect, tokenizer = said("s", 0), Words()
    ring = [derive(bytes(32), f"c-{n}", 0) for n in range(5)]
    one = heard(suspect, (), tokenizer, [3])
    first = one.evidence(ring)
    renamed = [derive(bytes(32), f"c-{n}", 0) for n in reversed(range(5))]
    assert one.evidence([*renamed, ring[0]]) == [*reversed(first), first[0]]
    assert one.evidence(ring)[2] is first[2]
    assert heard(suspect, (), tokenizer, [3]).evidence(ring) == first
