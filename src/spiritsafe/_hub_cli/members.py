"""Verbs of ``spiritsafe hub``: make it, run it, and who may use it."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiritsafe._hub_cli import shown
from spiritsafe._hub_cli.shown import Folder, Json
from spiritsafe.attest import keys
from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from spiritsafe.sharing.hub.store import Store


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
    which, now = str(uuid.uuid4()), shown.now()

    async def job(store: Store) -> None:
        await add_root(store, root, title, now=now)
        await add_collection(
            store, root, which, "Signals", "Signed objects of members", now=now, alias="signals"
        )

    shown.on(settings.read(folder), job)
    shown.tell(
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
        opened(found.database), origin=found.origin, key=key, clock=shown.now, gate=shown.gate(),
        mounts={"match": relay.app(clock=shown.now, key=key)}, limits=found.limits, quota=found.quota, url=found.url,
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

    which, now = str(uuid.uuid4()), shown.now()

    async def job(store: Store) -> None:
        roots = await store.read(lambda tx: tx.all("SELECT name FROM roots"))
        if (root,) not in roots:
            await setup.add_root(store, root, root, now=now)
        await setup.add_collection(
            store, root, which, title, now=now, signed=not plain, alias=alias,
            readers=reader or setup.READERS, writers=writer or setup.WRITERS,
        )  # fmt: skip

    shown.on(settings.read(folder), job)
    shown.tell({"root": root, "collection": which}, f"collection {which} below /{root}/", as_json)


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

    now = shown.now()

    async def job(store: Store) -> str:
        return await shown.noted(
            store, "members.invite", {"roles": role or ["member"]}, now,
            lambda tx: members.invite(tx, role or ["member"], now=now, lasts=days * members.DAY),
        )  # fmt: skip

    code = shown.on(settings.read(folder), job)
    shown.tell({"code": code, "days": days}, code, as_json)


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
    found = enrolling.enrol(url, keys.load(key), invitation, now=shown.now(), others=others, trust=trust)
    shown.tell(
        found,
        f"you are {found['pseudonym']}, {found['identity']}\nlog {found['origin']}, key {found['log_key']}",
        as_json,
    )


def members_(folder: Folder, as_json: Json = False) -> None:
    """List the members."""
    from spiritsafe.sharing.hub import members, settings  # noqa: PLC0415 - a fast --help

    found = shown.on(settings.read(folder), lambda store: store.read(members.directory))
    lines = [
        f"{one['pseudonym']}  {one['state']:9}  {' '.join(one['roles'])}  {one['identity']}" for one in found
    ]
    shown.tell({"members": found}, "\n".join(lines) or "no members yet", as_json)


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
        return await shown.noted(
            store, "members.state", detail, shown.now(), lambda tx: members.set_state(tx, pseudonym, state)
        )

    shown.on(settings.read(folder), job)
    shown.tell(detail, f"{pseudonym} is {state}", as_json)


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
        return await shown.noted(
            store, "members.quota", detail, shown.now(), lambda tx: members.set_quota(tx, pseudonym, changes)
        )

    found = asdict(shown.on(settings.read(folder), job))
    shown.tell(
        found, ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in found.items()), as_json
    )


VERBS = (init, serve, collection, invite, enrol, members_, member, quota)
