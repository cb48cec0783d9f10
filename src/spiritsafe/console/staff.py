"""Changes of people: role, password, approval key, an end. Each ends the sessions that rest on what was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.console import people, sessions
from spiritsafe.console.desk import Stale
from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from spiritsafe.console.people import Person
    from spiritsafe.sharing.hub.store import Tx


async def disable(tx: Tx, name: str, *, version: int | None = None) -> None:
    """End a person's access. The last admin stays. Raises UsageError, Stale."""
    person = await _known(tx, name, version)
    if person.role == "admin" and person.active and await people.admins(tx) == 1:
        raise UsageError(f"{name} is the last admin", hint="make another admin first")
    await tx.run("UPDATE people SET state = 'disabled', version = version + 1 WHERE name = $1", name)
    await sessions.end_all(tx, name)


async def enable(tx: Tx, name: str, *, version: int | None = None) -> None:
    """Let a person in again."""
    await _known(tx, name, version)
    await tx.run("UPDATE people SET state = 'active', version = version + 1 WHERE name = $1", name)


async def role(tx: Tx, name: str, to: str, *, version: int | None = None) -> None:
    """Give another role. The last admin stays one."""
    people.checked(name, to)
    person = await _known(tx, name, version)
    if person.role == "admin" and to != "admin" and person.active and await people.admins(tx) == 1:
        raise UsageError(f"{name} is the last admin", hint="make another admin first")
    await tx.run("UPDATE people SET role = $1, version = version + 1 WHERE name = $2", to, name)
    await sessions.end_all(tx, name)


async def password(tx: Tx, name: str, hashed: str, *, version: int | None = None) -> None:
    """Set a new password, given as its hash."""
    await _known(tx, name, version)
    await tx.run("UPDATE people SET password = $1, version = version + 1 WHERE name = $2", hashed, name)
    await sessions.end_all(tx, name)


async def key(tx: Tx, name: str, public: str, sealed: bytes) -> None:
    """Keep the key with which a person approves; the one before is forgotten."""
    await _known(tx, name, None)
    await tx.run(
        "UPDATE people SET public = $1, sealed = $2, version = version + 1 WHERE name = $3",
        public,
        sealed,
        name,
    )


async def _known(tx: Tx, name: str, version: int | None) -> Person:
    person = await people.one(tx, name)
    if person is None:
        raise UsageError(f"there is no person {name!r}")
    if version is not None and person.version != version:
        raise Stale(f"{name} was changed meanwhile")
    return person
