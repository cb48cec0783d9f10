"""The forum's own routes: members and their keys, the log and its proofs, the audit."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import orjson

from spiritsafe.attest import keys, merkle
from spiritsafe.attest.canonical import read
from spiritsafe.errors import AttestError
from spiritsafe.sharing.hub import books as ledgers
from spiritsafe.sharing.hub import members
from spiritsafe.sharing.hub.members import DAY
from spiritsafe.sharing.hub.query import Misasked
from spiritsafe.sharing.hub.reception import Answer, Call, Problem, as_json, own

if TYPE_CHECKING:
    from spiritsafe.sharing.hub.books import Books
    from spiritsafe.sharing.hub.store import Row, Tx

MOST_ENTRIES: Final = 1_000
"""Audit entries given at once."""
INVITED: Final = 14
"""Days that an invitation is open, when nothing else is said."""
_NUMBER: Final = re.compile(r"0|[1-9]\d{0,14}", re.ASCII)
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_ENTRY: Final = "seq, time, pseudonym, action, outcome, collection, earliest, latest, count, detail"


def about(hub: Any, now: int) -> Answer:
    """Who this hub is; for everybody, since one needs it to enrol."""
    public = keys.public(hub.key)
    return as_json(
        {"title": hub.title, "origin": hub.origin, "log_key": public, "time": now, "taxii": "/taxii2/"}
    )


async def directory(call: Call, tx: Tx) -> Answer:
    """All members with their keys."""
    del call
    return as_json({"members": await members.directory(tx)})


async def enrol(call: Call, tx: Tx, books: Books) -> Answer:
    """Become a member with an invitation."""
    made = await members.enrol(tx, call.prepared, audience=books.origin, quota=call.hub.quota, now=call.now)
    call.member = made
    found = {"pseudonym": made.pseudonym, "identity": made.identity, "roles": sorted(made.roles)}
    return as_json(found | {"origin": books.origin}, 201)


async def change_keys(call: Call, tx: Tx, books: Books) -> Answer:
    """Add or retire a key of the member who asks."""
    own(call)
    done = await members.changed(tx, call.member, call.prepared, audience=books.origin, now=call.now)
    return as_json(done, detail=done)


async def invite(call: Call, tx: Tx, books: Books) -> Answer:
    """Make an invitation; for operators."""
    del books
    own(call)
    if not call.member.may("operator"):
        raise Problem(403, "Forbidden", "invitations are the operator's")
    roles, days = call.prepared.get("roles", ["member"]), call.prepared.get("days", INVITED)
    if not isinstance(roles, list) or type(days) is not int or not 0 < days <= 365:
        raise Problem(422, "ProcessingError", "an invitation has roles and 1 to 365 days")
    code = await members.invite(tx, [str(role) for role in roles], now=call.now, lasts=days * DAY)
    return as_json(
        {"code": code, "expires": call.now + days * DAY}, 201, detail={"roles": sorted(map(str, roles))}
    )


async def make_token(call: Call, tx: Tx, books: Books) -> Answer:
    """Make an API token for a client of the member who asks."""
    del books
    own(call)
    name, scope = call.prepared.get("name"), call.prepared.get("scope", "read")
    days = call.prepared.get("days", 90)
    if (
        not isinstance(name, str)
        or not isinstance(scope, str)
        or type(days) is not int
        or not 0 < days <= 730
    ):
        raise Problem(422, "ProcessingError", "a token has a name, a scope and 1 to 730 days")
    secret = await members.token(tx, call.member.number, name, scope, now=call.now, lasts=days * DAY)
    return as_json(
        {"token": secret, "expires": call.now + days * DAY}, 201, detail={"name": name, "scope": scope}
    )


async def end_token(call: Call, tx: Tx, books: Books, name: str) -> Answer:
    """Revoke an API token of the member who asks."""
    del books
    own(call)
    if not await members.revoke(tx, call.member.number, name, call.now):
        raise Problem(404, "Not found", "there is no such token, or it is revoked already")
    return as_json({}, detail={"name": name})


async def head(call: Call, tx: Tx) -> Answer:
    """The newest signed head of the log."""
    del call
    text = await ledgers.head(tx)
    if text is None:
        raise Problem(404, "Not found", "the log has no leaf yet")
    return as_json({"head": text})


async def leaf(call: Call, tx: Tx) -> Answer:
    """Where a leaf hash stands (``hash``), or what stands at a position (``index``)."""
    asked = _parameters(call.query, {"hash", "index"})
    if "hash" in asked:
        found = await ledgers.positions(tx, _hash(asked))
        return as_json({"indexes": found})
    index = _number(asked, "index")
    hashes = await ledgers.leaves(tx, index, 1)
    if not hashes:
        raise Problem(404, "Not found", "the log has no such leaf")
    return as_json({"index": index, "hash": hashes[0].hex()})


async def leaves(call: Call, tx: Tx) -> Answer:
    """Leaf hashes from ``start`` on, at most ``count``: who has them all can build the tree."""
    asked = _parameters(call.query, {"start", "count"})
    start = _number(asked, "start", 0)
    hashes = await ledgers.leaves(tx, start, _number(asked, "count", ledgers.MOST_LEAVES))
    return as_json({"start": start, "hashes": [one.hex() for one in hashes]})


async def proof(call: Call, tx: Tx) -> Answer:
    """That leaf ``index``, or the one with ``hash``, is in the tree of ``size`` leaves; of the newest head when absent."""
    asked = _parameters(call.query, {"hash", "index", "size"})
    size = await _size(tx, asked, "size")
    if "hash" in asked:
        places = [place for place in await ledgers.positions(tx, _hash(asked)) if place < size]
        if not places:
            raise Problem(404, "Not found", "the log has no such leaf")
        index = places[0]
    else:
        index = _number(asked, "index")
    try:
        spans = merkle.inclusion_spans(index, size)
    except AttestError as error:
        raise Problem(404, "Not found", error.message) from error
    return as_json({"index": index, "size": size, "proof": await _proof(tx, spans)})


async def consistency(call: Call, tx: Tx) -> Answer:
    """That the tree of ``first`` leaves is the beginning of that of ``second``; of the newest head when absent."""
    asked = _parameters(call.query, {"first", "second"})
    second = await _size(tx, asked, "second")
    first = _number(asked, "first")
    try:
        spans = merkle.consistency_spans(first, second)
    except AttestError as error:
        raise Problem(404, "Not found", error.message) from error
    return as_json({"first": first, "second": second, "proof": await _proof(tx, spans)})


async def audit(call: Call, tx: Tx) -> Answer:
    """The audit behind position ``after``: all of it for operators, for others what they did and what touched their objects.

    Of what another member asked one is told when, what kind of request, and of how many of one's own objects it can have
    been; never the question. ``next`` is where to go on; absent at the end.
    """
    asked = _parameters(call.query, {"after", "count"})
    after = _number(asked, "after", -1)
    count = min(_number(asked, "count", 100), MOST_ENTRIES)
    if call.member.may("operator"):
        sql = f"SELECT {_ENTRY}, hash FROM audit LEFT JOIN members ON number = member WHERE seq > $1 ORDER BY seq LIMIT $2"
        rows = await tx.all(sql, after, count)
        found = [_entry(row) | {"hash": row[-1].hex()} for row in rows]
    else:
        rows = await tx.all(_MINE, call.member.number, after, count)
        found = _mine(rows, call.member.number)
    return as_json({"entries": found} | ({"next": rows[-1][0]} if len(rows) == count and rows else {}))


# A page of objects is a range of times of adding; of a member's own objects in it at most a thousand are counted.
_YOURS: Final = (
    "(SELECT COUNT(*) FROM (SELECT 1 FROM objects WHERE objects.collection = audit.collection AND owner = $1 "
    "AND added BETWEEN earliest AND latest LIMIT 1000) AS few)"
)
_MINE: Final = (
    f"SELECT {_ENTRY}, member, CASE WHEN earliest IS NULL OR member = $1 THEN 0 ELSE {_YOURS} END AS yours "
    "FROM audit LEFT JOIN members ON number = member WHERE seq > $2 ORDER BY seq LIMIT $3"
)


def _mine(rows: list[Row], me: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for row in rows:
        member, yours = row[-2:]
        if member == me:
            found.append(_entry(row))
        elif yours:
            whole = _entry(row)
            found.append(
                {name: whole[name] for name in ("seq", "time", "member", "action")} | {"yours": yours}
            )
    return found


def _entry(row: Row) -> dict[str, Any]:
    seq, time, pseudonym, action, outcome, collection, earliest, latest, count, detail = row[:10]
    return {
        "seq": seq, "time": time, "member": pseudonym or "console", "action": action, "outcome": outcome,
        "collection": collection, "earliest": earliest, "latest": latest, "count": count, "detail": orjson.loads(detail),
    }  # fmt: skip


def content(body: bytes) -> dict[str, Any]:
    """The JSON object in a request. Raises Problem 422."""
    try:
        found = read(body, depth=8)
    except AttestError as error:
        raise Problem(422, "ProcessingError", error.message) from error
    if not isinstance(found, dict):
        raise Problem(422, "ProcessingError", "an object of JSON is needed")
    return found


async def _size(tx: Tx, asked: dict[str, str], name: str) -> int:
    row = await tx.one("SELECT size FROM state")
    newest = row[0] if row else 0
    size = _number(asked, name, newest)
    if size > newest:
        raise Problem(404, "Not found", f"the log has {newest} leaves")
    return size


async def _proof(tx: Tx, spans: list[tuple[int, int]]) -> list[str]:
    return [base64.b64encode(one).decode() for one in await ledgers.proof(tx, spans)]


def _parameters(query: str, known: set[str]) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=8, errors="strict"
        )
    except ValueError as error:
        raise Misasked("the query is malformed") from error
    found = dict(pairs)
    if len(found) != len(pairs) or not found.keys() <= known:
        raise Misasked(f"the parameters are {', '.join(sorted(known))}, each once")
    return found


def _number(asked: dict[str, str], name: str, default: int | None = None) -> int:
    if name not in asked and default is not None:
        return default
    text = asked.get(name, "")
    if not _NUMBER.fullmatch(text):
        raise Misasked(f"{name} is a number")
    return int(text)


def _hash(asked: dict[str, str]) -> bytes:
    if not _HASH.fullmatch(asked["hash"]):
        raise Misasked("a hash is 64 hex digits")
    return bytes.fromhex(asked["hash"])
