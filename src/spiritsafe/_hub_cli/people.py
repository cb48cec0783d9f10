"""Who belongs to a hub: invitations, enrolment, states, quotas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiritsafe._hub_cli.console import Folder, Json, noted, now, run, tell
from spiritsafe.attest import keys
from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from spiritsafe.sharing.hub.store import Store


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

    moment = now()

    async def job(store: Store) -> str:
        return await noted(
            store, "members.invite", {"roles": role or ["member"]}, moment,
            lambda tx: members.invite(tx, role or ["member"], now=moment, lasts=days * members.DAY),
        )  # fmt: skip

    code = run(settings.read(folder), job)
    tell({"code": code, "days": days}, code, as_json)


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
    found = enrolling.enrol(url, keys.load(key), invitation, now=now(), others=others, trust=trust)
    tell(
        found,
        f"you are {found['pseudonym']}, {found['identity']}\nlog {found['origin']}, key {found['log_key']}",
        as_json,
    )


def members_(folder: Folder, as_json: Json = False) -> None:
    """List the members."""
    from spiritsafe.sharing.hub import members, settings  # noqa: PLC0415 - a fast --help

    found = run(settings.read(folder), lambda store: store.read(members.directory))
    lines = [
        f"{one['pseudonym']}  {one['state']:9}  {' '.join(one['roles'])}  {one['identity']}" for one in found
    ]
    tell({"members": found}, "\n".join(lines) or "no members yet", as_json)


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
        return await noted(
            store, "members.state", detail, now(), lambda tx: members.set_state(tx, pseudonym, state)
        )

    run(settings.read(folder), job)
    tell(detail, f"{pseudonym} is {state}", as_json)


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
        return await noted(
            store, "members.quota", detail, now(), lambda tx: members.set_quota(tx, pseudonym, changes)
        )

    found = asdict(run(settings.read(folder), job))
    tell(found, ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in found.items()), as_json)


VERBS = (invite, enrol, members_, member, quota)
