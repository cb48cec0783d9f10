"""Outvoted templates: an exchange has one template, and a text that stands in it, too, may be the one that matters.

Beside a popular preamble or closing phrase an instruction loses the vote, if it is not much longer (ADR 28), and so does an
item beside an instruction. Text does not tell which is which. Users do: an instruction is its campaign's alone, an item
anybody's who has the instruction. The vote stays; what is an instruction is one more candidate (ADR 29).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns._distinct import dense, distinct, first, kinds, union

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spiritsafe.campaigns.log import Log

_SEEN = 24
"""Exchanges that a text stands in at least."""
_FEWER = 0.75
"""Users that send it, at most, next to those who would if it fell on exchanges of the other text by chance."""


def outvoted(lost: Any, rows: Any) -> list[tuple[int, Any]]:
    """Components that lose half of their exchanges or more, with the exchanges that they lose (int64, sorted).

    ``lost`` int64, in any order: component << 32 | exchange, see ``_anchors.vote``; ``rows`` int64 by component: the exchanges it
    stands in.
    """
    lost = np.sort(lost)
    component = lost >> 32
    begin = np.flatnonzero(first(component))
    end = np.append(begin[1:], lost.size)
    mine = component[begin]
    kept = (rows[mine] >= _SEEN) & (2 * (end - begin) >= rows[mine])
    return [
        (int(one), lost[a:b] & 0xFFFFFFFF)
        for one, a, b in zip(mine[kept], begin[kept], end[kept], strict=True)
    ]


def apart(log: Log, rows: Any) -> Iterator[tuple[int, Any]]:
    """Outvoted templates that few users of what wins send, each with all ``rows`` (int, sorted) that hold it.

    Users are counted in the slots of the choice. By chance a user of whose exchanges k have the winning text sends the other one
    with probability 1 - (1 - q)^k, q being the share of these exchanges that hold it.
    """
    found: list[tuple[int, Any, Any, int]] = []
    for one, every in log.outvoted:
        lost = every[log.live[every] & ~log.declared[log.acc[every]]].astype(rows.dtype)
        early = lost[log.screening(lost)]
        if early.size:
            found.append((one, lost, early, int(np.bincount(log.template[early]).argmax())))
    having = log.having(rows, distinct(np.array([[one, winner] for one, _, _, winner in found], int).ravel()))
    sent: dict[int, Any] = {}
    for one, lost, early, winner in found:
        if winner not in sent:
            mine = having[winner]
            sent[winner] = np.bincount(dense(log.row_party[mine[log.screening(mine)]])[1])
        early = early[log.template[early] == winner]  # noqa: PLW2901
        by_chance = float((1 - (1 - early.size / sent[winner].sum()) ** sent[winner]).sum())
        if kinds(log.row_party[early]) <= _FEWER * by_chance:
            yield one, union(having[one], lost)
