"""The members that this laboratory counts: a file of its own, which the hub's directory may only propose to change.

A hub that could enrol members by itself could make up the k members that disclosure waits for. So nobody counts, as a
holder or towards k, who is not in the roster that a person here has looked through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from spiritsafe.attest import keys
from spiritsafe.attest.canonical import read as read_json
from spiritsafe.errors import AttestError, SharingError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HOLDER = "keyholder"
MOST = 1_000
_FIELDS = frozenset({"id", "name", "key", "roles", "state"})


@dataclass(frozen=True)
class Member:
    """A member under its pseudonym; ``text`` is its public key as written."""

    id: str
    name: str
    text: str
    key: Ed25519PublicKey
    roles: frozenset[str]


class Roster:
    """Members by identity; ``keys`` by key id. Raises SharingError when two share an identity or a key."""

    def __init__(self, members: Iterable[Member]) -> None:
        self.members = {one.id: one for one in members}
        self.keys = {keys.keyid(one.key): one.key for one in self.members.values()}
        if len(self.keys) != len(self.members):
            raise SharingError("two members of the roster have one key")

    def member(self, name: str) -> Member:
        """The member with this identity. Raises SharingError."""
        if name not in self.members:
            raise SharingError(
                "this is no member of the roster", where=name, hint="`spiritsafe share match trust`"
            )
        return self.members[name]

    def who(self, key: Ed25519PublicKey) -> Member:
        """The member with this key. Raises SharingError."""
        for one in self.members.values():
            if one.key.public_bytes_raw() == key.public_bytes_raw():
                return one
        raise SharingError(
            "this key is no member's", hint="enrol it at the hub, then `spiritsafe share match trust`"
        )

    def written(self) -> list[dict[str, Any]]:
        """JSON-ready, sorted by identity."""
        return [
            {"id": one.id, "key": one.text, "name": one.name, "roles": sorted(one.roles), "state": "active"}
            for _, one in sorted(self.members.items())
        ]


def parse(table: object, where: str) -> Roster:
    """The roster in ``{"members": [{"id", "name", "key", "roles", "state"}, …]}``; only active members count.

    The hub's directory has this form too. Raises SharingError.
    """
    entries = cast("dict[str, Any]", table).get("members") if isinstance(table, dict) else None
    if not isinstance(entries, list) or len(cast("list[Any]", entries)) > MOST:
        raise SharingError("this is no list of members", where=where)
    found: list[Member] = []
    for number, entry in enumerate(cast("list[Any]", entries)):
        place = f"{where}, member {number}"
        fields = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        if not fields.keys() >= _FIELDS or not isinstance(fields["roles"], list):
            raise SharingError("a member has id, name, key, roles and state", where=place)
        if any(not isinstance(fields[name], str) for name in ("id", "name", "key", "state")):
            raise SharingError("a member's id, name, key and state are text", where=place)
        if fields["state"] == "active":
            key = _key(fields["key"], place)
            roles = frozenset(str(role) for role in fields["roles"])
            found.append(Member(fields["id"], fields["name"], fields["key"], key, roles))
    if len({one.id for one in found}) != len(found):
        raise SharingError("two members have one identity", where=where)
    return Roster(found)


def load(path: Path) -> Roster:
    """The roster in a file. Raises SharingError."""
    try:
        return parse(read_json(path.read_bytes()), str(path))
    except OSError as error:
        raise SharingError(
            f"the roster cannot be read: {error.strerror}",
            where=str(path),
            hint="make it with `spiritsafe share match trust`",
        ) from error
    except AttestError as error:
        raise SharingError(error.message, where=str(path)) from error


def changes(ours: Roster, theirs: Roster) -> list[str]:
    """What a directory would change, one line each: new members, new keys, other roles, members that left."""
    lines: list[str] = []
    for name in sorted(ours.members.keys() | theirs.members.keys()):
        old, new = ours.members.get(name), theirs.members.get(name)
        if old is None and new is not None:
            lines.append(f"new     {new.name}  {new.text}  {', '.join(sorted(new.roles))}  {name}")
        elif new is None and old is not None:
            lines.append(f"left    {old.name}  {name}")
        elif old is not None and new is not None and old.text != new.text:
            lines.append(f"KEY     {new.name}  {old.text} becomes {new.text}  {name}")
        elif old is not None and new is not None and old.roles != new.roles:
            lines.append(f"roles   {new.name}  {', '.join(sorted(new.roles))}  {name}")
    return lines


def _key(text: str, where: str) -> Ed25519PublicKey:
    try:
        return keys.parse(text, where)
    except AttestError as error:
        raise SharingError(error.message, where=where, hint=error.hint) from error
