"""Anchors that stand in many exchanges, counted in bounded memory: all go to buckets, each of which is sorted by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import _anchors
from spiritsafe.campaigns._buckets import Buckets
from spiritsafe.campaigns._distinct import first
from spiritsafe.campaigns._radix import ordered, ranked

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_CROWD = 1 << 10
"""Anchors of a batch in one bucket, and twice as many as in another one, from which equal ones are counted at once."""


def frequent(batches: Iterable[Any], least: int, folder: Path | None = None) -> tuple[Any, Any, Any]:
    """Anchors that stand in ``least`` exchanges or more: distinct uint64, how many exchanges (int32), and bits (uint64).

    There is a bit for each 64th of the whole prompts that an anchor stood in. ``batches``: see ``templates.Batch``; 0 is no
    anchor, and an exchange's texts may hold one twice. ``folder``: for a file of 8 bytes an anchor.
    """
    found: list[tuple[Any, Any, Any]] = []
    with Buckets([np.uint64], folder) as held, Buckets([np.uint64, np.int32], folder) as crowds:
        for anchors, offsets, bodies in batches:
            keys, ends = np.empty(anchors.size, np.uint64), np.empty(_anchors.BUCKETS + 1, np.int64)
            _anchors.scatter(anchors, offsets, bodies, keys, ends)
            size = np.diff(ends)
            crowded = size > np.maximum(_CROWD, 2 * size.mean())
            held.add(_ends(np.where(crowded, 0, size)), keys[: ends[-1]][np.repeat(~crowded, size)])
            if crowded.any():
                crowds.add(*_counted(keys, ends, crowded))
        for bucket in range(_anchors.BUCKETS):
            (keys,) = held.take(bucket)
            more, many = crowds.take(bucket)
            if more.size:
                times = np.append(np.ones(keys.size, np.int32), many)
                keys, order = ranked(np.append(keys, more))
                times = times[order]
            else:
                keys, times = ordered(keys), many
            anchors, bits = np.empty((2, keys.size), np.uint64)
            support = np.empty(keys.size, np.int32)
            n = _anchors.runs(keys, times, bucket, least, anchors, support, bits)
            found.append((anchors[:n].copy(), support[:n].copy(), bits[:n].copy()))
    anchors, support, bits = (np.concatenate(column) for column in zip(*found, strict=True))
    return anchors, support, bits


def _counted(keys: Any, ends: Any, crowded: Any) -> tuple[Any, Any, Any]:
    """The keys of a batch's ``crowded`` buckets, each once, and how often each is there (int32); their ends come first.

    A system text that all exchanges share would fill its anchors' buckets with copies of a few keys.
    """
    parts = [ordered(keys[ends[bucket] : ends[bucket + 1]]) for bucket in np.flatnonzero(crowded)]
    begins = [np.flatnonzero(first(part)) for part in parts]
    size = np.zeros(crowded.size, np.int64)
    size[crowded] = [begin.size for begin in begins]
    times = [np.diff(np.append(begin, part.size)) for part, begin in zip(parts, begins, strict=True)]
    once = [part[begin] for part, begin in zip(parts, begins, strict=True)]
    return _ends(size), np.concatenate(once), np.concatenate(times).astype(np.int32)


def _ends(size: Any) -> Any:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(size)])
