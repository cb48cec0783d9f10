"""``spiritsafe console user``: who may sign in. Works beside a running console, which takes the entry into its ledger."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from spiritsafe.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spiritsafe.console.desk import Desk
    from spiritsafe.console.settings import Settings
    from spiritsafe.sharing.hub.store import Tx

T = TypeVar("T")

app = typer.Typer(help="Add, list and disable people; give a new password.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The person's name.", show_default=False)]
Data = Annotated[Path, typer.Option("--data", help="Folder of the console.")]
Why = Annotated[str, typer.Option("--reason", help="Why, for the ledger.")]
By = Annotated[
    str | None,
    typer.Option("--by", help="Who does it; the name of the login when absent.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
_HERE = Path("console-data")


@app.command()
def add(
    name: Name,
    role: Annotated[
        str, typer.Option(help="viewer, analyst, approver or admin; each may what those before it may.")
    ],
    data: Data = _HERE,
    reason: Why = "added by the operator",
    by: By = None,
    oidc: Annotated[
        str | None,
        typer.Option(
            "--oidc", help="Subject at the identity provider; then no password is asked.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a person. The password is asked at the terminal, or is the first line of standard input."""
    from spiritsafe.console import passwords, people  # noqa: PLC0415 - a fast --help, and an extra

    people.checked(name, role)
    settings = _settings(data)
    subject = None
    if oidc is not None:
        if settings.oidc is None:
            raise UsageError(
                "the console has no identity provider",
                where=str(data),
                hint="[oidc] in console.toml names one",
            )
        subject = f"{settings.oidc.issuer} {oidc}"
    known = None if subject else passwords.hashed(_asked())
    now = _now()
    _write(
        settings, "person-added", name, reason, by, {"name": name, "role": role, "oidc": oidc is not None},
        lambda tx: people.add(tx, name, role, password=known, subject=subject, now=now),
    )  # fmt: skip
    _tell({"name": name, "role": role}, f"{name} is here, {role}", as_json)


@app.command("list")
def list_(data: Data = _HERE, as_json: Json = False) -> None:
    """List all people."""
    from spiritsafe.console import people  # noqa: PLC0415

    async def job(desk: Desk) -> list[people.Person]:
        return await desk.read(people.everyone)

    told = [
        {
            "name": one.name,
            "role": one.role,
            "active": one.active,
            "oidc": one.subject is not None,
            "key": one.public,
        }
        for one in _with(_settings(data), job)
    ]
    lines = [f"{one['name']:24} {one['role']:9} {'active' if one['active'] else 'disabled'}" for one in told]
    _tell({"people": told}, "\n".join(lines) or "nobody", as_json)


@app.command()
def disable(
    name: Name,
    data: Data = _HERE,
    reason: Why = "disabled by the operator",
    by: By = None,
    as_json: Json = False,
) -> None:
    """Disable a person: every session ends, at once. The last admin stays."""
    from spiritsafe.console import staff  # noqa: PLC0415

    _write(
        _settings(data),
        "person-disabled",
        name,
        reason,
        by,
        {"name": name},
        lambda tx: staff.disable(tx, name),
    )
    _tell({"disabled": name}, f"{name} is disabled", as_json)


@app.command()
def password(
    name: Name,
    data: Data = _HERE,
    reason: Why = "a new password by the operator",
    by: By = None,
    as_json: Json = False,
) -> None:
    """Give a new password, asked at the terminal or the first line of standard input; every session ends."""
    from spiritsafe.console import passwords, staff  # noqa: PLC0415

    known = passwords.hashed(_asked())
    _write(
        _settings(data),
        "password-set",
        name,
        reason,
        by,
        {"name": name},
        lambda tx: staff.password(tx, name, known),
    )
    _tell({"password": name}, f"{name} has a new password", as_json)


def admin_if_none(settings: Settings, name: str, password: str, *, now: int) -> bool:
    """Make an admin where nobody is there; whether one was made."""
    from spiritsafe.console import passwords, people  # noqa: PLC0415
    from spiritsafe.console.desk import Write  # noqa: PLC0415

    async def job(desk: Desk) -> bool:
        if await desk.read(people.everyone):
            return False
        what = Write("operator", "person-added", f"person {name}", "the first start of the console")
        known = passwords.hashed(password)
        body = {"name": name, "role": "admin", "oidc": False}
        await desk.write(
            what, body, lambda tx: people.add(tx, name, "admin", password=known, now=now), now=now
        )
        return True

    return _with(settings, job)


def _write(
    settings: Settings, kind: str, name: str, reason: str, by: str | None, body: dict[str, Any],
    job: Callable[[Tx], Awaitable[Any]],
) -> None:  # fmt: skip
    from spiritsafe.console.desk import Write  # noqa: PLC0415

    person = f"operator {by or getpass.getuser()}"

    async def whole(desk: Desk) -> None:
        await desk.write(Write(person, kind, f"person {name}", reason), body, job, now=_now())

    _with(settings, whole)


def _with(settings: Settings, job: Callable[[Desk], Awaitable[T]]) -> T:
    """Run a job at the desk. Where a console holds the ledger, that one takes the entry."""
    from spiritsafe.console.desk import Desk  # noqa: PLC0415
    from spiritsafe.console.settings import LEDGER  # noqa: PLC0415
    from spiritsafe.ledger import Ledger  # noqa: PLC0415
    from spiritsafe.sharing.hub import store  # noqa: PLC0415

    async def run(book: Path | None) -> T:
        desk = Desk(store.opened(settings.store), book)
        try:
            await desk.open()
            return await job(desk)
        finally:
            await desk.close()

    book = settings.data / LEDGER
    try:
        Ledger(book).close()
    except StorageError as error:
        if "another process" not in error.message:
            raise
        return asyncio.run(run(None))
    return asyncio.run(run(book))


def _settings(data: Path) -> Settings:
    from spiritsafe.console import settings  # noqa: PLC0415

    if not data.is_dir():
        raise UsageError("there is no console here", where=str(data), hint="--data names its folder")
    return settings.read(data)


def _asked() -> str:
    if sys.stdin.isatty():
        first = getpass.getpass("password: ")
        if getpass.getpass("again: ") != first:
            raise UsageError("the two are not the same")
        return first
    return sys.stdin.readline().rstrip("\r\n")


def _now() -> int:
    return time.time_ns() // 1_000


def _tell(table: dict[str, Any], text: str, as_json: bool) -> None:
    sys.stdout.write((json.dumps(table, sort_keys=True) if as_json else text) + os.linesep)
