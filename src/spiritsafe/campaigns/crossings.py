"""Crossings: what one party was given or refused, and another party handed in.

Two events that innocent, unrelated customers have no way to cause. *Redemption*: a reasoning artefact issued to one
party is handed back by another. *Retry*: a request is refused (429, 403) and the same body comes from another party
within a minute. A server's failure (5xx) is no refusal: sending elsewhere is then what every fallback does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spiritsafe.campaigns._distinct import dense
from spiritsafe.campaigns._passes import where

if TYPE_CHECKING:
    from spiritsafe.campaigns.log import Log
    from spiritsafe.engine import Engine

REFUSED = "(403, 429)"
SOON = 60_000_000
"""Microseconds within which a retry counts: a program's, not a person's who tells another."""
MOST_SENDERS = 64
"""A body that more parties send went around; like other popular values it ties nobody."""

_SENT = (
    "sent AS (SELECT s.*, p.party, p.declared FROM sketch s JOIN party_open p ON s.acc = p.acc "
    "LEFT JOIN doubled d ON s.row = d.row WHERE d.row IS NULL)"
)


@dataclass(frozen=True, slots=True)
class Crossings:
    """Events between two undeclared parties, one entry each, in time order.

    ``source``, ``target`` int64: the party it was issued to or refused to, and the one that handed it in; ``time``
    int64 microseconds and ``row`` int64 of the latter's exchange.
    """

    source: Any
    target: Any
    time: Any
    row: Any


@dataclass(frozen=True, slots=True)
class Bodies:
    """All requests with a body that was refused to somebody, sorted by body, then time.

    int64 ``body`` (dense), ``party``, ``time``, ``row``; bool ``refused``; ``follower`` int64: the party that sent the
    same body next, within ``SOON`` (−1: none, the same party, or a declared one); ``follower_row`` int64.
    """

    body: Any
    party: Any
    time: Any
    row: Any
    refused: Any
    follower: Any
    follower_row: Any

    def crossings(self) -> Crossings:
        """The refused requests that another party sent on."""
        hit = np.flatnonzero(self.refused & (self.follower >= 0))
        hit = hit[np.argsort(self.time[hit], kind="stable")]
        return Crossings(self.party[hit], self.follower[hit], self.time[hit], self.follower_row[hit])


def prepare(engine: Engine, log: Log) -> None:
    """Tell the engine who is which party, and which exchanges occur twice."""
    accounts = np.arange(log.party.size, dtype=np.int32)
    engine.register("party_open", pa.table({"acc": accounts, "party": log.party, "declared": log.declared}))
    engine.register(
        "doubled", pa.table({"row": where(log.live.size, lambda part: ~log.live[part]).astype(np.int64)})
    )


def redemptions(engine: Engine) -> Crossings:
    """Artefacts redeemed by another party than the first one they were issued to: each artefact's first crossing.

    One event an artefact: what a tutorial ships to thousands is one coincidence. Work is that of sorting what was
    redeemed.
    """
    found = engine.table(
        f"WITH {_SENT}, back AS (SELECT reasoning_redeemed AS artefact, party, declared, time, row FROM sent "
        "WHERE reasoning_redeemed IS NOT NULL), "
        "given AS (SELECT reasoning_issued AS artefact, party, declared, time, row_number() OVER "
        "(PARTITION BY reasoning_issued ORDER BY time, row) AS turn FROM sent WHERE reasoning_issued IN "
        "(SELECT artefact FROM back)), "
        "own AS (SELECT DISTINCT artefact, party FROM given), "
        "crossed AS (SELECT g.party AS source, b.party AS target, b.time, b.row, row_number() OVER "
        "(PARTITION BY b.artefact ORDER BY b.time, b.row) AS turn FROM back b "
        "JOIN given g ON b.artefact = g.artefact AND g.turn = 1 "
        "LEFT JOIN own o ON b.artefact = o.artefact AND b.party = o.party "
        "WHERE o.party IS NULL AND b.time >= g.time AND NOT b.declared AND NOT g.declared) "
        "SELECT source, target, time, row FROM crossed WHERE turn = 1 ORDER BY time, row"
    )
    return Crossings(*(_ints(found, name) for name in ("source", "target", "time", "row")))


def artefacts(engine: Engine, log: Log) -> Any:
    """int64 by party: exchanges in which it was issued or handed in a reasoning artefact."""
    found = engine.table(
        f"WITH {_SENT} SELECT party, count(*) AS exchanges FROM sent WHERE reasoning_issued IS NOT NULL "
        "OR reasoning_redeemed IS NOT NULL GROUP BY party"
    )
    volume = np.zeros(log.parties, np.int64)
    volume[_ints(found, "party")] = _ints(found, "exchanges")
    return volume


def bodies(engine: Engine) -> Bodies:
    """All requests whose body was refused to somebody and sent by 2 … ``MOST_SENDERS`` parties.

    Each request knows the next one with its body only, so a body that thousands send costs a sort, not a join.
    """
    # Few bodies are refused to anybody. An engine that knows them moves no other exchange.
    engine.register(
        "refused",
        engine.table(
            f"WITH {_SENT} SELECT DISTINCT exact FROM sent WHERE status IN {REFUSED} AND exact <> 0"
        ),
    )
    engine.register(
        "hot",
        engine.table(
            f"WITH {_SENT} SELECT s.exact FROM sent s JOIN refused r ON s.exact = r.exact GROUP BY s.exact "
            f"HAVING count(DISTINCT s.party) BETWEEN 2 AND {MOST_SENDERS}"
        ),
    )
    found = engine.table(
        f"WITH {_SENT} "
        f"SELECT s.exact AS body, s.party, s.time, s.row, s.declared, coalesce(s.status IN {REFUSED}, FALSE) AS refused, "
        "lead(s.party) OVER next AS next_party, lead(s.time) OVER next AS next_time, "
        "lead(s.row) OVER next AS next_row, lead(s.declared) OVER next AS next_declared "
        "FROM sent s JOIN hot h ON s.exact = h.exact WINDOW next AS (PARTITION BY s.exact ORDER BY s.time, s.row) "
        "ORDER BY body, s.time, s.row"
    )
    party, time = _ints(found, "party"), _ints(found, "time")
    other, later = _ints(found, "next_party"), _ints(found, "next_time")
    declared = _bools(found, "declared") | _bools(found, "next_declared")
    crossed = (other >= 0) & (other != party) & (later - time <= SOON) & ~declared
    body = found.column("body").to_numpy()
    return Bodies(
        dense(body)[1].astype(np.int64),
        party,
        time,
        _ints(found, "row"),
        _bools(found, "refused"),
        np.where(crossed, other, -1),
        _ints(found, "next_row"),
    )


def _ints(table: Any, name: str) -> Any:
    return table.column(name).fill_null(-1).to_numpy().astype(np.int64)


def _bools(table: Any, name: str) -> Any:
    return table.column(name).fill_null(False).to_numpy().astype(bool)  # noqa: FBT003 - Arrow's argument
