"""The hub's two books, which go on in the transaction of what they record.

*The log*: a Merkle tree over the canonical bytes of each object that was added, in the order of adding; position = ``seq``.
Its signed head is written with the leaves. *The audit*: one entry for each thing that a member did or asked, each with the
hash of the entry before.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from spiritsafe.attest import heads, merkle
from spiritsafe.attest.canonical import jcs
from spiritsafe.errors import SharingError, StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from spiritsafe.sharing.hub.store import Tx

HOUR: Final = 3_600_000_000
CONSOLE: Final = 0
"""The number of who works at the hub's own console, in the audit."""
MOST_LEAVES: Final = 10_000
"""Leaf hashes given at once."""
_HASH: Final = 32
_DOMAIN: Final = b"spiritsafe hub audit 1\n"
_FIELDS: Final = (
    "seq", "time", "member", "action", "outcome", "collection", "earliest", "latest", "count", "detail",
)  # fmt: skip
_INSERT: Final = (
    f"INSERT INTO audit ({', '.join(_FIELDS)}, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What the audit says of one request.

    ``outcome`` is the HTTP status. ``earliest`` and ``latest`` are the times of adding of the first and last of the
    ``count`` objects that were given out, added or deleted. ``detail`` is JSON: the question, ids.
    """

    member: int
    action: str
    outcome: int
    collection: int | None = None
    earliest: int | None = None
    latest: int | None = None
    count: int = 0
    detail: Mapping[str, Any] | None = None


class Books:
    """Both books inside one transaction: `opened` at its begin, `closed` at its end."""

    def __init__(self, origin: str, tree: merkle.Tree, added: int, entries: int, entry: bytes) -> None:
        self.origin = origin
        self.tree = tree
        self.added = added
        self._entries = entries
        self._entry = entry
        self._leaves: list[tuple[int, int, bytes]] = []
        self._nodes: list[tuple[int, int, bytes]] = []
        self._audit: list[tuple[Any, ...]] = []

    @classmethod
    async def opened(cls, tx: Tx) -> Books:
        """The books as the last transaction left them."""
        row = await tx.one("SELECT origin, size, peaks, added, entries, entry FROM state")
        if row is None:
            raise StorageError(
                "this database was never made a hub", hint="make one with `spiritsafe hub init`"
            )
        origin, size, peaks, added, entries, entry = row
        tree = merkle.Tree(size, [peaks[at : at + _HASH] for at in range(0, len(peaks), _HASH)])
        return cls(origin, tree, added, entries, entry)

    def tick(self, now: int) -> int:
        """The time of adding of the next object: now, and later than that of each object before.

        So no two have one time, and who asks for what came after the last one seen misses nothing.
        """
        self.added = max(now, self.added + 1)
        return self.added

    def leaf(self, leaf: bytes) -> int:
        """Append a leaf hash; its position."""
        seq = self.tree.size
        self._leaves.append((seq, mark(leaf), leaf))
        self._nodes.extend((node.level, node.place, node.hash) for node in self.tree.append(leaf))
        return seq

    def note(self, entry: Entry, now: int) -> None:
        """Append to the audit."""
        detail = jcs(dict(entry.detail or {})).decode()
        fields = (
            self._entries, now, entry.member, entry.action, entry.outcome, entry.collection, entry.earliest,
            entry.latest, entry.count, detail,
        )  # fmt: skip
        self._entry = _chained(self._entry, fields)
        self._audit.append((*fields, self._entry))
        self._entries += 1

    async def closed(self, tx: Tx, key: Ed25519PrivateKey | None, now: int) -> None:
        """Write all; with new leaves also a head, signed by ``key``."""
        if self._leaves:
            if key is None:
                raise SharingError("the log cannot go on without its key")
            await tx.many("INSERT INTO leaves (seq, mark, hash) VALUES ($1, $2, $3)", self._leaves)
            if self._nodes:
                await tx.many("INSERT INTO nodes (level, place, hash) VALUES ($1, $2, $3)", self._nodes)
            await self._head(tx, key, now)
        if self._audit:
            await tx.many(_INSERT, self._audit)
        await tx.run(
            "UPDATE state SET size = $1, peaks = $2, added = $3, entries = $4, entry = $5",
            self.tree.size, b"".join(self.tree.peaks), self.added, self._entries, self._entry,
        )  # fmt: skip

    async def _head(self, tx: Tx, key: Ed25519PrivateKey, now: int) -> None:
        text = heads.sign(heads.Head(self.origin, self.tree.size, self.tree.root(), now), key)
        # Of each hour the last is kept; who saw another one can prove it by its signature.
        await tx.run(
            "INSERT INTO heads (hour, size, time, text) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (hour) DO UPDATE SET size = excluded.size, time = excluded.time, text = excluded.text",
            now // HOUR, self.tree.size, now, text,
        )  # fmt: skip


def mark(leaf: bytes) -> int:
    """The first eight bytes of a leaf hash as a number: an index that is small."""
    return int.from_bytes(leaf[:8], "big", signed=True)


async def head(tx: Tx) -> str | None:
    """The newest signed head, None of a log that never had a leaf."""
    row = await tx.one("SELECT text FROM heads ORDER BY size DESC, time DESC LIMIT 1")
    return row[0] if row else None


async def leaves(tx: Tx, first: int, count: int) -> list[bytes]:
    """At most ``count`` leaf hashes from position ``first``."""
    rows = await tx.all(
        "SELECT hash FROM leaves WHERE seq >= $1 AND seq < $2 ORDER BY seq",
        first,
        first + min(count, MOST_LEAVES),
    )
    return [row[0] for row in rows]


async def positions(tx: Tx, leaf: bytes) -> list[int]:
    """Where a leaf hash stands in the log."""
    rows = await tx.all("SELECT seq, hash FROM leaves WHERE mark = $1 ORDER BY seq LIMIT 64", mark(leaf))
    return [seq for seq, found in rows if found == leaf]


async def proof(tx: Tx, spans: Sequence[tuple[int, int]]) -> list[bytes]:
    """The roots of ``spans`` of leaves, from stored nodes."""
    fetched: list[list[bytes]] = []
    for level, first, count in merkle.reads(spans):
        if level:
            sql = "SELECT hash FROM nodes WHERE level = $1 AND place >= $2 AND place < $3 ORDER BY place"
            rows = await tx.all(sql, level, first, first + count)
        else:
            rows = await tx.all(
                "SELECT hash FROM leaves WHERE seq >= $1 AND seq < $2 ORDER BY seq", first, first + count
            )
        fetched.append([row[0] for row in rows])
    return merkle.roots(spans, fetched)


async def entries(tx: Tx, after: int, count: int) -> list[dict[str, Any]]:
    """Audit entries behind position ``after``, with their hashes."""
    rows = await tx.all(
        f"SELECT {', '.join(_FIELDS)}, hash FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2", after, count
    )
    return [dict(zip((*_FIELDS, "hash"), row, strict=True)) for row in rows]


def follows(before: bytes, entry: Mapping[str, Any]) -> bool:
    """Whether an audit entry, as `entries` gives it, fits behind the one with the hash ``before``."""
    return entry["hash"] == _chained(before, tuple(entry[name] for name in _FIELDS))


def _chained(before: bytes, fields: tuple[Any, ...]) -> bytes:
    return hashlib.sha256(_DOMAIN + before + jcs(list(fields))).digest()
