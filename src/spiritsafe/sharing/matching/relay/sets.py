"""Sets of tags, what two members have in common by them, and the sealed messages that follow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson

from spiritsafe.attest import dsse
from spiritsafe.attest.canonical import jcs
from spiritsafe.attest.merkle import leaf_hash
from spiritsafe.sharing.hub.books import Books
from spiritsafe.sharing.matching import disclosure, tags
from spiritsafe.sharing.matching.epoch import DAY
from spiritsafe.sharing.matching.evaluation import digest
from spiritsafe.sharing.matching.relay.desk import Call, Refusal, answer
from spiritsafe.sharing.matching.statements import media_type, raw
from spiritsafe.sharing.matching.tree import Tree

if TYPE_CHECKING:
    from starlette.responses import Response

    from spiritsafe.sharing.hub.store import Tx

_SKEW: Final = 60_000_000
_LONGEST: Final = 31 * DAY
_REMEMBERED: Final = 16


async def post(call: Call) -> Response:
    """Take a member's set in the place of its earlier ones; one without rows withdraws them. The statement is logged."""
    header, (rows,) = await call.frame(1)
    statement, _ = await call.statement("set", header.get("envelope"))
    body = statement.body
    epoch = await call.epoch(body["epoch"])
    if body["purpose"] not in epoch.proposal.purposes:
        raise Refusal(403, "the members did not agree to match for this purpose")
    if not body["made"] - _SKEW <= call.now < body["until"] <= body["made"] + _LONGEST:
        raise Refusal(400, "a set is made now and holds for up to 31 days")
    if len(rows) > tags.ROW * tags.MOST:
        raise Refusal(413, f"a set has at most {tags.MOST} rows")
    if not await asyncio.to_thread(tags.fits, statement, rows):
        raise Refusal(400, "these are not the rows that were signed, or not in order")
    payload = raw(statement.envelope["payload"])

    async def job(tx: Tx) -> None:
        row = await tx.one(
            "SELECT version FROM match_sets WHERE epoch = $1 AND purpose = $2 AND author = $3",
            body["epoch"], body["purpose"], call.me,
        )  # fmt: skip
        if row is not None and row[0] >= body["version"]:
            raise Refusal(409, f"version {row[0]} is here already")
        await tx.run(
            "INSERT INTO match_sets (epoch, purpose, author, version, envelope, tags, until) VALUES ($1, $2, $3, $4, $5, $6, $7) "
            "ON CONFLICT (epoch, purpose, author) DO UPDATE SET version = excluded.version, envelope = excluded.envelope, "
            "tags = excluded.tags, until = excluded.until",
            body["epoch"], body["purpose"], call.me, body["version"], orjson.dumps(statement.envelope), rows, body["until"],
        )  # fmt: skip
        if not rows:  # withdrawn: what was said on its ground goes too
            await tx.run(
                "DELETE FROM match_messages WHERE epoch = $1 AND purpose = $2 AND (author = $3 OR recipient = $3)",
                body["epoch"], body["purpose"], call.me,
            )  # fmt: skip
        if call.desk.key is not None:
            books = await Books.opened(tx)
            place = books.leaf(leaf_hash(payload))
            await books.closed(tx, call.desk.key, call.now)
            # A leaf that is no object: the books say so, or the hub's check of itself would miss one.
            await tx.run(
                "INSERT INTO retired (seq, owner, time, why) VALUES ($1, $2, $3, $4)",
                place, call.member.number, call.now, "a set of private matching",
            )  # fmt: skip

    await call.store.write(job)
    call.desk.compared.clear()  # what was withdrawn is not remembered either
    return answer({"set": statement.id}, status=201)


async def shown(call: Call) -> Response:
    """Who has posted how much: the statements, without rows."""
    rows = await call.store.read(
        lambda tx: tx.all(
            "SELECT envelope FROM match_sets WHERE epoch = $1 AND purpose = $2 AND until > $3 ORDER BY author",
            call.name("epoch"), call.name("purpose"), call.now,
        )
    )  # fmt: skip
    return answer({"sets": [orjson.loads(one) for (one,) in rows]})


