"""Skeletons: the runs of words that most prompts of a template have, the same for each provider that meets it.

An anchor is a hash of a run of masked tokens, chosen by the text around it alone (winnowing). Anchors inside a template's fixed
text are thus the same whoever reads it and whatever item stands beside; those across its edge change with the item and drop
out, being in few prompts. Only the slots of the choice are looked at, so that what is shared of a skeleton says nothing of the
slots on which coordination is tested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import templates
from spiritsafe.campaigns._distinct import distinct, first
from spiritsafe.campaigns._passes import where

if TYPE_CHECKING:
    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.stored import Ingest

LEAST_SHARE = 0.6
"""Share of a template's prompts that have an anchor of its skeleton."""
MOST = 64
_SAMPLE = 512
"""Prompts a template that are looked at: a share of 0.6 is then known to 0.04."""


def skeletons(taken: Ingest, log: Log, wanted: Any) -> dict[int, Any]:
    """The skeleton of each template in ``wanted`` (int): sorted anchors, uint64, at most ``MOST`` (the smallest).

    ``taken`` is what stage A left. A template seen in no slot of the choice has none.
    """
    chosen = _sample(log, np.unique(np.asarray(wanted, np.int64)))
    if not chosen.size:
        return {}
    prompts = np.bincount(log.template[chosen], minlength=int(log.template[chosen].max()) + 1)
    template, flat, many = _counted(taken, log, chosen)
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


def _counted(taken: Ingest, log: Log, rows: Any) -> tuple[Any, Any, Any]:
    """Templates (int64) and anchors (uint64) of ``rows`` (int, sorted), sorted, each pair once, and how many prompts have it."""
    found: list[tuple[Any, Any, Any]] = []
    for batch, here in taken.some(templates.COLUMNS, rows):
        for flat, offsets, _ in templates.each([batch]):
            anchor, dense = np.unique(flat, return_inverse=True)
            # A run that stands twice in one prompt, in its system text as well, is in one prompt.
            pair = distinct(np.repeat(np.arange(here.size), np.diff(offsets)) << 32 | dense)
            of = np.sort(log.template[here].astype(np.int64)[pair >> 32] << 32 | (pair & 0xFFFFFFFF))
            begin = np.flatnonzero(first(of))
            found.append(
                (of[begin] >> 32, anchor[of[begin] & 0xFFFFFFFF], np.diff(np.append(begin, of.size)))
            )
    template, flat, many = (np.concatenate(parts) for parts in zip(*found, strict=True))
    anchor, dense = np.unique(flat, return_inverse=True)
    key = template << 32 | dense
    order = np.argsort(key)
    begin = np.flatnonzero(first(key[order]))
    key = key[order[begin]]
    return key >> 32, anchor[key & 0xFFFFFFFF], np.add.reduceat(many[order], begin) if begin.size else many
