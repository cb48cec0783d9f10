"""Outvoted templates: an exchange has one template, and a text that stands in it, too, may be the one that matters.

Beside a popular preamble or closing phrase an instruction loses the vote, if it is not much longer (ADR 28), and so does an
item beside an instruction. Text does not tell which is which. Users do: an instruction is its campaign's alone, an item
anybody's who has the instruction. The vote stays; what is an instruction is one more candidate (ADR 29).
"""

from __future__ import annotations

from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns._distinct import dense, distinct
from spiritsafe.campaigns._passes import place, row_type
from spiritsafe.campaigns.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spiritsafe.campaigns.log import Log

_SEEN = 24
"""Exchanges that a text stands in at least, and that it loses to the text it is compared with, in the slots of the choice."""
_FEWER = 0.75
"""Users that send it, or all that they send of the other text, at most, next to what it would be if it fell on that by chance."""


class Lost:
    """Which exchanges texts lose, put aside in a file until it is known which texts lose most of theirs.

    ``texts``: how many there are; ``rows``: how many exchanges.
    """

    def __init__(self, texts: int, rows: int, folder: Path | None = None) -> None:
        self._count = np.zeros(texts, np.int64)
        self._type, self._folder, self._parts = row_type(rows), folder, 0
        self._held = TemporaryFile(dir=folder)  # noqa: SIM115 - closed when read

    def add(self, keys: Any) -> None:
        """Take in text << 32 | exchange (int64), of each text the exchanges in order."""
        self._count += np.bincount(keys >> 32, minlength=self._count.size)
        np.save(self._held, keys, allow_pickle=False)
        self._parts += 1

    def outvoted(self, stands: Any) -> list[tuple[int, Any]]:
        """Texts that lose half of the exchanges they stand in (int64 by text), or more, each with what it loses (sorted)."""
        few = np.flatnonzero((stands >= _SEEN) & (2 * self._count >= stands))
        number = np.full(self._count.size, -1, np.int64)
        number[few] = np.arange(few.size)
        start = np.concatenate([np.zeros(1, np.int64), np.cumsum(self._count[few])])
        size, at = int(start[-1]), start[:-1].copy()
        out = Shelf(self._folder).empty(size, self._type)
        with self._held:
            self._held.seek(0)
            for _ in range(self._parts):
                keys = np.load(self._held, allow_pickle=False)
                place((keys & 0xFFFFFFFF).astype(self._type), number[keys >> 32], at, out)
        return [(one, out[a:b]) for one, a, b in zip(few.tolist(), start[:-1], start[1:], strict=True)]


def apart(log: Log, rows: Any) -> Iterator[tuple[int, Any]]:
    """Outvoted templates that few users of what wins send, each with those of ``rows`` (int, sorted) that it loses.

    Users are counted in the slots of the choice. By chance a user of whose exchanges k have the winning text sends the other one
    with probability 1 - (1 - q)^k, q being the share of these exchanges that hold it. Users are counted each once, and by how
    much they send: a few that send most of what others have do not hide a campaign. What it wins is a candidate of its own, and
    may be what others ask who have not the winning text.
    """
    found: list[tuple[int, Any, Any, int]] = []
    for one, every in log.outvoted:
        lost = every[log.judged(every)].astype(rows.dtype)
        early = lost[log.screening(lost)]
        if early.size:
            winner = int(np.bincount(log.template[early]).argmax())
            early = early[log.template[early] == winner]
            if early.size >= _SEEN:
                found.append((one, lost, early, winner))
    having = log.having(rows, distinct(np.array([winner for _, _, _, winner in found], int)))
    users: dict[int, tuple[Any, Any]] = {}
    for one, lost, early, winner in found:
        if winner not in users:
            mine = having[winner]
            party, which = dense(log.row_party[mine[log.screening(mine)]])
            users[winner] = party, np.bincount(which)
        party, sent = users[winner]
        by_chance = 1 - (1 - early.size / sent.sum()) ** sent
        sends = np.isin(party, log.row_party[early])
        if any((weight * sends).sum() <= _FEWER * (weight * by_chance).sum() for weight in (1, sent)):
            yield one, lost
