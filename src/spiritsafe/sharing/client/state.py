"""What a member keeps of the forum: one SQLite file, in which every step is a transaction, so that ``kill -9`` loses nothing.

A page and the place behind it are one transaction; so are a message and its place in the outbox. Objects are kept as they
came, byte for byte in canonical form, each version.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from spiritsafe.attest.canonical import jcs
from spiritsafe.errors import SharingError, StorageError
from spiritsafe.sharing.stix.ids import DISTILLATION
from spiritsafe.sharing.stix.terms import micros

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_TABLES: Final = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE members (identity TEXT PRIMARY KEY, pseudonym TEXT NOT NULL, roles TEXT NOT NULL, state TEXT NOT NULL) STRICT;
CREATE TABLE keys (
  keyid TEXT PRIMARY KEY, identity TEXT NOT NULL, public TEXT NOT NULL, since INTEGER NOT NULL, retired INTEGER,
  own INTEGER NOT NULL) STRICT;
CREATE TABLE leaves (seq INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;
CREATE INDEX leaves_hash ON leaves (hash);
CREATE TABLE heads (size INTEGER NOT NULL, time INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (size, time)) STRICT;
CREATE TABLE objects (
  id TEXT NOT NULL, version INTEGER NOT NULL, type TEXT NOT NULL, author TEXT NOT NULL, body BLOB NOT NULL,
  taken INTEGER NOT NULL, revoked INTEGER NOT NULL,
  ends INTEGER NOT NULL, here INTEGER NOT NULL, PRIMARY KEY (id, version)) STRICT;
CREATE TABLE seen (id TEXT PRIMARY KEY) STRICT;
CREATE TABLE refused (id TEXT NOT NULL, version TEXT NOT NULL, why TEXT NOT NULL, time INTEGER NOT NULL,
  PRIMARY KEY (id, version)) STRICT;
CREATE TABLE outbox (
  seq INTEGER PRIMARY KEY, body BLOB NOT NULL, made INTEGER NOT NULL, sent INTEGER, answer TEXT) STRICT;
CREATE TABLE matched (
  id TEXT PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, accounts INTEGER NOT NULL, exchanges INTEGER NOT NULL,
  time INTEGER NOT NULL) STRICT;
CREATE TABLE reviews (
  object TEXT NOT NULL, cause TEXT NOT NULL, why TEXT NOT NULL, opened INTEGER NOT NULL, due INTEGER NOT NULL,
  decided INTEGER, decision TEXT, entry TEXT, PRIMARY KEY (object, cause)) STRICT;
"""
_WORDS: Final = """
CREATE TABLE words (identity TEXT PRIMARY KEY, time INTEGER NOT NULL, size INTEGER NOT NULL, envelope BLOB NOT NULL) STRICT;
"""
_STEPS: Final = (_TABLES, _WORDS)
"""Steps are never edited after a release, only added."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One version of an object. ``taken`` microseconds; ``here``: whether it is the newest and the hub still had it last."""

    stix: Mapping[str, Any]
    author: str
    taken: int


@dataclass(frozen=True, slots=True)
class Known:
    """A member's key as the directory gave it. ``own``: the identity follows from it, so nobody needs to vouch for it."""

    keyid: str
    identity: str
    public: str
    since: int
    retired: int | None
    own: bool


@dataclass(frozen=True, slots=True)
class Word:
    """That a member saw a log of ``size`` leaves at ``time`` (microseconds), as it signed it: canonical JSON."""

    time: int
    size: int
    envelope: bytes


