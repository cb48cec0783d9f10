"""Sharing: what would leave and what stays, what came, what matched here, and disputes. It reads the member client's folder.

Nothing is sent by a page: what people decide here waits in the client's outbox, for ``spiritsafe share push`` or ``share watch``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse
from starlette.routing import Route

from spiritsafe.console.campaign.asked import Asked
from spiritsafe.console.desk import Repeated, Write
from spiritsafe.console.forum import Forum, fault, grounds
from spiritsafe.console.guard import Refused, needs
from spiritsafe.console.render import respond
from spiritsafe.errors import SpiritsafeError
from spiritsafe.sharing.client import redress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

PAGE: Final = 25
_BETWEEN: Final = ("relationship", "grouping", "identity")
"""Objects that only say what belongs together, and who is there: shown when they are asked for."""
WHYS: Final = ("appeal-upheld", "false-positive", "error", "superseded", "withdrawn")
"""Why an own object may be taken back."""


def routes() -> list[Route]:
    """The forum, what would leave, one object, and three decisions."""
    return [
        Route("/sharing", sharing),
        Route("/sharing/preview", preview),
        Route("/sharing/object", thing),
        Route("/sharing/dispute", dispute, methods=["POST"]),
        Route("/sharing/withdraw", withdraw, methods=["POST"]),
        Route("/sharing/decide", decide, methods=["POST"]),
    ]


def _forum(request: Request) -> Forum:
    state = request.app.state
    return state.shared.setdefault("forum", Forum(state.settings.share))


@needs("read")
async def sharing(request: Request) -> Response:
    """Everything that is known of the forum."""
    asked = Asked(request.query_params)
    kind, page = asked.text("type"), max(1, asked.number("page") or 1)
    found = await run_in_threadpool(_forum(request).seen, request.app.state.now())
    mine = [
        one
        for one in found["objects"]
        if kind in ("all", one["type"]) or (not kind and one["type"] not in _BETWEEN)
    ]
    last = max(1, -(-len(mine) // PAGE))
    page = min(page, last)
    kinds: dict[str, int] = {}
    for one in found["objects"]:
        kinds[one["type"]] = kinds.get(one["type"], 0) + 1
    shown = mine[(page - 1) * PAGE : page * PAGE]
    data = {
        **found,
        "objects": [{key: value for key, value in one.items() if key != "json"} for one in shown],
        "here": len(found["objects"]) + found["left_off"],
        "total": len(mine), "page": page, "pages": last, "type": kind, "types": sorted(kinds.items()),
        "grounds": list(grounds()), "whys": list(WHYS), "campaigns": _campaigns(request),
    }  # fmt: skip
    return respond(request, "sharing.html", data)


def _campaigns(request: Request) -> list[dict[str, Any]]:
    queue = request.app.state.results.queue()
    rows = queue.select(["run", "campaign_id", "label", "headline"]).to_pylist()
    return [one for one in rows if one["label"] == "campaign"][:200]


@needs("read")
async def preview(request: Request) -> Response:
    """What would leave about one campaign. Sends nothing."""
    asked = Asked(request.query_params)
    run = request.app.state.results.run(asked.text("run"))
    campaign = asked.text("campaign")
    if run is None or not campaign:
        raise Refused(404, "there is no such campaign", "choose one on the page of sharing")
    now = request.app.state.now()
    try:
        found = await run_in_threadpool(_forum(request).preview, run.path, campaign, now)
    except SpiritsafeError as error:
        raise Refused(422, error.message, error.hint or "") from error
    return respond(request, "sharing_preview.html", {"run": run.name, "campaign_id": campaign, **found})


@needs("read")
async def thing(request: Request) -> Response:
    """One object of the forum, whole."""
    key = Asked(request.query_params).text("id")
    found = await run_in_threadpool(_forum(request).seen, request.app.state.now())
    known = next((one for one in found["objects"] if one["id"] == key), None)
    if known is None:
        raise Refused(404, "there is no such object here", "pull first: spiritsafe share pull")
    about = {
        "object": known,
        "reviews": [one for one in found["reviews"] if one["object"] == key],
        "matches": [one for one in found["matches"] if one["id"] == key],
        "sightings": [one for one in found["sightings"] if one["of"] == key],
        "use": next((one for one in found["indicators"] if one["id"] == key), None),
        "grounds": list(grounds()),
        "whys": list(WHYS),
    }
    return respond(request, "sharing_object.html", about)


@needs("approve")
async def dispute(request: Request) -> Response:
    """Dispute what another member shared."""
    form = request.state.form
    return await _decided(
        request, "forum-dispute", partial(_forum(request).dispute, _key(form), form.get("ground", ""))
    )


@needs("approve")
async def withdraw(request: Request) -> Response:
    """Take an own object back, with all that hangs on it."""
    form = request.state.form
    if form.get("why") not in WHYS:
        raise Refused(422, "say why it is taken back", f"one of: {', '.join(WHYS)}")
    return await _decided(
        request, "forum-revocation", partial(_forum(request).withdraw, _key(form), form["why"])
    )


@needs("approve")
async def decide(request: Request) -> Response:
    """Close a review."""
    form = request.state.form
    known = (*redress.DECISIONS, *redress.OWN_DECISIONS)
    if form.get("decision") not in known:
        raise Refused(422, "this is no decision", f"one of: {', '.join(known)}")
    job = partial(_forum(request).decide, _key(form), form["decision"], form.get("cause", ""))
    return await _decided(request, "forum-review", job)


def _key(form: Mapping[str, str]) -> str:
    key = form.get("object", "")
    if not 20 <= len(key) <= 128:
        raise Refused(422, "no object is named", "follow the links of the page")
    return key


async def _decided(request: Request, kind: str, job: Callable[..., dict[str, Any]]) -> Response:
    """Do what somebody decided in the client's folder, and keep it in the console's ledger."""
    state, form, person = request.app.state, request.state.form, request.state.person
    key = _key(form)
    what = Write(person.name, kind, f"forum {key}", form.get("reason", ""), form.get("write", "")).checked()

    if await state.desk.read(lambda tx: tx.one("SELECT n FROM writes WHERE id = $1", what.id)):
        raise Repeated("this was done already", hint="nothing was done twice")
    # The client's own ledger and outbox have it first. Done again after a kill in between, it makes the same object, and what is
    # sent twice changes nothing at the hub.
    try:
        told = await run_in_threadpool(job, by=person.name, reason=what.reason, clock=state.now)
    except SpiritsafeError as error:
        raise Refused(422, fault(error)) from error
    await state.desk.write(what, {"object": key, "told": told}, _nothing, now=state.now())
    return RedirectResponse(f"/sharing/object?{urlencode({'id': key})}&done=1", 303)


async def _nothing(_tx: Any) -> None:
    """Nothing more is to be done than to keep what was decided."""
