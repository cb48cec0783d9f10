"""Ceremonies and epochs: a board where holders' statements hang, each author's first and for everybody to see."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from spiritsafe.errors import SharingError
from spiritsafe.sharing.matching import ceremony
from spiritsafe.sharing.matching.ceremony import ROUNDS
from spiritsafe.sharing.matching.epoch import proposed
from spiritsafe.sharing.matching.relay.desk import Call, Refusal, answer
from spiritsafe.sharing.matching.roster import HOLDER
from spiritsafe.sharing.matching.statements import opened

if TYPE_CHECKING:
    from starlette.responses import Response

    from spiritsafe.sharing.hub.store import Tx
    from spiritsafe.sharing.matching.epoch import Epoch, Proposal
    from spiritsafe.sharing.matching.roster import Roster
    from spiritsafe.sharing.matching.statements import Statement

_PATIENCE = 86_400_000_000
"""A ceremony that is not done after a day has failed."""


async def propose(call: Call) -> Response:
    """Open a ceremony. Its number is higher than that of each before, so none is made twice."""
    header, _ = await call.frame(0)
    statement, roster = await call.statement("proposal", header.get("envelope"))
    if HOLDER not in roster.member(call.me).roles:
        raise Refusal(403, "key holders open ceremonies")
    proposal = proposed(statement.body, roster)

    async def job(tx: Tx) -> None:
        row = await tx.one("SELECT MAX(number) FROM match_ceremonies")
        newest = row[0] if row and row[0] is not None else 0
        if proposal.number <= newest:
            raise Refusal(409, f"the next ceremony is number {newest + 1}")
        await tx.run(
            "INSERT INTO match_ceremonies (id, number, author, envelope, opened, state, why) "
            "VALUES ($1, $2, $3, $4, $5, 'open', '')",
            proposal.id, proposal.number, call.me, orjson.dumps(statement.envelope), call.now,
        )  # fmt: skip

    await call.store.write(job)
    return answer({"ceremony": proposal.id}, status=201)


async def listed(call: Call) -> Response:
    """The last ceremonies, the newest first."""
    rows = await call.store.read(
        lambda tx: tx.all(
            "SELECT id, number, envelope, opened, state, why FROM match_ceremonies ORDER BY number DESC LIMIT 20"
        )
    )
    found = [
        {
            "id": name, "number": number, "envelope": orjson.loads(envelope), "opened": since,
            "state": "failed" if how == "open" and since + _PATIENCE <= call.now else how, "why": why,
        }
        for name, number, envelope, since, how, why in rows
    ]  # fmt: skip
    return answer({"ceremonies": found})


async def shown(call: Call) -> Response:
    """All statements of a ceremony."""
    rows = await call.store.read(
        lambda tx: tx.all(
            "SELECT kind, envelope FROM match_statements WHERE ceremony = $1 ORDER BY kind, author",
            call.name("ceremony"),
        )
    )
    found: dict[str, list[Any]] = {kind: [] for kind in ROUNDS}
    for kind, envelope in rows:
        found[kind].append(orjson.loads(envelope))
    return answer(found)


async def state(call: Call) -> Response:
    """Hang up a holder's statement of a round. With the last verdict the ceremony is judged, for all to see."""
    kind, name = call.name("round"), call.name("ceremony")
    if kind not in ROUNDS:
        raise Refusal(404, "there is no such round")
    header, _ = await call.frame(0)
    statement, roster = await call.statement(kind, header.get("envelope"))
    row = await call.store.read(
        lambda tx: tx.one("SELECT envelope, state, opened FROM match_ceremonies WHERE id = $1", name)
    )
    if row is None or statement.body["ceremony"] != name:
        raise Refusal(404, "there is no such ceremony")
    if row[1] != "open" or row[2] + _PATIENCE <= call.now:
        raise Refusal(409, "this ceremony is over")
    proposal = proposed(opened("proposal", orjson.loads(row[0]), roster).body, roster)
    if call.me not in proposal.holders:
        raise Refusal(403, "only its holders take part in a ceremony")
    hung = await call.store.write(lambda tx: _hung(tx, statement, call.now))
    if sum(one == "verdict" for one, _ in hung) == len(proposal.holders):
        await _judge(call, proposal, hung, roster)
    return answer({}, status=201)


