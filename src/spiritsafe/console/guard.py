"""Before a page: the host, the size, the session, the right to ask, the token of a form. After it: headers.

Everything here is refused by default. An endpoint says what it needs; one that says nothing is never served.
"""

from __future__ import annotations

import hmac
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from spiritsafe.console.people import RIGHTS
from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    Endpoint = Callable[[Request], Awaitable[Response]]

BODY: Final = 262_144
"""Bytes of a form."""
FIELDS: Final = 2_000
HEADERS: Final = (
    (
        b"content-security-policy",
        b"; ".join(
            [
                b"default-src 'none'",
                b"script-src 'self'",
                b"style-src 'self'",
                b"img-src 'self'",
                b"connect-src 'self'",
                b"form-action 'self'",
                b"base-uri 'none'",
                b"frame-ancestors 'none'",
            ]
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_RIGHT = "spiritsafe_right"
_OPEN = ""


class Refused(HTTPException):
    """A request that is not done. ``hint`` says what to do; ``data`` is shown with it."""

    def __init__(
        self, status: int, message: str, hint: str = "", *, data: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(status, message)
        self.hint = hint
        self.data = dict(data or {})


def needs(right: str) -> Callable[[Endpoint], Endpoint]:
    """Mark an endpoint: only people whose role has ``right`` reach it."""
    if right not in RIGHTS:
        raise UsageError(f"there is no right {right!r}", hint=f"rights: {', '.join(RIGHTS)}")

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _RIGHT, right)
        return endpoint

    return mark


def anyone(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint: nobody need be known to reach it."""
    setattr(endpoint, _RIGHT, _OPEN)
    return endpoint


def right_of(route: Route) -> str | None:
    """What a route needs; "" when anyone may ask, None when its endpoint is not marked."""
    return getattr(route.endpoint, _RIGHT, None)


def guarded(route: Route) -> Route:
    """The same route, behind the checks. Raises UsageError when its endpoint is not marked."""
    right = right_of(route)
    if right is None:
        raise UsageError(f"the route {route.path} does not say who may ask it", hint="mark it: @needs(…)")
    inner: Endpoint = route.endpoint

    async def endpoint(request: Request) -> Response:
        if right != _OPEN:
            await _known(request)
            _allowed(request, right)
        if request.method == "POST":
            request.state.form = await _form(request)
            _token(request)
        return await inner(request)

    setattr(endpoint, _RIGHT, right)
    return Route(route.path, endpoint, methods=sorted(route.methods or {"GET"}), name=route.name)


async def _known(request: Request) -> None:
    if request.state.person is None:
        if request.method == "POST":
            # A session may end while somebody writes: what they wrote is shown to them again.
            with suppress(Refused):
                request.state.form = await _form(request)
        raise Refused(401, "you are not signed in", "sign in; nothing was done")


def _allowed(request: Request, right: str) -> None:
    person = request.state.person
    if not person.may(right):
        raise Refused(
            403,
            f"your role, {person.role}, may not do this",
            f"it needs the role {RIGHTS[right]}; an admin gives roles",
        )


async def _form(request: Request) -> dict[str, str]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refused(415, "a form is needed", "send application/x-www-form-urlencoded")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY:
                raise Refused(413, f"the form is longer than {BODY} bytes")
    except ClientDisconnect as error:
        raise Refused(400, "the form ended too early; nothing was done") from error
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=FIELDS, errors="strict"
        )
    except ValueError as error:
        raise Refused(400, "this is not a form") from error
    found: dict[str, str] = {}
    for key, value in pairs:
        # A list of boxes comes as one text, a line each.
        found[key] = f"{found[key]}\n{value}" if key in found else value.replace("\x00", "")
    return found


def _token(request: Request) -> None:
    """A write comes from a page of ours, made for this very session."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Refused(403, "this form comes from another site; nothing was done")
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host", ""):
        raise Refused(403, "this form comes from another site; nothing was done")
    if not hmac.compare_digest(request.state.form.get("csrf", "").encode(), request.state.csrf.encode()):
        raise Refused(403, "this form was made for another session; nothing was done", "load the page again")


def to_login(request: Request) -> Response:
    """Send somebody who is not known to sign in, and back to where they wanted to go."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(wanted, safe='')}", 303)


class Gate:
    """The outermost layer: host, method, headers, ``.json`` twins, and the session's person."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: frozenset[str],
        https: bool,
        known: Callable[[Request], Awaitable[tuple[Any, str]]],
    ) -> None:
        self.app, self.hosts, self.https, self.known = app, hosts, https, known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        static = scope["path"].startswith("/static/")

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *HEADERS]
                if self.https:
                    headers.append((b"strict-transport-security", b"max-age=31536000"))
                if not static:
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": headers}
            await send(message)

        state = scope.setdefault("state", {})
        state.update(person=None, csrf="", json=False, form={})
        wrong = self._wrong(request)
        if wrong is not None:
            await wrong(scope, receive, sent)
            return
        if not static:
            if scope["path"].endswith(".json"):
                bare = scope["path"].removesuffix(".json")
                scope["path"] = "/" if bare == "/index" else bare
                scope["raw_path"] = scope["path"].encode()
                state["json"] = True
            state["person"], state["csrf"] = await self.known(request)
        await self.app(scope, receive, sent)

    def _wrong(self, request: Request) -> Response | None:
        """What is refused before anybody is looked up."""
        host = request.headers.get("host", "").lower()
        if host not in self.hosts and host.rpartition(":")[0] not in self.hosts:
            return Response("unknown host\n", 421, media_type="text/plain")
        if request.method not in {"GET", "HEAD", "POST"}:
            return Response("no such method\n", 405, {"allow": "GET, HEAD, POST"})
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > BODY:
            return Response("the body is too long\n", 413, media_type="text/plain")
        return None
