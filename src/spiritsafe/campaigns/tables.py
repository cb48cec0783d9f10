"""The two tables of a scan: one row an account, one row an exchange (docs/contract.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spiritsafe.campaigns._distinct import dense

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from spiritsafe.campaigns.log import Log

ACCOUNTS = pa.schema(
    [
        ("account_id", pa.string()),
        ("label", pa.string()),
        ("campaign_id", pa.string()),
        ("membership", pa.float64()),
    ]
)
EXCHANGES = pa.schema(
    [
        ("exchange_id", pa.string()),
        ("time", pa.int64()),
        ("account_id", pa.string()),
        ("stream_id", pa.string()),
        ("campaign_id", pa.string()),
        ("role", pa.string()),
    ]
)


def accounts(path: Path, log: Log | None, campaigns: list[dict[str, Any]]) -> None:
    """Write ``accounts.parquet``: every account seen, with its label if it has one. An accusation goes first."""
    names = sorted(log.accounts) if log else []
    told: dict[str, tuple[str | None, str | None, float]] = {}
    for entry in reversed(campaigns):
        for account in entry["accounts"]:
            told[account["account_id"]] = (entry["label"], entry["campaign_id"], account["membership"])
    rows = [told.get(name, (None, None, 0.0)) for name in names]
    columns = [names, [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]]
    pq.write_table(
        pa.table([pa.array(c, t) for c, t in zip(columns, ACCOUNTS.types, strict=True)], schema=ACCOUNTS),
        path,
    )


def exchanges(
    path: Path, log: Log | None, ids: Iterable[pa.RecordBatch], accused: list[tuple[str, Any]]
) -> None:
    """Write ``exchanges.parquet``, batch by batch.

    ``ids`` yields the exchange ids in row order; ``accused`` pairs a campaign id with its rows.
    """
    with pq.ParquetWriter(path, EXCHANGES, compression="zstd", compression_level=1) as writer:
        if log is None:
            return
        campaign = log.shelf.empty(log.acc.size, np.int32)
        campaign[:] = -1
        for index in reversed(range(len(accused))):
            campaign[accused[index][1]] = index
        campaign_names = pa.array([name for name, _ in accused], pa.string())
        account_names = pa.array(log.accounts, pa.string())
        role_names = pa.array((*log.role_names, ""), pa.string())
        kinds = _kinds(log)
        at = 0
        for batch in ids:
            part = slice(at, at + batch.num_rows)
            at += batch.num_rows
            role = _first_role(log, part)
            columns = [
                batch.column(0).cast(pa.string()),
                pa.array(log.time[part], pa.int64()),
                account_names.take(pa.array(log.acc[part])),
                _streams(log, part, account_names, kinds),
                campaign_names.take(pa.array(campaign[part], mask=campaign[part] < 0)),
                role_names.take(pa.array(role, mask=role < 0)),
            ]
            live = pa.array(log.live[part])
            writer.write_batch(pa.record_batch(columns, schema=EXCHANGES).filter(live))


def _kinds(log: Log) -> pa.Array:
    """The names of what an account's streams are told apart by, in the order of ``Log.stream``'s lower half."""
    topics = [f"own-{key:016x}" for key in log.topic_key.tolist()]
    return pa.array(["own", *(f"{key:016x}" for key in log.template_key.tolist()), *topics], pa.string())


def _streams(log: Log, rows: slice, accounts: pa.Array, kinds: pa.Array) -> pa.Array:
    """The names of the streams of ``rows``: an account's exchanges of one template or one kind of own text."""
    distinct, stream = dense(log.stream(rows))
    account, kind = accounts.take(pa.array(distinct >> 32)), kinds.take(pa.array(distinct & 0xFFFFFFFF))
    return pc.binary_join_element_wise(account, kind, "/").take(pa.array(stream))


def _first_role(log: Log, rows: slice = slice(None)) -> Any:
    """int16 by exchange: its first role, extraction roles before product roles; −1 for none."""
    roles = log.roles[rows]
    out = np.full(roles.size, -1, np.int16)
    order = sorted(range(len(log.role_names)), key=lambda bit: (not log.extraction >> bit & 1, bit))
    for bit in reversed(order):
        out[((roles >> np.uint64(bit)) & np.uint64(1)) == 1] = bit
    return out
