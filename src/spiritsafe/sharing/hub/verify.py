"""Checks a whole store: that what lies there, the log, the audit and the signed head agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from spiritsafe.attest import heads, merkle
from spiritsafe.attest.canonical import jcs
from spiritsafe.errors import AttestError
from spiritsafe.sharing.hub import books
from spiritsafe.sharing.hub.schema import FIRST, LAST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from spiritsafe.sharing.hub.store import Row, Store, Tx

_AT_ONCE: Final = 5_000


@dataclass(frozen=True, slots=True)
class Report:
    """What was checked and found to agree. ``head`` is the newest signed head; None for a log without leaves."""

    leaves: int
    objects: int
    retired: int
    entries: int
    head: str | None
    audit: bytes
    """The hash of the last audit entry: kept elsewhere, it shows a cut."""


async def verify(store: Store, key: Ed25519PublicKey, *, seen: str | None = None) -> Report:
    """Check everything, on one snapshot. ``seen`` is a signed head kept from earlier: the log must still begin with it.

    Raises AttestError that names the first thing that does not agree.
    """

    async def job(tx: Tx) -> Report:
        return await _all(tx, key, seen)

    return await store.read(job)


async def _all(tx: Tx, key: Ed25519PublicKey, seen: str | None) -> Report:
    state = await tx.one("SELECT origin, size, peaks, entries, entry FROM state")
    if state is None:
        raise AttestError("this is no hub's database")
    origin, size, peaks, count, entry = state
    earlier = heads.verify(seen, key, origin) if seen else None
    await _tree(tx, size, peaks, earlier)
    head = await _head(tx, key, origin, size, peaks)
    objects, retired = await _objects(tx, size)
    await _standing(tx)
    await _audit(tx, count, entry)
    return Report(size, objects, retired, count, head, entry)


async def _tree(tx: Tx, size: int, peaks: bytes, earlier: heads.Head | None) -> None:
    """Build the tree anew from its leaves."""
    tree = merkle.Tree()
    made: dict[tuple[int, int], bytes] = {}
    if earlier is not None and earlier.size == 0 and earlier.root != merkle.EMPTY:
        raise AttestError("the log does not go on from the head that was seen earlier", where="log")
    async for seq, mark, leaf in _rows(
        tx, "SELECT seq, mark, hash FROM leaves WHERE seq > $1 ORDER BY seq LIMIT $2"
    ):
        if seq != tree.size or mark != books.mark(leaf):
            raise AttestError("a leaf is missing or in the wrong place", where=f"leaf {tree.size}")
        made |= {(node.level, node.place): node.hash for node in tree.append(leaf)}
        if earlier is not None and tree.size == earlier.size and tree.root() != earlier.root:
            raise AttestError(
                "the log does not go on from the head that was seen earlier", where=f"leaf {seq}"
            )
    if earlier is not None and earlier.size > tree.size:
        raise AttestError(f"the log had {earlier.size} leaves and now has {tree.size}", where="log")
    if tree.size != size or b"".join(tree.peaks) != peaks:
        raise AttestError("the tree of the leaves is not the one that was kept", where="log")
    stored = {
        (level, place): found for level, place, found in await tx.all("SELECT level, place, hash FROM nodes")
    }
    if stored != made:
        raise AttestError("inner nodes of the tree are not those of its leaves", where="log")


async def _head(tx: Tx, key: Ed25519PublicKey, origin: str, size: int, peaks: bytes) -> str | None:
    text = await books.head(tx)
    if text is None:
        if size:
            raise AttestError("the log has leaves and no signed head", where="log")
        return None
    found = heads.verify(text, key, origin)
    root = merkle.Tree(size, [peaks[at : at + 32] for at in range(0, len(peaks), 32)]).root()
    if (found.size, found.root) != (size, root):
        raise AttestError("the newest signed head is not that of the log", where="log")
    return text


async def _objects(tx: Tx, size: int) -> tuple[int, int]:
    """Each leaf is that of the object in its place, or of one whose retirement is recorded."""
    objects = retired = 0
    sql = (
        "SELECT leaves.seq, hash, body, retired.seq FROM leaves LEFT JOIN objects ON objects.seq = leaves.seq "
        "LEFT JOIN retired ON retired.seq = leaves.seq WHERE leaves.seq > $1 ORDER BY leaves.seq LIMIT $2"
    )
    async for seq, leaf, body, gone in _rows(tx, sql):
        if (body is None) == (gone is None):
            raise AttestError("an object is neither here nor retired, or both", where=f"leaf {seq}")
        if body is not None and merkle.leaf_hash(body) != leaf:
            raise AttestError("an object is not the one that was logged", where=f"leaf {seq}")
        objects, retired = objects + (body is not None), retired + (gone is not None)
    held = await tx.one("SELECT (SELECT COUNT(*) FROM objects), (SELECT COUNT(*) FROM retired)")
    if held != (objects, retired) or objects + retired != size:
        raise AttestError("there are objects that were never logged", where="objects")
    return objects, retired


async def _standing(tx: Tx) -> None:
    """Of each object one version is current: the newest in its newest version of STIX."""
    # One pass over sorted rows: a question for each row is slow where the planner knows nothing of a new table.
    row = await tx.one(
        "SELECT MIN(id) FROM (SELECT id, current, standing, "
        "RANK() OVER (PARTITION BY collection, id ORDER BY spec DESC, version DESC) AS newest, "
        "RANK() OVER (PARTITION BY collection, id, spec ORDER BY version) AS first, "
        "RANK() OVER (PARTITION BY collection, id, spec ORDER BY version DESC) AS last FROM objects) ranked "
        "WHERE current <> (CASE WHEN newest = 1 THEN 1 ELSE 0 END) OR "
        f"(standing & {FIRST | LAST}) <> (CASE WHEN first = 1 THEN {FIRST} ELSE 0 END) + "
        f"(CASE WHEN last = 1 THEN {LAST} ELSE 0 END)"
    )
    if row and row[0]:
        raise AttestError("which version of an object is current is kept wrongly", where=row[0])


async def _audit(tx: Tx, count: int, entry: bytes) -> None:
    last, at = merkle.EMPTY, 0
    while found := await books.entries(tx, at - 1, _AT_ONCE):
        for one in found:
            if one["seq"] != at or not books.follows(last, one):
                raise AttestError("the chain of the audit breaks here", where=f"audit {at}")
            last, at = one["hash"], at + 1
    if (at, last) != (count, entry):
        raise AttestError("the end of the audit is missing", where=f"audit {at}")


async def _rows(tx: Tx, sql: str) -> AsyncIterator[Row]:
    """All rows of a question that goes on behind a position, a part at a time."""
    after = -1
    while rows := await tx.all(sql, after, _AT_ONCE):
        for row in rows:
            yield row
        after = rows[-1][0]


def told(report: Report) -> bytes:
    """The report as JSON."""
    fields: dict[str, Any] = {
        name: getattr(report, name) for name in ("leaves", "objects", "retired", "entries", "head")
    }
    return jcs(fields | {"audit": report.audit.hex()})
