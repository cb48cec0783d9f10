"""Measures: one person proposes an order, another approves it with a key of their own, and the gateway's file changes.

What a person decided is in the store first; the file follows, at once and after any interruption (`apply`). An order that
stands in the file already is not signed in again, so nothing is applied twice. States: proposed → approved → in force →
rolled back or expired; proposed → rejected or expired.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from spiritsafe.console import desk
from spiritsafe.console.desk import Repeated, Stale, Write
from spiritsafe.errors import OrderError, SpiritsafeError, UsageError
from spiritsafe.model import Approval
from spiritsafe.orders import approvals, ladder, policy, snapshot
from spiritsafe.orders.change import Change
from spiritsafe.orders.content import from_order, to_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.console.people import Person
    from spiritsafe.console.results import Run
    from spiritsafe.console.settings import Orders
    from spiritsafe.model import Order
    from spiritsafe.orders.policy import Policy
    from spiritsafe.sharing.hub.store import Tx

OPEN: Final = ("proposed", "approved", "in force", "lifting")
_COLUMNS: Final = "id, campaign, run, content, state, person, reason, time, until, expires, version, closed"
CONSOLE: Final = "console"
"""Who does what nobody decides: what expired."""


def subject(proposal: str) -> str:
    """What writes about a proposal are filed under."""
    return f"order {proposal}"


def derived(run: Run, campaign: str, wanted: Policy, *, now: int) -> list[Order]:
    """The orders that the policy's ladder derives for one campaign of a run. Raises OrderError, UsageError."""
    path = run.path / "campaigns.json"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    return [
        one
        for one in ladder.propose(data, wanted.ladder, now, where=str(path))
        if one.campaign_id == campaign
    ]


def name_of(write: str) -> str:
    """The id of the proposal that a write makes: a form sent twice makes one."""
    return f"p-{hashlib.sha256((write or secrets.token_hex(16)).encode()).hexdigest()[:10]}"


async def propose(
    tx: Tx, name: str, order: Order, run: str, by: str, reason: str, *, wait: int, now: int
) -> None:
    """Keep a proposal. Raises UsageError when the same order is open already."""
    taken = await tx.one(
        "SELECT id FROM proposals WHERE order_id = $1 AND state IN ('proposed', 'approved', 'in force', 'lifting')",
        order.order_id,
    )
    if taken:
        raise UsageError(f"this very order is open already, as {taken[0]}", hint="look at it under Orders")
    await tx.run(
        "INSERT INTO proposals "
        "(id, order_id, campaign, run, content, state, person, reason, time, until, expires, version, closed) "
        "VALUES ($1, $2, $3, $4, $5, 'proposed', $6, $7, $8, $9, $10, 1, '')",
        name, order.order_id, order.campaign_id, run, json.dumps(from_order(order)), by, reason, now, now + wait,
        order.expires,
    )  # fmt: skip


async def one(tx: Tx, name: str) -> dict[str, Any] | None:
    """A proposal with its order and approvals."""
    row = await tx.one(f"SELECT {_COLUMNS} FROM proposals WHERE id = $1", name)
    return None if row is None else await _told(tx, row)


async def listed(
    tx: Tx, states: Sequence[str], *, offset: int = 0, limit: int = 50
) -> tuple[int, list[dict[str, Any]]]:
    """How many proposals are in ``states``, and a page of them, newest first."""
    marks = ", ".join(f"${n + 1}" for n in range(len(states)))
    total = await tx.one(f"SELECT count(*) FROM proposals WHERE state IN ({marks})", *states)
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM proposals WHERE state IN ({marks}) ORDER BY time DESC, id "
        f"LIMIT {int(limit)} OFFSET {int(offset)}",
        *states,
    )
    return int(total[0]) if total else 0, [await _told(tx, row) for row in rows]


async def of_campaign(tx: Tx, campaign: str) -> list[dict[str, Any]]:
    """All proposals against a campaign, newest first."""
    rows = await tx.all(f"SELECT {_COLUMNS} FROM proposals WHERE campaign = $1 ORDER BY time DESC", campaign)
    return [await _told(tx, row) for row in rows]


