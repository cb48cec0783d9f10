"""Cases: opened from a campaign, shown, contested, answered. Sealing and reports stay with ``spiritsafe case``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse
from starlette.routing import Route

from spiritsafe.cases import appeals, folder
from spiritsafe.cases.folder import OUTCOMES
from spiritsafe.console import casefiles, desk
from spiritsafe.console.guard import Refused, needs
from spiritsafe.console.render import respond
from spiritsafe.errors import LedgerError, UsageError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from spiritsafe.cases.folder import Case


def routes() -> list[Route]:
    """``/cases`` and below."""
    return [
        Route("/cases", cases),
        Route("/cases/new", new, methods=["GET"]),
        Route("/cases/new", open_, methods=["POST"]),
        Route("/cases/{case}", case),
        Route("/cases/{case}/notice", notice),
        Route("/cases/{case}/appeal", appeal, methods=["POST"]),
        Route("/cases/{case}/review", review, methods=["POST"]),
        Route("/cases/{case}/decide", decide, methods=["POST"]),
    ]


@needs("read")
async def cases(request: Request) -> Response:
    """All cases, the one changed last first."""
    root = request.app.state.settings.cases
    found = await run_in_threadpool(folder.listed, root)
    rows = [
        {
            "name": one.folder.name, "case_id": one.case_id, "title": one.title, "status": one.status, "opened": one.opened,
            "changed": one.changed, "items": one.items, "fault": one.fault,
        }
        for one in found
    ]  # fmt: skip
    return respond(request, "cases.html", {"rows": rows})


@needs("case")
async def new(request: Request) -> Response:
    """The form that opens a case from a campaign."""
    run, campaign, entry = await _campaign(request, request.query_params)
    data = {
        "run": run, "campaign_id": campaign, "headline": entry.get("headline", ""), "label": entry["label"],
        "records": list(request.app.state.settings.records), "suggested": f"case-{campaign}",
    }  # fmt: skip
    return respond(request, "case_new.html", data)


@needs("case")
async def open_(request: Request) -> Response:
    """Open a case: its campaign, and the records it rests on, are gathered in the background."""
    state, form, person = request.app.state, request.state.form, request.state.person
    run, campaign, _ = await _campaign(request, form)
    name, title, claim = (form.get(key, "").strip() for key in ("case", "title", "claim"))
    where = casefiles.place(state.settings, name)
    if not title or not claim:
        raise UsageError("a case has a title and a claim")
    if where.exists():
        raise UsageError(f"there is a case {name!r} already", hint="take another name")
    body = {
        "case": name,
        "title": title,
        "claim": claim,
        "run": run,
        "campaign": campaign,
        "records": "records" in form,
    }
    what = desk.Write(
        person.name, casefiles.OPEN, casefiles.subject(name), form.get("reason", ""), form.get("write", "")
    )
    await state.work.decide(what, body, body, now=state.now())
    return RedirectResponse(f"/cases/{name}?done=opened", 303)


@needs("read")
async def case(request: Request) -> Response:
    """One case."""
    state, name = request.app.state, request.path_params["case"]
    where = casefiles.place(state.settings, name)
    subject = casefiles.subject(name)
    jobs = await state.work.of(subject)
    history = await state.desk.read(lambda tx: desk.history(tx, subject))
    if not (where / folder.LEDGER).exists():
        if not history:
            raise Refused(404, "there is no such case")
        told = None
    else:
        try:
            told = await run_in_threadpool(lambda: casefiles.told(folder.open_case(where)))
        except LedgerError:
            if not jobs:
                raise
            told = None  # its ledger is being begun
    data = {
        "name": name, "case": told, "jobs": jobs, "history": history, "grounds": appeals.GROUNDS, "outcomes": OUTCOMES,
        "working": any(one["state"] == "waiting" for one in jobs),
    }  # fmt: skip
    return respond(request, "case.html", data)


@needs("case")
async def notice(request: Request) -> Response:
    """What the holder of an account is told."""
    state, account = request.app.state, request.query_params.get("account", "").strip()
    found = await _case(request)
    told, text = await run_in_threadpool(
        lambda: casefiles.notice_of(state.settings, found, account, now=state.now())
    )
    return respond(
        request,
        "notice.html",
        {"name": request.path_params["case"], "account": account, "notice": told, "text": text},
    )


@needs("case")
async def appeal(request: Request) -> Response:
    """File a customer's appeal: the case is open again, severe measures freeze."""
    form = request.state.form
    found = await _case(request)
    account, organization = form.get("account", "").strip(), form.get("organization", "").strip()
    grounds = [one for one in form.get("grounds", "").split("\n") if one]
    statement = form.get("statement", "").strip()
    if bool(account) == bool(organization):
        raise UsageError("an appeal is for one account or one organization", hint="fill in one of the two")
    if not grounds or not statement or not set(grounds) <= set(appeals.GROUNDS):
        raise UsageError("an appeal has grounds and a statement")
    if account and account not in await run_in_threadpool(appeals.members, found):
        raise UsageError("the account is in no campaign of this case")
    mine = casefiles.notice.reference(found, account or organization)
    if any(one.item.about["reference"] == mine and not one.outcome for one in found.appeals):
        raise UsageError(f"{mine} is open already")
    body = {"account": account, "organization": organization, "grounds": grounds, "statement": statement}
    return await _decided(request, casefiles.APPEAL, {"reference": mine, "grounds": grounds}, body)


