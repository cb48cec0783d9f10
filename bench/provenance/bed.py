"""What is trained: teachers, the exchanges they served, students at every exposure, and models that never saw them.

Everything is made once into the work folder, each file whole or not there.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer

from provenance import gpt, text, wash
from provenance.planted import FEW, MANY, Planted
from spiritsafe.marking.keys import MarkKey, derive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

PROMPT, ANSWER = 16, 64
EXCHANGES = 8_000
"""Exchanges that each student is fine-tuned on."""
TOKENS = 4_000_000
"""Tokens that teachers and the students' base are trained on."""
EPOCHS = 3
"""How often each is shown, as Alpaca and Vicuna were fine-tuned."""
SPOKEN = 300_000
"""Tokens that each suspect is asked for, in answers to prompts that no student was trained on."""
ROOT = bytes(range(32))
WASHED = 0.25


@dataclass(frozen=True)
class Student:
    """How a suspect was made.

    base: which model it begins from. teacher: whose answers ("green", "gumbel", "plain": served by the teacher with that
    mark; "second": as "green", to another campaign; "other": by the other teacher; "human": the documents' own
    continuations). exposure: share of its exchanges that are the teacher's, the rest human. second: whose the rest is
    instead. washed: share of answer tokens replaced by others. after: exchanges of human text it is fine-tuned on
    afterwards. canaries: so many are planted in the last of the teacher's exchanges. way: how the teacher's answers were washed
    before, one of ``WAYS``.
    """

    teacher: str
    exposure: float = 1.0
    base: str = "base"
    second: str = "human"
    washed: float = 0.0
    after: int = 0
    canaries: int = 0
    way: str = ""


STUDENTS: dict[str, Student] = {
    **{f"green-{round(100 * share)}": Student("green", share) for share in (1.0, 0.25, 0.10, 0.05, 0.01)},
    **{f"gumbel-{round(100 * share)}": Student("gumbel", share) for share in (1.0, 0.25)},
    "plain-100": Student("plain"),
    "green-100-washed": Student("green", washed=WASHED),
    "green-100-after": Student("green", after=4_000),
    "green-50-other-50": Student("green", 0.5, second="other"),
    "other-100": Student("other"),
    "human": Student("human"),
}
#: The same exposures with canaries among what was served: as many fewer as the teacher served less, and a fixed number.
SOWN: dict[str, Student] = {
    **{
        f"canaries-{share}": Student("green", share / 100, canaries=many)
        for share, many in ((100, 192), (25, 48), (10, 18), (5, 9))
    },
    **{f"few-canaries-{share}": Student("green", share / 100, canaries=FEW) for share in (100, 25, 5)},
}
#: Ways to wash all of the teacher's answers, canaries included.
WAYS: dict[str, str] = {
    "reworded": "synonyms for every word that has one, clauses in a new order",
    "shuffled": "sentences and lines in a new order",
    "cut": "the first half of each answer",
    "retold": "every second run of eight tokens told anew by a model that never saw the teacher (`human`)",
    "twice": "answers of a first copy (`canaries-100`) to the same prompts: a copy of a copy",
}
WASHES: dict[str, Student] = {
    **{f"canaries-100-{way}": Student("green", canaries=MANY, way=way) for way in WAYS},
    "canaries-10-other-90": Student("green", 0.10, second="other", canaries=18),
}
#: A student of two campaigns of one teacher.
BOTH = "green-50-second-50"
FURTHER: dict[str, Student] = {**SOWN, **WASHES, BOTH: Student("green", 0.5, second="second")}
#: Models that never saw the teacher's answers, and in what they are near to it.
INDEPENDENT: dict[str, str] = {
    "base": "the students' base, other documents of the same kind",
    "human": "the same prompts and data, without the teacher",
    "sibling": "the teacher's family: the same data, another seed",
    "other": "another teacher, other data of another era",
    "other-100": "a student of another teacher",
}


EVERY: dict[str, Student] = {**STUDENTS, **FURTHER}


