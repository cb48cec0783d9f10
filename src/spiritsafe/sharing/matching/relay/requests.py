"""Evaluations: members' requests wait here, holders fetch them, answers wait for the member. And the counts.

A request is lent to as many holders as answers are still needed; who does not answer in time loses it to another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from spiritsafe.sharing.matching import voprf
from spiritsafe.sharing.matching.epoch import DAY
from spiritsafe.sharing.matching.evaluation import digest
from spiritsafe.sharing.matching.relay.desk import Call, Refusal, answer
from spiritsafe.sharing.matching.roster import HOLDER

if TYPE_CHECKING:
    from starlette.responses import Response

    from spiritsafe.sharing.hub.store import Tx

LEASE: Final = 60_000_000
"""Microseconds that a holder has for a request."""
_AT_ONCE: Final = 4
_LONGEST: Final = DAY
_MOST_WAITING: Final = 64
"""Requests of one member that wait at one time."""
_OPEN: Final = "(state = 'answered' OR (state = 'lent' AND until > $2))"


async def ask(call: Call) -> Response:
    """Take a request, within the member's quota of the day; once, however often it comes."""
    header, (elements,) = await call.frame(1)
    statement, _ = await call.statement("request", header.get("envelope"))
    body = statement.body
    epoch = await call.epoch(body["epoch"])
    rule = epoch.proposal.classes.get(body["class"])
    if rule is None:
        raise Refusal(404, "this epoch has no such class")
    voprf.bounded(body["count"])
    if len(elements) != 32 * body["count"] or digest(elements) != body["elements"]:
        raise Refusal(400, "these are not the elements that were signed")
    if not call.now < body["expires"] <= call.now + _LONGEST:
        raise Refusal(400, "a request is answered within a day, or expires")

    async def job(tx: Tx) -> None:
        if await tx.one("SELECT 1 FROM match_requests WHERE id = $1", statement.id):
            return
        day = call.now // DAY
        row = await tx.one(
            "SELECT count FROM match_counts WHERE epoch = $1 AND author = $2 AND class = $3 AND day = $4",
            epoch.id, call.me, body["class"], day,
        )  # fmt: skip
        used = row[0] if row else 0
        if used + body["count"] > rule.quota:
            raise Refusal(429, f"{used} of {rule.quota} evaluations of {body['class']} are used up today")
        waiting = await tx.one("SELECT COUNT(*) FROM match_requests WHERE author = $1", call.me)
        if waiting and waiting[0] >= _MOST_WAITING:
            raise Refusal(429, f"{_MOST_WAITING} requests wait already")
        await tx.run(
            "INSERT INTO match_counts (epoch, author, class, day, count) VALUES ($1, $2, $3, $4, $5) "
            "ON CONFLICT (epoch, author, class, day) DO UPDATE SET count = match_counts.count + excluded.count",
            epoch.id, call.me, body["class"], day, body["count"],
        )  # fmt: skip
        await tx.run(
            "INSERT INTO match_requests (id, epoch, author, class, count, needed, envelope, elements, added, expires) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            statement.id, epoch.id, call.me, body["class"], body["count"], epoch.proposal.threshold,
            orjson.dumps(statement.envelope), elements, call.now, body["expires"],
        )  # fmt: skip

    await call.store.write(job)
    return answer({"request": statement.id}, status=201)


async def result(call: Call) -> Response:
    """The answers and refusals that are there, for the member who asked."""
    name = call.name("request")

    async def job(tx: Tx) -> list[Any]:
        await _own(tx, call, name)
        return await tx.all(
            "SELECT holder, state, envelope, elements FROM match_leases WHERE request = $1 AND state IN ('answered', 'refused')",
            name,
        )  # fmt: skip

    rows = await call.store.read(job)
    answered = [row for row in rows if row[1] == "answered"]
    header = {
        "answers": [
            {"holder": holder, "envelope": orjson.loads(envelope)} for holder, _, envelope, _ in answered
        ],
        "refusals": [
            {"holder": one[0], "envelope": orjson.loads(one[2])} for one in rows if one[1] == "refused"
        ],
    }
    return answer(header, *(row[3] for row in answered))


async def again(call: Call) -> Response:
    """Ask others instead of the holders that are named: their answers did not hold, or they refused."""
    call.writing()
    name = call.name("request")
    header, _ = await call.frame(0)
    without = header.get("without")
    if not isinstance(without, list) or len(without) > 16:  # pyright: ignore[reportUnknownArgumentType]
        raise Refusal(400, "without is a list of holders")

    async def job(tx: Tx) -> None:
        await _own(tx, call, name)
        for holder in without:  # pyright: ignore[reportUnknownVariableType]
            await tx.run(
                "UPDATE match_leases SET state = 'set aside', elements = NULL WHERE request = $1 AND holder = $2",
                name, str(holder),
            )  # fmt: skip

    await call.store.write(job, durable=False)
    return answer({})


