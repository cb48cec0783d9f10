"""Run the console."""

from __future__ import annotations

import os
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spiritsafe.errors import StorageError, UsageError

if TYPE_CHECKING:
    from spiritsafe.console.settings import Settings

FIRST = "first-admin.txt"
"""Name and password of the admin that the first start makes; gone with the first new password."""

Data = Annotated[
    Path, typer.Option("--data", help="Folder of the console: store, ledger, console.toml; made if absent.")
]


def serve(
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders that scans or watches wrote, or folders of such.", show_default=False),
    ] = None,
    data: Data = Path("console-data"),
    listen: Annotated[
        str | None,
        typer.Option(
            help="Where to listen: 127.0.0.1:8600 unless console.toml says otherwise.", show_default=False
        ),
    ] = None,
    team: Annotated[
        Path | None,
        typer.Option(help="Settings stand in [console] of this file: spiritsafe up.", show_default=False),
    ] = None,
) -> None:
    """Serve the console until it is told to end (SIGTERM, SIGINT)."""
    from spiritsafe.console import settings as file  # noqa: PLC0415 - a fast --help, and an extra
    from spiritsafe.console.serve import listening, server  # noqa: PLC0415
    from spiritsafe.ledger import Ledger  # noqa: PLC0415

    for folder in results or ():
        if team is None and not folder.is_dir():
            raise UsageError(
                "there is no such folder",
                where=str(folder),
                hint="run `spiritsafe scan LOGS --out DIR` first",
            )
    folder_of(data)
    known = file.read(data, tuple(results or ()), listen=listen, team=team)
    Ledger(
        data / file.LEDGER
    ).close()  # where another console holds it, or it does not fit, nothing is started
    running, heard = server(known), listening(known)
    first = _first(known)
    sys.stdout.write(f"the console is at {known.address}\n")
    if first is not None:
        sys.stdout.write(f"first sign-in: name and password are in {first}\n")
    sys.stdout.flush()
    running.run(sockets=[heard])
    if not running.started:
        raise StorageError("the console did not start", where=known.address, hint="the lines above say more")


def folder_of(data: Path) -> None:
    """Make the console's folder, for its owner only. Raises StorageError."""
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StorageError(f"cannot be made: {error.strerror}", where=str(data)) from error


def _first(settings: Settings) -> Path | None:
    """Where nobody is there yet, make an admin, and a file with the password that only the operator can read."""
    from spiritsafe._console_cli.people import admin_if_none  # noqa: PLC0415

    password = secrets.token_urlsafe(15)
    if not admin_if_none(settings, "admin", password, now=time.time_ns() // 1_000):
        path = settings.data / FIRST
        return path if path.exists() else None
    path = settings.data / FIRST
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(f"name admin\npassword {password}\n")
    except OSError as error:
        raise StorageError(f"cannot be written: {error.strerror}", where=str(path)) from error
    return path