@needs("case")
async def review(request: Request) -> Response:
    """Take an appeal to review; who took part in the first decision cannot."""
    found, name = await _case(request), request.state.form.get("appeal", "")
    one = appeals.open_appeal(found, name)
    if request.state.person.name.casefold() in {each.casefold() for each in appeals.first(found)}:
        raise Refused(403, "you took part in the first decision", "a second reviewer is another person")
    return await _decided(request, casefiles.REVIEW, {"appeal": one.item.name}, {"appeal": one.item.name})


@needs("case")
async def decide(request: Request) -> Response:
    """Decide an appeal that one reviews."""
    found, form = await _case(request), request.state.form
    one = appeals.open_appeal(found, form.get("appeal", ""))
    if one.reviewer != request.state.person.name:
        raise Refused(403, "only who reviews an appeal decides it", "take it to review first")
    if form.get("outcome") not in OUTCOMES:
        raise UsageError("an appeal ends in one of: " + ", ".join(OUTCOMES))
    body = {"appeal": one.item.name, "outcome": form["outcome"]}
    return await _decided(request, casefiles.DECIDE, body, body)


async def _decided(request: Request, kind: str, told: dict[str, Any], body: dict[str, Any]) -> Response:
    state, form, person = request.app.state, request.state.form, request.state.person
    name = request.path_params["case"]
    what = desk.Write(
        person.name, kind, casefiles.subject(name), form.get("reason", ""), form.get("write", "")
    )
    whole = {"case": name, **told}
    task = await state.work.decide(what, whole, {"case": name, **body}, now=state.now())
    await asyncio.wait({task}, timeout=10)
    return RedirectResponse(f"/cases/{name}?done={kind}", 303)


async def _case(request: Request) -> Case:
    where = casefiles.place(request.app.state.settings, request.path_params["case"])
    if not (where / folder.LEDGER).exists():
        raise Refused(404, "there is no such case")
    return await run_in_threadpool(folder.open_case, where)


async def _campaign(request: Request, asked: Any) -> tuple[str, str, dict[str, Any]]:
    run, campaign = asked.get("run", ""), asked.get("campaign", "")
    entry = await run_in_threadpool(request.app.state.results.campaign, run, campaign)
    if entry is None:
        raise Refused(404, "there is no such campaign")
    return run, campaign, entry