async def done(call: Call) -> Response:
    """Remove a request that its member needs no more."""
    call.writing()
    name = call.name("request")

    async def job(tx: Tx) -> None:
        await _own(tx, call, name)
        await tx.run("DELETE FROM match_requests WHERE id = $1", name)

    await call.store.write(job, durable=False)
    return answer({})


async def work(call: Call) -> Response:
    """Lend a holder requests that still need answers, the oldest first."""
    call.writing()
    roster = await call.roster()
    if HOLDER not in roster.member(call.me).roles:
        raise Refusal(403, "only key holders evaluate")

    async def job(tx: Tx) -> list[Any]:
        rows = await tx.all(
            "SELECT match_requests.id, envelope, elements, certificate FROM match_requests "
            "JOIN match_epochs ON match_epochs.id = epoch "
            "WHERE expires > $2 AND NOT EXISTS (SELECT 1 FROM match_leases WHERE request = match_requests.id AND holder = $1 "
            "AND (state <> 'lent' OR until > $2)) "
            f"AND (SELECT COUNT(*) FROM match_leases WHERE request = match_requests.id AND {_OPEN}) < needed "
            "ORDER BY added LIMIT 16",
            call.me, call.now,
        )  # fmt: skip
        lent: list[Any] = []
        for name, envelope, elements, certificate in rows:
            holders = orjson.loads(certificate)["epoch"]["proposal"]["holders"]
            if len(lent) == _AT_ONCE or all(one["member"] != call.me for one in holders):
                continue
            await tx.run(
                "INSERT INTO match_leases (request, holder, until, state) VALUES ($1, $2, $3, 'lent') "
                "ON CONFLICT (request, holder) DO UPDATE SET until = excluded.until",
                name, call.me, call.now + LEASE,
            )  # fmt: skip
            lent.append((envelope, elements))
        return lent

    lent = await call.store.write(job, durable=False)
    return answer({"requests": [orjson.loads(one) for one, _ in lent]}, *(elements for _, elements in lent))


async def reply(call: Call) -> Response:
    """Take a holder's answer. Whether its proof holds is for the member to see."""
    header, (elements,) = await call.frame(1)
    statement, _ = await call.statement("answer", header.get("envelope"))
    if statement.body["elements"] != digest(elements):
        raise Refusal(400, "these are not the elements that were signed")
    return await _kept(call, statement.body["request"], "answered", statement.envelope, elements)


async def refuse(call: Call) -> Response:
    """Take a holder's refusal; another one is asked."""
    header, _ = await call.frame(0)
    statement, _ = await call.statement("refusal", header.get("envelope"))
    return await _kept(call, statement.body["request"], "refused", statement.envelope, None)


async def counts(call: Call) -> Response:
    """What each member asked for: how many, in which class, on which day. Never for what."""
    rows = await call.store.read(
        lambda tx: tx.all(
            "SELECT author, class, day, count FROM match_counts WHERE epoch = $1 ORDER BY day, author, class",
            call.name("epoch"),
        )
    )
    fields = ("member", "class", "day", "count")
    return answer({"counts": [dict(zip(fields, row, strict=True)) for row in rows]})


async def _kept(
    call: Call, name: str, how: str, envelope: dict[str, Any], elements: bytes | None
) -> Response:
    if name != call.name("request"):
        raise Refusal(400, "the statement is about another request")

    async def job(tx: Tx) -> None:
        row = await tx.one(
            "SELECT count, state FROM match_requests JOIN match_leases ON request = id WHERE id = $1 AND holder = $2",
            name, call.me,
        )  # fmt: skip
        if row is None or row[1] != "lent":
            raise Refusal(404, "this request does not wait for you")
        if elements is not None and len(elements) != 32 * row[0]:
            raise Refusal(400, "an answer has as many elements as its request")
        await tx.run(
            "UPDATE match_leases SET state = $3, envelope = $4, elements = $5 WHERE request = $1 AND holder = $2",
            name, call.me, how, orjson.dumps(envelope), elements,
        )  # fmt: skip

    await call.store.write(job, durable=False)
    return answer({}, status=201)


async def _own(tx: Tx, call: Call, name: str) -> None:
    row = await tx.one("SELECT author FROM match_requests WHERE id = $1", name)
    if row is None or row[0] != call.me:
        raise Refusal(404, "there is no such request of yours")
