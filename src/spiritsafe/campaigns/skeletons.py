"""Skeletons: the runs of words that most prompts of a template have, the same for each provider that meets it.

An anchor is a hash of a run of masked tokens, chosen by the text around it alone (winnowing). Anchors inside a template's fixed
text are thus the same whoever reads it and whatever item stands beside; those across its edge change with the item and drop
out, being in few prompts. Only the slots of the choice are looked at, so that what is shared of a skeleton says nothing of the
slots on which coordination is tested.
"""

from __future__ import annotations

from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import _anchors, templates
from spiritsafe.campaigns._distinct import dense, distinct, first
from spiritsafe.campaigns._passes import where

if TYPE_CHECKING:
    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.stored import Ingest

LEAST_SHARE = 0.6
"""Share of a template's prompts that have an anchor of its skeleton."""
MOST = 64
_SAMPLE = 512
"""Prompts a template that are looked at: a share of 0.6 is then known to 0.04."""
_CELLS = 22
"""Bits that name a cell in which anchors are counted."""


def skeletons(taken: Ingest, log: Log, wanted: Any) -> dict[int, Any]:
    """The skeleton of each template in ``wanted`` (int): sorted anchors, uint64, at most ``MOST`` (the smallest).

    ``taken`` is what stage A left. A template seen in no slot of the choice has none.
    """
    chosen = _sample(log, distinct(np.asarray(wanted, np.int64)))
    if not chosen.size:
        return {}
    prompts = np.bincount(log.template[chosen], minlength=int(log.template[chosen].max()) + 1)
    template, flat, many = _counted(taken, log, chosen, LEAST_SHARE * prompts)
    kept = many >= LEAST_SHARE * prompts[template]
    mine, anchors = template[kept], flat[kept]
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
    rows = where(log.live.size, lambda part: log.live[part] & among[log.template[part]])
    rows = rows[log.screening(rows)]
    rows = rows[np.argsort(log.template[rows], kind="stable")]
    template = log.template[rows]
    size = np.bincount(template, minlength=1) if rows.size else np.zeros(1, np.int64)
    nth = np.arange(rows.size) - np.searchsorted(template, template)
    step = -(-size[template] // _SAMPLE)
    return np.sort(rows[nth % np.maximum(step, 1) == 0])


def _counted(taken: Ingest, log: Log, rows: Any, least: Any) -> tuple[Any, Any, Any]:
    """Templates (int64) and anchors (uint64) of ``rows`` (int, sorted), sorted, each pair once, and how many prompts have it.

    Pairs that fewer than ``least`` (float by template) prompts have may be left out.
    """
    # Most anchors are of one prompt's own words. Counts by cell, never below an anchor's, spare these the room and the sorting.
    cells, parts = np.zeros(1 << _CELLS, np.int32), 0
    with TemporaryFile(dir=taken.work) as held:
        for batch, here in taken.some(templates.COLUMNS, rows):
            for flat, offsets, _ in templates.each([batch]):
                row = np.repeat(here, np.diff(offsets))
                _anchors.count_in_cells(cells, flat)
                for one in (flat, row):
                    np.save(held, one, allow_pickle=False)
                parts += 1
        held.seek(0)
        found = [_often(cells, held, least, log.template) for _ in range(parts)]
    flat, row = (np.concatenate(part) for part in zip(*found, strict=True))
    anchor, place = dense(flat)
    sent, prompt = dense(row)
    # A run that stands twice in one prompt, in its system text as well, is in one prompt.
    pair = distinct(prompt << 32 | place)
    of = np.sort(log.template[sent].astype(np.int64)[pair >> 32] << 32 | (pair & 0xFFFFFFFF))
    begin = np.flatnonzero(first(of))
    return of[begin] >> 32, anchor[of[begin] & 0xFFFFFFFF], np.diff(np.append(begin, of.size))


def _often(cells: Any, held: Any, least: Any, template: Any) -> tuple[Any, Any]:
    """The next anchors of the file ``held``, and their exchanges, but for those that fewer prompts than ``least`` can have."""
    anchors, row = (np.load(held, allow_pickle=False) for _ in range(2))
    often = _anchors.in_cells(cells, anchors) >= least[template[row]]
    return anchors[often], row[often]
