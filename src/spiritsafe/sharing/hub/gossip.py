"""Members' words about the log, kept for the other members: the newest of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from spiritsafe.attest import heads
from spiritsafe.attest.canonical import jcs
from spiritsafe.errors import AttestError, SharingError
from spiritsafe.sharing import seen
from spiritsafe.sharing.hub import members
from spiritsafe.sharing.hub.members import FRESH
from spiritsafe.sharing.hub.reception import Answer, Call, Problem, as_json, own

if TYPE_CHECKING:
    from spiritsafe.sharing.hub.books import Books
    from spiritsafe.sharing.hub.store import Tx


async def leave(call: Call, tx: Tx, books: Books) -> Answer:
    """Keep what the member who asks has seen, in place of what it said before."""
    own(call)
    me = call.member
    try:
        word = seen.opened(call.prepared, await members.signing(tx, me.number), audience=books.origin)
        head = heads.verify(word.head, call.hub.key.public_key(), books.origin)
    except (AttestError, SharingError) as error:
        raise Problem(422, "ProcessingError", error.message) from error
    if abs(word.time - call.now) > FRESH:
        raise Problem(422, "ProcessingError", "the word is too old, or clocks differ")
    await tx.run(
        "INSERT INTO gossip (member, time, size, envelope) VALUES ($1, $2, $3, $4) ON CONFLICT (member) DO UPDATE SET "
        "time = excluded.time, size = excluded.size, envelope = excluded.envelope WHERE excluded.time > gossip.time",
        me.number, word.time, head.size, jcs(call.prepared),
    )  # fmt: skip
    return as_json({"size": head.size, "time": word.time})


async def told(call: Call, tx: Tx) -> Answer:
    """The newest word of each active member, by its identity."""
    del call
    rows = await tx.all(
        "SELECT identity, envelope FROM gossip JOIN members ON number = member WHERE state = 'active' ORDER BY number"
    )
    return as_json({"seen": [{"identity": one, "envelope": orjson.loads(text)} for one, text in rows]})
