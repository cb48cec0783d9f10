"""Signing in and out."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from spiritsafe.console import app as house
from spiritsafe.console import people, sessions
from spiritsafe.console.guard import Refused, anyone, needs
from spiritsafe.console.passwords import fits, slowly
from spiritsafe.console.render import respond

if TYPE_CHECKING:
    from starlette.requests import Request


def routes() -> list[Route]:
    """``/login``, ``/logout``, ``/healthz``."""
    return [
        Route("/login", login, methods=["GET"]),
        Route("/login", enter, methods=["POST"]),
        Route("/logout", leave, methods=["POST"]),
        Route("/healthz", healthy, methods=["GET"]),
    ]


@anyone
async def login(request: Request) -> Response:
    """The form."""
    if request.state.person is not None:
        return RedirectResponse("/", 303)
    return form(request, {"next": safe(request.query_params.get("next", "")), "name": "", "error": ""})


@anyone
async def enter(request: Request) -> Response:
    """Sign in with a name and a password."""
    state, form_ = request.app.state, request.state.form
    name, now = form_.get("name", "").strip()[:64], state.now()
    # Guesses from one address slow down that address only; a flood from many slows down the name, far later.
    address = request.client.host if request.client else ""
    slowing = ((state.throttle, f"from {address} {name}"), (state.flood, f"name {name}"))
    wait = max(throttle.wait(key, now) for throttle, key in slowing)
    if wait:
        seconds = -(-wait // 1_000_000)
        raise Refused(429, f"too many failures; wait {seconds} seconds", "an admin can set a new password")
    person = await state.desk.read(lambda tx: people.one(tx, name))
    right = await slowly(request, fits, person.password if person else None, form_.get("password", ""))
    if person is None or not right or not person.active:
        for throttle, key in slowing:
            throttle.failed(key, now)
        told = {"next": safe(form_.get("next", "")), "name": name, "error": "Name and password do not fit."}
        return form(request, told, status=401)
    for throttle, key in slowing:
        throttle.passed(key)
    return await welcome(request, person.name, safe(form_.get("next", "")))


@needs("self")
async def leave(request: Request) -> Response:
    """Sign out."""
    state = request.app.state
    await sessions.end(state.desk, request, state.cookies)
    answer = RedirectResponse("/login", 303)
    state.cookies.drop(answer, state.cookies.session)
    return answer


@anyone
async def healthy(request: Request) -> Response:
    """Whether the store answers: for those who supervise the console."""
    await request.app.state.desk.read(lambda tx: tx.one("SELECT 1"))
    return PlainTextResponse("ok\n")


async def welcome(request: Request, name: str, to: str) -> Response:
    """Begin a session and go on."""
    state = request.app.state
    token = await sessions.begin(state.desk, state.settings, name, now=state.now())
    answer = RedirectResponse(to or "/", 303)
    state.cookies.put(answer, state.cookies.session, token)
    state.cookies.drop(answer, state.cookies.before)
    return answer


def form(request: Request, data: dict[str, str], *, status: int = 200) -> Response:
    """The form, with a cookie for the browser that is to send it."""
    state = request.app.state
    cookie = request.cookies.get(state.cookies.before) or secrets.token_urlsafe(24)
    request.state.csrf = house.before(request.app, cookie)
    oidc = state.settings.oidc
    answer = respond(request, "login.html", {**data, "oidc": oidc.title if oidc else ""}, status=status)
    state.cookies.put(answer, state.cookies.before, cookie, seconds=3_600, lax=True)
    return answer


def safe(address: str) -> str:
    """An address of this console, or the first page."""
    inside = address.startswith("/") and not address.startswith(("//", "/\\", "/login"))
    return address if inside and address.isprintable() and "\\" not in address else "/"
