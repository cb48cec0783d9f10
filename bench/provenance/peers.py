"""Other tools beside these tests, on the same answers of the same models: how often each says "derived", and "another model".

A tool gets the same number of answers as each test here. A set of answers is disjoint from the others of its model; for tests
that rest on our randomness each set has a key or coins of its own where nobody was trained on them.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from scipy.stats import norm

from provenance import gpt, text
from provenance.bed import ANSWER, INDEPENDENT, PROMPT
from provenance.measure import HEARD
from spiritsafe.provenance._once import keeping
from spiritsafe.provenance._subject import ANSWERS, Subject, Teacher
from spiritsafe.provenance.equality import equality
from spiritsafe.provenance.radioactivity import radioactivity
from spiritsafe.provenance.twins import twins

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from provenance.measure import Desk
    from spiritsafe.marking.keys import MarkKey

HERE = Path(__file__).parents[1]
ALPHA, LOOSE = 0.01, 0.05
DERIVED = ("green-100", "green-25", "green-5", "canaries-100-reworded")
SETS = ((156, 20), (468, 6))
"""Answers of a set (of 64 tokens), and how many disjoint sets of each model."""
PAIRS = 300
"""Pairs that twins by text look at: they are not asked of the suspect."""
SIMILAR = 0.80
"""From here on knowlyr-modelaudit's ``dli`` says "derived" (its ``compare``)."""
SURE = 4.0
"""MarkLLM's own threshold of z."""
SAME = "teacher"
OTHERS = ("sibling", "green-100", "plain-100", "base", "other")
PROMPTS, EACH, TIMES, OFTENER = 50, 2, 20, 90
"""Of a test of identity: prompts, answers to each from both sides; how many tests of each model, and of the teacher itself."""


