"""One result's index: summaries, whole entries in row groups, members. Made once, then only read."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from spiritsafe.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERSION: Final = 1
GROUP: Final = 32
"""Entries in a row group: what is read to show one."""
SUMMARY: Final = pa.schema(
    [
        ("campaign_id", pa.string()),
        ("label", pa.string()),
        ("headline", pa.string()),
        ("accounts", pa.int64()),
        ("exchanges", pa.int64()),
        ("streams", pa.int64()),
        ("tokens", pa.int64()),
        ("first_seen", pa.string()),
        ("last_seen", pa.string()),
        ("bits", pa.float64()),
        ("roles", pa.list_(pa.string())),
        ("layers", pa.list_(pa.string())),
        ("response", pa.string()),
    ]
)
_MEMBERS: Final = pa.schema(
    [
        ("account_id", pa.string()),
        ("campaign_id", pa.string()),
        ("label", pa.string()),
        ("membership", pa.float64()),
    ]
)


def opened(path: Path, index: Path) -> tuple[dict[str, Any], pa.Table]:
    """The head and the summaries of the result at ``path``, from its index at ``index``, made if absent.

    Raises UsageError when ``path`` is no result, StorageError when disk refuses.
    """
    try:
        if not (index / "head.json").exists():
            _make(path, index)
        head = cast("dict[str, Any]", orjson.loads((index / "head.json").read_bytes()))
        return head, pq.read_table(index / "summary.parquet")
    except OSError as error:
        raise StorageError(
            f"cannot be read or indexed: {error.strerror or error}", where=str(path)
        ) from error


def _make(path: Path, index: Path) -> None:
    try:
        whole = orjson.loads(path.read_bytes())
        entries = cast("list[dict[str, Any]]", whole.pop("campaigns"))
        rows = [_summary(entry) for entry in entries]
        members = [
            (one["account_id"], entry["campaign_id"], entry["label"], float(one["membership"]))
            for entry in entries
            for one in entry["accounts"]
        ]
        summary = pa.Table.from_pylist(rows, schema=SUMMARY)
        entry_texts = pa.table(
            {"entry": pa.array([orjson.dumps(one).decode() for one in entries], pa.string())}
        )
        member_table = pa.table(
            [pa.array(column, kind) for column, kind in zip(_columns(members), _MEMBERS.types, strict=True)],
            schema=_MEMBERS,
        ).sort_by("account_id")
    except (ValueError, KeyError, TypeError, AttributeError, pa.ArrowInvalid) as error:
        raise UsageError(
            f"this is not a scan's result: {error!r}",
            where=str(path),
            hint="scan again, or name another folder",
        ) from error
    part = index.with_name(f"{index.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    pq.write_table(summary, part / "summary.parquet")
    pq.write_table(entry_texts, part / "entries.parquet", row_group_size=GROUP, compression="zstd")
    pq.write_table(member_table, part / "members.parquet", row_group_size=65_536, compression="zstd")
    (part / "head.json").write_bytes(orjson.dumps(whole))
    shutil.rmtree(index, ignore_errors=True)
    part.rename(index)


def _summary(entry: Mapping[str, Any]) -> dict[str, Any]:
    tokens = entry.get("tokens") or {}
    return {
        "campaign_id": entry["campaign_id"],
        "label": entry["label"],
        "headline": entry.get("headline") or "",
        "accounts": len(entry["accounts"]),
        "exchanges": entry.get("exchanges") or 0,
        "streams": entry.get("streams") or 0,
        "tokens": (tokens.get("input") or 0) + (tokens.get("output") or 0),
        "first_seen": entry.get("first_seen") or "",
        "last_seen": entry.get("last_seen") or "",
        "bits": (entry.get("coordination") or {}).get("bits"),
        "roles": [one["role"] for one in entry.get("roles") or ()],
        "layers": list(entry.get("independent_layers") or ()),
        "response": (entry.get("proposed_order") or {}).get("response") or "",
    }


def _columns(rows: list[tuple[Any, ...]]) -> list[Any]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], [], []]
