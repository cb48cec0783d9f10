"""What a suspect's answers and readings say of mark keys: the ground that radioactivity and tracing stand on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from spiritsafe.provenance._grams import Grams, Total, expected, grams, totals, unite, weights
from spiritsafe.provenance._once import once
from spiritsafe.provenance._subject import spoken, statuses
from spiritsafe.provenance._words import encoded, joined, numbered, tokenized

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from spiritsafe.marking.keys import MarkKey
    from spiritsafe.provenance._subject import Subject, Tokenizer

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """What one key finds. ``text`` and ``reading``: None where there was nothing to look at. ``log10_p``: of both."""

    text: Total | None
    reading: Total | None
    log10_p: float

    @property
    def exact(self) -> bool:
        """Whether no tail is an upper bound only."""
        return all(one.tail.exact for one in (self.text, self.reading) if one is not None)


@dataclass(frozen=True)
class Effect:
    """How far a key's weighted mean over ``n`` pairs is above what no mark gives; with its 95 % interval.

    A pair that the suspect says more rarely than expected counts the other way round.
    """

    excess: float
    half: float
    n: int
    unit: str

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval."""
        return self.excess - self.half, self.excess + self.half

    @property
    def deviations(self) -> float:
        """The excess in standard deviations of the null."""
        return 1.96 * self.excess / self.half if self.half else 0.0


@dataclass(frozen=True)
class Heard:
    """What a suspect said and predicted, ready for keys of some widths.

    text, read: by width, with the weight of each pair. beside: how many answers of controls the weights rest on.
    counts: every answer and reading by what became of it.
    """

    text: Mapping[int, tuple[Grams, Floats]]
    read: Mapping[int, tuple[Grams, Floats]]
    beside: int
    counts: Mapping[str, int] = field(hash=False)
    _found: dict[tuple[Hashable, ...], Evidence] = field(
        default_factory=dict["tuple[Hashable, ...]", "Evidence"], init=False, repr=False, compare=False
    )

    @property
    def empty(self) -> bool:
        """Whether no key can find anything."""
        return not any(len(one) for one, _ in (*self.text.values(), *self.read.values()))

    def evidence(self, keys: Sequence[MarkKey]) -> list[Evidence]:
        """What each key finds. Where there are both text and readings, the smaller p is doubled.

        A key is looked for once: false labels give the same secrets to other campaigns.
        """
        new = {_drawn(key): key for key in keys if _drawn(key) not in self._found}
        for width in {key.width for key in new.values()}:
            mine = [key for key in new.values() if key.width == width]
            texts, readings = (
                totals(pairs, weight, mine) if len(pairs) else [None] * len(mine)
                for pairs, weight in (self.text[width], self.read[width])
            )
            for key, text, reading in zip(mine, texts, readings, strict=True):
                tails = [one.tail.log10 for one in (text, reading) if one is not None]
                log10_p = min(0.0, min(tails, default=0.0) + float(np.log10(max(1, len(tails)))))
                self._found[_drawn(key)] = Evidence(text, reading, log10_p)
        return [self._found[_drawn(key)] for key in keys]

    def effect(self, key: MarkKey, seen: Evidence) -> Effect:
        """Of a key's text or readings, the one with the smaller p."""
        unit = "excess share of marked pairs" if key.scheme == "green" else "excess mean of exponentials"
        (pairs, weight), total = self.read[key.width], seen.reading
        if seen.text is not None and (total is None or seen.text.tail.log10 <= total.tail.log10):
            (pairs, weight), total = self.text[key.width], seen.text
        whole = float(np.abs(weight).sum())
        if total is None or not whole:
            return Effect(0.0, 0.0, 0, unit)
        mean, variance = (key.share, key.share * (1.0 - key.share)) if key.scheme == "green" else (1.0, 1.0)
        half = 1.96 * float(np.sqrt(variance * (weight @ weight))) / whole
        return Effect((total.statistic - mean * float(weight.sum())) / whole, half, len(pairs), unit)


def heard(
    suspect: Subject, controls: Sequence[Subject], tokenizer: Tokenizer | None, widths: Sequence[int]
) -> Heard:
    """Read a suspect's answers in the teacher's tokens, and its readings; without a tokenizer, the readings alone.

    What the controls said tells what was to be expected of the suspect.
    """
    tables = (suspect.answers, suspect.readings, tokenizer, *(control.answers for control in controls))
    wanted = tuple(sorted(set(widths)))
    return once("heard", tables, lambda: _heard(suspect, controls, tokenizer, wanted), by=wanted)


def _drawn(key: MarkKey) -> tuple[Hashable, ...]:
    """What a key's numbers follow from; its campaign is only a name."""
    return key.secret, key.scheme, key.width, key.share


def _heard(
    suspect: Subject, controls: Sequence[Subject], tokenizer: Tokenizer | None, widths: tuple[int, ...]
) -> Heard:
    told = spoken(suspect.answers)
    texts = encoded(told["text"], tokenizer) if tokenizer is not None else []
    asked = encoded(told["prompt"], tokenizer) if tokenizer is not None else []
    counts = {f"answers {name}": number for name, number in statuses(suspect.answers).items()}
    text = {width: grams(texts, asked, width) for width in widths}
    read = {width: _read(suspect, width) for width in widths}
    said = [spoken(control.answers)["text"] for control in controls] if tokenizer is not None else []
    beside = sum(map(len, said))
    others = joined([tokenized(one, tokenizer) for one in said]) if beside else None
    if widths:
        shortest = widths[0]
        counts["windows in answers"] = text[shortest].windows
        counts["windows also in the prompt"] = text[shortest].excluded
        fresh = _fresh(suspect, shortest)
        counts["readings used"] = int(fresh.sum())
        counts["readings not used"] = int(fresh.size - fresh.sum())
    own = numbered(texts)
    weighed = {
        width: (found, weights(found, expected(found, others, own)) if len(found) else np.empty(0))
        for width, found in text.items()
    }
    return Heard(weighed, read, beside, counts)


def _fresh(suspect: Subject, width: int) -> NDArray[np.bool_]:
    """Readings that may be used: the context is long enough and new to the suspect, the weight positive."""
    table = suspect.readings
    weight = table["weight"].to_numpy()
    long = pc.list_value_length(table["context"]).to_numpy() >= width
    return long & ~table["seen"].to_numpy() & np.isfinite(weight) & (weight > 0)


def _read(suspect: Subject, width: int) -> tuple[Grams, Floats]:
    table = suspect.readings.filter(_fresh(suspect, width))
    listed = table["context"].combine_chunks()
    values = listed.values.to_numpy().astype(np.int64)
    ends = listed.offsets.to_numpy().astype(np.int64)[1:]
    before = values[ends[:, None] + np.arange(-width, 0)].reshape(-1, width)
    windows = np.column_stack([before, table["token"].to_numpy().astype(np.int64)])
    found, of = unite(windows, windows=len(windows), excluded=suspect.readings.num_rows - len(windows))
    total = np.bincount(of, weights=table["weight"].to_numpy(), minlength=len(found))
    # No prediction drowns the others; in sixteenths, for the tail's formula, and at least one, so that none is lost.
    return found, np.maximum(1.0, np.round(16.0 * total / (1.0 + total)))
