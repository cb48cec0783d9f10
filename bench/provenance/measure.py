"""The tables: what each test finds in the students, how often it is wrong on models that never saw the teacher."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from scipy.stats import kstest

from provenance import gpt
from provenance.bed import ANSWER, EVERY, EXCHANGES, INDEPENDENT, PROMPT, ROOT, STUDENTS, Bed
from spiritsafe.marking.keys import derive
from spiritsafe.provenance._heard import heard
from spiritsafe.provenance._holm import holm
from spiritsafe.provenance._subject import ANSWERS, PAIRS, SCORES, Subject, Teacher
from spiritsafe.provenance.equality import equality
from spiritsafe.provenance.radioactivity import radioactivity
from spiritsafe.provenance.tracing import tracing
from spiritsafe.provenance.twins import twins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from spiritsafe.marking.keys import MarkKey
    from spiritsafe.model import Finding

    Ints = NDArray[np.int64]

PAIRED = (100, 300, 1_000, 3_000)
WORDS = (100_000, 300_000)
KEYS = 1_000
FAMILY = 10
"""Keys of a family of tests when tracing's error is counted."""
SET = 100
"""Pairs of each disjoint set of an independent model."""
TEXT_SET = 400
TRIES = 30
"""Random subsets for each point of a power curve."""
HEARD = 30_000
"""Tokens of the control beside which the power of a mark is measured."""
LEVELS = (0.05, 0.01)
CONTROL = "base"
TWINNED = ("green", "plain")
"""Kinds whose served answer and ghost differ: a race ("gumbel") draws the same answer twice, so there are no twins."""


@dataclass(frozen=True)
class Row:
    """One test of one suspect. ``pairs`` and ``tokens``: how much it was given; ``beside``: what else."""

    suspect: str
    test: str
    access: str
    beside: str
    pairs: int
    tokens: int
    log10_p: float
    effect: float
    verdict: str
    campaign: str | None


