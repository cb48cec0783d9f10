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


@dataclass(frozen=True)
class Member:
    """A member under its pseudonym, with the keys that it signs with now, as written (``ed25519:…``)."""

    id: str
    name: str
    keys: tuple[str, ...]
    roles: frozenset[str]


class Roster:
    """Active members by identity; ``keys`` and ``owners`` (identities) by key id.

    Raises SharingError when two members have one identity or one key, or a key is none.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        listed = list(members)
        self.members = {one.id: one for one in listed}
        self.keys: dict[str, Ed25519PublicKey] = {}
        self.owners: dict[str, str] = {}
        for one in listed:
            for text in one.keys:
                key = _key(text, one.name)
                name = keys.keyid(key)
                if name in self.keys:
                    raise SharingError("two members of the roster have one key", where=one.name)
                self.keys[name], self.owners[name] = key, one.id
        if len(self.members) != len(listed):
            raise SharingError("two members of the roster have one identity")

    def member(self, name: str) -> Member:
        """The member with this identity. Raises SharingError."""
        if name not in self.members:
            raise SharingError(
                "this is no member of the roster", where=name, hint="`spiritsafe share match trust`"
            )
        return self.members[name]

    def who(self, key: Ed25519PublicKey) -> Member:
        """The member who signs with this key. Raises SharingError."""
        name = keys.keyid(key)
        if name not in self.keys or self.keys[name].public_bytes_raw() != key.public_bytes_raw():
            raise SharingError(
                "this key is no member's", hint="enrol at the hub, then `spiritsafe share match trust`"
            )
        return self.members[self.owners[name]]

    def written(self) -> dict[str, Any]:
        """JSON-ready, in the form of the hub's directory; ``id`` and ``key`` beside for who wants one key of each."""
        return {
            "members": [
                {
                    "id": one.id,
                    "key": one.keys[-1] if one.keys else "",
                    "identity": one.id,
                    "pseudonym": one.name,
                    "roles": sorted(one.roles),
                    "state": "active",
                    "keys": [{"purpose": "sign", "public": text, "retired": None} for text in one.keys],
                }
                for _, one in sorted(self.members.items())
            ]
        }


def parse(table: object, where: str) -> Roster:
    """The roster in the hub's directory, or in what `Roster.written` gave: active members, keys to sign that hold.

    Raises SharingError.
    """
    entries = cast("dict[str, Any]", table).get("members") if isinstance(table, dict) else None
    if not isinstance(entries, list) or len(cast("list[Any]", entries)) > MOST:
        raise SharingError("this is no list of members", where=where)
    found: list[Member] = []
    for number, entry in enumerate(cast("list[Any]", entries)):
        try:
            if entry["state"] == "active":
                signing = [
                    str(key["public"])
                    for key in entry["keys"]
                    if key["purpose"] == "sign" and key["retired"] is None
                ]
                roles = frozenset(str(role) for role in entry["roles"])
                found.append(
                    Member(str(entry["identity"]), str(entry["pseudonym"]), tuple(sorted(signing)), roles)
                )
        except (KeyError, TypeError) as error:
            raise SharingError(
                "a member has identity, pseudonym, roles, state and keys", where=f"{where}, member {number}"
            ) from error
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
            lines.append(f"new     {new.name}  {', '.join(new.keys)}  {', '.join(sorted(new.roles))}  {name}")
        elif new is None and old is not None:
            lines.append(f"left    {old.name}  {name}")
        elif old is not None and new is not None and old.keys != new.keys:
            lines.append(f"KEY     {new.name}  {', '.join(old.keys)} becomes {', '.join(new.keys)}  {name}")
        elif old is not None and new is not None and old.roles != new.roles:
            lines.append(f"roles   {new.name}  {', '.join(sorted(new.roles))}  {name}")
    return lines


def _key(text: str, where: str) -> Ed25519PublicKey:
    try:
        return keys.parse(text, where)
    except AttestError as error:
        raise SharingError(error.message, where=where, hint=error.hint) from error
