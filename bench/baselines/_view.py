"""What a baseline sees of a log: columns over exchanges, and who holds which infrastructure. No text, no labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from spiritsafe.campaigns import links
from spiritsafe.campaigns.log import STRONG

if TYPE_CHECKING:
    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.stored import Ingest
    from spiritsafe.engine.duckdb import DuckDB

DAY = 86_400_000_000
"""Microseconds in a day."""


@dataclass(frozen=True, slots=True)
class View:
    """The exchanges of undeclared accounts, duplicates left out, in the order of the log.

    By exchange: ``party``, ``account`` int64; ``time`` int64 microseconds; ``points`` float32 (rows, 64), projections of
    length 1 (0 where there is no text); ``item`` uint64, the whole prompt's hash; ``template`` and ``address`` int64, −1
    for none. ``shared``: layer -> (party, value), int64, distinct pairs of who holds which card, device or address.
    ``parties`` counts all of the log, so that scores of one log have one length.
    """

    parties: int
    party: Any
    account: Any
    time: Any
    points: Any
    item: Any
    template: Any
    address: Any
    shared: dict[str, tuple[Any, Any]]

    def task(self) -> Any:
        """int64 by exchange: what it asks for, as a dense code: its template, or its very prompt where it has none."""
        own = np.unique(self.item, return_inverse=True)[1].astype(np.int64)
        return np.where(self.template >= 0, self.template, own + int(self.template.max(initial=-1)) + 1)

    def windows(self, least: int, most: int) -> tuple[Any, Any, Any]:
        """The first ``most`` exchanges of every party with at least ``least``.

        Returns ``who`` int64 (n,), ``rows`` int64 (n, width) with −1 after the last, and ``length`` int64 (n,).
        """
        order = np.lexsort((self.time, self.party))
        count = np.bincount(self.party, minlength=self.parties)
        start = np.cumsum(count) - count
        who = np.flatnonzero(count >= max(least, 1))
        length = np.minimum(count[who], most)
        step = np.arange(int(length.max(initial=0)))
        inside = step < length[:, None]
        at = np.where(inside, start[who][:, None] + step, 0)
        return who, np.where(inside, order[at] if order.size else at, -1), length


def look(engine: DuckDB, log: Log, taken: Ingest) -> View:
    """The view of an ingested log."""
    rows = np.flatnonzero(log.live & ~log.declared[log.acc])
    points = np.asarray(taken.projections()[rows], np.float32)
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9)
    open_party = np.ones(log.parties, bool)
    open_party[log.party[log.declared]] = False
    shared: dict[str, tuple[Any, Any]] = {}
    for name, layer in links.layers(engine, log).items():
        if name in STRONG:
            kept = open_party[layer.party]
            shared[name] = layer.party[kept], layer.value[kept]
    return View(
        parties=log.parties,
        party=log.row_party[rows].astype(np.int64),
        account=log.acc[rows].astype(np.int64),
        time=log.time[rows],
        points=points,
        item=log.exact[rows],
        template=log.template[rows].astype(np.int64),
        address=_addresses(taken)[rows],
        shared=shared,
    )


def _addresses(taken: Ingest) -> Any:
    """int64 by exchange: a code of its client address, −1 where the log has none."""
    column = pq.read_table(taken.work / "sketch.parquet", columns=["client_ip"]).column(0)
    codes = column.combine_chunks().dictionary_encode().indices.fill_null(-1)
    return codes.to_numpy(zero_copy_only=False).astype(np.int64)