class Desk:
    """Puts what a bed holds in the tables that the tests take."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self._logs: dict[tuple[str, str], NDArray[np.float64]] = {}

    def kind(self, suspect: str) -> str:
        """Which served answers a suspect is tested with: those it learned from, else the green ones."""
        how = EVERY.get(suspect)
        return how.teacher if how is not None and how.teacher in ("green", "gumbel", "plain") else "green"

    def teacher(self, kind: str, rows: Ints, *, seed: int, scored: bool = True) -> Teacher:
        """The teacher with pairs of the given exchanges, coins drawn by seed, its own scores of them and its key."""
        served, words = self.bed.served(kind), self.bed.words
        coin = np.random.default_rng([seed, 7]).integers(0, 2, len(rows)).astype(np.int8)
        sides = [words.decode(served[side][rows, PROMPT:]) for side in ("served", "ghost")]
        pairs = pa.table(
            {
                "pair_id": [f"{kind}-{row}" for row in rows],
                "prompt": words.decode(served["served"][rows, :PROMPT]),
                "first": [sides[c][n] for n, c in enumerate(coin)],
                "second": [sides[1 - c][n] for n, c in enumerate(coin)],
                "coin": coin,
                "campaign_id": [f"c-{kind}"] * len(rows),
                "committed": [True] * len(rows),
                "snapshot": ["teacher 1"] * len(rows),
                "ghost_snapshot": ["teacher 1"] * len(rows),
            },
            schema=PAIRS,
        )
        key = self.bed.key(kind)
        teacher = Teacher("teacher", pairs=pairs, keys=(key,) if key else (), tokenizer=words)
        return replace(teacher, scores=self.scores("teacher", kind, teacher, rows)) if scored else teacher

    def others(self, key: MarkKey, many: int) -> tuple[MarkKey, ...]:
        """Keys of campaigns that nobody was trained on."""
        how = {"scheme": key.scheme, "width": key.width, "share": key.share, "strength": key.strength}
        return tuple(derive(ROOT, f"never-{n}", 0, **how) for n in range(many))

    def speaking(self, name: str, tokens: int) -> Subject:
        """A model with so many tokens of its own text."""
        rows = self.bed.spoken(name)[: tokens // ANSWER]
        table = pa.table(
            {
                "prompt_id": [f"h{n}" for n in range(len(rows))],
                "sample": pa.array(np.zeros(len(rows), np.int32)),
                "prompt": self.bed.words.decode(rows[:, :PROMPT]),
                "text": self.bed.words.decode(rows[:, PROMPT:]),
                "status": ["ok"] * len(rows),
            },
            schema=ANSWERS,
        )
        return Subject(name, answers=table)

    def scoring(self, name: str, kind: str, teacher: Teacher, rows: Ints) -> Subject:
        """A model with its log-probabilities of both sides of each pair."""
        return Subject(name, scores=self.scores(name, kind, teacher, rows))

    def scores(self, name: str, kind: str, teacher: Teacher, rows: Ints) -> pa.Table:
        """The log-probabilities alone."""
        sides: list[NDArray[np.float64]] = []
        for side in ("served", "ghost"):
            known = self._logs.setdefault((name, f"{kind}-{side}"), np.full(EXCHANGES, np.nan))
            if (new := np.unique(rows[np.isnan(known[rows])])).size:
                known[new] = gpt.log_likelihood(
                    self.bed.model(name), self.bed.served(kind)[side][new], PROMPT
                )
            sides.append(known[rows])
        coin = teacher.pairs["coin"].to_numpy()
        first, second = np.where(coin == 0, sides[0], sides[1]), np.where(coin == 0, sides[1], sides[0])
        return pa.table(
            {
                "item": np.repeat(teacher.pairs["pair_id"].to_numpy(), 2),
                "side": ["first", "second"] * len(rows),
                "logprob": np.stack([first, second], axis=1).ravel(),
                "tokens": pa.array(np.full(2 * len(rows), ANSWER, np.int32)),
                "status": ["ok"] * (2 * len(rows)),
            },
            schema=SCORES,
        )


def strength(desk: Desk, seed: int) -> Iterator[Row]:
    """Every student with every test that applies, at each amount of evidence."""
    for name, how in STUDENTS.items():
        kind = desk.kind(name)
        taught = desk.bed.taught(name) if how.teacher == kind else EXCHANGES
        paired = kind in TWINNED
        for many in sorted({min(many, taught) for many in PAIRED if paired}):
            rows = np.arange(many)
            for scored in (False, True):
                teacher = desk.teacher(kind, rows, seed=seed, scored=scored)
                suspect = desk.scoring(name, kind, teacher, rows)
                yield _row(
                    twins(suspect, teacher, (), seed=seed),
                    pairs=many,
                    beside="teacher's scores" if scored else "",
                )
        rows = np.arange(min(max(PAIRED), taught))
        teacher = desk.teacher(kind, rows, seed=seed, scored=False)
        for tokens in WORDS:
            suspect, control = desk.speaking(name, tokens), desk.speaking(CONTROL, tokens)
            for controls in ((), (control,)):
                beside = f"control {CONTROL}" if controls else ""
                if paired:
                    found = twins(suspect, teacher, controls, seed=seed, access="text")
                    yield _row(found, pairs=len(rows), tokens=tokens, beside=beside)
                if teacher.keys:
                    yield _row(
                        radioactivity(suspect, teacher, controls, seed=seed, fresh=20),
                        tokens=tokens,
                        beside=beside,
                    )
        if teacher.keys:
            many = replace(teacher, keys=(*teacher.keys, *desk.others(teacher.keys[0], KEYS - 1)))
            tokens = max(WORDS)
            suspect, control = desk.speaking(name, tokens), desk.speaking(CONTROL, tokens)
            yield _row(
                tracing(suspect, many, (control,), seed=seed),
                tokens=tokens,
                beside=f"{KEYS} keys, control {CONTROL}",
            )


def _row(found: Finding, *, beside: str, pairs: int = 0, tokens: int = 0) -> Row:
    return Row(
        found.suspect, found.test, found.access, beside, pairs, tokens, round(found.log10_p, 2), round(found.effect, 5),
        found.verdict, found.campaign_id,
    )  # fmt: skip


def validity(desk: Desk, seed: int) -> Iterator[dict[str, Any]]:
    """Independent models: p-values over disjoint sets of real pairs and over keys that nobody was trained on."""
    for name, near in INDEPENDENT.items():
        found: dict[str, list[float]] = {"twins, log-probabilities": [], "twins, text": []}
        for kind in TWINNED:
            for start in range(0, EXCHANGES - SET + 1, SET):
                rows = np.arange(start, start + SET)
                teacher = desk.teacher(kind, rows, seed=seed + start)
                suspect = desk.scoring(name, kind, teacher, rows)
                found["twins, log-probabilities"].append(twins(suspect, teacher, (), seed=seed).p_value)
        said = desk.speaking(name, min(WORDS))
        for start in range(0, EXCHANGES - TEXT_SET + 1, TEXT_SET):
            teacher = desk.teacher(
                "green", np.arange(start, start + TEXT_SET), seed=seed + start, scored=False
            )
            found["twins, text"].append(twins(said, teacher, (), seed=seed, access="text").p_value)
        for scheme in ("green", "gumbel"):
            key = desk.bed.key(scheme)
            if key is None:
                continue
            keys = desk.others(key, KEYS)
            log10_p = [one.log10_p for one in heard(said, (), desk.bed.words, [key.width]).evidence(keys)]
            found[f"radioactivity, {scheme}"] = [float(10.0**one) for one in log10_p]
            found[f"tracing, {scheme}, {FAMILY} keys"] = [
                float(10.0 ** min(holm(log10_p[at : at + FAMILY]))) for at in range(0, KEYS, FAMILY)
            ]
        for test, values in found.items():
            yield {
                "suspect": name, "near": near, "test": test, "tries": len(values),
                "below": {f"{level}": int(sum(one <= level for one in values)) for level in LEVELS},
                "allowed": {f"{a}": round((a + 3 * float(np.sqrt(a * (1 - a) / len(values)))) * len(values), 1) for a in LEVELS},
                "least": float(min(values)),
                "ks_p": None if test.startswith("tracing") else round(float(kstest(values, "uniform").pvalue), 4),
            }  # fmt: skip


def curves(desk: Desk, seed: int) -> Iterator[dict[str, Any]]:
    """Points of power for the planner: random subsets of pairs, and of a student's text, with coins drawn anew."""
    for name, how in STUDENTS.items():
        kind = desk.kind(name)
        if how.teacher != kind or how.washed or how.after or how.second != "human":
            continue
        rng = np.random.default_rng([seed, len(name)])
        taught, source = desk.bed.taught(name), f"test bed, {name}"
        for many in (30, 100, 300, 1_000):
            if many > taught or kind not in TWINNED:
                continue
            p: list[float] = []
            for _ in range(TRIES):
                rows = rng.choice(taught, many, replace=False)
                teacher = desk.teacher(kind, rows, seed=int(rng.integers(1 << 30)))
                p.append(twins(desk.scoring(name, kind, teacher, rows), teacher, (), seed=seed).p_value)
            yield from points("twins", "logprobs", "pairs", how.exposure, many, p, source)
        if kind == "plain":
            continue
        whole, control = desk.speaking(name, max(WORDS)), desk.speaking(CONTROL, HEARD)
        teacher = desk.teacher(kind, np.arange(1), seed=seed, scored=False)
        for tokens in (3_000, 10_000, 30_000):
            p = []
            for _ in range(TRIES):
                mine = rng.choice(whole.answers.num_rows, tokens // ANSWER, replace=False)
                suspect = replace(whole, answers=whole.answers.take(pa.array(mine)))
                p.append(radioactivity(suspect, teacher, (control,), seed=seed, fresh=0).p_value)
            yield from points("radioactivity", "text", "tokens", how.exposure, tokens, p, source)


def points(
    test: str,
    access: str,
    unit: str,
    exposure: float,
    n: int,
    p: list[float],
    source: str,
    **conditions: Any,
) -> Iterator[dict[str, Any]]:
    """A point of power for the planner at each alpha; ``conditions`` as in ``spiritsafe.provenance._power``."""
    for alpha in (0.01, 1e-6):
        yield {
            "test": test, "access": access, "unit": unit, "alpha": alpha, "exposure": exposure, "n": n,
            "hits": int(sum(one <= alpha for one in p)), "runs": len(p), "source": source, **conditions,
        }  # fmt: skip


def alike(desk: Desk, name: str, seed: int, *, draw: int = 1, many: int = 6) -> Finding:
    """Model equality of a model and the teacher: ``many`` answers of each to 200 held-out prompts."""
    bed = desk.bed
    prompts = np.repeat(bed.prompts("held", 200)[0], many, axis=0)

    def answers(name: str, draw: int) -> pa.Table:
        rows = gpt.sample(bed.model(name), prompts, ANSWER, seed=seed + draw)
        return pa.table(
            {
                "prompt_id": [f"p{n // many}" for n in range(len(rows))],
                "sample": pa.array(np.arange(len(rows), dtype=np.int32) % many),
                "prompt": bed.words.decode(prompts),
                "text": bed.words.decode(rows),
                "status": ["ok"] * len(rows),
            },
            schema=ANSWERS,
        )

    teacher = Teacher("teacher", answers=answers("teacher", 0), tokenizer=bed.words)
    return equality(Subject(name, answers=answers(name, draw)), teacher, (), seed=seed)


def identity(desk: Desk, seed: int) -> Iterator[dict[str, Any]]:
    """Model equality: the teacher against another sample of itself, its family, students and others."""
    for number, name in enumerate(("teacher", "sibling", "green-100", "plain-100", "base", "other")):
        told = alike(desk, name, seed, draw=1 + number)
        yield {"suspect": name, "log10_p": round(told.log10_p, 2), "verdict": told.verdict, "n": told.n}


PARTS: dict[str, Callable[[Desk, int], Iterator[dict[str, Any]]]] = {
    "strength": lambda desk, seed: map(asdict, strength(desk, seed)),
    "identity": identity,
    "validity": validity,
    "curves": curves,
}
