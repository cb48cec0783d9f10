"""Items: whole prompts that two parties or more sent. What one party sent alone ties it to nobody and gets no number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns._distinct import first
from spiritsafe.campaigns._passes import PIECE, in_bucket

if TYPE_CHECKING:
    from spiritsafe.campaigns.log import Log


@dataclass(frozen=True, slots=True)
class Items:
    """``code`` int32 by exchange: its item, -1 for none; items below ``count`` are numbered in the order of their hashes."""

    code: Any
    count: int


def items(log: Log, rows: Any) -> Items:
    """The items of ``rows`` (int): prompts are sorted a bucket of hashes at a time, never all of them."""
    code = log.shelf.empty(log.acc.size, np.int32)
    code[:] = -1
    bits = max(1, int(np.ceil(np.log2(max(1, rows.size / PIECE)))))
    room, count = np.empty(min(rows.size, 2 * PIECE), rows.dtype), 0
    for bucket in range(1 << bits):
        found = in_bucket(log.exact, rows, np.uint64(64 - bits), np.uint64(bucket), room)
        if found > room.size:  # a prompt that very many sent
            room = np.empty(found, rows.dtype)
            in_bucket(log.exact, rows, np.uint64(64 - bits), np.uint64(bucket), room)
        mine = room[:found]
        if not found:
            continue
        value = log.exact[mine]
        order = np.argsort(value)
        begins = first(value[order])
        party = log.row_party[mine][order]
        begin = np.flatnonzero(begins)
        several = np.minimum.reduceat(party, begin) != np.maximum.reduceat(party, begin)
        number = np.where(several, count + np.cumsum(several) - 1, -1)
        code[mine[order]] = number[np.cumsum(begins) - 1]
        count += int(several.sum())
    return Items(code, count)