class State:
    """The file ``forum.sqlite`` in ``folder``, made if absent. For one process at a time. Raises StorageError."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "forum.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.close(
                os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            )  # nobody else reads what others confided
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=0.5)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            with self.change():
                (version,) = self._db.execute("PRAGMA user_version").fetchone()
                if version > len(_STEPS):
                    raise StorageError(
                        "this file is of a newer version", where=str(self.path), hint="use the newer program"
                    )
                for step in _STEPS[version:]:
                    for one in step.split(";\n"):
                        self._db.execute(one)
                self._db.execute(f"PRAGMA user_version = {len(_STEPS)}")
        except sqlite3.OperationalError as error:
            raise StorageError(
                f"the state cannot be opened: {error}",
                where=str(self.path),
                hint="is another `share` running?",
            ) from error
        except (OSError, sqlite3.DatabaseError) as error:
            raise StorageError(f"the state cannot be read: {error}", where=str(self.path)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back. Closing twice is allowed."""
        self._db.close()

    @contextmanager
    def change(self) -> Generator[None]:
        """One transaction, together with one around it: all of it or nothing. Raises StorageError when the disk refuses."""
        if self._db.in_transaction:
            yield
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise StorageError(f"the state cannot be written: {error}", where=str(self.path)) from error

    # What is known of hub and members

    def fact(self, name: str) -> str | None:
        """A fact by its name: ``origin``, ``cursor``, ``peaks``, ...."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def note(self, name: str, value: str) -> None:
        """Keep a fact."""
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def set_directory(
        self, members: Iterable[tuple[str, str, str, str]], keys: Iterable[Known]
    ) -> list[Known]:
        """Keep the directory; keys that were not known are returned. A key once known stays its owner's. Raises SharingError."""
        self._db.execute("UPDATE members SET state = 'gone'")
        self._db.executemany("INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?)", list(members))
        before = {one.keyid: one for one in self.known_keys()}
        fresh: list[Known] = []
        for one in keys:
            old = before.get(one.keyid)
            if old is None:
                fresh.append(one)
            elif (old.identity, old.public) != (one.identity, one.public):
                raise SharingError(
                    f"the hub gives key {one.keyid} to another member than before",
                    hint="ask the members: the hub is not honest",
                )
            row = (one.keyid, one.identity, one.public, one.since, one.retired, int(one.own))
            self._db.execute("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?, ?)", row)
        return fresh

    def known_keys(self) -> list[Known]:
        """All keys of all members, retired ones too."""
        rows = self._db.execute(
            "SELECT keyid, identity, public, since, retired, own FROM keys ORDER BY since, keyid"
        )
        return [
            Known(keyid, who, public, since, retired, bool(own))
            for keyid, who, public, since, retired, own in rows
        ]

    def members(self) -> dict[str, tuple[str, str]]:
        """Pseudonym and state of each member, by identity."""
        return {
            row[0]: (row[1], row[2])
            for row in self._db.execute("SELECT identity, pseudonym, state FROM members")
        }

    # The log

    def size(self) -> int:
        """How many leaf hashes of the log are kept."""
        return self._db.execute("SELECT COALESCE(MAX(seq) + 1, 0) FROM leaves").fetchone()[0]

    def add_leaves(self, first: int, hashes: Sequence[bytes]) -> None:
        """Keep leaf hashes from position ``first`` on."""
        self._db.executemany("INSERT INTO leaves VALUES (?, ?)", enumerate(hashes, first))

    def leaf(self, digest: bytes) -> int | None:
        """Where a leaf hash stands in the log."""
        row = self._db.execute("SELECT seq FROM leaves WHERE hash = ? LIMIT 1", (digest,)).fetchone()
        return row[0] if row else None

    def leaves(self, end: int) -> Iterator[bytes]:
        """The leaf hashes of the tree of ``end`` leaves, in order."""
        return (
            row[0] for row in self._db.execute("SELECT hash FROM leaves WHERE seq < ? ORDER BY seq", (end,))
        )

    def add_head(self, size: int, time: int, text: str) -> None:
        """Keep a signed head."""
        self._db.execute("INSERT OR IGNORE INTO heads VALUES (?, ?, ?)", (size, time, text))

    def head(self) -> str | None:
        """The newest signed head; None before the first pull."""
        newest = "SELECT text FROM heads ORDER BY size DESC, time DESC LIMIT 1"
        return next((text for (text,) in self._db.execute(newest)), None)

    def words(self) -> dict[str, Word]:
        """What each member, this one too, last said of the log, by identity."""
        rows = self._db.execute("SELECT identity, time, size, envelope FROM words")
        return {identity: Word(time, size, bytes(said)) for identity, time, size, said in rows}

    def add_word(self, identity: str, word: Word) -> None:
        """Keep a member's word in place of its last."""
        self._db.execute(
            "INSERT OR REPLACE INTO words VALUES (?, ?, ?, ?)",
            (identity, word.time, word.size, word.envelope),
        )

    # Objects

    def take(self, stix: Mapping[str, Any], author: str, now: int) -> bool:
        """Keep one version of an object; whether it is new. The newest version of an id is the one that counts."""
        key, version = stix["id"], micros(stix["modified"])
        ends = micros(stix["extensions"][DISTILLATION]["valid_until"])
        row = (
            key,
            version,
            stix["type"],
            author,
            jcs(dict(stix)),
            now,
            int(stix.get("revoked") is True),
            ends,
        )
        done = self._db.execute(
            "INSERT OR IGNORE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)", row
        ).rowcount
        self._db.execute("UPDATE objects SET here = 0 WHERE id = ?", (key,))
        self._db.execute(
            "UPDATE objects SET here = 1 WHERE id = ?1 AND version = (SELECT MAX(version) FROM objects WHERE id = ?1)",
            (key,),
        )
        return done > 0

    def owners(self, ids: Iterable[str]) -> dict[str, tuple[str, int | None]]:
        """Whose each of the ids is, of those that are known, and the version in which it was revoked, if it was."""
        sql = (
            "SELECT author, MAX(CASE WHEN revoked THEN version END) FROM objects WHERE id = ? GROUP BY author"
        )
        found = ((one, self._db.execute(sql, (one,)).fetchone()) for one in ids)
        return {one: (row[0], row[1]) for one, row in found if row}

    def refetch(self) -> None:
        """Begin to fetch everything: from now on it is noted what is seen."""
        self._db.execute("DELETE FROM seen")

    def saw(self, ids: Iterable[str]) -> None:
        """Objects that the hub still has."""
        self._db.executemany("INSERT OR IGNORE INTO seen VALUES (?)", ((one,) for one in ids))

    def leave_seen(self) -> int:
        """After everything was fetched: what the hub has no more is not here any more; how many objects that were."""
        sql = "UPDATE objects SET here = 0 WHERE here = 1 AND id NOT IN (SELECT id FROM seen)"
        done = self._db.execute(sql).rowcount
        self._db.execute("DELETE FROM seen")
        return done

    def here(self) -> list[Kept]:
        """The newest version of each object that the hub still has, revoked ones included."""
        rows = self._db.execute("SELECT body, author, taken FROM objects WHERE here = 1 ORDER BY id")
        return [Kept(orjson.loads(body), author, taken) for body, author, taken in rows]

    def everything(self) -> list[Kept]:
        """The newest version of each object, also of those that the hub has no more."""
        rows = self._db.execute(
            "SELECT body, author, taken, MAX(version) FROM objects GROUP BY id ORDER BY id"
        )
        return [Kept(orjson.loads(body), author, taken) for body, author, taken, _ in rows]

    def object(self, key: str) -> Kept | None:
        """The newest version of one object, whether the hub still has it or not."""
        row = self._db.execute(
            "SELECT body, author, taken FROM objects WHERE id = ? ORDER BY version DESC LIMIT 1", (key,)
        ).fetchone()
        return Kept(orjson.loads(row[0]), row[1], row[2]) if row else None

    def forget(self, before: int, me: str) -> int:
        """Delete what ended before, but own objects and what a match or a review still needs; how many versions."""
        sql = (
            "DELETE FROM objects WHERE ends < ? AND author <> ? AND id NOT IN (SELECT id FROM matched) "
            "AND id NOT IN (SELECT object FROM reviews) AND id NOT IN (SELECT cause FROM reviews)"
        )
        return self._db.execute(sql, (before, me)).rowcount

    def refuse(self, key: str, version: str, why: str, now: int) -> None:
        """Note an object that was not taken."""
        self._db.execute(
            "INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?)", (key[:128], version[:64], why, now)
        )

    def refused(self) -> list[tuple[str, str]]:
        """Ids of objects that were not taken, and why."""
        return self._db.execute("SELECT id, why FROM refused ORDER BY time, id").fetchall()

    # The outbox

    def put(self, body: bytes, now: int) -> int:
        """A message to be sent; its number."""
        row = self._db.execute("INSERT INTO outbox (body, made) VALUES (?, ?)", (body, now))
        return int(row.lastrowid or 0)

    def waiting(self) -> list[tuple[int, bytes]]:
        """Messages that were not sent, or of which nobody knows whether they were: sending again changes nothing."""
        return self._db.execute("SELECT seq, body FROM outbox WHERE sent IS NULL ORDER BY seq").fetchall()

    def sent(self, seq: int, answer: str, now: int) -> None:
        """A message was sent, and this is the answer."""
        self._db.execute("UPDATE outbox SET sent = ?, answer = ? WHERE seq = ?", (now, answer, seq))

    # Matches and reviews

    def match(self, key: str, *, first: int, last: int, accounts: int, exchanges: int, now: int) -> None:
        """An indicator matched in this member's own log: it must be looked at again when it turns out to be wrong."""
        row = (key, first, last, accounts, exchanges, now)
        self._db.execute("INSERT OR REPLACE INTO matched VALUES (?, ?, ?, ?, ?, ?)", row)

    def matched(self) -> dict[str, tuple[int, int, int, int]]:
        """First and last time, accounts and exchanges, by indicator."""
        return {
            row[0]: row[1:]
            for row in self._db.execute("SELECT id, first, last, accounts, exchanges FROM matched")
        }

    def open_review(self, key: str, cause: str, why: str, *, now: int, due: int) -> bool:
        """Something must be looked at again by ``due``; whether that is new. The first date stands."""
        row = (key, cause, why, now, due)
        sql = "INSERT OR IGNORE INTO reviews (object, cause, why, opened, due) VALUES (?, ?, ?, ?, ?)"
        return self._db.execute(sql, row).rowcount > 0

    def reviews(self) -> list[tuple[str, str, str, int, int, int | None, str | None]]:
        """Object, cause, why, opened, due, decided and decision, by due date; open ones first."""
        return self._db.execute(
            "SELECT object, cause, why, opened, due, decided, decision FROM reviews ORDER BY decided IS NOT NULL, due, object"
        ).fetchall()

    def decide(self, key: str, cause: str, decision: str, *, entry: str, now: int) -> None:
        """Close a review with this member's own decision. ``entry``: the hash of its entry in the ledger."""
        self._db.execute(
            "UPDATE reviews SET decided = ?, decision = ?, entry = ? WHERE object = ? AND cause = ?",
            (now, decision, entry, key, cause),
        )
