"""What a suspect's answers and readings say of mark keys: the ground that radioactivity and tracing stand on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from spiritsafe.provenance._grams import Grams, Total, grams, totals, unite, weights
from spiritsafe.provenance._subject import spoken, statuses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    """How far a key's weighted mean over ``n`` pairs is above what no mark gives; with its 95 % interval."""

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

    text, read: by width. counts: every answer and reading by what became of it.
    """

    text: Mapping[int, Grams]
    read: Mapping[int, tuple[Grams, Floats]]
    counts: Mapping[str, int] = field(hash=False)

    @property
    def empty(self) -> bool:
        """Whether no key can find anything."""
        return not any(map(len, self.text.values())) and not any(len(one) for one, _ in self.read.values())

    def evidence(self, keys: Sequence[MarkKey]) -> list[Evidence]:
        """What each key finds. Where there are both text and readings, the smaller p is doubled."""
        found: dict[int, Evidence] = {}
        for width in {key.width for key in keys}:
            at = [n for n, key in enumerate(keys) if key.width == width]
            mine = [keys[n] for n in at]
            said, (read, weight) = self.text[width], self.read[width]
            texts = totals(said, weights(said.counts), mine) if len(said) else [None] * len(mine)
            readings = totals(read, weight, mine) if len(read) else [None] * len(mine)
            for n, text, reading in zip(at, texts, readings, strict=True):
                tails = [one.tail.log10 for one in (text, reading) if one is not None]
                log10_p = min(0.0, min(tails, default=0.0) + float(np.log10(max(1, len(tails)))))
                found[n] = Evidence(text, reading, log10_p)
        return [found[n] for n in range(len(keys))]

    def effect(self, key: MarkKey, seen: Evidence) -> Effect:
        """Of a key's text or readings, the one with the smaller p."""
        unit = "excess share of marked pairs" if key.scheme == "green" else "excess mean of exponentials"
        said, (pairs, weight) = self.text[key.width], self.read[key.width]
        total = seen.reading
        if seen.text is not None and (total is None or seen.text.tail.log10 <= total.tail.log10):
            total, pairs, weight = seen.text, said, weights(said.counts)
        if total is None:
            return Effect(0.0, 0.0, 0, unit)
        whole = float(weight.sum())
        mean, variance = (key.share, key.share * (1.0 - key.share)) if key.scheme == "green" else (1.0, 1.0)
        half = 1.96 * float(np.sqrt(variance * (weight @ weight))) / whole
        return Effect(total.statistic / whole - mean, half, len(pairs), unit)


def heard(suspect: Subject, tokenizer: Tokenizer | None, widths: Sequence[int]) -> Heard:
    """Read a suspect's answers in the teacher's tokens, and its readings; without a tokenizer, the readings alone."""
    told = spoken(suspect.answers)
    texts = tokenizer.encode(pc.fill_null(told["text"], "").to_pylist()) if tokenizer is not None else []
    asked = tokenizer.encode(pc.fill_null(told["prompt"], "").to_pylist()) if tokenizer is not None else []
    counts = {f"answers {name}": number for name, number in statuses(suspect.answers).items()}
    shortest = min(widths, default=1)
    text = {width: grams(texts, asked, width) for width in set(widths)}
    read = {width: _read(suspect, width) for width in set(widths)}
    if widths:
        said, fresh = text[shortest], _fresh(suspect, shortest)
        counts["windows in answers"] = said.windows
        counts["windows also in the prompt"] = said.excluded
        counts["readings used"] = int(fresh.sum())
        counts["readings not used"] = int(fresh.size - fresh.sum())
    return Heard(text, read, counts)


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
    # As in `weights`: no prediction drowns the others. At least one sixteenth, so that none is lost.
    return found, np.maximum(1.0, np.round(16.0 * total / (1.0 + total)))
