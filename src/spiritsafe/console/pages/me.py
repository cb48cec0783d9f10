"""One's own page: a new password, and the key with which one approves."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse
from starlette.routing import Route

from spiritsafe.attest import keys
from spiritsafe.console import desk, measures, passwords, staff
from spiritsafe.console.guard import Refused, needs
from spiritsafe.console.pages.login import welcome
from spiritsafe.console.render import respond
from spiritsafe.errors import SpiritsafeError, UsageError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def routes() -> list[Route]:
    """``/me``."""
    return [
        Route("/me", me),
        Route("/me/password", password, methods=["POST"]),
        Route("/me/key", key, methods=["POST"]),
    ]


@needs("self")
async def me(request: Request) -> Response:
    """Who one is here."""
    state, person = request.app.state, request.state.person
    known = None
    with suppress(SpiritsafeError):
        known = (await run_in_threadpool(measures.read, state.settings.orders)).rules.approvers.get(
            person.name
        )
    data = {
        "name": person.name, "role": person.role, "local": person.password is not None, "public": person.public,
        "known": person.public is not None and known == person.public, "policy": state.settings.orders is not None,
        "version": person.version, "least": passwords.LEAST,
    }  # fmt: skip
    return respond(request, "me.html", data)


@needs("self")
async def password(request: Request) -> Response:
    """A new password; every other session of this person ends."""
    state, form, person = request.app.state, request.state.form, request.state.person
    await _again(request)
    if form.get("new", "") != form.get("again", ""):
        raise UsageError("the two new passwords are not the same")
    hashed = await passwords.slowly(request, passwords.hashed, form.get("new", ""))
    what = desk.Write(
        person.name, "password-set", f"person {person.name}", "their own new password", form.get("write", "")
    )
    await state.desk.write(
        what, {"name": person.name}, lambda tx: staff.password(tx, person.name, hashed), now=state.now()
    )
    # The password that the first start wrote into a file is none any more.
    if person.name == "admin":
        (state.settings.data / "first-admin.txt").unlink(missing_ok=True)
    return await welcome(request, person.name, "/me?done=password")


@needs("self")
async def key(request: Request) -> Response:
    """A key to approve with, under a passphrase of one's own; one that was there is forgotten."""
    state, form, person = request.app.state, request.state.form, request.state.person
    if person.password is not None:
        await _again(request)
    if form.get("passphrase", "") != form.get("again", ""):
        raise UsageError("the two passphrases are not the same")
    made = Ed25519PrivateKey.generate()
    public, sealed = (
        keys.public(made),
        await passwords.slowly(request, passwords.seal, made, form.get("passphrase", "")),
    )
    what = desk.Write(
        person.name,
        "approval-key-made",
        f"person {person.name}",
        form.get("reason", ""),
        form.get("write", ""),
    )
    await state.desk.write(
        what,
        {"name": person.name, "public": public},
        lambda tx: staff.key(tx, person.name, public, sealed),
        now=state.now(),
    )
    return RedirectResponse("/me?done=key", 303)


async def _again(request: Request) -> None:
    """Whoever found the screen unlocked does not know the password."""
    state, person, now = request.app.state, request.state.person, request.app.state.now()
    throttled = f"again {person.name}"
    if state.throttle.wait(throttled, now):
        raise Refused(429, "too many failures", "wait some minutes")
    if not await passwords.slowly(
        request, passwords.fits, person.password, request.state.form.get("password", "")
    ):
        state.throttle.failed(throttled, now)
        raise Refused(403, "this is not your password; nothing was done")
    state.throttle.passed(throttled)
