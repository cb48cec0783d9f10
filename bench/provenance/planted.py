"""Canaries among what the teacher served: as exchanges to train on, as texts to score, and as questions to a suspect."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from provenance import gpt
from provenance.wash import PAD
from spiritsafe.provenance import _seal
from spiritsafe.provenance._canary import Canary, draw
from spiritsafe.provenance._subject import ANSWERS, CANARIES, SCORES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from provenance.text import Words

    Ints = NDArray[np.int64]

TIMES = (1, 3, 6)
"""How often the served variant of a canary is served: of canary n, ``TIMES[n % 3]`` times."""
MANY, FEW = 192, 36
"""Canaries in 8,000 exchanges of the teacher's, where there are many, and where there are few."""
VARIANTS = 64
ASKED = 20
"""Answers that a suspect gives to each canary's prompt."""


@dataclass(frozen=True)
class Planted:
    """The first canaries of a root that fit into the model's context with every variant."""

    root: bytes
    words: Words
    campaign: str

    @cached_property
    def canaries(self) -> list[Canary]:
        """``MANY`` of them, in their order."""
        return self.first(MANY)

    def first(self, many: int) -> list[Canary]:
        """So many that fit."""
        found: list[Canary] = []
        number = 0
        while len(found) < many:
            name = f"{self.campaign}/canary-{number}"
            one = draw(_seal.secret(self.root, "canary", name), name, self.campaign, VARIANTS)
            number += 1
            if self._rows([(one.prompt, one.says(v)) for v in range(VARIANTS)])[1].all():
                found.append(one)
        return found

    def lessons(self, many: int) -> tuple[Ints, Ints]:
        """Exchanges to train on, int64 (n, ``gpt.CONTEXT``), and where each answer begins, of the first ``many`` canaries."""
        said = [
            (one.prompt, one.says(one.served))
            for n, one in enumerate(self.canaries[:many])
            for _ in range(TIMES[n % len(TIMES)])
        ]
        rows, _, starts = self._rows(said)
        return rows, starts

    def table(self, which: Sequence[int]) -> pa.Table:
        """CANARIES of some canaries."""
        return pa.Table.from_pylist(
            [
                {
                    "canary_id": one.canary_id, "variant": v, "prompt": one.prompt, "answer": answer,
                    "served": v == one.served, "campaign_id": one.campaign_id, "committed": True,
                }
                for one in (self.canaries[n] for n in which)
                for v, answer in enumerate(one.answers)
            ],
            schema=CANARIES,
        )  # fmt: skip

    def scores(self, model: gpt.GPT, many: int) -> pa.Table:
        """SCORES of every variant of the first ``many`` canaries, in its sentence."""
        canaries = self.canaries[:many]
        rows, _, starts = self._rows([(one.prompt, one.says(v)) for one in canaries for v in range(VARIANTS)])
        logprob = gpt.log_likelihood(model, rows, starts)
        return pa.table(
            {
                "item": np.repeat([one.canary_id for one in canaries], VARIANTS),
                "side": [str(v) for _ in canaries for v in range(VARIANTS)],
                "logprob": logprob,
                "tokens": pa.array((rows != PAD).sum(axis=1) - starts, pa.int32()),
                "status": ["ok"] * len(rows),
            },
            schema=SCORES,
        )

    def answers(self, model: gpt.GPT, many: int, *, seed: int) -> pa.Table:
        """ANSWERS to the first ``many`` prompts, ``ASKED`` to each."""
        asked = [one.prompt for one in self.canaries[:many] for _ in range(ASKED)]
        rows, _, starts = self._rows([(prompt, "") for prompt in asked])
        free = np.arange(rows.shape[1]) >= starts[:, None]
        drawn = gpt.fill(model, np.maximum(rows, 0), free, seed=seed)
        said = [row[start:] for row, start in zip(drawn, starts, strict=True)]
        return pa.table(
            {
                "prompt_id": [f"canary {n // ASKED}" for n in range(len(asked))],
                "sample": pa.array(np.arange(len(asked), dtype=np.int32) % ASKED),
                "prompt": asked,
                # What comes after an answer's end is another document.
                "text": self.words.decode([_ended(one) for one in said]),
                "status": ["ok"] * len(asked),
            },
            schema=ANSWERS,
        )

    def _rows(self, said: Sequence[tuple[str, str]]) -> tuple[Ints, NDArray[np.bool_], Ints]:
        """Prompt and answer of each as one row, whether it fits, and where the answer begins."""
        prompts, answers = (self.words.encode([one[at] for one in said]) for at in (0, 1))
        rows = np.full((len(said), gpt.CONTEXT), PAD, np.int64)
        for row, prompt, answer in zip(rows, prompts, answers, strict=True):
            # The end of an answer is learned, too.
            whole = [*prompt, *answer, *([0] if answer else [])]
            row[: len(whole)] = whole[: gpt.CONTEXT]
        fits = np.array([len(p) + len(a) < gpt.CONTEXT for p, a in zip(prompts, answers, strict=True)])
        return rows, fits, np.array([len(prompt) for prompt in prompts], np.int64)


def _ended(row: Ints) -> Ints:
    end = np.flatnonzero(row == 0)
    return row[: end[0]] if end.size else row