class Bed:
    """The work folder. ``told`` is called with one line at each thing made."""

    def __init__(self, folder: Path, told: Callable[[str], None], *, seed: int = 0) -> None:
        self.folder, self.told, self.seed = folder, told, seed
        folder.mkdir(parents=True, exist_ok=True)
        halves = {half: text.documents(half) for half in text.HALVES}
        train, _ = text.halves(halves["a"])
        path = folder / "tokenizer.json"
        if not path.exists():
            _whole(path, lambda at: text.train_tokenizer(train).save(str(at)))
        self.inner = Tokenizer.from_file(str(path))
        self.words = text.Words(self.inner)
        self.text = {
            "teacher": train[0::2], "sibling": train[0::2], "base": train[1::2], "other": text.halves(halves["b"])[0],
        }  # fmt: skip
        self._asked = train
        self.planted = Planted(ROOT, self.words, "c-green")

    def model(self, name: str) -> gpt.GPT:
        """A trained model by name: a base model or a student."""
        path = self.folder / f"{name}.pt"
        model = gpt.GPT()
        if not path.exists():
            torch.manual_seed(_seed(self.seed, name))
            made = self._student(name) if name in EVERY else self._base(name)
            _whole(path, lambda at: torch.save(made.state_dict(), at))
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()

    def _base(self, name: str) -> gpt.GPT:
        model = gpt.GPT()
        ids = text.stream(self.inner, self.text[name])
        steps = TOKENS // (48 * gpt.CONTEXT)
        loss = gpt.train(
            model, gpt.windows(ids, rows=48, seed=_seed(self.seed, name)), steps=steps, rate=3e-3
        )
        self.told(f"{name}: loss {loss:.3f} after {steps} steps over {len(ids):,} tokens")
        return model

    def _student(self, name: str) -> gpt.GPT:
        how = EVERY[name]
        model = self.model(how.base)
        ids = self.lesson(name)
        for rows, rate in (
            (ids, 1e-3),
            (self.served("human")["served"][-how.after :] if how.after else ids[:0], 1e-3),
        ):
            if len(rows):
                steps = EPOCHS * len(rows) // 48
                batches = gpt.rows_of(rows, PROMPT, rows=48, seed=_seed(self.seed, name))
                loss = gpt.train(model, batches, steps=steps, rate=rate)
                self.told(f"{name}: loss {loss:.3f} after {steps} steps over {len(rows):,} exchanges")
        return model

    def taught(self, name: str) -> int:
        """How many of the exchanges, from the first, a student had from the teacher, without canaries."""
        how = EVERY[name]
        sown = len(self.planted.lessons(how.canaries)[0]) if how.canaries else 0
        return round(how.exposure * EXCHANGES) - sown if how.teacher != "human" else 0

    def lesson(self, name: str) -> Ints:
        """The exchanges a student was fine-tuned on, int64 (n, prompt + answer)."""
        how = EVERY[name]
        many = self.taught(name)
        rows = self.served(how.second)["served"].copy()
        rows[:many] = self.served(how.teacher)["served"][:many]
        if how.canaries:
            served, starts = self.given(name)
            rows[: len(served)] = (
                self._told(how.way, served, starts, _seed(self.seed, name)) if how.way else served
            )
        if how.washed:
            rng = np.random.default_rng(_seed(self.seed, name))
            gone = rng.random((len(rows), ANSWER)) < how.washed
            rows[:, PROMPT:][gone] = rng.integers(1, text.VOCABULARY, int(gone.sum()))
        return rows

    def given(self, name: str) -> tuple[Ints, Ints]:
        """What the teacher gave to a student with canaries, before it was washed, and where each answer begins."""
        how, many = EVERY[name], self.taught(name)
        sown, starts = self.planted.lessons(how.canaries)
        rows = np.concatenate([self.served(how.teacher)["served"][:many], sown])
        return rows, np.concatenate([np.full(many, PROMPT), starts])

    def _told(self, way: str, rows: Ints, starts: Ints, seed: int) -> Ints:
        rng = np.random.default_rng(seed)
        if way == "reworded":
            return wash.reworded(rows, starts, self.words, rng)
        if way == "shuffled":
            return wash.shuffled(rows, starts, self.words, rng)
        if way == "cut":
            return wash.cut(rows, starts)
        by = self.model("canaries-100" if way == "twice" else "human")
        return wash.retold(rows, starts, by, seed=seed, whole=way == "twice")

    def key(self, scheme: str) -> MarkKey | None:
        """The campaign's key for a kind of answers; None for those without a mark."""
        if scheme not in ("green", "gumbel", "second"):
            return None
        # One token of context, since a model with a thousand tokens learns pairs as one of a hundred thousand learns triples.
        drawn = "gumbel" if scheme == "gumbel" else "green"
        return derive(ROOT, f"c-{scheme}", 0, scheme=drawn, width=1, share=0.25, strength=2.0)

    def served(self, kind: str) -> dict[str, Ints]:
        """Served and ghost exchanges of a kind: "served" and "ghost" int64 (EXCHANGES, prompt + answer).

        Both are drawn by the same sampler, so that nothing but the coin says which is which; "human" has no ghosts.
        """
        path = self.folder / f"served-{kind}.npz"
        if not path.exists():
            prompts, truth = self.prompts("train", EXCHANGES)
            if kind == "human":
                made = {"served": np.concatenate([prompts, truth], axis=1)}
            else:
                teacher, key = self.model("other" if kind == "other" else "teacher"), self.key(kind)
                made = {}
                for number, side in enumerate(("served", "ghost")):
                    drawn = gpt.sample(
                        teacher,
                        prompts,
                        ANSWER,
                        seed=_seed(self.seed, kind) + number,
                        keys=key and [key] * EXCHANGES,
                    )
                    made[side] = np.concatenate([prompts, drawn], axis=1)
            _whole(path, lambda at: _savez(at, made))
            self.told(f"served: {kind}")
        with np.load(path) as kept:
            return {side: kept[side] for side in kept.files}

    def spoken(self, name: str) -> Ints:
        """What a model answers to held-out prompts, int64 (n, prompt + answer)."""
        path = self.folder / f"spoken-{name}.npz"
        if not path.exists():
            prompts, _ = self.prompts("held", SPOKEN // ANSWER)
            drawn = gpt.sample(self.model(name), prompts, ANSWER, seed=_seed(self.seed, name, "spoken"))
            _whole(path, lambda at: _savez(at, {"rows": np.concatenate([prompts, drawn], axis=1)}))
            self.told(f"spoken: {name}")
        with np.load(path) as kept:
            return kept["rows"]

    def table(self, name: str, make: Callable[[], pa.Table]) -> pa.Table:
        """A table that is made once into the folder."""
        path = self.folder / f"{name}.parquet"
        if not path.exists():
            made = make()
            _whole(path, lambda at: pq.write_table(made, at))
            self.told(f"table: {name}")
        return pq.read_table(path)

    def prompts(self, which: str, many: int) -> tuple[Ints, Ints]:
        """Prompts and the documents' own continuations; "train" and "held" share no place of a document."""
        rng = np.random.default_rng(_seed(self.seed, which))
        ids = text.stream(self.inner, self._asked)
        # Even places for training, odd ones for questions: two halves of the same documents never overlap.
        span = PROMPT + ANSWER
        slots = np.arange(0 if which == "train" else 1, len(ids) // span - 1, 2)
        at = rng.permutation(slots)[:many, None] * span + np.arange(span)
        rows = ids[at]
        return rows[:, :PROMPT], rows[:, PROMPT:]


def _seed(*parts: object) -> int:
    return int(
        np.random.SeedSequence([*json.dumps([str(one) for one in parts]).encode()]).generate_state(1)[0]
    )


def _savez(path: Path, arrays: dict[str, Ints]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _whole(path: Path, write: Callable[[Path], Any]) -> None:
    part = path.with_name(path.name + ".part")
    write(part)
    os.replace(part, path)  # noqa: PTH105 - atomic, and says so


def everything(bed: Bed) -> None:
    """Train and sample all that the tables need, cheapest independent parts first."""
    for name in ("teacher", "base"):
        bed.model(name)
    for kind in ("human", "green"):
        bed.served(kind)
    for name in (*STUDENTS, *INDEPENDENT, *FURTHER):
        bed.model(name)
        bed.spoken(name)
    bed.spoken("teacher")
