"""Whom a measure would touch: accounts, and the organizations behind them, as the log that was scanned names them.

The log is read once for each state of its files (long work: the page shows how far it is) into ``account_id, organization_id,
relation``; after that a measure is counted in one query.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from spiritsafe.engine import quoted
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.errors import SpiritsafeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from spiritsafe.console.results import Run
    from spiritsafe.model import Exemption, Order
    from spiritsafe.orders.policy import Ladder

_TABLE: Final = pa.schema(
    [("account_id", pa.string()), ("organization_id", pa.string()), ("relation", pa.string())]
)
_NAMES: Final = 20


class Customers:
    """The table of accounts and organizations of the logs ``records``; made in the background, kept in ``cache``."""

    def __init__(self, records: Sequence[str], cache: Path) -> None:
        self.records = tuple(records)
        self._cache = cache
        self._lock = threading.Lock()
        self._working: str = ""
        self.progress = 0.0
        self.trouble = ""

    def path(self) -> Path | None:
        """The table, or None while it is being made or when no log is named or can be read (`trouble`)."""
        if not self.records:
            return None
        with self._lock:
            mark = self._mark()
            if mark is None:
                return None
            found = self._cache / "customers" / f"{mark}.parquet"
            if found.exists():
                return found
            if self._working != mark:
                self._working, self.progress, self.trouble = mark, 0.0, ""
                threading.Thread(target=self._make, args=(mark, found), name="customers", daemon=True).start()
        return None

    def _mark(self) -> str | None:
        from spiritsafe import sources  # noqa: PLC0415 - the kernel takes a second to load

        digest = hashlib.sha256()
        try:
            for one in sources.expand(self.records)[0]:
                digest.update(f"{one.path}\0{one.modified}\0{one.size}\n".encode())
        except (SpiritsafeError, OSError) as error:
            self.trouble = str(error)
            return None
        return digest.hexdigest()[:24]

    def _make(self, mark: str, path: Path) -> None:
        from spiritsafe import sources  # noqa: PLC0415

        def told(_file: str, done: int, total: int) -> None:
            self.progress = done / max(1, total)

        work = self._cache / "customers" / f"{mark}.work"
        try:
            work.mkdir(parents=True, exist_ok=True)
            with DuckDB(work, memory="1GB", threads=1) as engine, engine.cursor() as reader:
                found = sources.read(
                    list(self.records), engine=reader, rejects=work / "rejected.jsonl", progress=told
                )
                engine.execute(
                    "CREATE TABLE seen (account_id VARCHAR, organization_id VARCHAR, relation VARCHAR)"
                )
                for batch in found:
                    engine.register("batch", pa.table(batch.select(_TABLE.names)))
                    engine.execute(
                        "INSERT INTO seen SELECT DISTINCT account_id, organization_id, relation FROM batch"
                    )
                    engine.unregister("batch")
                table = engine.table(
                    "SELECT account_id, max(organization_id) AS organization_id, max(relation) AS relation FROM seen "
                    "GROUP BY account_id ORDER BY account_id"
                )
            part = path.with_suffix(".part")
            pq.write_table(table.cast(_TABLE), part)
            part.replace(path)
        except (SpiritsafeError, OSError, pa.ArrowInvalid) as error:
            self.trouble = str(error)
        finally:
            (work / "rejected.jsonl").unlink(missing_ok=True)
            if self.trouble == "":
                self._working = ""


def touched(
    order: Order,
    run: Run | None,
    customers: Path | None,
    ladder: Ladder,
    exempt: Iterable[Exemption],
    *,
    work: Path,
    now: int,
) -> dict[str, Any]:
    """Whom ``order`` would touch.

    ``accounts``: how many it reaches: those it lists, or those whose exchanges in the run were the campaign's; ``organizations``:
    their customers, None when no log says; ``alone``: accounts of no organization, each its own customer; ``spared``: accounts
    that the policy's relations or an exemption keep out, already taken off; ``largest``: organizations with most accounts.
    """
    names = sorted(order.accounts) if order.accounts else _matching(order, run, work)
    exempt = [one for one in exempt if one.above is None and one.expires > now]
    with DuckDB(work, memory="1GB", threads=1) as engine:
        engine.register("named", pa.table({"account_id": pa.array(names, pa.string())}))
        if customers is None:
            engine.register("known", _TABLE.empty_table())
        else:
            engine.register("known", pq.read_table(customers))
        untouched = [*ladder.untouched, *([] if order.scope == "streams" else ladder.streams_only)]
        row = engine.table(
            """
            WITH who AS (
              SELECT named.account_id, organization_id,
                     list_contains($relations, relation) OR list_contains($relations, split_part(relation, ':', 1))
                     OR list_contains($accounts, named.account_id) OR list_contains($organizations, organization_id) AS spared
              FROM named LEFT JOIN known USING (account_id)
            )
            SELECT count(*) FILTER (coalesce(spared, false)) AS spared,
                   count(*) FILTER (NOT coalesce(spared, false)) AS accounts,
                   count(DISTINCT organization_id) FILTER (NOT coalesce(spared, false)) AS organizations,
                   count(*) FILTER (NOT coalesce(spared, false) AND organization_id IS NULL) AS alone
            FROM who
            """,
            {
                "relations": untouched,
                "accounts": [one.account_id for one in exempt if one.account_id],
                "organizations": [one.organization_id for one in exempt if one.organization_id],
            },
        ).to_pylist()[0]
        largest = engine.table(
            "SELECT organization_id, count(*) AS accounts FROM named JOIN known USING (account_id) "
            f"WHERE organization_id IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_NAMES}"
        ).to_pylist()
    told: dict[str, Any] = {**row, "largest": largest, "known": customers is not None}
    if customers is None:
        told["organizations"] = told["alone"] = None
    return told


def _matching(order: Order, run: Run | None, work: Path) -> list[str]:
    if run is None or not (run.path / "exchanges.parquet").exists():
        return []
    with DuckDB(work, memory="1GB", threads=1) as engine:
        source = quoted(run.path / "exchanges.parquet")
        return engine.table(
            f"SELECT DISTINCT account_id FROM read_parquet('{source}') WHERE campaign_id = $1",
            [order.campaign_id],
        )["account_id"].to_pylist()
