"""Verbs of ``spiritsafe hub``: its log, its audit, its copies, and what is taken away."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spiritsafe._hub_cli import shown
from spiritsafe._hub_cli.shown import Folder, Json, Seen
from spiritsafe.attest import keys
from spiritsafe.errors import SharingError, UsageError

if TYPE_CHECKING:
    from spiritsafe.sharing.hub.store import Store


def log(folder: Folder, as_json: Json = False) -> None:
    """Print the newest signed head of the log. Keep it elsewhere: it shows later whether the log only grew."""
    from spiritsafe.sharing.hub import books, settings  # noqa: PLC0415 - a fast --help

    head = shown.on(settings.read(folder), lambda store: store.read(books.head))
    if head is None:
        raise SharingError("the log has no leaf yet", where=str(folder))
    shown.tell({"head": head}, head.rstrip("\n"), as_json)


def stamp(
    folder: Folder,
    authority: Annotated[str, typer.Option(help="Address of a time stamping authority (RFC 3161).")],
    roots: Annotated[Path, typer.Option(help="Its certificate authorities (PEM).")],
    out: Annotated[Path, typer.Option(help="File to write the head to; the stamp goes beside it, as .tsr.")],
    as_json: Json = False,
) -> None:
    """Have a third party say when the newest head of the log was there. Only its hash is sent."""
    from spiritsafe.attest import stamps  # noqa: PLC0415 - a fast --help
    from spiritsafe.orders.content import rfc3339  # noqa: PLC0415
    from spiritsafe.sharing.hub import books, settings  # noqa: PLC0415

    head = shown.on(settings.read(folder), lambda store: store.read(books.head))
    if head is None:
        raise SharingError("the log has no leaf yet", where=str(folder))
    beside = out.with_name(out.name + ".tsr")
    for path in (out, beside):
        if path.exists():
            raise UsageError("this file exists and is kept", where=str(path), hint="choose another name")
    found = stamps.ask(authority, head.encode(), (shown.text(roots) or "").encode())
    try:
        out.write_text(head, "utf-8")
        beside.write_bytes(found.answer)
    except OSError as error:
        raise UsageError(f"this cannot be written: {error.strerror}", where=str(out)) from error
    shown.tell({"time": found.time}, f"{out}: stamped at {rfc3339(found.time)}", as_json)


def verify(folder: Folder, seen: Seen = None, as_json: Json = False) -> None:
    """Compute the tree anew from the store, and check objects, log, head and audit against each other."""
    from spiritsafe.sharing.hub import settings  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.hub import verify as checks  # noqa: PLC0415

    found = settings.read(folder)
    public = keys.load(found.key).public_key()
    report = shown.on(
        found, lambda store: checks.verify(store, public, seen=shown.text(seen)), patience=86_400.0
    )
    shown.tell(json.loads(checks.told(report)), shown.checked(report), as_json)


def backup(
    folder: Folder,
    target: Annotated[Path, typer.Argument(help="File to write; must not exist.", show_default=False)],
    seen: Seen = None,
    as_json: Json = False,
) -> None:
    """Copy the hub's database while it serves, and verify the copy. The log's key is not in it: keep that apart."""
    from spiritsafe.sharing.hub import copies, settings  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.hub import verify as checks  # noqa: PLC0415

    found = settings.read(folder)
    report = copies.backup(found.database, target, keys.load(found.key).public_key(), seen=shown.text(seen))
    shown.tell(json.loads(checks.told(report)), f"{target}: {shown.checked(report)}", as_json)


def restore(
    folder: Folder,
    source: Annotated[Path, typer.Argument(help="The backup.", show_default=False)],
    seen: Seen = None,
    as_json: Json = False,
) -> None:
    """Fill the database that the settings name, which must be empty, from a backup, and verify it."""
    from spiritsafe.sharing.hub import copies, settings  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.hub import verify as checks  # noqa: PLC0415

    found = settings.read(folder)
    report = copies.restore(source, found.database, keys.load(found.key).public_key(), seen=shown.text(seen))
    shown.tell(json.loads(checks.told(report)), f"restored: {shown.checked(report)}", as_json)


def audit(
    folder: Folder,
    after: Annotated[int, typer.Option(help="Entries behind this one.")] = -1,
    count: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 100,
) -> None:
    """Print entries of the audit, one JSON object a line."""
    from spiritsafe.sharing.hub import books, settings  # noqa: PLC0415 - a fast --help

    for entry in shown.on(
        settings.read(folder), lambda store: store.read(lambda tx: books.entries(tx, after, count))
    ):
        line = entry | {"detail": json.loads(entry["detail"]), "hash": entry["hash"].hex()}
        sys.stdout.write(json.dumps(line, sort_keys=True) + "\n")


def retire(
    folder: Folder,
    which: Annotated[
        list[str] | None, typer.Argument(help="Ids of objects; the expired ones when absent.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the audit.")] = "",
    as_json: Json = False,
) -> None:
    """Take objects away: those that have expired, or the named ones in all their versions. The log keeps their hashes."""
    from spiritsafe.sharing.hub import housekeeping, settings  # noqa: PLC0415 - a fast --help

    if which and not reason:
        raise UsageError("a reason is needed", where="--reason", hint="members see it in the audit")

    async def job(store: Store) -> int:
        if which:
            return await housekeeping.withdraw(store, which, reason, shown.now())
        return await housekeeping.expire(store, shown.now())

    count = shown.on(settings.read(folder), job)
    shown.tell({"retired": count}, f"{count} objects retired", as_json)


VERBS = (log, stamp, verify, backup, restore, audit, retire)