async def matches(call: Call) -> Response:
    """What at least k members have, of what the asking member posted: their rows, proven to be in their sets.

    The hub signs how many rows of which sets it gave. If two members later find by comparing that it left some out, its
    own signature shows it.
    """
    epoch = await call.epoch(call.name("epoch"))
    place = (call.name("epoch"), call.name("purpose"))
    found = await call.store.read(
        lambda tx: tx.all(
            "SELECT author, envelope, tags FROM match_sets WHERE epoch = $1 AND purpose = $2 AND until > $3",
            *place, call.now,
        )
    )  # fmt: skip
    sets = {author: bytes(rows) for author, _, rows in found if rows}
    if call.me not in sets:
        raise Refusal(409, "post a set first")
    envelopes = {author: orjson.loads(envelope) for author, envelope, _ in found}
    given = await _remembered(call, place, sets, epoch.proposal.least)
    header: dict[str, Any] = {
        "sets": [
            {"statement": envelopes[name], "indices": indices}
            for name, (indices, _, _) in sorted(given.items())
        ]
    }
    if call.desk.key is not None:
        told = {
            "to": call.me, "epoch": place[0], "purpose": place[1], "at": call.now,
            "sets": {
                name: {"root": _root(envelopes[name]), "rows": len(given[name][0]) if name in given else 0} for name in sets
            },
        }  # fmt: skip
        header["told"] = dsse.sign(jcs(told), media_type("told"), call.desk.key)
    return answer(header, *(part for _, (_, rows, proof) in sorted(given.items()) for part in (rows, proof)))


async def send(call: Call) -> Response:
    """Keep a sealed message for its recipient, in the place of an older one about the same."""
    header, (box,) = await call.frame(1)
    statement, roster = await call.statement("message", header.get("envelope"))
    body = statement.body
    epoch = await call.epoch(body["epoch"])
    roster.member(body["to"])
    if body["purpose"] not in epoch.proposal.purposes:
        raise Refusal(403, "the members did not agree to match for this purpose")
    if body["sealed"] != disclosure.sealed_digest(box) or len(box) > disclosure.LARGEST:
        raise Refusal(400, "this is not the message that was signed, or too large")

    async def job(tx: Tx) -> None:
        row = await tx.one(
            "SELECT made FROM match_messages WHERE epoch = $1 AND purpose = $2 AND about = $3 AND author = $4 AND recipient = $5",
            body["epoch"], body["purpose"], body["about"], call.me, body["to"],
        )  # fmt: skip
        if row is not None and row[0] >= body["made"]:
            raise Refusal(409, "a newer message is here already")
        await tx.run(
            "INSERT INTO match_messages (epoch, purpose, about, author, recipient, made, envelope, box) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (epoch, purpose, about, author, recipient) DO UPDATE SET "
            "made = excluded.made, envelope = excluded.envelope, box = excluded.box",
            body["epoch"], body["purpose"], body["about"], call.me, body["to"], body["made"],
            orjson.dumps(statement.envelope), box,
        )  # fmt: skip

    await call.store.write(job)
    return answer({}, status=201)


async def messages(call: Call) -> Response:
    """The messages for the asking member. A disclosure is handed out against one's own to its author."""
    about = call.name("about")
    # Not a promise against a hub that lies, only manners: who reads has written.
    mutual = (
        "AND EXISTS (SELECT 1 FROM match_messages AS mine WHERE mine.epoch = theirs.epoch AND mine.purpose = theirs.purpose "
        "AND mine.about = theirs.about AND mine.author = $4 AND mine.recipient = theirs.author)"
    )
    rows = await call.store.read(
        lambda tx: tx.all(
            "SELECT envelope, box FROM match_messages AS theirs WHERE epoch = $1 AND purpose = $2 AND about = $3 "
            f"AND recipient = $4 {mutual if about == 'disclosure' else ''} ORDER BY author",
            call.name("epoch"), call.name("purpose"), about, call.me,
        )
    )  # fmt: skip
    return answer({"messages": [orjson.loads(one) for one, _ in rows]}, *(bytes(box) for _, box in rows))


async def _remembered(
    call: Call, place: tuple[str, str], sets: dict[str, bytes], least: int
) -> dict[str, tuple[list[int], bytes, bytes]]:
    """What the sets have in common; computed once for as long as they stay, and one at a time."""
    key = (place, call.me, tuple(sorted((name, digest(rows)) for name, rows in sets.items())))
    async with call.desk.comparing:
        if key not in call.desk.compared:
            found = await asyncio.to_thread(_compared, sets, call.me, least)
            while len(call.desk.compared) >= _REMEMBERED:
                call.desk.compared.pop(next(iter(call.desk.compared)))
            call.desk.compared[key] = found
        return call.desk.compared[key]


def _compared(sets: dict[str, bytes], me: str, least: int) -> dict[str, tuple[list[int], bytes, bytes]]:
    given: dict[str, tuple[list[int], bytes, bytes]] = {}
    for name, indices in tags.common(sets, me, least).items():
        if indices:
            proof = Tree(tags.split(sets[name])).prove(indices)
            given[name] = (indices, tags.chosen(sets[name], indices), b"".join(proof))
    return given


def _root(envelope: dict[str, Any]) -> str:
    return orjson.loads(raw(envelope["payload"]))["root"]
