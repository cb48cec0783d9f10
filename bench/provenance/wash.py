"""Ways to wash answers before training on them: what a copier does so that the copy shows less of its teacher."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from provenance import gpt

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from provenance.text import Words

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

PAD = -1
"""Stands after a row's end; no loss is taken of it."""
RUN = 8
"""Tokens of each run that is kept or told anew."""
_SENTENCE = re.compile(r"[^.!?;\n]+[.!?;\n]*\s*|[.!?;\n]+\s*")
_CLAUSE = re.compile(r"(,\s+|:\s+|\s+and\s+)")


def reworded(rows: Ints, starts: Ints, words: Words, rng: np.random.Generator) -> Ints:
    """Every word that has synonyms is replaced by one of them; clauses of a sentence change places."""

    def told(text: str) -> str:
        return "".join(_clauses(one, rng) for one in _SENTENCE.findall(_replaced(text, rng)))

    return _by_text(rows, starts, words, told)


def shuffled(rows: Ints, starts: Ints, words: Words, rng: np.random.Generator) -> Ints:
    """The sentences and lines of each answer in a new order."""

    def told(text: str) -> str:
        parts = _SENTENCE.findall(text)
        return "".join(parts[at] for at in rng.permutation(len(parts)))

    return _by_text(rows, starts, words, told)


def cut(rows: Ints, starts: Ints) -> Ints:
    """The first half of each answer."""
    length = (rows != PAD).sum(axis=1)
    made = rows.copy()
    made[np.arange(rows.shape[1]) >= ((starts + length + 1) // 2)[:, None]] = PAD
    return made


def retold(rows: Ints, starts: Ints, model: gpt.GPT, *, seed: int, whole: bool) -> Ints:
    """Answers told anew by another model, which reads what stands before: whole ones, or every second run of ``RUN`` tokens."""
    place = np.arange(rows.shape[1]) - starts[:, None]
    free = (place >= 0) & (whole | (place // RUN % 2 == 1)) & (rows != PAD)
    return np.where(rows == PAD, PAD, gpt.fill(model, np.maximum(rows, 0), free, seed=seed))


def kept(before: Ints, after: Ints, starts: Ints) -> float:
    """Share of the answers' pairs of neighbouring tokens that their washed forms still have."""

    def pairs(rows: Ints) -> set[tuple[int, int, int]]:
        inside = (np.arange(rows.shape[1] - 1) >= starts[:, None]) & (rows[:, 1:] != PAD)
        row, at = np.nonzero(inside)
        return set(zip(row.tolist(), rows[row, at].tolist(), rows[row, at + 1].tolist(), strict=True))

    own = pairs(before)
    return len(own & pairs(after)) / len(own)


def _by_text(rows: Ints, starts: Ints, words: Words, told: Callable[[str], str]) -> Ints:
    made = np.full_like(rows, PAD)
    answers = [row[start:][row[start:] != PAD] for row, start in zip(rows, starts, strict=True)]
    texts = words.encode([told(one) for one in words.decode(answers)])
    for row, old, start, new in zip(made, rows, starts, texts, strict=True):
        whole = np.array([*old[:start], *new], np.int64)[: row.size]
        row[: whole.size] = whole
    return made


@cache
def _sets() -> tuple[dict[str, tuple[str, ...]], re.Pattern[str]]:
    """The other phrases of each phrase's set, and what finds the phrases, longest first."""
    own = tomllib.loads(Path(__file__).with_name("synonyms.toml").read_text("utf-8"))["sets"]
    phrases = tomllib.loads(
        files("spiritsafe.simulate").joinpath("phrases", "phrases.toml").read_text("utf-8")
    )
    others: dict[str, tuple[str, ...]] = {}
    for one in (*own, *phrases.values()):
        for phrase in one:
            others.setdefault(phrase.lower(), tuple(other for other in one if other != phrase))
    longest = sorted(others, key=lambda phrase: (-len(phrase), phrase))
    return others, re.compile(rf"\b(?:{'|'.join(map(re.escape, longest))})\b", re.IGNORECASE)


def _replaced(text: str, rng: np.random.Generator) -> str:
    others, found = _sets()

    def other(match: re.Match[str]) -> str:
        choice = others[match[0].lower()]
        new = choice[int(rng.integers(len(choice)))]
        return new[0].upper() + new[1:] if match[0][0].isupper() else new

    return found.sub(other, text)


def _clauses(sentence: str, rng: np.random.Generator) -> str:
    parts = _CLAUSE.split(sentence)
    order = rng.permutation(len(parts[::2]))
    parts[::2] = [parts[2 * at] for at in order]
    return "".join(parts)
