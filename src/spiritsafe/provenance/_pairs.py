"""Which pairs may be used and why the others may not; what scorers said of both sides; signs and their test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.provenance._subject import spoken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

Z95: Final = 1.959964
CAP: Final = 3.0
"""Robust standard deviations from which on a difference counts as this many."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """``table``: rows of PAIRS that may be used, in committed order. ``counts`` adds up to all that were handed in."""

    table: pa.Table
    counts: Mapping[str, int]

    @property
    def served_first(self) -> Flags:
        """Whether the side called first was served, bool (n,)."""
        return self.table["coin"].to_numpy() == 0


def usable(table: pa.Table) -> Pairs:
    """Pairs whose coin was committed, whose draws come from one snapshot, and whose texts differ."""
    table = table.combine_chunks()
    repeated = np.ones(table.num_rows, np.bool_)
    repeated[np.unique(table["pair_id"].to_numpy(zero_copy_only=False), return_index=True)[1]] = False
    known = pc.and_(pc.is_valid(table["snapshot"]), pc.is_valid(table["ghost_snapshot"]))
    # The first reason that holds is the one that is told.
    reasons = {
        "pairs void: coin not committed": ~_flags(table["committed"]),
        "pairs void: malformed": ~np.isin(table["coin"].to_numpy(), (0, 1)) | repeated,
        "pairs void: snapshot unknown": ~_flags(known),
        "pairs void: snapshot changed": ~_flags(pc.equal(table["snapshot"], table["ghost_snapshot"])),
        "pairs void: identical texts": _flags(pc.equal(table["first"], table["second"])),
    }
    left = np.ones(table.num_rows, np.bool_)
    counts: dict[str, int] = {}
    for reason, holds in reasons.items():
        counts[reason] = int((left & holds).sum())
        left &= ~holds
    return Pairs(table.filter(pa.array(left)), counts)


def sides(pairs: pa.Table, scores: pa.Table) -> tuple[Floats, Floats]:
    """Log-probabilities and tokens of first and second, float64 (n, 2) each; NaN where there is none."""
    found = np.full((2, pairs.num_rows, 2), np.nan)
    rows = spoken(scores)
    pair = pc.fill_null(pc.index_in(rows["item"], pairs["pair_id"].combine_chunks()), -1).to_numpy()
    side = pc.fill_null(pc.index_in(rows["side"], pa.array(["first", "second"])), -1).to_numpy()
    # Backwards, so that of a score that was asked for twice the first stands.
    row = np.flatnonzero((pair >= 0) & (side >= 0))[::-1]
    for k, name in enumerate(("logprob", "tokens")):
        value = pc.cast(rows[name], pa.float64()).to_numpy(zero_copy_only=False)[row]
        found[k, pair[row], side[row]] = np.where(np.isfinite(value), value, np.nan)
    return found[0], found[1]


def residual(difference: Floats, nuisance: Floats) -> Floats:
    """What least squares through zero leaves of the differences: float64 (n,), (n, k).

    A pair that changes sides changes the sign of its row in both, hence no slope: the coins cannot come in.
    """
    if not nuisance.shape[1]:
        return difference
    slope = np.linalg.lstsq(nuisance, difference)[0]
    return difference - nuisance @ slope


def bounded(difference: Floats, size: Floats) -> Floats:
    """Differences whose outliers are cut, by their absolute values only. ``size``: tokens of a pair, float64 (n,)."""
    root = np.sqrt(np.maximum(size, 1.0))
    unit = np.abs(difference) / root
    unit = unit[unit > 0]
    if not unit.size:
        return difference
    # The median of an absolute normal variable is 0.6745 standard deviations.
    cap = CAP * float(np.median(unit)) / 0.6745
    return np.clip(difference, -cap * root, cap * root)


def advantage(served: Floats, size: Floats) -> tuple[float, tuple[float, float]]:
    """Mean advantage of served over ghost for each token, and the values that a sign-flip test at 5 % would not reject.

    served: served minus ghost, float64 (n,). Solves (sum(y - m L))^2 = z^2 sum((y - m L)^2) for m.
    """
    total, length = float(served.sum()), float(size.sum())
    if length <= 0:
        return 0.0, (-np.inf, np.inf)
    z2 = Z95**2
    a = length**2 - z2 * float(size @ size)
    b = total * length - z2 * float(served @ size)
    c = total**2 - z2 * float(served @ served)
    if a <= 0:
        # So few pairs that no value could be rejected.
        return total / length, (-np.inf, np.inf)
    root = float(np.sqrt(max(0.0, b * b - a * c)))
    return total / length, ((b - root) / a, (b + root) / a)


def _flags(column: pa.ChunkedArray | pa.Array) -> Flags:
    return pc.fill_null(column, fill_value=False).to_numpy(zero_copy_only=False).astype(np.bool_)
