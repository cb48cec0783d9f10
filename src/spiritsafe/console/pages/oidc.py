"""Signing in at an identity provider. Whom it knows and the console does not is added, with the role that its claims give."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from spiritsafe.console import desk, people, staff
from spiritsafe.console.guard import Refused, anyone
from spiritsafe.console.oidc import Provider, Unproven
from spiritsafe.console.pages.login import safe, welcome

if TYPE_CHECKING:
    from starlette.requests import Request

    from spiritsafe.console.oidc import Shown
    from spiritsafe.console.people import Person


def routes() -> list[Route]:
    """``/oidc``: away, and ``/oidc/back``."""
    return [Route("/oidc", away), Route("/oidc/back", back)]


@anyone
async def away(request: Request) -> Response:
    """Send a browser to the provider."""
    state = request.app.state
    browser = request.cookies.get(state.cookies.before, "")
    try:
        address = await _provider(request).begin(
            browser, safe(request.query_params.get("next", "")), now=state.now()
        )
    except Unproven as error:
        raise Refused(502, error.message, error.hint or "") from error
    return RedirectResponse(address, 303)


@anyone
async def back(request: Request) -> Response:
    """Somebody comes back from the provider."""
    state = request.app.state
    browser = request.cookies.get(state.cookies.before, "")
    try:
        shown, to = await _provider(request).end(dict(request.query_params), browser, now=state.now())
    except Unproven as error:
        raise Refused(403, error.message, error.hint or "sign in again") from error
    person = await state.desk.read(lambda tx: people.of_subject(tx, shown.subject))
    if person is None:
        person = await _welcome(request, shown)
    elif shown.role is not None and shown.role != person.role:
        await _role(request, person, shown.role)
    if not person.active:
        raise Refused(403, "this person is disabled", "an admin can let them in again")
    answer = await welcome(request, person.name, to)
    # The browser comes from another site: a strict cookie set here goes along only from our own page on.
    where = html.escape(to)
    page = f'<!doctype html><meta http-equiv="refresh" content="0;url={where}"><a href="{where}">Go on</a>'
    landing = Response(page, media_type="text/html")
    landing.raw_headers += [(key, value) for key, value in answer.raw_headers if key == b"set-cookie"]
    return landing


async def _welcome(request: Request, shown: Shown) -> Person:
    state, now = request.app.state, request.app.state.now()
    if shown.role is None:
        raise Refused(
            403, "the provider knows you, but gives you no role here", "ask an admin of the provider's groups"
        )
    role = shown.role
    what = desk.Write(
        "console", "person-added", f"person {shown.name}", "first sign-in at the identity provider"
    )
    return await state.desk.write(
        what, {"name": shown.name, "role": role, "oidc": True},
        lambda tx: people.add(tx, shown.name, role, password=None, subject=shown.subject, now=now), now=now,
    )  # fmt: skip


async def _role(request: Request, person: Person, role: str) -> None:
    state = request.app.state
    what = desk.Write(
        "console", "role-given", f"person {person.name}", "the identity provider's groups changed"
    )
    await state.desk.write(
        what,
        {"name": person.name, "role": role},
        lambda tx: staff.role(tx, person.name, role),
        now=state.now(),
    )


def _provider(request: Request) -> Provider:
    state = request.app.state
    if state.settings.oidc is None:
        raise Refused(404, "this console has no identity provider")
    if "oidc" not in state.shared:
        state.shared["oidc"] = Provider(state.settings.oidc, f"{state.settings.address}/oidc/back")
    return state.shared["oidc"]
