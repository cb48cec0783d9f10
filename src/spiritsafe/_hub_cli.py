"""The verbs of ``spiritsafe hub``: make, run, check and keep the forum's hub, and become a member of one."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from spiritsafe.attest import keys
from spiritsafe.errors import SharingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spiritsafe.sharing.hub.settings import Settings
    from spiritsafe.sharing.hub.store import Store

T = TypeVar("T")
app = typer.Typer(help="Run the forum's hub: members, objects, log, audit.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="Folder of the hub.", show_default=False)]
Seen = Annotated[
    Path | None,
    typer.Option(
        "--seen", help="A signed head kept from earlier: the log must go on from it.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@app.callback()
def needs() -> None:
    """Run the forum's hub: members, objects, log, audit."""
    missing = [
        name for name in ("httptools", "httpx", "nacl", "orjson", "uvicorn") if find_spec(name) is None
    ]
    if missing:
        raise UsageError(f"this needs {', '.join(missing)}", hint="pip install 'spiritsafe[sharing]'")


@app.command()
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
    which, now = str(uuid.uuid4()), _now()

    async def job(store: Store) -> None:
        await add_root(store, root, title, now=now)
        await add_collection(
            store, root, which, "Signals", "Signed objects of members", now=now, alias="signals"
        )

    _with(settings.read(folder), job)
    _tell(
        {"log_key": public, "root": root, "collection": which},
        f"log key {public}\ncollection {which} below /{root}/\nrun it with: spiritsafe hub serve {folder}",
        as_json,
    )


@app.command()
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
        opened(found.database), origin=found.origin, key=key, clock=_now, gate=_gate(),
        mounts={"match": relay.app(clock=_now, key=key)}, limits=found.limits, quota=found.quota,
        url=found.url, title=found.title, contact=found.contact,
    )  # fmt: skip
    address = replace(
        found.address, host=host or found.address.host, port=found.address.port if port is None else port
    )
    sys.setswitchinterval(servers.SWITCH)
    server = servers.server(served, address)
    server.run()
    if not server.started:
        raise typer.Exit(2)


@app.command()
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

    which, now = str(uuid.uuid4()), _now()

    async def job(store: Store) -> None:
        roots = await store.read(lambda tx: tx.all("SELECT name FROM roots"))
        if (root,) not in roots:
            await setup.add_root(store, root, root, now=now)
        await setup.add_collection(
            store, root, which, title, now=now, signed=not plain, alias=alias,
            readers=reader or setup.READERS, writers=writer or setup.WRITERS,
        )  # fmt: skip

    _with(settings.read(folder), job)
    _tell({"root": root, "collection": which}, f"collection {which} below /{root}/", as_json)