async def _hung(tx: Tx, statement: Statement, now: int) -> list[Any]:
    """All statements of the ceremony, with this one. Raises Refusal for a second one of its author."""
    name, kind, author = statement.body["ceremony"], statement.kind, statement.by
    old = await tx.one(
        "SELECT id FROM match_statements WHERE ceremony = $1 AND kind = $2 AND author = $3",
        name,
        kind,
        author,
    )
    if old is not None and old[0] != statement.id:
        raise Refusal(409, "you have made another statement in this round")
    if old is None:
        await tx.run(
            "INSERT INTO match_statements (ceremony, kind, author, id, envelope, added) VALUES ($1, $2, $3, $4, $5, $6)",
            name, kind, author, statement.id, orjson.dumps(statement.envelope), now,
        )  # fmt: skip
    return await tx.all("SELECT kind, envelope FROM match_statements WHERE ceremony = $1", name)


async def _judge(call: Call, proposal: Proposal, hung: list[Any], roster: Roster) -> None:
    """Keep the epoch that the ceremony made, or why it made none."""
    rounds = {
        one: [opened(one, orjson.loads(e), roster) for kind, e in hung if kind == one] for one in ROUNDS
    }
    try:
        made = await asyncio.to_thread(
            ceremony.concluded, proposal, rounds["join"], rounds["deal"], rounds["verdict"], roster
        )
    except SharingError as error:
        why = f"{error.message} ({error.where})" if error.where else error.message
        await call.store.write(lambda tx: _ended(tx, proposal.id, "failed", why))
    else:
        await call.store.write(lambda tx: _made(tx, made, rounds["verdict"]))


async def epochs(call: Call) -> Response:
    """Certificates of the epochs that are not over, the newest first."""
    rows = await call.store.read(
        lambda tx: tx.all(
            "SELECT certificate FROM match_epochs WHERE valid_until > $1 ORDER BY number DESC LIMIT 20",
            call.now,
        )
    )
    return answer({"epochs": [orjson.loads(one) for (one,) in rows]})


async def destroyed(call: Call) -> Response:
    """Take a holder's word that it destroyed its share."""
    header, _ = await call.frame(0)
    statement, _ = await call.statement("destroyed", header.get("envelope"))

    async def job(tx: Tx) -> None:
        await tx.run(
            "INSERT INTO match_destroyed (epoch, author, envelope) VALUES ($1, $2, $3) ON CONFLICT (epoch, author) DO NOTHING",
            statement.body["epoch"], call.me, orjson.dumps(statement.envelope),
        )  # fmt: skip

    await call.store.write(job)
    return answer({}, status=201)


async def destructions(call: Call) -> Response:
    """Who says to have destroyed its share of an epoch."""
    rows = await call.store.read(
        lambda tx: tx.all(
            "SELECT envelope FROM match_destroyed WHERE epoch = $1 ORDER BY author", call.name("epoch")
        )
    )
    return answer({"destroyed": [orjson.loads(one) for (one,) in rows]})


async def _ended(tx: Tx, name: str, how: str, why: str) -> None:
    await tx.run(
        "UPDATE match_ceremonies SET state = $2, why = $3 WHERE id = $1 AND state = 'open'", name, how, why
    )


async def _made(tx: Tx, made: Epoch, verdicts: list[Statement]) -> None:
    await _ended(tx, made.proposal.id, "made", "")
    await tx.run(
        "INSERT INTO match_epochs (id, number, ceremony, certificate, valid_from, valid_until) "
        "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING",
        made.id, made.proposal.number, made.proposal.id, orjson.dumps(ceremony.certificate(made, verdicts)),
        made.proposal.valid_from, made.proposal.valid_until,
    )  # fmt: skip