async def approve(
    tx: Tx, name: str, signed: Approval, reason: str, wanted: Policy, issuer: str, *, version: int
) -> dict[str, Any]:
    """Keep an approval; ``{"state", "version", "lacks"}``. Raises Stale, OrderError, UsageError.

    The proposer never approves: neither under this name nor with this key.
    """
    known = await _at(tx, name, version, "proposed")
    if known["by"] == signed.by:
        raise UsageError("who proposed an order does not approve it", hint="another person must")
    if any(each["by"] == signed.by for each in known["approvals"]):
        raise Stale(f"{signed.by} approved this already", await desk.history(tx, subject(name)))
    order = replace(known["made"], approvals=(*known["made"].approvals, signed))
    lacks = approvals.missing(order, wanted.rules, signer=wanted.signer, issuer=issuer)
    await tx.run(
        "INSERT INTO approvals (proposal, person, time, signature, reason) VALUES ($1, $2, $3, $4, $5)",
        name, signed.by, signed.time, signed.signature, reason,
    )  # fmt: skip
    state = "proposed" if lacks else "approved"
    await _move(tx, name, state, version)
    return {"state": state, "version": version + 1, "lacks": lacks}


async def close(
    tx: Tx, name: str, state: str, why: str, *, version: int, was: str = "proposed"
) -> dict[str, Any]:
    """Reject a proposal, let it or an order expire, or begin to lift an order. Raises Stale."""
    await _at(tx, name, version, was)
    await _move(tx, name, state, version, why)
    return {"state": state, "version": version + 1}


def signed(order: Order, person: Person, key: Any, wanted: Policy, *, now: int) -> Approval:
    """A person's approval of an order. Raises OrderError, UsageError when the policy does not know the person's key."""
    known = wanted.rules.approvers.get(person.name)
    if known is None or known != person.public:
        raise UsageError(
            f"the policy does not know your key as an approver's: {person.name!r}",
            hint=f'the operator writes below [approvers] in the policy: "{person.name}" = "{person.public or ""}"',
        )
    return approvals.approve(order, person.name, key, now=now).approvals[-1]


def in_file(wanted: Policy, *, now: int) -> tuple[snapshot.Snapshot | None, str]:
    """The signed file as it stands, and what is wrong with it (empty when nothing is)."""
    if not wanted.file.exists():
        return None, ""
    try:
        return snapshot.read(wanted.file, wanted.signer, now=now, rules=wanted.rules), ""
    except OrderError as error:
        return None, str(error)


def read(settings: Orders | None) -> Policy:
    """The policy that the console works by. Raises UsageError when none is named."""
    if settings is None:
        raise UsageError(
            "the console was not told which policy it works by",
            hint="[orders] in console.toml names the policy and the signer's key",
        )
    return policy.read(settings.policy)


class Press:
    """Brings what was decided into the signed file, one change at a time. ``trouble`` says why it could not."""

    def __init__(self, table: desk.Desk, settings: Orders | None) -> None:
        self._desk, self._settings = table, settings
        self._turn = asyncio.Lock()
        self.trouble = ""

    async def apply(self, *, now: int) -> None:
        """Sign in what was approved, take out what is lifted. Safe to call at any time, also after a kill."""
        if self._settings is None:
            return
        async with self._turn:
            waiting = await self._desk.read(_waiting)
            if not waiting:
                self.trouble = ""
                return
            try:
                version, digest = await asyncio.to_thread(self._sign, waiting, now)
            except SpiritsafeError as error:
                self.trouble = str(error)
                return
            self.trouble = ""
            for each in waiting:
                await self._record(each, version, digest, now)

    async def change(self, job: Any, *, now: int) -> tuple[Any, int, str]:
        """Run ``job(change)`` on the signed file for an appeal; what it returns, the file's version and digest afterwards.

        The file is signed when the job returns something. Raises what the job raises, and UsageError, OrderError.
        """
        async with self._turn:
            return await asyncio.to_thread(self._changed, job, now)

    def _changed(self, job: Any, now: int) -> tuple[Any, int, str]:
        settings = cast("Orders", self._settings)
        with Change(policy.read(settings.policy), settings.signer, now=now, issuer=settings.issuer) as change:
            value = job(change)
            if not value:
                return value, change.version, change.digest
            return value, change.version + 1, change.sign(settings.valid)

    def _sign(self, waiting: list[dict[str, Any]], now: int) -> tuple[int, str]:
        def job(change: Change) -> bool:
            different = False
            for each in waiting:
                order: Order = each["made"]
                if each["state"] == "lifting":
                    different |= change.orders.pop(order.order_id, None) is not None
                elif change.orders.get(order.order_id) != order and order.expires > now:
                    change.orders[order.order_id] = order
                    different = True
            return different

        _, version, digest = self._changed(job, now)
        return version, digest

    async def _record(self, each: dict[str, Any], version: int, digest: str, now: int) -> None:
        order: Order = each["made"]
        lifting = each["state"] == "lifting"
        to = "rolled back" if lifting else "in force"
        body: dict[str, Any] = {"version": version, "snapshot": digest, "proposal": each["id"], "state": to}
        if lifting:
            body |= {"order_id": order.order_id, "reason": each["closed"]}
        else:
            body |= from_order(order)
        who = each["approvals"][-1]["by"] if each["approvals"] else each["by"]
        write = Write(
            each["closer"] if lifting else who, "lift" if lifting else "order", subject(each["id"]),
            each["closed"] if lifting else each["reason"], f"{'lift' if lifting else 'sign'}-{each['id']}",
        )  # fmt: skip
        with suppress(Repeated):
            await self._desk.write(
                write, body, lambda tx: _move(tx, each["id"], to, each["version"]), now=now,
            )  # fmt: skip


