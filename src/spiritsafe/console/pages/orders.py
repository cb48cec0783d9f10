"""Orders: what waits for a second person, what is in force, and each step on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse
from starlette.routing import Route

from spiritsafe.console import customers, desk, measures, passwords
from spiritsafe.console.guard import Refused, needs
from spiritsafe.console.render import respond
from spiritsafe.errors import SpiritsafeError, UsageError
from spiritsafe.model import RUNGS
from spiritsafe.orders.content import from_exemption, from_order
from spiritsafe.registry import extensions

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from spiritsafe.model import Order
    from spiritsafe.orders.policy import Policy

PAGE = 50
CLOSED = ("rejected", "expired", "rolled back")


async def _tick(app: Any) -> None:
    now = app.state.now()
    await measures.expire(app.state.desk, now=now)
    await app.state.press.apply(now=now)


TICKS = (_tick,)


def routes() -> list[Route]:
    """``/orders`` and below."""
    return [
        Route("/orders", orders),
        Route("/orders/new", new, methods=["GET"]),
        Route("/orders/new", propose, methods=["POST"]),
        Route("/orders/{proposal}", order),
        Route("/orders/{proposal}/approve", approve, methods=["POST"]),
        Route("/orders/{proposal}/reject", reject, methods=["POST"]),
        Route("/orders/{proposal}/roll-back", roll_back, methods=["POST"]),
    ]


@needs("read")
async def orders(request: Request) -> Response:
    """What waits, what is in force, what was."""
    state = request.app.state
    past = request.query_params.get("show") == "closed"
    offset = _number(request.query_params.get("offset", "0"))
    states = CLOSED if past else measures.OPEN
    total, rows = await state.desk.read(lambda tx: measures.listed(tx, states, offset=offset, limit=PAGE))
    wanted, trouble = await run_in_threadpool(_policy, request)
    file: dict[str, Any] | None = None
    if wanted is not None:
        found, wrong = await run_in_threadpool(measures.in_file, wanted, now=state.now())
        trouble = trouble or wrong
        if found is not None:
            file = {
                "version": found.version,
                "expires": found.expires,
                "issuer": found.issuer,
                "digest": found.digest,
                "in_force": [_brief(one) for one in found.orders],
                "withheld": [{**_brief(one.order), "why": one.why} for one in found.withheld],
                "exempt": [from_exemption(one) for one in found.exempt],
            }
    return respond(
        request,
        "orders.html",
        {
            "rows": [_plain(one, brief=True) for one in rows], "total": total, "offset": offset, "limit": PAGE, "closed": past,
            "file": file, "trouble": trouble or state.press.trouble,
        },
    )  # fmt: skip


@needs("propose")
async def new(request: Request) -> Response:
    """The orders that the policy's ladder derives for a campaign, to choose from."""
    run, campaign, wanted, found = await _derived(request, request.query_params)
    state = request.app.state
    open_ = {
        one["order"]["order_id"]: one["id"]
        for one in await state.desk.read(lambda tx: measures.of_campaign(tx, campaign))
        if one["state"] in measures.OPEN
    }
    reach = {one.order_id: await _reach(request, one, run.name, wanted) for one in found}
    rows = [
        {
            **_brief(one), "persons": max(1, wanted.rules.persons(one.response)), "open": open_.get(one.order_id),
            "touched": reach[one.order_id], "means": _means(one.response),
        }
        for one in found
    ]  # fmt: skip
    return respond(
        request,
        "propose.html",
        {"run": run.name, "campaign_id": campaign, "rows": rows, "counting": _counting(request)},
    )


@needs("propose")
async def propose(request: Request) -> Response:
    """Propose one of them."""
    state, form = request.app.state, request.state.form
    run, _, _, found = await _derived(request, form)
    chosen = next((one for one in found if one.order_id == form.get("order_id")), None)
    if chosen is None:
        raise Refused(
            409,
            "the result or the policy changed: this order is no longer derived from it",
            "load the page again and choose",
        )
    now, reason = state.now(), form.get("reason", "")
    name = await _kept(request, chosen, run.name, reason, now=now)
    return RedirectResponse(f"/orders/{name}?done=proposed", 303)


@needs("read")
async def order(request: Request) -> Response:
    """One order: what it does, whom it would touch, who said what; and what one may do about it."""
    found, state = await _one(request), request.app.state
    wanted, trouble = await run_in_threadpool(_policy, request)
    person = request.state.person
    lacks, known, reach = "", None, None
    if wanted is not None:
        lacks = measures.approvals.missing(
            found["made"], wanted.rules, signer=wanted.signer, issuer=state.settings.orders.issuer
        )
        known = wanted.rules.approvers.get(person.name)
        reach = await _reach(request, found["made"], found["run"], wanted)
    history = await state.desk.read(lambda tx: desk.history(tx, measures.subject(found["id"])))
    data = {
        **_plain(found), "lacks": lacks, "touched": reach, "history": history, "means": _means(found["order"]["response"]),
        "persons": max(1, wanted.rules.persons(found["order"]["response"])) if wanted else None,
        "own": found["by"] == person.name, "agreed": any(one["by"] == person.name for one in found["approvals"]),
        "has_key": person.public is not None, "key_known": known is not None and known == person.public,
        "trouble": trouble or state.press.trouble, "counting": _counting(request),
    }  # fmt: skip
    return respond(request, "order.html", data)