class Peers:
    """Interpreters of the peers, by name."""

    def __init__(self, python: Path) -> None:
        self.python = python

    def tell(self, script: str, given: Any) -> Any:
        """What a peer's script prints of what it is given."""
        path = os.pathsep.join([str(HERE.parent / "src"), os.environ.get("PYTHONPATH", "")])
        ended = subprocess.run(
            [str(self.python), str(HERE / script)],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        return json.loads(ended.stdout)


def derivation(desk: Desk, peers: Peers, seed: int) -> Iterator[dict[str, Any]]:
    """Each tool's share of "derived", by model and number of answers."""
    bed = desk.bed
    own = bed.key("green")
    if own is None:
        return
    truth = bed.spoken("teacher")
    for name, (many, sets) in product((*DERIVED, *INDEPENDENT), SETS):
        derived = name in DERIVED
        rng = np.random.default_rng([seed, len(name), many])
        said = bed.spoken(name)
        # A key of nobody's for each set: one key on thirty sets of one model would be one try.
        keys = [own] * sets if derived else list(desk.others(own, sets))
        taught = bed.taught(name) if derived else 8_000
        control = desk.speaking("base" if name != "base" else "human", HEARD)
        whole = desk.speaking(name, len(said) * ANSWER)
        hits: dict[str, list[bool]] = {}
        ids: list[dict[str, Any]] = []
        texts: dict[str, list[str]] = {}
        with keeping():
            for at, key in enumerate(keys):
                mine = np.arange(at * many, (at + 1) * many)
                suspect = replace(whole, answers=whole.answers.take(pa.array(mine)))
                for test, p in _ours(desk, name, suspect, control, key, taught, many, rng):
                    hits.setdefault(test, []).append(p <= ALPHA)
                ids.append({"key": key.secret.hex(), "ids": said[mine, PROMPT:].ravel().tolist()})
                texts[f"suspect {at}"] = suspect.answers["text"].to_pylist()
                texts[f"teacher {at}"] = bed.words.decode(truth[mine, PROMPT:])
        scores: list[float] = peers.tell(
            "peer_markllm.py", {"vocabulary": text.VOCABULARY, "share": own.share, "runs": ids}
        )
        hits["MarkLLM KGW, p ≤ 1 % by its z"] = [bool(norm.sf(z) <= ALPHA) for z in scores]
        hits["MarkLLM KGW, z > 4"] = [z > SURE for z in scores]
        alike = peers.tell("peer_knowlyr.py", texts)
        hits["knowlyr-modelaudit dli"] = [
            alike[f"suspect {at}"]["dli"][f"teacher {at}"] >= SIMILAR for at in range(sets)
        ]
        for test, said_so in hits.items():
            yield {
                "suspect": name, "derived": derived, "answers": many, "test": test, "found": sum(said_so),
                "sets": len(said_so),
            }  # fmt: skip


def _ours(
    desk: Desk,
    name: str,
    suspect: Subject,
    control: Subject,
    key: MarkKey,
    taught: int,
    many: int,
    rng: np.random.Generator,
) -> Iterator[tuple[str, float]]:
    """The p-values of the tests here on one set of answers, or of as many requests for a score."""
    teacher = Teacher("teacher", keys=(key,), tokenizer=desk.bed.words)
    yield "radioactivity, text", radioactivity(suspect, teacher, (control,), seed=0, fresh=0).p_value
    coins = int(rng.integers(1 << 30))
    rows = rng.choice(taught, min(PAIRS, taught), replace=False)
    paired = desk.teacher("green", rows, seed=coins, scored=False)
    yield "twins, text", twins(suspect, paired, (control,), seed=0, access="text").p_value
    # A pair is two requests for a score.
    rows = rng.choice(taught, many // 2, replace=False)
    paired = desk.teacher("green", rows, seed=coins)
    yield (
        "twins, log-probabilities",
        twins(desk.scoring(name, "green", paired, rows), paired, (), seed=0).p_value,
    )


def identity(desk: Desk, peers: Peers, seed: int) -> Iterator[dict[str, Any]]:
    """How often `equality` and model-equality-testing tell a model from the teacher, with the same answers."""
    bed = desk.bed
    size = PROMPTS * EACH
    numbers = (np.arange(size) // EACH).tolist()

    def rows(name: str, draw: int, times: int) -> list[str]:
        prompts = np.repeat(bed.prompts("held", PROMPTS * times)[0], EACH, axis=0)
        return bed.words.decode(gpt.sample(bed.model(name), prompts, ANSWER, seed=seed + 100 + draw))

    for draw, name in enumerate((SAME, *OTHERS), 1):
        times = OFTENER if name == SAME else TIMES
        suspect, teacher = rows(name, draw, times), rows(SAME, 0, times)
        sets = [slice(at * size, (at + 1) * size) for at in range(times)]
        theirs: list[float] = peers.tell(
            "peer_equality.py",
            [{"prompts": [numbers, numbers], "texts": [suspect[one], teacher[one]]} for one in sets],
        )
        ours = [
            equality(
                Subject(name, answers=_answers(suspect[one])),
                Teacher("teacher", answers=_answers(teacher[one]), tokenizer=bed.words),
                (),
                seed=seed,
            ).p_value
            for one in sets
        ]
        for tool, p in (("equality", ours), ("model-equality-testing", theirs)):
            yield {
                "suspect": name, "same": name == SAME, "test": tool, "answers": size, "tests": times,
                "below": {f"{level}": int(sum(one <= level for one in p)) for level in (LOOSE, ALPHA)},
            }  # fmt: skip


def _answers(texts: Sequence[str]) -> pa.Table:
    return pa.table(
        {
            "prompt_id": [f"p{n // EACH}" for n in range(len(texts))],
            "sample": pa.array(np.arange(len(texts), dtype=np.int32) % EACH),
            "prompt": [f"p{n // EACH}" for n in range(len(texts))],
            "text": pa.array(texts, pa.string()),
            "status": ["ok"] * len(texts),
        },
        schema=ANSWERS,
    )


def everything(desk: Desk, python: Path, seed: int) -> Iterator[dict[str, Any]]:
    """Both tables, the rows of each named by what was asked."""
    peers = Peers(python)
    for asked, rows in (("derived", derivation), ("another model", identity)):
        for row in rows(desk, peers, seed):
            yield {"asked": asked, **row}
