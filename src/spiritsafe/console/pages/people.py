"""People: who may sign in, and as what. For admins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse
from starlette.routing import Route

from spiritsafe.console import desk, passwords, people, staff
from spiritsafe.console.guard import needs
from spiritsafe.console.pages.orders import version_of
from spiritsafe.console.render import respond
from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from spiritsafe.sharing.hub.store import Tx


def routes() -> list[Route]:
    """``/people``."""
    return [
        Route("/people", everyone),
        Route("/people/add", add, methods=["POST"]),
        Route("/people/change", change, methods=["POST"]),
    ]


@needs("people")
async def everyone(request: Request) -> Response:
    """All people."""
    state = request.app.state
    found = await state.desk.read(people.everyone)
    rows = [
        {
            "name": one.name, "role": one.role, "active": one.active, "oidc": one.subject is not None, "key": one.public,
            "version": one.version,
        }
        for one in found
    ]  # fmt: skip
    oidc = state.settings.oidc.title if state.settings.oidc else ""
    return respond(
        request, "people.html", {"rows": rows, "roles": people.ROLES, "oidc": oidc, "least": passwords.LEAST}
    )


@needs("people")
async def add(request: Request) -> Response:
    """A new person, with a first password that the admin hands over."""
    state, form = request.app.state, request.state.form
    name, role = form.get("name", "").strip(), form.get("role", "")
    people.checked(name, role)
    hashed = await passwords.slowly(request, passwords.hashed, form.get("password", ""))
    now = state.now()
    what = desk.Write(
        request.state.person.name,
        "person-added",
        f"person {name}",
        form.get("reason", ""),
        form.get("write", ""),
    )
    await state.desk.write(
        what, {"name": name, "role": role, "oidc": False},
        lambda tx: people.add(tx, name, role, password=hashed, now=now), now=now,
    )  # fmt: skip
    return RedirectResponse("/people?done=added", 303)


@needs("people")
async def change(request: Request) -> Response:
    """Another role, an end, a new beginning, a new password: one of them."""
    state, form = request.app.state, request.state.form
    name, what, version = form.get("name", ""), form.get("what", ""), version_of(form)
    hashed = (
        await passwords.slowly(request, passwords.hashed, form.get("password", ""))
        if what == "password"
        else ""
    )
    to = form.get("role", "")

    async def job(tx: Tx) -> None:
        if what == "role":
            await staff.role(tx, name, to, version=version)
        elif what == "disable":
            await staff.disable(tx, name, version=version)
        elif what == "enable":
            await staff.enable(tx, name, version=version)
        elif what == "password":
            await staff.password(tx, name, hashed, version=version)
        else:
            raise UsageError("nothing to change was named")

    kinds = {
        "role": "role-given",
        "disable": "person-disabled",
        "enable": "person-enabled",
        "password": "password-set",
    }
    write = desk.Write(
        request.state.person.name,
        kinds.get(what, "none"),
        f"person {name}",
        form.get("reason", ""),
        form.get("write", ""),
    )
    body = {"name": name, **({"role": to} if what == "role" else {})}
    await state.desk.write(write, body, job, now=state.now())
    return RedirectResponse("/people?done=changed", 303)
