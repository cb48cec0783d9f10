"""Anchors that stand in many exchanges, counted in bounded memory: all go to buckets, each of which is sorted by itself."""

from __future__ import annotations

from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import _anchors
from spiritsafe.campaigns._radix import ordered

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_CHUNK = 1 << 23
"""Anchors that are held until they go to the file: 8 bytes each."""


def frequent(batches: Iterable[Any], least: int, folder: Path | None = None) -> tuple[Any, Any, Any]:
    """Anchors that stand in ``least`` exchanges or more: distinct uint64, how many exchanges (int32), and bits (uint64).

    There is a bit for each 64th of the whole prompts that an anchor stood in. ``batches``: see ``templates.Batch``; 0 is no
    anchor, and an exchange's texts may hold one twice. ``folder``: for a file of 8 bytes an anchor; without one all is held.
    """
    found: list[tuple[Any, Any, Any]] = []
    held: list[tuple[Any, Any]] = []
    spilt: list[tuple[int, Any]] = []
    size = 0
    with TemporaryFile(dir=folder) as file:
        for anchors, offsets, bodies in batches:
            keys, ends = np.empty(anchors.size, np.uint64), np.empty(_anchors.BUCKETS + 1, np.int64)
            _anchors.scatter(anchors, offsets, bodies, keys, ends)
            held.append((keys, ends))
            size += keys.size
            if folder is not None and size > _CHUNK:
                begin, lengths = file.tell(), np.zeros(_anchors.BUCKETS, np.int64)
                for bucket in range(_anchors.BUCKETS):
                    for part in _of(held, bucket):
                        lengths[bucket] += part.size
                        file.write(part.data)
                spilt.append((begin, np.cumsum(lengths)))
                held, size = [], 0
        for bucket in range(_anchors.BUCKETS):
            parts = _of(held, bucket)
            for begin, ends in spilt:
                first = ends[bucket - 1] if bucket else 0
                file.seek(begin + 8 * int(first))
                parts.append(np.fromfile(file, np.uint64, int(ends[bucket] - first)))
            keys = ordered(np.concatenate([np.zeros(0, np.uint64), *parts]))
            anchors, bits = np.empty((2, keys.size // max(1, least)), np.uint64)
            support = np.empty(anchors.size, np.int32)
            n = _anchors.runs(keys, bucket, least, anchors, support, bits)
            found.append((anchors[:n].copy(), support[:n].copy(), bits[:n].copy()))
    anchors, support, bits = (np.concatenate(column) for column in zip(*found, strict=True))
    return anchors, support, bits


def _of(held: list[tuple[Any, Any]], bucket: int) -> list[Any]:
    return [keys[ends[bucket] : ends[bucket + 1]] for keys, ends in held]
