"""TAXII 2.1: the routes below an API root, and discovery."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from spiritsafe.sharing.hub import intake, members, query, shelf
from spiritsafe.sharing.hub.intake import Author, Item
from spiritsafe.sharing.hub.moments import written
from spiritsafe.sharing.hub.reception import TAXII, Answer, Call, Problem, too_many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.sharing.hub.books import Books
    from spiritsafe.sharing.hub.query import Question
    from spiritsafe.sharing.hub.shelf import Outcome
    from spiritsafe.sharing.hub.store import Row, Tx

KEPT: Final = 86_400_000_000
"""Microseconds that a status is kept."""
_OBJECTS: Final = ("id", "spec_version", "type", "version")
_OBJECT: Final = ("spec_version", "version")
_MEDIA: Final = "application/stix+json;version="
_ALL: Final = 5  # a level above all
_COLLECTION: Final = "number, id, title, description, alias, signed, readers, writers"


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection, as its row."""

    number: int
    id: str
    title: str
    description: str
    alias: str
    signed: int
    readers: str
    writers: str

    def shown(self, call: Call) -> dict[str, Any]:
        """The collection resource for who asks."""
        found: dict[str, Any] = {
            "id": self.id,
            "title": self.title,
            "can_read": call.member.may(self.readers),
            "can_write": call.member.may(self.writers) and call.member.scope == "write",
            "media_types": [_MEDIA + spec for spec in (intake.SPECS[1:] if self.signed else intake.SPECS)],
        }
        if self.description:
            found["description"] = self.description
        if self.alias:
            found["alias"] = self.alias
        return found


async def discovery(call: Call, tx: Tx) -> Answer:
    """What is here."""
    roots = [f"{call.base}/{name}/" for (name,) in await tx.all("SELECT name FROM roots ORDER BY name")]
    found: dict[str, Any] = {"title": call.hub.title, "api_roots": roots}
    if call.hub.contact:
        found["contact"] = call.hub.contact
    if roots:
        found["default"] = roots[0]
    return Answer(orjson.dumps(found))


async def root(call: Call, tx: Tx, name: str) -> Answer:
    """One API root."""
    title, description = await _root(tx, name)
    found = {"title": title, "versions": [TAXII], "max_content_length": call.hub.limits.body}
    return Answer(orjson.dumps(found | ({"description": description} if description else {})))


async def status(call: Call, tx: Tx, name: str, which: str) -> Answer:
    """What became of an earlier request of the same member."""
    await _root(tx, name)
    sql = "SELECT body FROM statuses WHERE id = $1 AND root = $2 AND member = $3 AND expires > $4"
    row = await tx.one(sql, which, name, call.member.number, call.now)
    if row is None:
        raise _missing("status")
    return Answer(row[0])


async def collections(call: Call, tx: Tx, name: str) -> Answer:
    """All collections of a root."""
    await _root(tx, name)
    rows = await tx.all(f"SELECT {_COLLECTION} FROM collections WHERE root = $1 ORDER BY number", name)
    found = [Collection(*row).shown(call) for row in rows]
    return Answer(orjson.dumps({"collections": found} if found else {}))


async def collection(call: Call, tx: Tx, name: str, which: str) -> Answer:
    """One collection."""
    return Answer(orjson.dumps((await find(tx, name, which)).shown(call)))


async def objects(call: Call, tx: Tx, name: str, which: str) -> Answer:
    """A page of objects, their stored bytes joined."""
    return await _page(call, tx, name, which, _OBJECTS, "objects")


async def manifest(call: Call, tx: Tx, name: str, which: str) -> Answer:
    """The same page without the objects."""
    return await _page(call, tx, name, which, _OBJECTS, "manifest")


async def single(call: Call, tx: Tx, name: str, which: str, thing: str) -> Answer:
    """The versions of one object that are asked for."""
    return await _page(call, tx, name, which, _OBJECT, "objects", thing)


async def versions(call: Call, tx: Tx, name: str, which: str, thing: str) -> Answer:
    """Which versions of one object there are."""
    return await _page(call, tx, name, which, ("spec_version",), "versions", thing)


