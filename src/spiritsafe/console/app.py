"""The ASGI app: pages found by their presence, behind the gate."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from importlib.resources import files
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from spiritsafe.console import casefiles, guard, pages, sessions
from spiritsafe.console.customers import Customers
from spiritsafe.console.desk import Desk, Repeated, Stale
from spiritsafe.console.measures import Press
from spiritsafe.console.passwords import Throttle
from spiritsafe.console.render import respond
from spiritsafe.console.results import Results
from spiritsafe.console.work import Work
from spiritsafe.errors import SpiritsafeError, StorageError
from spiritsafe.sharing.hub import store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from spiritsafe.console.settings import Settings

TICK: Final = 2.0
"""Seconds between two looks at what nobody asks for: entries that others left, orders that expired."""


def wall() -> int:
    """Now, in microseconds since the epoch."""
    return time.time_ns() // 1_000


def made(settings: Settings, *, now: Callable[[], int] = wall, tick: float = TICK) -> ASGIApp:
    """The app. Opens the store and the ledger when it starts; raises UsageError when a page does not say who may ask it."""
    cookies = sessions.Cookies(settings.https)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        desk = Desk(store.opened(settings.store), settings.data / "ledger.jsonl")
        await desk.open()
        app.state.desk = desk
        app.state.press = Press(desk, settings.orders)
        app.state.work = Work(desk, casefiles.kinds(settings, app.state.results, app.state.press, desk, now))
        ticking = asyncio.create_task(_tick(app, tick))
        try:
            yield
        finally:
            ticking.cancel()
            with suppress(asyncio.CancelledError):
                await ticking
            await app.state.work.end()
            await desk.close()

    app = Starlette(
        routes=[*routes(), Mount("/static", _Static(directory=str(files("spiritsafe.console") / "static")))],
        exception_handlers={HTTPException: _refused, SpiritsafeError: _failed, Exception: _broken},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.settings = settings
    app.state.cookies = cookies
    app.state.now = now
    app.state.results = Results(settings.results, settings.data / "cache")
    app.state.customers = Customers(settings.records, settings.data / "cache")
    app.state.throttle, app.state.flood = Throttle(), Throttle(free=100)
    app.state.slow = asyncio.Semaphore(2)
    app.state.secret = secrets.token_bytes(32)
    app.state.ticks = []
    app.state.shared = {}
    for module in _rooms():
        app.state.ticks += getattr(module, "TICKS", ())

    async def known(request: Request) -> tuple[Any, str]:
        person, csrf = await sessions.known(app.state.desk, settings, request, cookies, now=now())
        if person is None:
            csrf = before(app, request.cookies.get(cookies.before, ""))
        return person, csrf

    async def reach(request: Request) -> tuple[Any, str]:
        request.scope["app"] = app
        return await known(request)

    return guard.Gate(app, hosts=settings.hosts, https=settings.https, known=reach)


def before(app: Any, cookie: str) -> str:
    """The token that the forms of a browser carry that is not signed in."""
    return (
        hmac.new(app.state.secret, cookie.encode(), "sha256").hexdigest() if cookie else secrets.token_hex(32)
    )


def routes() -> list[Route]:
    """All routes of all rooms, each behind its checks."""
    return [guard.guarded(route) for module in _rooms() for route in module.routes()]


def _rooms() -> list[Any]:
    names = sorted(one.name for one in iter_modules(pages.__path__) if not one.name.startswith("_"))
    modules = [import_module(f"{pages.__name__}.{name}") for name in names]
    return [one for one in modules if hasattr(one, "routes")]


async def _tick(app: Starlette, seconds: float) -> None:
    while True:
        for job in (
            lambda _app: app.state.desk.settle(),
            lambda _app: app.state.work.resume(),
            *app.state.ticks,
        ):
            # What fails now is tried again; a page that needs it says what is wrong.
            with suppress(SpiritsafeError, OSError):
                await job(app)
        await asyncio.sleep(seconds)


async def _refused(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    if status == 401 and request.method == "GET" and not request.state.json:
        return guard.to_login(request)
    message = str(getattr(error, "detail", "")) or "this was refused"
    if status == 404 and message == "Not Found":
        message = "there is no such page"
    return _page(request, status, message, getattr(error, "hint", ""), getattr(error, "data", {}))


async def _failed(request: Request, error: Exception) -> Response:
    status = 409 if isinstance(error, (Stale, Repeated)) else 503 if isinstance(error, StorageError) else 422
    told = error if isinstance(error, SpiritsafeError) else SpiritsafeError(str(error))
    data = {"changes": error.changes} if isinstance(error, Stale) else {}
    return _page(request, status, told.message, told.hint or "", data)


async def _broken(request: Request, _error: Exception) -> Response:
    return _page(
        request, 500, "the console failed; it is a fault of its own", "the server's log says more", {}
    )


def _page(request: Request, status: int, message: str, hint: str, data: dict[str, Any]) -> Response:
    typed = "" if request.method == "GET" else request.state.form.get("reason", "")
    told = {
        "status": status,
        "error": message,
        "hint": hint,
        "typed": typed,
        "changes": data.get("changes", []),
    }
    return respond(request, "refused.html", told, status=status)


class _Static(StaticFiles):
    """Files that carry their content's digest in their address: a browser keeps them."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response