async def expire(table: desk.Desk, *, now: int) -> None:
    """Close proposals that nobody approved in time, and orders whose time is over."""

    async def job(tx: Tx) -> list[tuple[Any, ...]]:
        return await tx.all(
            "SELECT id, state, version FROM proposals WHERE (state = 'proposed' AND until <= $1) "
            "OR (state IN ('proposed', 'approved', 'in force') AND expires <= $2)",
            now, now,
        )  # fmt: skip

    for name, state, version in await table.read(job):
        why = "its time is over" if state == "in force" else "nobody approved it in time"
        what = Write(CONSOLE, "order-expired", subject(name), why, f"expired-{name}")
        with suppress(Repeated, Stale):
            await table.write(
                what, {"proposal": name, "state": "expired"},
                lambda tx, name=name, version=version, state=state, why=why: close(
                    tx, name, "expired", why, version=version, was=state
                ),
                now=now,
            )  # fmt: skip


async def _waiting(tx: Tx) -> list[dict[str, Any]]:
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM proposals WHERE state IN ('approved', 'lifting') ORDER BY time"
    )
    found = [await _told(tx, row) for row in rows]
    for each in found:
        closer = await tx.one(
            "SELECT person FROM writes WHERE subject = $1 AND kind = 'order-rolled-back' ORDER BY n DESC LIMIT 1",
            subject(each["id"]),
        )
        each["closer"] = closer[0] if closer else each["by"]
    return found


async def _at(tx: Tx, name: str, version: int, state: str) -> dict[str, Any]:
    known = await one(tx, name)
    if known is None:
        raise UsageError(f"there is no proposal {name!r}")
    if known["version"] != version or known["state"] != state:
        # A proposal begins at version 1, and each write about it after the first makes it one more.
        since = (await desk.history(tx, subject(name)))[version:]
        raise Stale(f"this order is {known['state']} by now", since)
    return known


async def _move(tx: Tx, name: str, state: str, version: int, why: str | None = None) -> None:
    closed, values = ("", ()) if why is None else (", closed = $4", (why,))
    moved = await tx.run(
        f"UPDATE proposals SET state = $1, version = version + 1{closed} WHERE id = $2 AND version = $3",
        state, name, version, *values,
    )  # fmt: skip
    if moved != 1:
        raise Stale("this order was changed meanwhile", await desk.history(tx, subject(name)))


async def _told(tx: Tx, row: tuple[Any, ...]) -> dict[str, Any]:
    name, campaign, run, content, state, person, reason, time, until, expires, version, closed = row
    agreed = await tx.all(
        "SELECT person, time, signature, reason FROM approvals WHERE proposal = $1 ORDER BY time, person",
        name,
    )
    order = to_order(json.loads(content), name)
    order = replace(order, approvals=tuple(Approval(who, at, mark) for who, at, mark, _ in agreed))
    return {
        "id": name, "campaign": campaign, "run": run, "state": state, "by": person, "reason": reason, "time": time,
        "until": until, "expires": expires, "version": version, "closed": closed, "made": order,
        "order": from_order(order),
        "approvals": [{"by": who, "time": at, "reason": why} for who, at, _, why in agreed],
    }  # fmt: skip
