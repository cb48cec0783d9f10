"""Make a hub, run it, keep it whole."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiritsafe._hub_cli.console import Folder, Json, now, run, tell, text_of
from spiritsafe.attest import keys
from spiritsafe.errors import SharingError, UsageError

if TYPE_CHECKING:
    from spiritsafe.sharing.hub.store import Store

Seen = Annotated[
    Path | None,
    typer.Option(
        "--seen", help="A signed head kept from earlier: the log must go on from it.", show_default=False
    ),
]


def init(
    folder: Folder,
    origin: Annotated[str, typer.Option(help="Name of the log, as forum.example/log; never changes.")],
    title: Annotated[str, typer.Option(help="Name of the forum.")] = "Spiritsafe forum",
    database: Annotated[
        str | None, typer.Option(help="postgresql://USER@HOST/NAME in place of a file.", show_default=False)
    ] = None,
    root: Annotated[str, typer.Option(help="Name of the first API root.")] = "distillation",
    as_json: Json = False,
) -> None:
    """Make a hub: settings, the key of its log, an API root with one signed collection."""
    from spiritsafe.attest.heads import Head, sign  # noqa: PLC0415 - a fast --help
    from spiritsafe.attest.merkle import EMPTY  # noqa: PLC0415
    from spiritsafe.sharing.hub import settings  # noqa: PLC0415
    from spiritsafe.sharing.hub.setup import add_collection, add_root  # noqa: PLC0415

    settings.write(folder, origin, title, database)
    public = keys.make(folder / settings.KEY)
    sign(
        Head(origin, 0, EMPTY, 0), keys.load(folder / settings.KEY)
    )  # an origin that cannot be signed is told now
    which, moment = str(uuid.uuid4()), now()

    async def job(store: Store) -> None:
        await add_root(store, root, title, now=moment)
        await add_collection(
            store, root, which, "Signals", "Signed objects of members", now=moment, alias="signals"
        )

    run(settings.read(folder), job)
    tell(
        {"log_key": public, "root": root, "collection": which},
        f"log key {public}\ncollection {which} below /{root}/\nrun it with: spiritsafe hub serve {folder}",
        as_json,
    )


def serve(
    folder: Folder,
    host: Annotated[str | None, typer.Option(help="In place of the settings'.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="In place of the settings'.", show_default=False)] = None,
) -> None:
    """Run until SIGTERM or SIGINT."""
    from dataclasses import replace  # noqa: PLC0415 - a fast --help

    from spiritsafe.sharing.hub import serve as servers  # noqa: PLC0415
    from spiritsafe.sharing.hub import settings  # noqa: PLC0415
    from spiritsafe.sharing.hub.app import app as hub_app  # noqa: PLC0415
    from spiritsafe.sharing.hub.store import opened  # noqa: PLC0415
    from spiritsafe.sharing.matching import relay  # noqa: PLC0415

    found = settings.read(folder)
    key = keys.load(found.key)
    served = hub_app(
        opened(found.database), origin=found.origin, key=key, clock=now, gate=gate(),
        mounts={"match": relay.app(clock=now, key=key)}, limits=found.limits, quota=found.quota, url=found.url,
        title=found.title, contact=found.contact,
    )  # fmt: skip
    address = replace(
        found.address, host=host or found.address.host, port=found.address.port if port is None else port
    )
    sys.setswitchinterval(servers.SWITCH)
    server = servers.server(served, address)
    server.run()
    if not server.started:
        raise typer.Exit(2)


def collection(
    folder: Folder,
    title: Annotated[str, typer.Option(help="Name of the collection.")],
    root: Annotated[str, typer.Option(help="API root that has it; made if absent.")] = "distillation",
    alias: Annotated[str, typer.Option(help="A name by which it is found, too.")] = "",
    plain: Annotated[
        bool, typer.Option("--plain", help="Take objects unsigned and past the scope gate: feeds of others.")
    ] = False,
    reader: Annotated[list[str] | None, typer.Option(help="Role that may read; all when absent.")] = None,
    writer: Annotated[list[str] | None, typer.Option(help="Role that may write; member when absent.")] = None,
    as_json: Json = False,
) -> None:
    """Make one more collection."""
    from spiritsafe.sharing.hub import settings, setup  # noqa: PLC0415 - a fast --help

    which, moment = str(uuid.uuid4()), now()

    async def job(store: Store) -> None:
        roots = await store.read(lambda tx: tx.all("SELECT name FROM roots"))
        if (root,) not in roots:
            await setup.add_root(store, root, root, now=moment)
        await setup.add_collection(
            store, root, which, title, now=moment, signed=not plain, alias=alias,
            readers=reader or setup.READERS, writers=writer or setup.WRITERS,
        )  # fmt: skip

    run(settings.read(folder), job)
    tell({"root": root, "collection": which}, f"collection {which} below /{root}/", as_json)


def log(folder: Folder, as_json: Json = False) -> None:
    """Print the newest signed head of the log. Keep it elsewhere: it shows later whether the log only grew."""
    from spiritsafe.sharing.hub import books, settings  # noqa: PLC0415 - a fast --help

    head = run(settings.read(folder), lambda store: store.read(books.head))
    if head is None:
        raise SharingError("the log has no leaf yet", where=str(folder))
    tell({"head": head}, head.rstrip("\n"), as_json)


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

    head = run(settings.read(folder), lambda store: store.read(books.head))
    if head is None:
        raise SharingError("the log has no leaf yet", where=str(folder))
    beside = out.with_name(out.name + ".tsr")
    for path in (out, beside):
        if path.exists():
            raise UsageError("this file exists and is kept", where=str(path), hint="choose another name")
    found = stamps.ask(authority, head.encode(), (text_of(roots) or "").encode())
    try:
        out.write_text(head, "utf-8")
        beside.write_bytes(found.answer)
    except OSError as error:
        raise UsageError(f"this cannot be written: {error.strerror}", where=str(out)) from error
    tell({"time": found.time}, f"{out}: stamped at {rfc3339(found.time)}", as_json)


def verify(folder: Folder, seen: Seen = None, as_json: Json = False) -> None:
    """Compute the tree anew from the store, and check objects, log, head and audit against each other."""
    from spiritsafe.sharing.hub import settings  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.hub import verify as checks  # noqa: PLC0415

    found = settings.read(folder)
    public = keys.load(found.key).public_key()
    report = run(found, lambda store: checks.verify(store, public, seen=text_of(seen)), patience=86_400.0)
    tell(json.loads(checks.told(report)), _checked(report), as_json)


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
    report = copies.backup(found.database, target, keys.load(found.key).public_key(), seen=text_of(seen))
    tell(json.loads(checks.told(report)), f"{target}: {_checked(report)}", as_json)


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
    report = copies.restore(source, found.database, keys.load(found.key).public_key(), seen=text_of(seen))
    tell(json.loads(checks.told(report)), f"restored: {_checked(report)}", as_json)


def audit(
    folder: Folder,
    after: Annotated[int, typer.Option(help="Entries behind this one.")] = -1,
    count: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 100,
) -> None:
    """Print entries of the audit, one JSON object a line."""
    from spiritsafe.sharing.hub import books, settings  # noqa: PLC0415 - a fast --help

    for entry in run(
        settings.read(folder), lambda store: store.read(lambda tx: books.entries(tx, after, count))
    ):
        shown = entry | {"detail": json.loads(entry["detail"]), "hash": entry["hash"].hex()}
        sys.stdout.write(json.dumps(shown, sort_keys=True) + "\n")


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
            return await housekeeping.withdraw(store, which, reason, now())
        return await housekeeping.expire(store, now())

    count = run(settings.read(folder), job)
    tell({"retired": count}, f"{count} objects retired", as_json)


def gate() -> Any:
    """The scope gate, as it stands at a hub."""
    from spiritsafe.sharing import scope  # noqa: PLC0415 - a fast --help

    return lambda objects: scope.check(objects, at="hub")


def _checked(report: Any) -> str:
    return (
        f"{report.leaves:,} leaves, {report.objects:,} objects here and {report.retired:,} retired, "
        f"{report.entries:,} audit entries: all agree"
    )


VERBS = (init, serve, collection, log, stamp, verify, backup, restore, audit, retire)
