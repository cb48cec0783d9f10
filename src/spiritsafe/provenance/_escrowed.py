"""Reads the escrow into the table of pairs, and checks every coin against the ledger on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from spiritsafe.errors import InputError
from spiritsafe.ledger import entries
from spiritsafe.provenance import _escrow
from spiritsafe.provenance._lines import read as read_lines
from spiritsafe.provenance._subject import PAIRS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from spiritsafe.ledger import Entry

#: What becomes of a record; counts by these add up to all records.
OUTCOMES: tuple[str, ...] = (
    "pairs",
    "changed_snapshot",
    "no_ghost",
    "ghost_failed",
    "no_text",
    "elsewhere",
)


def batches(folder: Path) -> list[Path]:
    """The batches' files, oldest first."""
    return sorted(path for path in folder.glob("b*.jsonl") if not path.name.endswith(".ghosts.jsonl"))


def ghost_file(batch: Path) -> Path:
    """Where the ghosts of a batch are kept."""
    return batch.with_name(f"{batch.stem}.ghosts.jsonl")


def pairs(
    folder: Path, book: Path, root: bytes, *, campaigns: Iterable[str] | None = None,
    texts: Iterable[str] = (),
) -> tuple[pa.Table, dict[str, int], dict[str, str]]:  # fmt: skip
    """The table of pairs, what became of every record, and the secrets (hex) of the batches that they are from.

    ``campaigns``: only theirs; ``texts``: served answers from the exchange log, for records that hold a digest only.
    A pair whose snapshot changed between the draws stays in the table, where tests see both snapshots and void it.
    Raises InputError for a coin that its batch's secret does not give, or an answer that is not the one served.
    """
    opened = (
        {str(one.body["batch"]): one for one in entries(book) if one.kind == _escrow.OPENED}
        if book.exists()
        else {}
    )
    wanted = None if campaigns is None else set(campaigns)
    known = {_escrow.text_digest(text): text for text in texts}
    counts: dict[str, int] = dict.fromkeys(OUTCOMES, 0)
    columns: dict[str, list[Any]] = {name: [] for name in PAIRS.names}
    secrets: dict[str, str] = {}
    for path in batches(folder):
        secret = _escrow.batch_secret(root, path.stem)
        entry = opened.get(path.stem)
        ghosts = {str(row["pair_id"]): row for row in read_lines(ghost_file(path))}
        for number, row in enumerate(read_lines(path), 1):
            where = f"{path}:{number}"
            if wanted is not None and row.get("campaign_id") not in wanted:
                counts["elsewhere"] += 1
                continue
            served = _served(row, known, where)
            ghost = row.get("ghost") or ghosts.get(str(row["pair_id"]))
            if served is None or ghost is None or ghost["status"] not in {"ok", "truncated"}:
                counts[_missing(served, ghost)] += 1
                continue
            if row["coin"] != _escrow.coin(secret, row["pair_id"]):
                raise InputError("the coin is not the one that was committed", where=where)
            secrets[path.stem] = secret.hex()
            both = (served, ghost["text"]) if row["coin"] == 0 else (ghost["text"], served)
            cells = {
                "pair_id": row["pair_id"], "prompt": _prompt(row), "first": both[0], "second": both[1],
                "coin": row["coin"], "campaign_id": row.get("campaign_id"),
                "committed": _committed(entry, path.stem, secret, row), "snapshot": row["snapshot"],
                "ghost_snapshot": ghost["snapshot"],
            }  # fmt: skip
            for name, value in cells.items():
                columns[name].append(value)
            counts["changed_snapshot" if row["snapshot"] != ghost["snapshot"] else "pairs"] += 1
    return pa.table(columns, schema=PAIRS), counts, secrets


def _served(row: Mapping[str, Any], known: Mapping[str, str], where: str) -> str | None:
    text = row.get("text")
    if text is None:
        return known.get(str(row["sha256"]))
    if _escrow.text_digest(text) != row["sha256"]:
        raise InputError("the answer is not the one whose digest stands beside it", where=where)
    return str(text)


def _missing(served: str | None, ghost: Mapping[str, Any] | None) -> str:
    if served is None:
        return "no_text"
    return "no_ghost" if ghost is None else "ghost_failed"


def _prompt(row: Mapping[str, Any]) -> str | None:
    """The last thing that the caller said."""
    said = [one["content"] for one in row["messages"] if one.get("role") == "user"]
    return said[-1] if said and isinstance(said[-1], str) else None


def _committed(entry: Entry | None, batch: str, secret: bytes, row: Mapping[str, Any]) -> bool:
    return (
        entry is not None
        and entry.time <= row["time"]
        and entry.body["commitment"] == _escrow.commitment(batch, secret)
    )
