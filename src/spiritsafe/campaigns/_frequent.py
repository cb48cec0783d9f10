"""Anchors that stand in many exchanges, counted in bounded memory: all go to buckets, each of which is sorted by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import _anchors
from spiritsafe.campaigns._buckets import Buckets
from spiritsafe.campaigns._radix import ordered

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def frequent(batches: Iterable[Any], least: int, folder: Path | None = None) -> tuple[Any, Any, Any]:
    """Anchors that stand in ``least`` exchanges or more: distinct uint64, how many exchanges (int32), and bits (uint64).

    There is a bit for each 64th of the whole prompts that an anchor stood in. ``batches``: see ``templates.Batch``; 0 is no
    anchor, and an exchange's texts may hold one twice. ``folder``: for a file of 8 bytes an anchor.
    """
    found: list[tuple[Any, Any, Any]] = []
    with Buckets([np.uint64], folder) as held:
        for anchors, offsets, bodies in batches:
            keys, ends = np.empty(anchors.size, np.uint64), np.empty(_anchors.BUCKETS + 1, np.int64)
            _anchors.scatter(anchors, offsets, bodies, keys, ends)
            held.add(ends, keys[: ends[-1]])
        for bucket in range(_anchors.BUCKETS):
            keys = ordered(*held.take(bucket))
            anchors, bits = np.empty((2, keys.size // least), np.uint64)
            support = np.empty(anchors.size, np.int32)
            n = _anchors.runs(keys, bucket, least, anchors, support, bits)
            found.append((anchors[:n].copy(), support[:n].copy(), bits[:n].copy()))
    anchors, support, bits = (np.concatenate(column) for column in zip(*found, strict=True))
    return anchors, support, bits
