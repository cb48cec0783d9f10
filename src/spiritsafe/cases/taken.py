"""What was taken: exchanges and tokens of campaigns by account, model and declared relation, summed from the records.

Licensed use is never counted as taken: rows whose declared relation is among the price book's ``licensed`` are shown apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spiritsafe.engine.duckdb import DuckDB

_COLUMNS = (
    "exchange_id",
    "time",
    "account_id",
    "model",
    "relation",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
)
QUANTITIES = ("exchanges", "input", "cached", "output", "unknown_input_chars", "unknown_output_chars")
"""Of each row: exchanges; tokens; and characters of the exchanges whose tokens the log does not tell."""


class Usage:
    """Sums the exchanges of ``chosen`` (exchange_id, campaign_id) over batches; each exchange counts once."""

    def __init__(self, engine: DuckDB, chosen: pa.Table) -> None:
        self._engine = engine
        self._chosen = chosen.select(["exchange_id", "campaign_id"])
        self._kept: list[pa.Table] = []

    def add(self, made: pa.RecordBatch) -> None:
        """Take in a batch of sketches (canonical columns, ``prompt_chars``, ``response_chars``)."""
        self._engine.register("made", pa.table(made))
        self._engine.register("chosen", self._chosen)
        columns = ", ".join(f"made.{name}" for name in (*_COLUMNS, "prompt_chars", "response_chars"))
        self._kept.append(
            self._engine.table(f"SELECT {columns}, campaign_id FROM made JOIN chosen USING (exchange_id)")
        )
        self._engine.unregister("made")

    def record(self, campaigns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The content of ``usage.json``. ``campaigns``: entries of ``campaigns.json``, whose memberships are taken."""
        rows: list[dict[str, Any]] = []
        if self._kept:
            self._engine.register("kept", pa.concat_tables(self._kept))
            rows = self._engine.table(_SUMS).to_pylist()
            self._engine.unregister("kept")
        sure = {
            (one["campaign_id"], who["account_id"]): who["membership"]
            for one in campaigns
            for who in one["accounts"]
        }
        for row in rows:
            row["membership"] = sure.get((row["campaign_id"], row["account_id"]), 1.0)
        return {"schema": 1, "rows": rows}


_SUMS = """WITH once AS (SELECT DISTINCT ON (campaign_id, exchange_id) *, output_tokens IS NULL AS dark FROM kept)
SELECT campaign_id, account_id, model, relation, count(*) AS exchanges, min(time) AS first, max(time) AS last,
  CAST(coalesce(sum(input_tokens), 0) AS BIGINT) AS input, CAST(coalesce(sum(cached_tokens), 0) AS BIGINT) AS cached,
  CAST(coalesce(sum(output_tokens), 0) AS BIGINT) AS output,
  CAST(coalesce(sum(CASE WHEN dark AND input_tokens IS NULL THEN prompt_chars END), 0) AS BIGINT) AS unknown_input_chars,
  CAST(coalesce(sum(CASE WHEN dark THEN response_chars END), 0) AS BIGINT) AS unknown_output_chars
FROM once GROUP BY ALL ORDER BY campaign_id, account_id, model, relation"""


@dataclass(frozen=True, slots=True)
class Amount:
    """Quantities of rows that may or may not count: ``rows`` (n, 6) as ``QUANTITIES``, ``sure`` (n) a probability.

    ``who`` (n): numbers of accounts. An account's rows count together or not at all. ``models`` (n).
    """

    rows: Any
    sure: Any
    who: Any
    models: tuple[str, ...]


def split(usage: Mapping[str, Any], licensed: Sequence[str]) -> tuple[Amount, list[dict[str, Any]]]:
    """What was taken, and the rows of licensed use, summed by relation and model. A relation ``x:y`` is covered by ``x``."""
    kinds = set(licensed)
    apart = [one for one in usage["rows"] if (one["relation"] or "").partition(":")[0] in kinds]
    counted = [one for one in usage["rows"] if (one["relation"] or "").partition(":")[0] not in kinds]
    names = {name: at for at, name in enumerate(dict.fromkeys(one["account_id"] for one in counted))}
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    for one in apart:
        key = one["relation"], one["model"] or ""
        into = sums.setdefault(key, {"relation": key[0], "model": key[1], **dict.fromkeys(QUANTITIES, 0)})
        for name in QUANTITIES:
            into[name] += one[name]
    amount = Amount(
        np.array([[one[name] for name in QUANTITIES] for one in counted], float).reshape(-1, len(QUANTITIES)),
        np.array([one["membership"] for one in counted], float),
        np.array([names[one["account_id"]] for one in counted], np.int64),
        tuple(one["model"] or "" for one in counted),
    )
    return amount, [sums[key] for key in sorted(sums)]


def sampled(amount: Amount, groups: Any, *, draws: int, rng: np.random.Generator) -> Any:
    """Totals by group, (draws, groups, 6): each account belongs with its probability, independently of the others.

    ``groups`` (n) numbers the rows from 0.
    """
    count = int(groups.max()) + 1 if groups.size else 0
    width = amount.rows.shape[1]
    accounts = int(amount.who.max()) + 1 if amount.who.size else 0
    each = np.zeros((accounts, count, width))
    np.add.at(each, (amount.who, groups), amount.rows)
    chance = np.ones(accounts)
    np.minimum.at(chance, amount.who, amount.sure)
    total = np.tile(each[chance >= 1].sum(axis=0), (draws, 1, 1))
    doubtful = np.flatnonzero(chance < 1)
    for part in np.array_split(doubtful, max(1, doubtful.size // 512)):  # bounded memory
        belongs = (rng.random((draws, part.size)) < chance[part]).astype(float)
        total += (belongs @ each[part].reshape(part.size, count * width)).reshape(draws, count, width)
    return total
