"""Where a large file is cut, so that more than one task can read it: one rule, whoever asks.

Names of parts hold the cuts (``state.parts``), so a change of the rule makes the parts of large files anew.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.errors import InputError
from spiritsafe.sources._blocks import compression
from spiritsafe.sources._sample import parquet, reads, take_sample, tell

if TYPE_CHECKING:
    from spiritsafe.sources._blocks import Span
    from spiritsafe.sources._inputs import LogFile

PIECE = 128 << 20
"""Bytes on disk: a file of so many or fewer is one piece, and so are, if one may cut it at all, the pieces of a larger one."""


def cuts(file: LogFile, wanted: str | None = None) -> list[Span | None]:
    """The pieces of a file in order; ``[None]`` for a file that is read as a whole.

    Parquet is cut between row groups, plain JSON lines at each ``PIECE`` bytes: the line in which a cut falls belongs to the
    piece in which it begins. Compressed files, JSON documents and formats that join lines (``WINDOW``) stay whole, and so does
    what cannot be read: who reads it says why. ``wanted``: id of a source, else told from the content.
    """
    if file.size <= PIECE:
        return [None]
    try:
        sample = take_sample(file.path)
        source = tell(file.path, sample, wanted)
        if source is None or sample.document or getattr(source.module, "WINDOW", 0):
            return [None]
        edges = _groups(file.path) if reads(source) == "rows" else _bytes(file)
    except InputError:
        return [None]
    spans: list[Span | None] = list(pairwise(edges))
    return spans if len(spans) > 1 else [None]


def _bytes(file: LogFile) -> list[int]:
    return [0, file.size] if compression(file.path) else [*range(0, file.size, PIECE), file.size]


def _groups(path: str) -> list[int]:
    """Row groups are taken together as long as they are one piece."""
    metadata = parquet(path).metadata
    sizes = [
        sum(group.column(column).total_compressed_size for column in range(group.num_columns))
        for group in map(metadata.row_group, range(metadata.num_row_groups))
    ]
    edges, held = [0], 0
    for index, size in enumerate(np.asarray(sizes, np.int64).tolist()):
        if held and held + size > PIECE:
            edges.append(index)
            held = 0
        held += size
    return [*edges, len(sizes)]
