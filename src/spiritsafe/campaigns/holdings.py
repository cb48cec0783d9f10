"""Holdings: which accounts of a told group hold which values that another of the group holds, too (docs/contract.md).

People and programs that draw a group need all of it, and ``campaigns.json`` tells the first few of each layer. Values are
masked as in exhibits; ``number`` tells apart two of a layer that look the same masked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spiritsafe.campaigns._distinct import dense, distinct
from spiritsafe.campaigns.exhibits import mask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.verdict import Verdict

HOLDINGS = pa.schema(
    [
        ("campaign_id", pa.string()),
        ("account_id", pa.string()),
        ("layer", pa.string()),
        ("number", pa.int64()),
        ("value", pa.string()),
        ("inside", pa.int64()),
        ("elsewhere", pa.int64()),
    ]
)


def holdings(
    folder: Path,
    log: Log | None,
    campaigns: Sequence[Mapping[str, Any]],
    told: Sequence[Verdict],
    layers: Mapping[str, Layer],
) -> None:
    """Write ``holdings.parquet`` to ``folder``: one row for each account and value.

    ``campaigns``: the entries that tell ``told``.
    """
    with pq.ParquetWriter(folder / "holdings.parquet", HOLDINGS, compression="zstd") as writer:
        if log is None:
            return
        accounts = pa.array(log.accounts, pa.string())
        for entry, verdict in zip(campaigns, told, strict=True):
            for batch in _of(log, verdict, layers, accounts, entry["campaign_id"]):
                writer.write_batch(batch)


def _of(
    log: Log, verdict: Verdict, layers: Mapping[str, Layer], accounts: pa.Array, campaign: str
) -> Iterator[pa.RecordBatch]:
    members = distinct(log.acc[verdict.rows])
    members = members[np.argsort(log.party[members], kind="stable")]
    party = log.party[members]
    for layer in layers.values():
        inside, holders = layer.held_by(verdict.parties)
        kept = inside & (holders[layer.value] > 1)
        # A party holds what any of its accounts holds: each of them stands for it.
        first = np.searchsorted(party, layer.party[kept])
        many = np.searchsorted(party, layer.party[kept], side="right") - first
        value = np.repeat(layer.value[kept], many)
        within = np.arange(value.size) - np.repeat(np.cumsum(many) - many, many)
        account = members[np.repeat(first, many) + within]
        shared, place = dense(value)
        masked = pa.array([mask(layer.named(v)) for v in shared.tolist()], pa.string())
        columns = [
            pa.repeat(campaign, value.size).cast(pa.string()),
            accounts.take(pa.array(account, pa.int64())),
            pa.repeat(layer.name, value.size).cast(pa.string()),
            pa.array(value, pa.int64()),
            masked.take(pa.array(place, pa.int64())),
            pa.array(holders[value], pa.int64()),
            pa.array(layer.population[value] - holders[value], pa.int64()),
        ]
        if value.size:
            yield pa.record_batch(columns, schema=HOLDINGS)
