"""Growth: which texts, items, cards, devices and addresses gain parties, kept up to date by each new segment alone.

For each value two decayed counts are kept: exchanges, and distinct parties (each weighs by its latest exchange). A weight
halves every half-life. Decay is *forward* (Cormode, Shkapenyuk, Srivastava & Xu, ICDE 2009): an exchange at ``t`` adds
``2^((t − landmark) / half-life)`` once and for all, and only a reader divides by the same power of now. So nothing old is
touched by time, and the order in which segments come does not matter.

The store is SQLite: small, transactional, in the standard library. A segment and the note that it was counted are one
transaction; what a kill took away is counted again from its partition.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from spiritsafe.engine import quoted
from spiritsafe.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from spiritsafe.engine.duckdb import DuckDB
    from spiritsafe.state.parts import Part

LAYERS = ("text", "item", "payment", "device", "network", "retry")
"""``text``: runs of words, one in ``_SAMPLE`` by hash, of prompts and system texts; ``item``: whole prompts; ``retry``: parties
between which a refused request went on within a minute, all in one value; the rest as in links."""
LEAST = 20
"""Parties that a value gains before it is told of."""
TOLD = 50
FORGET = 10.0
"""Half-lives after which a party no longer counts: its weight is below one in 1,000."""
_SAMPLE = 4
_REBASE = 400
"""Half-lives from the landmark after which it is moved: doubles end at 2^1024."""
_RUNS = f"list_filter(list_concat(anchors, system_anchors), lambda a: a <> 0 AND a % {_SAMPLE} = 0)"
_COLUMNS = ("payment_id", "device_id", "client_ip")

_TABLES = f"""
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value REAL NOT NULL);
CREATE TABLE IF NOT EXISTS counted (segment TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holder (layer INT, value INT, party INT, weight REAL NOT NULL,
  PRIMARY KEY (layer, value, party)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS grown (layer INT, value INT, exchanges REAL NOT NULL, parties REAL NOT NULL,
  holders INT NOT NULL, fresh INT NOT NULL, step INT NOT NULL, name TEXT NOT NULL,
  PRIMARY KEY (layer, value)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused (body INT, party INT, time INT);
CREATE INDEX IF NOT EXISTS growing ON grown (step, fresh) WHERE fresh >= {LEAST};
CREATE TEMP TABLE IF NOT EXISTS new (layer INT, value INT, party INT, latest REAL, total REAL, name TEXT);
"""
_REFUSED, _SOON, _SENDERS = "(403, 429)", 60_000_000, 64
"""As in ``campaigns.crossings``: what a refusal is, microseconds until it is sent on, senders of a body that ties nobody."""
_SENT_ON = f"""
WITH refusal AS (SELECT body, party, time FROM sent WHERE status IN {_REFUSED} UNION ALL SELECT * FROM refused_before),
hot AS (SELECT body FROM sent WHERE body IN (SELECT body FROM refusal) GROUP BY body
  HAVING count(DISTINCT party) <= {_SENDERS}),
crossed AS (SELECT r.party AS giver, t.party AS taker, t.weight FROM refusal r JOIN hot USING (body) JOIN sent t USING (body)
  WHERE t.party <> r.party AND t.time BETWEEN r.time AND r.time + {_SOON}),
ends AS (SELECT giver AS party, weight FROM crossed UNION ALL SELECT taker, weight FROM crossed)
SELECT 5 AS layer, 0 AS value, party::BIGINT AS party, max(weight) AS latest, sum(weight) / 2 AS total,
  'refused requests sent on' AS name FROM ends GROUP BY party ORDER BY party
"""
_GROWN = """
INSERT INTO grown SELECT n.layer, n.value, sum(n.total),
  sum(max(n.latest - coalesce(h.weight, 0), 0)), sum(h.weight IS NULL), sum(h.weight IS NULL), ?, max(n.name)
FROM new n LEFT JOIN holder h ON h.layer = n.layer AND h.value = n.value AND h.party = n.party
WHERE true GROUP BY n.layer, n.value
ON CONFLICT (layer, value) DO UPDATE SET exchanges = exchanges + excluded.exchanges,
  parties = parties + excluded.parties, holders = holders + excluded.holders,
  fresh = CASE WHEN step = excluded.step THEN fresh ELSE 0 END + excluded.fresh, step = excluded.step
"""
_HELD = """
INSERT INTO holder SELECT layer, value, party, latest FROM new WHERE true
ON CONFLICT (layer, value, party) DO UPDATE SET weight = max(weight, excluded.weight)
"""


@dataclass(frozen=True, slots=True)
class Group:
    """A value and who shares it: decayed ``parties`` and ``exchanges``, ``holders`` undecayed, ``fresh`` of them new.

    New means: since the last campaign step. ``alike`` values were gained by the same number of parties.
    """

    layer: str
    name: str
    parties: float
    exchanges: float
    holders: int
    fresh: int
    alike: int = 1

    @property
    def doubled(self) -> bool:
        """At least as many parties came since the last campaign step as were there before."""
        return self.fresh * 2 >= self.holders


class Growth:
    """The store at ``path``; made if absent. ``half_life`` in microseconds. Raises StorageError."""

    def __init__(self, path: Path, *, half_life: int) -> None:
        self.path = path
        self.half_life = half_life
        with _storage(path):
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _TABLES)
            if self._fact("half_life", half_life) != half_life:
                self._db.executescript(
                    "DELETE FROM counted; DELETE FROM refused; DELETE FROM holder; DELETE FROM grown; DELETE FROM fact;"
                )
                self._fact("half_life", half_life)

    def close(self) -> None:
        """Close the store."""
        self._db.close()

    def counted(self) -> set[str]:
        """Names of the segments that are in the counts."""
        with _storage(self.path):
            return {name for (name,) in self._db.execute("SELECT segment FROM counted")}

    def add(self, engine: DuckDB, name: str, found: Sequence[Part], *, now: int) -> None:
        """Count a segment, once. ``found``: its parts; exchanges after ``now`` count as at ``now``."""
        with _storage(self.path):
            with self._transaction():
                self._rebase(now)
            before = self._db.execute("SELECT body, party, time FROM refused").fetchall()
        rows, refused = self._rows(engine, found, now, before)
        with _storage(self.path), self._transaction():
            self._db.execute("INSERT INTO counted VALUES (?)", (name,))
            self._db.execute("DELETE FROM new")
            self._db.executemany("INSERT INTO new VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._db.execute(_GROWN, (self._fact("step", 0),))
            self._db.execute(_HELD)
            self._db.execute("DELETE FROM refused")
            self._db.executemany("INSERT INTO refused VALUES (?, ?, ?)", refused)

    def growing(self, now: int) -> list[Group]:
        """The values that gained most parties since the last campaign step, at most ``TOLD``, most first."""
        with _storage(self.path):
            scale = 2.0 ** min(_REBASE, -self._power(now))
            found = self._db.execute(
                f"SELECT layer, name, parties, exchanges, holders, fresh FROM grown WHERE step = ? AND fresh >= {LEAST} "
                "ORDER BY fresh DESC, holders, layer, value LIMIT 1000",
                (self._fact("step", 0),),
            ).fetchall()
        groups: dict[tuple[int, int, int], Group] = {}
        for layer, name, parties, exchanges, holders, fresh in found:
            known = groups.get((layer, holders, fresh))
            groups[layer, holders, fresh] = Group(
                LAYERS[layer],
                known.name if known else name,
                parties * scale,
                exchanges * scale,
                holders,
                fresh,
                known.alike + 1 if known else 1,
            )
        return list(groups.values())[:TOLD]

    def told(self, now: int) -> None:
        """A campaign step was made: count new parties from here on, and forget what has decayed."""
        with _storage(self.path), self._transaction():
            self._db.execute("UPDATE fact SET value = value + 1 WHERE name = 'step'")
            self._rebase(now)
            least = 2.0 ** (self._power(now) - FORGET)
            self._db.execute("DROP TABLE IF EXISTS temp.old")
            self._db.execute(
                "CREATE TEMP TABLE old AS SELECT layer, value, count(*) AS holders, sum(weight) AS parties "
                "FROM holder WHERE weight < ? GROUP BY layer, value",
                (least,),
            )
            self._db.execute(
                "UPDATE grown SET holders = grown.holders - old.holders, parties = max(0, grown.parties - old.parties) "
                "FROM old WHERE grown.layer = old.layer AND grown.value = old.value"
            )
            self._db.execute("DELETE FROM holder WHERE weight < ?", (least,))
            self._db.execute("DELETE FROM grown WHERE holders <= 0")

    def forget(self, segments: list[str]) -> None:
        """Partitions that are gone cannot be counted again: their names are not needed."""
        with _storage(self.path), self._transaction():
            self._db.executemany("DELETE FROM counted WHERE segment = ?", [(name,) for name in segments])

    def _rows(
        self, engine: DuckDB, found: Sequence[Part], now: int, before: Any
    ) -> tuple[list[Any], list[Any]]:
        """What to count: a row for each layer, value and party, with latest and total weight and the value's name.

        And the refusals of the last minute: what is sent on after them is in the next segment. ``before``: theirs.
        """
        pieces = [
            f"SELECT * FROM read_parquet('{quoted(one.folder / 'sketch.parquet')}') "
            f"WHERE place >= {one.at} AND place < {one.at + one.rows}"
            for one in found
            if one.rows
        ]
        engine.execute(f"CREATE OR REPLACE TEMP VIEW segment AS {' UNION ALL BY NAME '.join(pieces)}")
        begin = int(engine.scalar("SELECT min(time) FROM segment"))
        landmark = self._fact("landmark", min(begin, now))
        engine.execute(
            "CREATE OR REPLACE TEMP TABLE sent AS SELECT anchors, system_anchors, exact, (exact >> 4)::BIGINT AS body, "
            f"time, status, {', '.join(_COLUMNS)}, pow(2.0, (least(time, {now}) - {landmark:.0f}) / {self.half_life}.0) "
            "AS weight, (md5_number_lower(coalesce('o:' || organization_id, 'a:' || account_id)) >> 4)::BIGINT AS party "
            "FROM segment"
        )
        numbers = [
            f"SELECT 0 AS layer, unnest({_RUNS}) AS value, party, weight, '' AS name FROM sent",
            "SELECT 1, exact, party, weight, '' FROM sent WHERE exact <> 0",
        ]
        names = [
            f"SELECT {2 + index}, md5_number_lower({column}), party, weight, {column} FROM sent WHERE {column} IS NOT NULL"
            for index, column in enumerate(_COLUMNS)
        ]
        counts = engine.table(
            f"WITH k AS ({' UNION ALL '.join([*numbers, *names])}) SELECT layer, (value >> 4)::BIGINT AS value, "
            "party, max(weight) AS latest, sum(weight) AS total, "
            "coalesce(nullif(max(name), ''), printf('%016x', max(value))) AS name FROM k GROUP BY ALL ORDER BY ALL"
        )
        earlier = zip(*before, strict=True) if before else ((), (), ())
        columns = [pa.array(column, pa.int64()) for column in earlier]
        engine.register("refused_before", pa.table(columns, names=["body", "party", "time"]))
        sent_on = engine.table(_SENT_ON)
        late = engine.table(
            f"SELECT body, party, time FROM sent WHERE status IN {_REFUSED} AND body <> 0 "
            f"AND time > (SELECT max(time) FROM sent) - {_SOON}"
        )
        return [*_listed(counts), *_listed(sent_on)], _listed(late)

    def _rebase(self, now: int) -> None:
        """Move the landmark to ``now`` when it is far back: weights are scaled by a power of two, which is exact."""
        steps = int(self._power(now))
        if steps <= _REBASE:
            return
        down = 2.0**-steps
        self._db.execute("UPDATE holder SET weight = weight * ?", (down,))
        self._db.execute("UPDATE grown SET parties = parties * ?, exchanges = exchanges * ?", (down, down))
        self._db.execute(
            "UPDATE fact SET value = value + ? WHERE name = 'landmark'", (steps * self.half_life,)
        )

    def _power(self, now: int) -> float:
        """Half-lives from the landmark to ``now``."""
        return (now - self._fact("landmark", now)) / self.half_life

    def _fact(self, name: str, first: float) -> float:
        """A number that is kept; ``first`` where it is not known yet, and kept from then on."""
        self._db.execute("INSERT OR IGNORE INTO fact VALUES (?, ?)", (name, first))
        return self._db.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()[0]

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


@contextmanager
def _storage(path: Path) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(
            f"the store of decayed counts cannot be used: {error}",
            where=str(path),
            hint="remove this file: it is made again from the partitions",
        ) from error


def _listed(table: Any) -> list[Any]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))
