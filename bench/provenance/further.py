"""Further tables: canaries, washed answers, a student of two campaigns, and power by text, of canaries and of tracing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from provenance import wash
from provenance.bed import ANSWER, BOTH, EVERY, EXCHANGES, SOWN, STUDENTS, WASHES
from provenance.measure import CONTROL, HEARD, KEYS, PAIRED, TRIES, WORDS, alike, points
from provenance.planted import FEW, MANY, TIMES, VARIANTS
from spiritsafe.provenance._once import keeping
from spiritsafe.provenance._subject import CANARIES, Subject, Teacher
from spiritsafe.provenance.canaries import canaries
from spiritsafe.provenance.radioactivity import radioactivity
from spiritsafe.provenance.tracing import tracing
from spiritsafe.provenance.twins import twins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from provenance.measure import Desk

BASELINE = "canaries-100"
OFTEN = TIMES[1]
"""How often the canaries of a power curve were served."""
SAID = 100_000
"""Tokens that the suspect says, where the power of twins by text is measured."""
INNOCENT = ("human", "other-100")


def sown(desk: Desk, seed: int) -> Iterator[dict[str, Any]]:
    """Canaries in students at every exposure, and in models that never met them: by how often each was served."""
    for name in (*SOWN, *INNOCENT):
        with keeping():
            told = _Canaries(desk, name, seed)
            for times in (*TIMES, 0):
                which = told.which(times)
                for access in ("logprobs", "text"):
                    found = told.found(which, access, seed)
                    yield {
                        "suspect": name, "times": times, "access": access, "canaries": len(which), "n": found.n,
                        "log10_p": round(found.log10_p, 2), "bits": round(found.effect, 3),
                    }  # fmt: skip


class _Canaries:
    """What a model says and scores of the canaries that a student at its exposure was taught; made once into the bed."""

    def __init__(self, desk: Desk, name: str, seed: int) -> None:
        self.planted, bed = desk.bed.planted, desk.bed
        self.many = EVERY[name].canaries or MANY
        self.suspect = Subject(
            name,
            answers=bed.table(
                f"canaries-said-{name}-{seed}",
                lambda: self.planted.answers(bed.model(name), self.many, seed=seed),
            ),
            scores=bed.table(
                f"canaries-scored-{name}", lambda: self.planted.scores(bed.model(name), self.many)
            ),
        )
        scored = bed.table(
            f"canaries-scored-{CONTROL}",
            lambda: self.planted.scores(bed.model(CONTROL), MANY),
        )
        self.control = Subject(CONTROL, scores=scored)

    def which(self, times: int) -> list[int]:
        """The canaries that were served so often; 0: all."""
        return [n for n in range(self.many) if times in (0, TIMES[n % len(TIMES)])]

    def found(self, which: list[int], access: str, seed: int) -> Any:
        """The finding on some canaries by one access."""
        suspect = (
            replace(self.suspect, scores=self.suspect.scores.slice(0, 0))
            if access == "text"
            else self.suspect
        )
        table = self.planted.table(which) if which else CANARIES.empty_table()
        return canaries(suspect, Teacher("teacher", canaries=table), (self.control,), seed=seed)


def washing(desk: Desk, seed: int) -> Iterator[dict[str, Any]]:
    """Every test on students of washed answers, and on the one that got them as they were."""
    control = desk.speaking(CONTROL, max(WORDS))
    for name in (BASELINE, *WASHES):
        served, starts = desk.bed.given(name)
        lesson = desk.bed.lesson(name)[: len(served)]
        taught, tokens = desk.bed.taught(name), max(WORDS)
        suspect = desk.speaking(name, tokens)
        row: dict[str, Any] = {"suspect": name, "kept": round(wash.kept(served, lesson, starts), 3)}
        with keeping():
            for many in sorted({min(300, taught), min(max(PAIRED), taught)}):
                rows = np.arange(many)
                for beside, scored in (("", False), (" beside teacher", True)):
                    teacher = desk.teacher("green", rows, seed=seed, scored=scored)
                    found = twins(desk.scoring(name, "green", teacher, rows), teacher, (), seed=seed)
                    row[f"{many} pairs{beside}"] = round(found.log10_p, 2)
            rows = np.arange(min(max(PAIRED), taught))
            teacher = desk.teacher("green", rows, seed=seed, scored=False)
            row["pairs"] = len(rows)
            row["twins by text"] = round(
                twins(suspect, teacher, (control,), seed=seed, access="text").log10_p, 2
            )
            row["mark by text"] = round(
                radioactivity(suspect, teacher, (control,), seed=seed, fresh=0).log10_p, 2
            )
            many = replace(teacher, keys=(*teacher.keys, *desk.others(teacher.keys[0], KEYS - 1)))
            row["named"] = tracing(suspect, many, (control,), seed=seed, pairs=None).campaign_id
            sown = _Canaries(desk, name, seed)
            for access in ("logprobs", "text"):
                found = sown.found(sown.which(0), access, seed)
                row[f"canaries by {access}"] = round(found.log10_p, 2)
            row["canaries"] = sown.many
            same = alike(desk, name, seed)
            row["equality"], row["identity"] = round(same.log10_p, 2), same.verdict
        yield row


def campaigns(desk: Desk, seed: int) -> Iterator[dict[str, Any]]:
    """A student of two campaigns, by the keys of a thousand and by the pairs of both."""
    bed = desk.bed
    half = round(EVERY[BOTH].exposure * EXCHANGES)
    own, second = desk.bed.key("green"), desk.bed.key("second")
    if own is None or second is None:
        return
    for tokens in (30_000, *WORDS):
        suspect, control = desk.speaking(BOTH, tokens), desk.speaking(CONTROL, tokens)
        for many in (1_000, 3_000):
            pairs = pa.concat_tables(
                [
                    desk.teacher("green", np.arange(many), seed=seed, scored=False).pairs,
                    desk.teacher("second", np.arange(half, half + many), seed=seed + 1, scored=False).pairs,
                ]
            )
            keys = (own, second, *desk.others(own, KEYS - 2))
            teacher = Teacher("teacher", pairs=pairs, keys=keys, tokenizer=bed.words)
            with keeping():
                for by in ("keys", "pairs"):
                    mine = replace(teacher, keys=keys if by == "keys" else ())
                    found = tracing(
                        suspect, mine, (control,), seed=seed, pairs=twins if by == "pairs" else None
                    )
                    if by == "pairs" or many == 1_000:
                        yield {
                            "suspect": BOTH, "tokens": tokens, "by": by, "tried": KEYS if by == "keys" else 2,
                            "pairs": many if by == "pairs" else 0, "named": found.details["named"],
                            "log10_p": {
                                name.partition(" by ")[0]: round(float(str(value)), 2)
                                for name, value in found.details.items()
                                if name.startswith(("c-green by", "c-second by"))
                            },
                        }  # fmt: skip


def curves_by_text(desk: Desk, seed: int) -> Iterator[dict[str, Any]]:
    """Points of power of twins by text (random subsets of a student's pairs), and of tracing (of its text).

    Holm names a key among m whenever m times its p is at most alpha; that is what a hit of tracing is here.
    """
    for name, how in STUDENTS.items():
        kind = desk.kind(name)
        if how.teacher != kind or how.washed or how.after or how.second != "human":
            continue
        rng = np.random.default_rng([seed, 1, len(name)])
        taught, source = desk.bed.taught(name), f"test bed, {name}"
        whole, control = desk.speaking(name, max(WORDS)), desk.speaking(CONTROL, SAID)
        suspect = desk.speaking(name, SAID)
        with keeping():
            for many in (100, 200, 500, 1_000, 2_000):
                # Subsets of nearly all pairs are one subset, whose luck would look like certainty.
                if many > 2 * taught / 3 or kind == "gumbel":
                    continue
                p: list[float] = []
                for _ in range(TRIES):
                    teacher = desk.teacher(
                        kind,
                        rng.choice(taught, many, replace=False),
                        seed=int(rng.integers(1 << 30)),
                        scored=False,
                    )
                    p.append(twins(suspect, teacher, (control,), seed=seed, access="text").p_value)
                yield from points("twins", "text", "pairs", how.exposure, many, p, source, said=SAID)
        if kind == "plain":
            continue
        teacher, beside = (
            desk.teacher(kind, np.arange(1), seed=seed, scored=False),
            desk.speaking(CONTROL, HEARD),
        )
        for tokens in (3_000, 10_000, 30_000, 100_000):
            p = []
            for _ in range(TRIES):
                mine = rng.choice(whole.answers.num_rows, tokens // ANSWER, replace=False)
                said = replace(whole, answers=whole.answers.take(pa.array(mine)))
                log10_p = radioactivity(said, teacher, (beside,), seed=seed, fresh=0).log10_p
                p.append(float(10.0 ** min(0.0, log10_p + np.log10(KEYS))))
            yield from points("tracing", "text", "tokens", how.exposure, tokens, p, source, keys=KEYS)


def curves_of_canaries(desk: Desk, seed: int) -> Iterator[dict[str, Any]]:
    """Points of power of canaries by log-probability: random subsets of those that were served ``OFTEN`` times.

    None by text: no student said any variant, so there is nothing to measure.
    """
    for name, how in SOWN.items():
        if how.canaries != FEW:
            continue
        told = _Canaries(desk, name, seed)
        which = told.which(OFTEN)
        rng = np.random.default_rng([seed, 2, len(name)])
        for many in (1, 2, 4, 8):
            p: list[float] = [
                told.found(sorted(rng.choice(which, many, replace=False).tolist()), "logprobs", seed).p_value
                for _ in range(TRIES)
            ]
            when = f"each of {VARIANTS} variants and served {OFTEN} times"
            source = f"test bed, {name}"
            yield from points("canaries", "logprobs", "canaries", how.exposure, many, p, source, when=when)


PARTS: dict[str, Callable[[Desk, int], Iterator[dict[str, Any]]]] = {
    "sown": sown,
    "washing": washing,
    "campaigns": campaigns,
    "curves_by_text": curves_by_text,
    "curves_of_canaries": curves_of_canaries,
}