def take(call: Call, found: Collection, author: Author | None) -> list[Item | intake.Refused]:
    """What is in the body of a request that adds objects; long work, for a thread."""
    limits = call.hub.limits
    opened = intake.opened(call.body, limits.objects)
    gate = call.hub.gate if found.signed else None
    return intake.checked(opened, author=author, gate=gate, longest=limits.object, now=call.now)


async def writable(call: Call, tx: Tx, name: str, which: str) -> tuple[Collection, Author | None]:
    """The collection, and whose objects it takes of this member. Raises Problem 403, 404."""
    found = await find(tx, name, which)
    if not call.member.may(found.writers) or call.member.scope != "write":
        raise Problem(403, "Forbidden", "this member, or this token, may not write here")
    if not found.signed:
        return found, None
    return found, Author(call.member.identity, await members.signing(tx, call.member.number))


async def add(call: Call, tx: Tx, books: Books, name: str, which: str) -> Answer:
    """Add what was taken into the collection that was found."""
    del which
    prepared: tuple[Collection, Sequence[Item | intake.Refused]] = call.prepared
    found, items = prepared
    good = [one for one in items if isinstance(one, Item)]
    if not await members.spend(tx, call.member, len(good), sum(len(one.body) for one in good), call.now):
        left = members.DAY - call.now % members.DAY
        raise too_many("this would be more than this member may add in a day", left // 1_000_000 + 1)
    outcomes = await shelf.add(
        tx, books, found.number, call.member.number, items, signed=bool(found.signed), now=call.now
    )
    told = str(uuid.uuid4())
    body = orjson.dumps(_status(told, call.now, outcomes))
    await tx.run(
        "INSERT INTO statuses (id, member, root, expires, body) VALUES ($1, $2, $3, $4, $5)",
        told, call.member.number, name, call.now + KEPT, body,
    )  # fmt: skip
    times = [one.added for one in outcomes if one.added is not None]
    refused = sum(one.refused for one in outcomes)
    return Answer(
        body, 202, collection=found.number, earliest=min(times, default=None), latest=max(times, default=None),
        count=len(times), detail={"status": told, "refused": refused},
    )  # fmt: skip


async def delete(call: Call, tx: Tx, books: Books, name: str, which: str, thing: str) -> Answer:
    """Delete versions of one object: the newest, or those that are asked for."""
    del books  # the log has only what was added
    found, author = await writable(call, tx, name, which)
    if not call.member.may(found.readers):
        raise Problem(403, "Forbidden", "who deletes must be able to read, too")
    question = _asked(call, _OBJECT, thing)
    level, owner = _sees(call, found)
    condition, values = query.where(question, found.number, level=level, owner=owner)
    rows = await tx.all(f"SELECT seq, collection, id, owner FROM objects WHERE {condition}", *values)
    if not rows:
        raise _missing("object")
    if author is not None and any(row[3] != call.member.number for row in rows):
        raise Problem(403, "Forbidden", "only the author deletes an object")
    await shelf.remove(tx, rows, f"deleted by {call.member.pseudonym}", call.now)
    detail = {"id": thing, "log": [row[0] for row in rows], **question.told()}
    return Answer(b"{}", collection=found.number, count=len(rows), detail=detail)


async def find(tx: Tx, name: str, which: str) -> Collection:
    """A collection by its id or alias. Raises Problem 404."""
    await _root(tx, name)
    row = await tx.one(
        f"SELECT {_COLLECTION} FROM collections WHERE root = $1 AND (id = $2 OR (alias = $2 AND alias <> ''))",
        name,
        which,
    )
    if row is None:
        raise _missing("collection")
    return Collection(*row)


async def _root(tx: Tx, name: str) -> Row:
    row = await tx.one("SELECT title, description FROM roots WHERE name = $1", name)
    if row is None:
        raise _missing("API root")
    return row


def _missing(what: str) -> Problem:
    return Problem(404, "Not found", f"there is no such {what}, or it is not for you")


def _asked(call: Call, fields: Sequence[str], thing: str | None) -> Question:
    question = query.asked(
        call.query, call.path.rstrip("/"), fields=fields, most=call.hub.limits.page, secret=call.hub.secret
    )
    return question if thing is None else question.about(thing)


def _sees(call: Call, found: Collection) -> tuple[int, int]:
    """Up to which level who asks may see, and who it is: its own it sees at each level."""
    if not found.signed:
        return _ALL, call.member.number
    inside = call.member.may("member keyholder")
    return (intake.STRICT if inside else intake.GREEN), call.member.number


_COLUMNS: Final = {"objects": "body", "manifest": "id, stamp, spec", "versions": "stamp"}


async def _page(
    call: Call, tx: Tx, name: str, which: str, fields: Sequence[str], what: str, thing: str | None = None
) -> Answer:
    found = await find(tx, name, which)
    if not call.member.may(found.readers):
        raise Problem(403, "Forbidden", "this member may not read here")
    question = _asked(call, fields, thing)
    if what == "versions":
        question = question.with_all_versions()
    level, owner = _sees(call, found)
    condition, values = query.where(question, found.number, level=level, owner=owner)
    sql = f"SELECT added, {_COLUMNS[what]} FROM objects WHERE {condition} {query.order(question)} LIMIT ${len(values) + 1}"
    rows = await tx.until(
        sql,
        *values,
        question.limit + 1,
        enough=_budget(call.hub.limits.page_bytes, counted=what == "objects"),
    )
    if not rows and thing is not None and not await _exists(tx, found, thing, level, owner):
        raise _missing("object")
    size = sum(len(row[1]) for row in rows) if what == "objects" else 0
    more = len(rows) > question.limit or (size > call.hub.limits.page_bytes and len(rows) > 1)
    if more:
        rows.pop()
    detail = question.told() | ({"id": thing} if thing else {})
    answer = Answer(
        _joined(what, rows, question.place(rows[-1][0]) if more else ""),
        collection=found.number,
        count=len(rows),
        detail=detail,
    )
    if rows:
        first, last = answer.earliest, answer.latest = rows[0][0], rows[-1][0]
        answer.headers = [
            (b"x-taxii-date-added-first", written(first).encode()),
            (b"x-taxii-date-added-last", written(last).encode()),
        ]
    return answer


def _budget(most: int, *, counted: bool) -> Any:
    """Whether a page is full by its bytes."""
    left = most

    def enough(row: Row) -> bool:
        nonlocal left
        if counted:
            left -= len(row[1])
        return left < 0

    return enough


async def _exists(tx: Tx, found: Collection, thing: str, level: int, owner: int) -> bool:
    sql = "SELECT 1 FROM objects WHERE collection = $1 AND id = $2 AND (level <= $3 OR owner = $4) LIMIT 1"
    return await tx.one(sql, found.number, thing, level, owner) is not None


def _joined(what: str, rows: Sequence[Row], place: str) -> bytes:
    if not rows:
        return b"{}"
    head = b'{"more":true,"next":"%s",' % place.encode() if place else b'{"more":false,'
    if what == "objects":
        return b'%s"objects":[%s]}' % (head, b",".join([row[1] for row in rows]))
    if what == "versions":
        return b'%s"versions":%s}' % (head, orjson.dumps([row[1] for row in rows]))
    records = [
        {"id": name, "date_added": written(added), "version": stamp, "media_type": _MEDIA + spec}
        for added, name, stamp, spec in rows
    ]
    return b'%s"objects":%s}' % (head, orjson.dumps(records))


def _status(which: str, now: int, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    good = [_detail(one) for one in outcomes if not one.refused]
    bad = [_detail(one) for one in outcomes if one.refused]
    found: dict[str, Any] = {
        "id": which, "status": "complete", "request_timestamp": written(now), "total_count": len(outcomes),
        "success_count": len(good), "failure_count": len(bad), "pending_count": 0,
    }  # fmt: skip
    return found | ({"successes": good} if good else {}) | ({"failures": bad} if bad else {})


def _detail(one: Outcome) -> dict[str, str]:
    found = {"id": one.id, "version": one.stamp or "1970-01-01T00:00:00.000Z"}
    return found | ({"message": one.message} if one.message else {})