@needs("approve")
async def approve(request: Request) -> Response:
    """Approve, with one's own key, opened with one's own passphrase."""
    state, form, person = request.app.state, request.state.form, request.state.person
    found = await _one(request)
    version, now = version_of(form), state.now()
    if found["by"] == person.name:
        raise Refused(403, "who proposed an order does not approve it", "another person must")
    if person.sealed is None:
        raise Refused(422, "you have no key to approve with", "make one under your name, at the top right")
    key = f"seal {person.name}"
    if state.throttle.wait(key, now):
        raise Refused(429, "too many failures with this passphrase", "wait some minutes")
    mine = await passwords.slowly(request, passwords.unseal, person.sealed, form.get("passphrase", ""))
    if mine is None:
        state.throttle.failed(key, now)
        raise Refused(403, "this is not the passphrase of your key; nothing was done")
    state.throttle.passed(key)
    wanted = await run_in_threadpool(measures.read, state.settings.orders)
    signed = measures.signed(found["made"], person, mine, wanted, now=now)
    what = desk.Write(
        person.name,
        "order-approved",
        measures.subject(found["id"]),
        form.get("reason", ""),
        form.get("write", ""),
    )
    issuer = state.settings.orders.issuer
    told = await state.desk.write(
        what,
        {
            "order_id": found["order"]["order_id"],
            "campaign_id": found["campaign"],
            "signature": signed.signature,
        },
        lambda tx: measures.approve(tx, found["id"], signed, what.reason, wanted, issuer, version=version),
        now=now,
        more=lambda made: {"state": made["state"]},
    )
    if told["state"] == "approved":
        await state.press.apply(now=state.now())
    return RedirectResponse(f"/orders/{found['id']}?done={told['state']}", 303)


@needs("approve")
async def reject(request: Request) -> Response:
    """Say no to a proposal."""
    return await _closed(request, "order-rejected", "rejected", "proposed")


@needs("approve")
async def roll_back(request: Request) -> Response:
    """Take an order out of the signed file, at once: one person suffices to undo."""
    answer = await _closed(request, "order-rolled-back", "lifting", "in force")
    await request.app.state.press.apply(now=request.app.state.now())
    return answer


async def _closed(request: Request, kind: str, to: str, was: str) -> Response:
    state, form, person = request.app.state, request.state.form, request.state.person
    found = await _one(request)
    version, now = version_of(form), state.now()
    what = desk.Write(
        person.name, kind, measures.subject(found["id"]), form.get("reason", ""), form.get("write", "")
    )
    await state.desk.write(
        what,
        {"order_id": found["order"]["order_id"], "campaign_id": found["campaign"], "state": to},
        lambda tx: measures.close(tx, found["id"], to, what.reason.strip(), version=version, was=was),
        now=now,
    )
    return RedirectResponse(f"/orders/{found['id']}?done={to}", 303)


async def _kept(request: Request, chosen: Order, run: str, reason: str, *, now: int) -> str:
    state, form, person = request.app.state, request.state.form, request.state.person
    name = measures.name_of(form.get("write", ""))
    await state.desk.write(
        desk.Write(person.name, "order-proposed", measures.subject(name), reason, form.get("write", "")),
        {"order": from_order(chosen), "run": run},
        lambda tx: measures.propose(
            tx, name, chosen, run, person.name, reason.strip(), wait=state.settings.orders.wait, now=now
        ),
        now=now,
    )
    return name


async def _derived(request: Request, asked: Any) -> tuple[Any, str, Policy, list[Order]]:
    state = request.app.state
    run = await run_in_threadpool(state.results.run, asked.get("run", ""))
    campaign = asked.get("campaign", "")
    if run is None or await run_in_threadpool(state.results.campaign, run.name, campaign) is None:
        raise Refused(404, "there is no such campaign")
    wanted = await run_in_threadpool(measures.read, state.settings.orders)
    now = state.now()
    found = await run_in_threadpool(measures.derived, run, campaign, wanted, now=now - now % 1_000_000)
    return run, campaign, wanted, found


async def _reach(request: Request, made: Order, run: str, wanted: Policy) -> dict[str, Any]:
    state = request.app.state
    now = state.now()

    def job() -> dict[str, Any]:
        found, _ = measures.in_file(wanted, now=now)
        exempt = found.exempt if found else ()
        return customers.touched(
            made, state.results.run(run), state.customers.path(), wanted.ladder, exempt,
            work=state.settings.data / "cache" / "engine", now=now,
        )  # fmt: skip

    return await run_in_threadpool(job)


def _counting(request: Request) -> dict[str, Any]:
    known = request.app.state.customers
    return {"named": bool(known.records), "share": known.progress, "trouble": known.trouble}


async def _one(request: Request) -> dict[str, Any]:
    found = await request.app.state.desk.read(lambda tx: measures.one(tx, request.path_params["proposal"]))
    if found is None:
        raise Refused(404, "there is no such order")
    return found


def _policy(request: Request) -> tuple[Policy | None, str]:
    try:
        return measures.read(request.app.state.settings.orders), ""
    except SpiritsafeError as error:
        return None, str(error)


def _means(response: str) -> str:
    return extensions("responses")[response].summary


def _brief(one: Order) -> dict[str, Any]:
    told = {**from_order(one), "listed": len(one.accounts), "rung": RUNGS[one.response]}
    del told["accounts"]
    return told


def _plain(found: dict[str, Any], *, brief: bool = False) -> dict[str, Any]:
    told = {key: value for key, value in found.items() if key != "made"}
    told["listed"] = len(found["made"].accounts)
    if brief:
        told["order"] = _brief(found["made"])
    return told


def version_of(form: Any) -> int:
    """The version that a form was made for. Raises UsageError."""
    version = form.get("version", "")
    if not version.isdecimal() or len(version) > 9:
        raise UsageError("the form has no version", hint="load the page again")
    return int(version)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0
