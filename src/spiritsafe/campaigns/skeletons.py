"""Skeletons: the runs of words that most prompts of a template have, the same for each provider that meets it.

An anchor is a hash of a run of masked tokens, chosen by the text around it alone (winnowing). Anchors inside a template's fixed
text are thus the same whoever reads it and whatever item stands beside; those across its edge change with the item and drop
out, being in few prompts. Only the slots of the choice are looked at, so that what is shared of a skeleton says nothing of the
slots on which coordination is tested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import _anchors, templates
from spiritsafe.campaigns._buckets import Buckets
from spiritsafe.campaigns._distinct import dense, distinct, first
from spiritsafe.campaigns._radix import ordered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.stored import Ingest

LEAST_SHARE = 0.6
"""Share of a template's prompts that have an anchor of its skeleton."""
MOST = 64
_SAMPLE = 512
"""Prompts a template that are looked at: a share of 0.6 is then known to 0.04."""
_CELLS = 22
"""Bits that name a cell in which anchors are counted."""
_PROMPTS = 1 << 17
"""Prompts that are looked at together."""


def skeletons(taken: Ingest, log: Log, wanted: Any) -> dict[int, Any]:
    """The skeleton of each template in ``wanted`` (int): sorted anchors, uint64, at most ``MOST`` (the smallest).

    ``taken`` is what stage A left. A template seen in no slot of the choice has none.
    """
    chosen = _sample(log, distinct(np.asarray(wanted, np.int64)))
    if not chosen.size:
        return {}
    prompts = np.bincount(log.template[chosen], minlength=int(log.template[chosen].max()) + 1)
    mine, anchors = _common(taken, log, chosen, LEAST_SHARE * prompts)
    ends = np.flatnonzero(np.diff(mine)) + 1
    parts = np.split(anchors, ends)
    heads = mine[np.concatenate([[0], ends])] if mine.size else mine
    return {
        int(head): np.sort(part)[:MOST]
        for head, part in zip(heads.tolist(), parts, strict=False)
        if part.size
    }


def _sample(log: Log, wanted: Any) -> Any:
    """Int64, sorted: at most ``_SAMPLE`` exchanges of each template, spread evenly over the slots of the choice."""
    # The last cell is for exchanges without a template (-1).
    among = np.zeros(log.template_key.size + 1, bool)
    among[wanted] = True
    size, seen = np.zeros((2, among.size), np.int64)
    for _, template in _of(log, among):
        size += np.bincount(template, minlength=among.size)
    step = np.maximum(-(-size // _SAMPLE), 1)
    kept = [np.zeros(0, np.int64)]
    for rows, template in _of(log, among):
        order = np.argsort(template, kind="stable")
        mine = template[order]
        nth = seen[mine] + np.arange(mine.size) - np.searchsorted(mine, mine)
        seen += np.bincount(mine, minlength=among.size)
        kept.append(np.sort(rows[order[nth % step[mine] == 0]]))
    return np.concatenate(kept)


def _of(log: Log, among: Any) -> Iterator[tuple[Any, Any]]:
    """Exchanges in the slots of the choice whose template is ``among`` (bool by template), and it: a piece at a time."""
    for rows in log.pieces():
        mine = rows[among[log.template[rows]] & log.screening(rows)]
        yield mine, log.template[mine]


def _common(taken: Ingest, log: Log, rows: Any, least: Any) -> tuple[Any, Any]:
    """Templates (int64) and anchors (uint64) that ``least`` (float by template) or more prompts of ``rows`` (int, sorted) have.

    Sorted, each pair once.
    """
    prompts = np.bincount(log.template[rows], minlength=least.size)
    # Templates go to buckets of some many prompts: only one bucket's anchors are held at a time.
    bucket = ((np.cumsum(prompts) - prompts) // _PROMPTS).astype(np.uint16)
    found: list[tuple[Any, Any]] = []
    with Buckets([np.uint64, np.int32], taken.work) as held:
        for batch, here in taken.some(templates.COLUMNS, rows):
            for flat, offsets, _ in templates.each([batch]):
                once = _anchors.once(flat, offsets)
                of = np.repeat(log.template[here], np.diff(offsets))[once]
                which = bucket[of]
                order = np.argsort(which, kind="stable")
                ends = np.searchsorted(which[order], np.arange(int(bucket[-1]) + 2))
                held.add(ends, flat[once][order], of[order])
        for number in range(int(bucket[-1]) + 1):
            anchors, of = held.take(number)
            found.append(_often(anchors, of, least))
    one, anchor = (np.concatenate(part) for part in zip(*found, strict=True))
    return one, anchor


def _often(anchors: Any, template: Any, least: Any) -> tuple[Any, Any]:
    """What ``_common`` tells, of one bucket."""
    # Most anchors are of one prompt's own words. Counts by cell, never below an anchor's, spare these the sorting.
    cells = np.zeros(1 << _CELLS, np.int32)
    _anchors.count_in_cells(cells, anchors)
    often = _anchors.in_cells(cells, anchors) >= least[template]
    anchor, place = dense(anchors[often])
    pairs = ordered(template[often].astype(np.int64) << 32 | place)
    begin = np.flatnonzero(first(pairs))
    one, at = pairs[begin] >> 32, pairs[begin] & 0xFFFFFFFF
    kept = np.diff(np.append(begin, pairs.size)) >= least[one]
    return one[kept], anchor[at[kept]]
