"""Who works at the console: people, roles, rights. Names are unique and never given twice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spiritsafe.sharing.hub.store import Row, Tx

ROLES: Final = ("viewer", "analyst", "approver", "admin")
"""Each may do what those before it may."""
RIGHTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "read": "viewer",
        "self": "viewer",
        "triage": "analyst",
        "propose": "analyst",
        "case": "analyst",
        "approve": "approver",
        "people": "admin",
    }
)
"""right → the least role that has it."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_COLUMNS = "name, role, state, password, subject, public, sealed, version"


@dataclass(frozen=True, slots=True)
class Person:
    """One person. ``password`` is an argon2 hash or None (only by OIDC); ``subject`` issuer and subject of OIDC.

    ``public`` is the key that approvals are signed with, ``sealed`` its private half under the person's passphrase.
    """

    name: str
    role: str
    active: bool = True
    password: str | None = None
    subject: str | None = None
    public: str | None = None
    sealed: bytes | None = None
    version: int = 1

    def may(self, right: str) -> bool:
        """Whether the person's role has the right."""
        return self.active and ROLES.index(self.role) >= ROLES.index(RIGHTS[right])


def checked(name: str, role: str) -> None:
    """Raise UsageError for a name or a role that cannot be."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name for a person",
            hint="lower-case letters, digits and . _ @ + -, at most 64, a letter or digit first",
        )
    if role not in ROLES:
        raise UsageError(f"there is no role {role!r}", hint=f"roles: {', '.join(ROLES)}")


async def one(tx: Tx, name: str) -> Person | None:
    """The person called ``name``."""
    row = await tx.one(f"SELECT {_COLUMNS} FROM people WHERE name = $1", name)
    return None if row is None else _person(row)


async def of_subject(tx: Tx, subject: str) -> Person | None:
    """The person whom an identity provider calls ``subject``."""
    row = await tx.one(f"SELECT {_COLUMNS} FROM people WHERE subject = $1", subject)
    return None if row is None else _person(row)


async def everyone(tx: Tx) -> list[Person]:
    """All people, by name."""
    return [_person(row) for row in await tx.all(f"SELECT {_COLUMNS} FROM people ORDER BY name")]


async def add(
    tx: Tx, name: str, role: str, *, password: str | None, subject: str | None = None, now: int
) -> Person:
    """A new person. Raises UsageError when the name or the subject is taken."""
    checked(name, role)
    if await one(tx, name) or (subject and await of_subject(tx, subject)):
        raise UsageError(f"there is a person {name!r} already", hint="names are never given twice")
    await tx.run(
        "INSERT INTO people (name, role, state, password, subject, public, sealed, version, made) "
        "VALUES ($1, $2, 'active', $3, $4, NULL, NULL, 1, $5)",
        name, role, password, subject, now,
    )  # fmt: skip
    return Person(name, role, password=password, subject=subject)


async def admins(tx: Tx) -> int:
    """How many active admins there are: the last one is never taken away."""
    row = await tx.one("SELECT count(*) FROM people WHERE role = 'admin' AND state = 'active'")
    return int(row[0]) if row else 0


def _person(row: Row) -> Person:
    name, role, state, password, subject, public, sealed, version = row
    return Person(
        name, role, state == "active", password, subject, public, None if sealed is None else bytes(sealed), version
    )  # fmt: skip