@app.command()
def invite(
    folder: Folder,
    role: Annotated[
        list[str] | None, typer.Option(help="Role of the new member; member when absent.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=365, help="How long the invitation is open.")] = 14,
    as_json: Json = False,
) -> None:
    """Make an invitation: a code with which one member enrols, once. Hand it over in secret."""
    from spiritsafe.sharing.hub import members, settings  # noqa: PLC0415 - a fast --help

    now = _now()

    async def job(store: Store) -> str:
        return await _noted(
            store, "members.invite", {"roles": role or ["member"]}, now,
            lambda tx: members.invite(tx, role or ["member"], now=now, lasts=days * members.DAY),
        )  # fmt: skip

    code = _with(settings.read(folder), job)
    _tell({"code": code, "days": days}, code, as_json)


@app.command()
def enrol(
    url: Annotated[str, typer.Argument(help="Address of the hub.", show_default=False)],
    key: Annotated[Path, typer.Option(help="File of your signing key (`spiritsafe orders key` makes one).")],
    invitation: Annotated[str, typer.Option(help="The code that the operator gave you.")],
    seal: Annotated[str, typer.Option(help="Your X25519 key for sealed messages, as x25519:BASE64.")] = "",
    certificate: Annotated[
        Path | None, typer.Option(help="Your client certificate (PEM), for mTLS.", show_default=False)
    ] = None,
    trust: Annotated[
        Path | None, typer.Option(help="Authority of the hub's certificate (PEM).", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Become a member of a hub."""
    from spiritsafe.sharing.hub import enrolling  # noqa: PLC0415 - a fast --help

    others = {"seal": seal} if seal else {}
    if certificate is not None:
        others["tls"] = enrolling.certificate_key(certificate)
    found = enrolling.enrol(url, keys.load(key), invitation, now=_now(), others=others, trust=trust)
    _tell(
        found,
        f"you are {found['pseudonym']}, {found['identity']}\nlog {found['origin']}, key {found['log_key']}",
        as_json,
    )


@app.command(name="members")
def members_(folder: Folder, as_json: Json = False) -> None:
    """List the members."""
    from spiritsafe.sharing.hub import members, settings  # noqa: PLC0415 - a fast --help

    found = _with(settings.read(folder), lambda store: store.read(members.directory))
    lines = [
        f"{one['pseudonym']}  {one['state']:9}  {' '.join(one['roles'])}  {one['identity']}" for one in found
    ]
    _tell({"members": found}, "\n".join(lines) or "no members yet", as_json)


@app.command()
def member(
    folder: Folder,
    pseudonym: Annotated[str, typer.Argument(help="Which member.", show_default=False)],
    state: Annotated[str, typer.Option(help="active, suspended or left.")],
    reason: Annotated[str, typer.Option(help="Why, for the audit.")],
    as_json: Json = False,
) -> None:
    """Suspend a member, let it back, or let it go. Its objects stay; its keys no longer open anything."""
    from spiritsafe.sharing.hub import members, settings  # noqa: PLC0415 - a fast --help

    if state not in {"active", "suspended", "left"}:
        raise UsageError("a member is active, suspended or left", where="--state")
    detail = {"member": pseudonym, "state": state, "reason": reason}

    async def job(store: Store) -> int:
        return await _noted(
            store, "members.state", detail, _now(), lambda tx: members.set_state(tx, pseudonym, state)
        )

    _with(settings.read(folder), job)
    _tell(detail, f"{pseudonym} is {state}", as_json)


@app.command()
def quota(
    folder: Folder,
    pseudonym: Annotated[str, typer.Argument(help="Which member.", show_default=False)],
    objects: Annotated[int | None, typer.Option(min=0, help="Objects a day.", show_default=False)] = None,
    size: Annotated[
        int | None, typer.Option("--bytes", min=0, help="Bytes a day.", show_default=False)
    ] = None,
    requests: Annotated[
        int | None, typer.Option(min=1, help="Requests a minute.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Change what a member may at most, from its next request on."""
    from dataclasses import asdict  # noqa: PLC0415 - a fast --help

    from spiritsafe.sharing.hub import members, settings  # noqa: PLC0415

    wanted = {"objects_per_day": objects, "bytes_per_day": size, "requests_per_minute": requests}
    changes = {name: value for name, value in wanted.items() if value is not None}
    detail = {"member": pseudonym, **changes}

    async def job(store: Store) -> Any:
        return await _noted(
            store, "members.quota", detail, _now(), lambda tx: members.set_quota(tx, pseudonym, changes)
        )

    found = asdict(_with(settings.read(folder), job))
    _tell(found, ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in found.items()), as_json)


@app.command()
def log(folder: Folder, as_json: Json = False) -> None:
    """Print the newest signed head of the log. Keep it elsewhere: it shows later whether the log only grew."""
    from spiritsafe.sharing.hub import books, settings  # noqa: PLC0415 - a fast --help

    head = _with(settings.read(folder), lambda store: store.read(books.head))
    if head is None:
        raise SharingError("the log has no leaf yet", where=str(folder))
    _tell({"head": head}, head.rstrip("\n"), as_json)


@app.command()
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

    head = _with(settings.read(folder), lambda store: store.read(books.head))
    if head is None:
        raise SharingError("the log has no leaf yet", where=str(folder))
    beside = out.with_name(out.name + ".tsr")
    for path in (out, beside):
        if path.exists():
            raise UsageError("this file exists and is kept", where=str(path), hint="choose another name")
    found = stamps.ask(authority, head.encode(), (_text(roots) or "").encode())
    try:
        out.write_text(head, "utf-8")
        beside.write_bytes(found.answer)
    except OSError as error:
        raise UsageError(f"this cannot be written: {error.strerror}", where=str(out)) from error
    _tell({"time": found.time}, f"{out}: stamped at {rfc3339(found.time)}", as_json)


@app.command()
def verify(folder: Folder, seen: Seen = None, as_json: Json = False) -> None:
    """Compute the tree anew from the store, and check objects, log, head and audit against each other."""
    from spiritsafe.sharing.hub import settings  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.hub import verify as checks  # noqa: PLC0415

    found = settings.read(folder)
    public = keys.load(found.key).public_key()
    report = _with(found, lambda store: checks.verify(store, public, seen=_text(seen)), patience=86_400.0)
    _tell(json.loads(checks.told(report)), _checked(report), as_json)


@app.command()
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
    report = copies.backup(found.database, target, keys.load(found.key).public_key(), seen=_text(seen))
    _tell(json.loads(checks.told(report)), f"{target}: {_checked(report)}", as_json)


@app.command()
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
    report = copies.restore(source, found.database, keys.load(found.key).public_key(), seen=_text(seen))
    _tell(json.loads(checks.told(report)), f"restored: {_checked(report)}", as_json)


@app.command()
def audit(
    folder: Folder,
    after: Annotated[int, typer.Option(help="Entries behind this one.")] = -1,
    count: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 100,
) -> None:
    """Print entries of the audit, one JSON object a line."""
    from spiritsafe.sharing.hub import books, settings  # noqa: PLC0415 - a fast --help

    for entry in _with(
        settings.read(folder), lambda store: store.read(lambda tx: books.entries(tx, after, count))
    ):
        shown = entry | {"detail": json.loads(entry["detail"]), "hash": entry["hash"].hex()}
        sys.stdout.write(json.dumps(shown, sort_keys=True) + "\n")


@app.command()
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
            return await housekeeping.withdraw(store, which, reason, _now())
        return await housekeeping.expire(store, _now())

    count = _with(settings.read(folder), job)
    _tell({"retired": count}, f"{count} objects retired", as_json)


async def _noted(
    store: Store, action: str, detail: dict[str, Any], now: int, change: Callable[..., Awaitable[T]]
) -> T:
    """Do something at the console, with its entry in the audit."""
    from spiritsafe.sharing.hub.books import CONSOLE, Books, Entry  # noqa: PLC0415 - a fast --help

    async def job(tx: Any) -> T:
        books = await Books.opened(tx)
        value = await change(tx)
        books.note(Entry(CONSOLE, action, 200, detail=detail), now)
        await books.closed(tx, None, now)
        return value

    return await store.write(job)


def _with(found: Settings, job: Callable[[Store], Awaitable[T]], *, patience: float = 60.0) -> T:
    """Run a job on the hub's database, its tables made ready."""
    from spiritsafe.sharing.hub.schema import prepare  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.hub.store import opened  # noqa: PLC0415

    async def run() -> T:
        store = opened(found.database, patience=patience)
        try:
            await prepare(store, found.origin)
            return await job(store)
        finally:
            await store.close()

    return asyncio.run(run())


def _gate() -> Any:
    """The scope gate, as it stands at a hub."""
    from importlib import import_module  # noqa: PLC0415 - only when serving

    check = import_module("spiritsafe.sharing.scope").check
    return lambda objects: check(objects, at="hub")


def _text(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("this file cannot be read", where=str(path)) from error


def _checked(report: Any) -> str:
    return (
        f"{report.leaves:,} leaves, {report.objects:,} objects here and {report.retired:,} retired, "
        f"{report.entries:,} audit entries: all agree"
    )


def _tell(result: dict[str, Any], text: str, as_json: bool) -> None:
    sys.stdout.write((json.dumps(result, sort_keys=True) if as_json else text) + "\n")


def _now() -> int:
    return time.time_ns() // 1_000
