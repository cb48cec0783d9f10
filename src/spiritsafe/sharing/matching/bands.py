"""The skeleton of a campaign from its shingles, and 32 bands of 4 MinHashes of it, for wordings that differ a little.

A shingle is the 64-bit hash of a masked run of words (`features`); which shingles stand in most of a campaign's prompts
is the same at each laboratory that the campaign visits, so the set is matched exactly first. Bands match sets that are
only similar: with Jaccard similarity j, at least one band is equal with probability 1 - (1 - j^4)^32. Bare MinHashes are
never shared: a secret prompt's shingles can be recovered from them. Here each band is the input of a token.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.errors import ScopeError

if TYPE_CHECKING:
    from collections.abc import Sequence

BANDS, ROWS = 32, 4
SHARE = 0.6
"""Of a campaign's prompts that hold a shingle of its skeleton."""
LEAST = 16
"""Shingles of a skeleton: a shorter one is everybody's greeting."""
MOST = 100_000
_GOLDEN = 0x9E3779B97F4A7C15


def skeleton(prompts: Sequence[Any], share: float = SHARE) -> Any:
    """The shingles (uint64, sorted) that at least ``share`` of ``prompts`` hold; each is an array of uint64."""
    if not prompts:
        return np.empty(0, np.uint64)
    values, counts = np.unique(
        np.concatenate([np.unique(np.asarray(one, np.uint64)) for one in prompts]), return_counts=True
    )
    return values[counts >= share * len(prompts)]


def exact(version: int, shingles: Any, where: str | None = None) -> str:
    """The value of class ``skeleton`` for a set of shingles. Raises ScopeError when they are too few."""
    return f"fp{version}:set:{hashlib.sha256(_checked(shingles, where).astype('<u8').tobytes()).hexdigest()}"


def bands(version: int, shingles: Any, where: str | None = None) -> list[str]:
    """The 32 values of class ``band`` for a set of shingles (uint64). Raises ScopeError when they are too few."""
    found = _checked(shingles, where)
    lanes = np.array(
        [
            _mixed(found ^ seed).min()
            for seed in _mixed(np.arange(1, BANDS * ROWS + 1, dtype=np.uint64) * np.uint64(_GOLDEN))
        ],
        "<u8",
    ).reshape(BANDS, ROWS)
    return [
        f"fp{version}:{number:02d}:{hashlib.sha256(rows.tobytes()).hexdigest()[:32]}"
        for number, rows in enumerate(lanes)
    ]


def _checked(shingles: Any, where: str | None) -> Any:
    found = np.unique(np.asarray(shingles, np.uint64))
    if not LEAST <= found.size <= MOST:
        raise ScopeError(
            f"a skeleton has {LEAST} to {MOST} different shingles, this one {found.size}",
            where=where,
            hint="a short one would match what everybody writes",
        )
    return found


def _mixed(x: Any) -> Any:
    """SplitMix64's finalizer (Steele, Lea & Flood 2014), a bijection on 64 bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
