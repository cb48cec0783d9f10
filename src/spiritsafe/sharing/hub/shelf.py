"""Where objects lie: adding them with their leaf in the log, and taking them away, which the log outlives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from spiritsafe.sharing.hub.intake import Item, Refused
from spiritsafe.sharing.hub.moments import written
from spiritsafe.sharing.hub.schema import FIRST, LAST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from spiritsafe.sharing.hub.books import Books
    from spiritsafe.sharing.hub.store import Row, Tx

MOST_VERSIONS: Final = 1_000
"""Versions of one object in one collection."""
_CHUNK: Final = 400  # ids in one question
_INSERT: Final = (
    "INSERT INTO objects (seq, collection, added, current, standing, level, owner, expires, version, spec, type, id, stamp, "
    "body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
)
_SAME = "the same object in the same version is here already"
_OTHER = "another object is here under this id and version; a version is never changed"
_FOREIGN = "the id is another member's"


@dataclass(slots=True)
class Outcome:
    """What became of one object."""

    id: str
    stamp: str
    message: str = ""
    refused: bool = False
    added: int | None = None
    """When it was added, microseconds; None when nothing was to be done."""


@dataclass(slots=True)
class _Kept:
    """One version on the shelf, as far as standing depends on it."""

    seq: int
    version: int
    spec: str
    standing: int
    current: int
    leaf: bytes | None
    owner: int


async def add(
    tx: Tx,
    books: Books,
    collection: int,
    owner: int,
    items: Sequence[Item | Refused],
    *,
    signed: bool,
    now: int,
) -> list[Outcome]:
    """Put items on the shelf and into the log; one outcome each, in order."""
    taken = [one for one in items if isinstance(one, Item)]
    known = await _versions(tx, collection, {one.id for one in taken})
    rows: list[list[Any]] = []
    outcomes: list[Outcome] = []
    changed: dict[int, _Kept] = {}
    places: dict[int, list[Any]] = {}
    for one in items:
        if isinstance(one, Refused):
            outcomes.append(Outcome(one.id, one.stamp, one.message, refused=True))
            continue
        mine = known.setdefault(one.id, [])
        outcome = _already(one, mine, owner, signed=signed)
        if outcome is None:
            added = books.tick(now)
            seq = books.leaf(one.leaf)
            version, stamp = (one.version, one.stamp) if one.version else (added, written(added))
            kept = _Kept(seq, version, one.spec, FIRST | LAST, 1, one.leaf, owner)
            row = [
                seq, collection, added, 1, FIRST | LAST, one.level, owner, one.expires, version, one.spec, one.type, one.id,
                stamp, one.body,
            ]  # fmt: skip
            rows.append(row)
            places[seq] = row
            mine.append(kept)
            if len(mine) > 1:
                changed |= {each.seq: each for each in _stand(mine)}
            outcome = Outcome(one.id, stamp, added=added)
        outcomes.append(outcome)
    for seq, each in changed.items():
        if seq in places:
            places[seq][3:5] = (each.current, each.standing)
    await tx.many(_INSERT, [tuple(row) for row in rows])
    await _restand(tx, [each for seq, each in changed.items() if seq not in places])
    return outcomes


def _already(one: Item, mine: Sequence[_Kept], owner: int, *, signed: bool) -> Outcome | None:
    """The outcome when there is nothing to add."""
    if signed and any(each.owner != owner for each in mine):
        return Outcome(one.id, one.stamp, _FOREIGN, refused=True)
    if not one.version and mine:  # without times an object has one version
        return Outcome(one.id, one.stamp, _SAME)
    for each in mine:
        if each.version == one.version:
            differs = each.leaf != one.leaf
            # TAXII has one object a version: where nothing is signed, a second is let be, as other servers do.
            return Outcome(
                one.id, one.stamp, _OTHER if differs and signed else _SAME, refused=differs and signed
            )
    if len(mine) >= MOST_VERSIONS:
        return Outcome(one.id, one.stamp, f"an object has at most {MOST_VERSIONS} versions", refused=True)
    return None


async def remove(tx: Tx, rows: Sequence[Row], why: str, now: int) -> None:
    """Take away the objects of ``rows`` (seq, collection, id, owner); the log keeps their leaf hashes."""
    await tx.many(
        "INSERT INTO retired (seq, owner, time, why) VALUES ($1, $2, $3, $4)",
        [(seq, owner, now, why) for seq, _, _, owner in rows],
    )
    await tx.many("DELETE FROM objects WHERE seq = $1", [(row[0],) for row in rows])
    by_collection: dict[int, set[str]] = {}
    for _, collection, name, _ in rows:
        by_collection.setdefault(collection, set()).add(name)
    for collection, names in by_collection.items():
        left = await _versions(tx, collection, names)
        await _restand(tx, [each for mine in left.values() for each in _stand(mine)])


async def expired(tx: Tx, now: int, most: int) -> list[Row]:
    """At most ``most`` objects whose time is over, as `remove` takes them."""
    sql = "SELECT seq, collection, id, owner FROM objects WHERE expires <= $1 ORDER BY expires LIMIT $2"
    return await tx.all(sql, now, most)


def _stand(mine: list[_Kept]) -> list[_Kept]:
    """Who is first, last and current among all versions of one object; those for whom that changed."""
    specs = sorted({each.spec for each in mine})
    first = {spec: min(each.version for each in mine if each.spec == spec) for spec in specs}
    last = {spec: max(each.version for each in mine if each.spec == spec) for spec in specs}
    changed: list[_Kept] = []
    for each in mine:
        standing = FIRST * (each.version == first[each.spec]) | LAST * (each.version == last[each.spec])
        current = int(bool(standing & LAST) and each.spec == specs[-1])
        if (standing, current) != (each.standing, each.current):
            each.standing, each.current = standing, current
            changed.append(each)
    return changed


async def _restand(tx: Tx, changed: Sequence[_Kept]) -> None:
    if changed:
        sql = "UPDATE objects SET standing = $2, current = $3 WHERE seq = $1"
        await tx.many(sql, [(each.seq, each.standing, each.current) for each in changed])


async def _versions(tx: Tx, collection: int, names: Iterable[str]) -> dict[str, list[_Kept]]:
    """All versions of these objects in a collection."""
    wanted = sorted(names)
    found: dict[str, list[_Kept]] = {}
    for at in range(0, len(wanted), _CHUNK):
        chunk = wanted[at : at + _CHUNK]
        chunk += [chunk[-1]] * (_CHUNK - len(chunk) if at else 0)  # one statement for all full chunks
        marks = ", ".join(f"${number}" for number in range(2, len(chunk) + 2))
        rows = await tx.all(
            "SELECT objects.id, objects.seq, version, spec, standing, current, hash, owner FROM objects "
            f"JOIN leaves ON leaves.seq = objects.seq WHERE collection = $1 AND id IN ({marks})",
            collection, *chunk,
        )  # fmt: skip
        for name, *rest in rows:
            found.setdefault(name, []).append(_Kept(*rest))
    return found
