"""Sessions: a random cookie, of which the store keeps the digest. They end when idle, and after a day's work in any case."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spiritsafe.console import people

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from spiritsafe.console.desk import Desk
    from spiritsafe.console.people import Person
    from spiritsafe.console.settings import Settings
    from spiritsafe.sharing.hub.store import Tx

_TOUCH: Final = 60_000_000
"""Microseconds between two notes that a session is in use."""


@dataclass(frozen=True, slots=True)
class Cookies:
    """Names and attributes of the two cookies: of the session, and of a browser that signs in."""

    https: bool

    @property
    def session(self) -> str:
        """The session's."""
        return "__Host-spiritsafe" if self.https else "spiritsafe"

    @property
    def before(self) -> str:
        """Of a browser that is not signed in."""
        return "__Host-spiritsafe-in" if self.https else "spiritsafe-in"

    def put(
        self, response: Response, name: str, value: str, *, seconds: int | None = None, lax: bool = False
    ) -> None:
        """Set one; ``lax`` lets it come back from an identity provider's redirect."""
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            path="/",
            secure=self.https,
            httponly=True,
            samesite="lax" if lax else "strict",
        )

    def drop(self, response: Response, name: str) -> None:
        """Take one away."""
        response.delete_cookie(name, path="/", secure=self.https, httponly=True, samesite="strict")


async def begin(desk: Desk, settings: Settings, person: str, *, now: int) -> str:
    """A new session; the cookie's value."""
    token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(24)

    async def job(tx: Tx) -> None:
        await tx.run("DELETE FROM sessions WHERE ends <= $1 OR seen <= $2", now, now - settings.idle)
        await tx.run(
            "INSERT INTO sessions (digest, person, csrf, made, seen, ends) VALUES ($1, $2, $3, $4, $5, $6)",
            _digest(token), person, csrf, now, now, now + settings.longest,
        )  # fmt: skip

    await desk.quietly(job)
    return token


async def end(desk: Desk, request: Request, cookies: Cookies) -> None:
    """End the session of a request."""
    token = request.cookies.get(cookies.session, "")

    async def job(tx: Tx) -> None:
        await tx.run("DELETE FROM sessions WHERE digest = $1", _digest(token))

    await desk.quietly(job)


async def end_all(tx: Tx, person: str) -> None:
    """End all sessions of a person: disabled, with another role or another password."""
    await tx.run("DELETE FROM sessions WHERE person = $1", person)


async def known(
    desk: Desk, settings: Settings, request: Request, cookies: Cookies, *, now: int
) -> tuple[Person | None, str]:
    """Who asks, and the token that forms of this session carry; None and "" when nobody known does."""
    token = request.cookies.get(cookies.session)
    if not token:
        return None, ""
    digest = _digest(token)

    async def job(tx: Tx) -> tuple[Person | None, str, int]:
        row = await tx.one("SELECT person, csrf, seen, ends FROM sessions WHERE digest = $1", digest)
        if row is None or now >= row[3] or now - row[2] >= settings.idle:
            return None, "", 0
        person = await people.one(tx, row[0])
        return (person, row[1], row[2]) if person and person.active else (None, "", 0)

    person, csrf, seen = await desk.read(job)
    if person is not None and now - seen >= min(_TOUCH, settings.idle // 4):

        async def touch(tx: Tx) -> None:
            await tx.run("UPDATE sessions SET seen = $1 WHERE digest = $2", now, digest)

        await desk.quietly(touch, durable=False)
    return person, csrf


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
