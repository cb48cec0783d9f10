"""The directory: who is a member, with which keys and roles, and how one becomes it.

A member is a pseudonym. Its STIX identity is made from its first signing key, and stays when keys are changed. Codes of
invitations and secrets of tokens are kept as hashes only: they are random, so a hash cannot be guessed back.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from spiritsafe.attest import dsse, keys
from spiritsafe.attest.canonical import jcs, read
from spiritsafe.errors import AttestError, SharingError
from spiritsafe.sharing.stix import ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    from spiritsafe.sharing.hub.store import Tx

ROLES: Final = ("keyholder", "member", "observer", "operator")
PURPOSES: Final = ("seal", "sign", "tls")
SCOPES: Final = ("read", "write")
ENROL: Final = "application/vnd.spiritsafe.enrol+json"
CHANGE: Final = "application/vnd.spiritsafe.keys+json"
DAY: Final = 86_400_000_000
FRESH: Final = 300_000_000
"""Microseconds that the time in a signed request may differ from the hub's."""
MOST_KEYS: Final = 16
"""Keys of one member that hold at one time."""
_X25519: Final = re.compile(r"x25519:[A-Za-z0-9+/]{43}=")
_TLS: Final = re.compile(r"sha256:[0-9a-f]{64}")
_ENROL: Final = {"audience", "code", "public", "time"}
_CHANGE: Final = {"add", "audience", "nonce", "retire", "time"}


@dataclass(frozen=True, slots=True)
class Quota:
    """What one member may, at most."""

    objects_per_day: int = 100_000
    bytes_per_day: int = 200_000_000
    requests_per_minute: int = 600


@dataclass(frozen=True, slots=True)
class Member:
    """Who asks: also what a mounted app finds as ``scope["member"]``.

    ``scope`` is ``write``, or ``read`` when it came with a token that may only read. ``by`` is how it showed who it is:
    ``token`` (signed, of its own), ``tls`` or ``api``.
    """

    number: int
    pseudonym: str
    identity: str
    roles: frozenset[str]
    quota: Quota
    scope: str = "write"
    by: str = "token"

    def may(self, roles: str) -> bool:
        """Whether it has one of ``roles``, written with spaces between."""
        return not self.roles.isdisjoint(roles.split())

    def shown_by(self, by: str) -> Member:
        """The same member, having shown who it is in another way."""
        return replace(self, by=by)


_MEMBER = "number, pseudonym, identity, roles, objects_per_day, bytes_per_day, requests_per_minute"


def _member(row: tuple[Any, ...]) -> Member:
    number, pseudonym, identity, roles, *quota = row
    return Member(number, pseudonym, identity, frozenset(roles.split()), Quota(*quota))


async def by_number(tx: Tx, number: int) -> Member | None:
    """The member with this number, when it is active."""
    row = await tx.one(f"SELECT {_MEMBER} FROM members WHERE number = $1 AND state = 'active'", number)
    return _member(row) if row else None


async def by_key(tx: Tx, name: str, purpose: str) -> tuple[Member, str] | None:
    """The active member whose key of this purpose has this name, and the public key."""
    row = await tx.one(
        "SELECT member, public FROM keys WHERE name = $1 AND purpose = $2 AND retired IS NULL", name, purpose
    )
    member = await by_number(tx, row[0]) if row else None
    return (member, row[1]) if row and member else None


async def by_secret(tx: Tx, secret: str, now: int) -> Member | None:
    """The active member whose API token this is, with the token's scope."""
    row = await tx.one(
        "SELECT member, scope FROM tokens WHERE secret = $1 AND revoked IS NULL AND expires > $2",
        hashed(secret),
        now,
    )
    member = await by_number(tx, row[0]) if row else None
    return replace(member, scope=row[1], by="api") if row and member else None


async def signing(tx: Tx, member: int) -> dict[str, Ed25519PublicKey]:
    """The keys that a member signs with now, by key id."""
    rows = await tx.all(
        "SELECT name, public FROM keys WHERE member = $1 AND purpose = 'sign' AND retired IS NULL", member
    )
    return {name: keys.parse(public, name) for name, public in rows}


async def directory(tx: Tx) -> list[dict[str, Any]]:
    """All members with all their keys, also retired ones, by which older objects are checked."""
    found: dict[int, dict[str, Any]] = {}
    for number, pseudonym, identity, roles, state, joined in await tx.all(
        "SELECT number, pseudonym, identity, roles, state, joined FROM members ORDER BY number"
    ):
        found[number] = {
            "pseudonym": pseudonym, "identity": identity, "roles": roles.split(), "state": state, "joined": joined,
            "keys": [],
        }  # fmt: skip
    for member, name, purpose, public, since, retired in await tx.all(
        "SELECT member, name, purpose, public, since, retired FROM keys ORDER BY since, name"
    ):
        one = {"keyid": name, "purpose": purpose, "public": public, "since": since, "retired": retired}
        found[member]["keys"].append(one)
    return list(found.values())


async def invite(tx: Tx, roles: Iterable[str], *, now: int, lasts: int) -> str:
    """A code with which one member may enrol, once. Raises SharingError for unknown roles."""
    wanted = sorted(set(roles))
    if not wanted or not set(wanted) <= set(ROLES):
        raise SharingError(f"roles are some of {', '.join(ROLES)}", where="roles")
    code = secrets.token_hex(24)  # typed as an argument: it must not begin with a hyphen
    await tx.run(
        "INSERT INTO invitations (code, roles, made, expires) VALUES ($1, $2, $3, $4)",
        hashed(code), " ".join(wanted), now, now + lasts,
    )  # fmt: skip
    return code


def enrolment(
    key: Ed25519PrivateKey, code: str, *, audience: str, now: int, others: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The envelope with which the holder of ``key`` enrols; ``others`` are public keys by purpose (``seal``, ``tls``)."""
    content = {"audience": audience, "code": code, "public": keys.public(key), "time": now, **(others or {})}
    return dsse.sign(jcs(content), ENROL, key)


async def enrol(tx: Tx, envelope: object, *, audience: str, quota: Quota, now: int) -> Member:
    """Make a member of who signed ``envelope``. Raises SharingError."""
    key = _public(_said(envelope, ENROL).get("public"))
    public = keys.shown(key)
    fields = _signed(envelope, {keys.keyid(key): key}, ENROL)
    if not _ENROL <= fields.keys() <= _ENROL | {"seal", "tls"} or any(
        type(value) is not (int if name == "time" else str) for name, value in fields.items()
    ):
        raise SharingError("the enrolment has other fields than it should")
    _fresh(fields, audience, now)
    row = await tx.one(
        "SELECT roles FROM invitations WHERE code = $1 AND used IS NULL AND expires > $2",
        hashed(fields["code"]),
        now,
    )
    if row is None:
        raise SharingError("no such invitation is open", hint="ask the operator of the hub for a new one")
    name = ids.pseudonym(key.public_bytes_raw())
    if await tx.one("SELECT 1 FROM members WHERE pseudonym = $1", name):
        raise SharingError("a member with this pseudonym exists", hint="make another key")
    number = (await tx.one("SELECT COALESCE(MAX(number), 0) + 1 FROM members") or (1,))[0]
    await tx.run(
        f"INSERT INTO members ({_MEMBER}, state, joined) VALUES ($1, $2, $3, $4, $5, $6, $7, 'active', $8)",
        number, name, ids.identity_id(public), row[0], quota.objects_per_day, quota.bytes_per_day,
        quota.requests_per_minute, now,
    )  # fmt: skip
    await tx.run(
        "UPDATE invitations SET used = $2, member = $3 WHERE code = $1", hashed(fields["code"]), now, number
    )
    await _add(tx, number, "sign", public, now)
    for purpose in ("seal", "tls"):
        if purpose in fields:
            await _add(tx, number, purpose, fields[purpose], now)
    found = await by_number(tx, number)
    assert found is not None  # noqa: S101 - written above
    return found


def change(
    key: Ed25519PrivateKey,
    *,
    audience: str,
    now: int,
    add: Mapping[str, str] | None = None,
    retire: str | None = None,
    new: Ed25519PrivateKey | None = None,
) -> dict[str, Any]:
    """The envelope that changes the keys of the member who signs with ``key``.

    ``add`` has ``purpose`` and ``public``; a new signing key also signs, as ``new``: nobody adds a key that he does not hold.
    ``retire`` is a key id.
    """
    content = {"add": dict(add or {}), "audience": audience, "retire": retire or "", "time": now}
    content["nonce"] = secrets.token_urlsafe(16)
    return dsse.sign(jcs(content), CHANGE, key, *([new] if new else []))


async def changed(tx: Tx, member: Member, envelope: object, *, audience: str, now: int) -> dict[str, Any]:
    """Change the keys of ``member`` as the envelope says, which one of its keys must sign; what was done.

    Raises SharingError.
    """
    known = await signing(tx, member.number)
    adding = _said(envelope, CHANGE).get("add")
    fresh: dict[str, Ed25519PublicKey] = {}
    if isinstance(adding, dict) and adding.get("purpose") == "sign":
        key = _public(adding.get("public"))
        fresh[keys.keyid(key)] = key
    fields = _signed(envelope, known, CHANGE)
    if fresh:
        _signed(envelope, fresh, CHANGE)
    _fresh(fields, audience, now)
    if (
        fields.keys() != _CHANGE
        or not isinstance(fields["add"], dict)
        or not isinstance(fields["retire"], str)
    ):
        raise SharingError("the change of keys has other fields than it should")
    await once(tx, b"keys:" + hashlib.sha256(str(fields["nonce"]).encode()).digest(), now + 2 * FRESH)
    done: dict[str, Any] = {}
    if fields["add"]:
        add = cast("dict[str, Any]", fields["add"])
        if add.keys() != {"purpose", "public"} or add["purpose"] not in PURPOSES:
            raise SharingError(f"a key has a purpose ({', '.join(PURPOSES)}) and is public", where="add")
        done["added"] = await _add(tx, member.number, add["purpose"], add["public"], now)
    if fields["retire"]:
        await _retire(tx, member.number, fields["retire"], now)
        done["retired"] = fields["retire"]
    return done


async def once(tx: Tx, nonce: bytes, expires: int) -> None:
    """Take a nonce. Raises SharingError when it was taken before."""
    done = await tx.run(
        "INSERT INTO nonces (nonce, expires) VALUES ($1, $2) ON CONFLICT (nonce) DO NOTHING", nonce, expires
    )
    if not done:
        raise SharingError("this was sent before", hint="make a new token for each request")


async def token(tx: Tx, member: int, name: str, scope: str, *, now: int, lasts: int) -> str:
    """Make an API token for a client that cannot sign; the secret, which is not kept. Raises SharingError."""
    if scope not in SCOPES or not re.fullmatch(r"[A-Za-z0-9 ._-]{1,64}", name):
        raise SharingError("a token has a short name, and the scope read or write")
    secret = "sst_" + secrets.token_urlsafe(32)
    made = await tx.run(
        "INSERT INTO tokens (secret, member, name, scope, made, expires) VALUES ($1, $2, $3, $4, $5, $6) "
        "ON CONFLICT (member, name) DO NOTHING",
        hashed(secret), member, name, scope, now, now + lasts,
    )  # fmt: skip
    if not made:
        raise SharingError("there is a token of this name", where=name, hint="names are not used twice")
    return secret


async def revoke(tx: Tx, member: int, name: str, now: int) -> bool:
    """End a token at once; whether it was open."""
    sql = "UPDATE tokens SET revoked = $3 WHERE member = $1 AND name = $2 AND revoked IS NULL"
    return await tx.run(sql, member, name, now) == 1


async def set_state(tx: Tx, pseudonym: str, state: str) -> int:
    """Make a member ``active``, ``suspended`` or ``left``; its number. Raises SharingError when there is none."""
    row = await tx.one("SELECT number FROM members WHERE pseudonym = $1", pseudonym)
    if row is None:
        raise SharingError("there is no such member", where=pseudonym)
    await tx.run("UPDATE members SET state = $2 WHERE number = $1", row[0], state)
    return row[0]


async def set_quota(tx: Tx, pseudonym: str, changes: Mapping[str, int]) -> Quota:
    """Change some of a member's bounds, named as in `Quota`; all of them as they are then. Raises SharingError."""
    row = await tx.one(f"SELECT {_MEMBER} FROM members WHERE pseudonym = $1", pseudonym)
    if row is None:
        raise SharingError("there is no such member", where=pseudonym)
    quota = replace(_member(row).quota, **changes)
    await tx.run(
        "UPDATE members SET objects_per_day = $2, bytes_per_day = $3, requests_per_minute = $4 WHERE pseudonym = $1",
        pseudonym, quota.objects_per_day, quota.bytes_per_day, quota.requests_per_minute,
    )  # fmt: skip
    return quota


async def spend(tx: Tx, member: Member, objects: int, size: int, now: int) -> bool:
    """Count what a member adds today; False, with nothing counted, when that would be more than its quota."""
    day = now // DAY
    row = await tx.one(
        "SELECT objects, bytes FROM used WHERE member = $1 AND day = $2", member.number, day
    ) or (0, 0)
    if row[0] + objects > member.quota.objects_per_day or row[1] + size > member.quota.bytes_per_day:
        return False
    await tx.run(
        "INSERT INTO used (member, day, objects, bytes) VALUES ($1, $2, $3, $4) ON CONFLICT (member, day) "
        "DO UPDATE SET objects = excluded.objects, bytes = excluded.bytes",
        member.number, day, row[0] + objects, row[1] + size,
    )  # fmt: skip
    return True


def hashed(secret: str) -> bytes:
    """How a random secret is kept."""
    return hashlib.sha256(b"spiritsafe hub secret\n" + secret.encode("utf-8", "surrogatepass")).digest()


async def _add(tx: Tx, member: int, purpose: str, public: Any, now: int) -> str:
    if purpose == "sign":
        name = keys.keyid(_public(public))
    else:
        pattern = _X25519 if purpose == "seal" else _TLS
        if not isinstance(public, str) or not pattern.fullmatch(public):
            raise SharingError(
                'sealing keys are written "x25519:" and base64, certificates "sha256:" and hex of their public key',
                where=purpose,
            )
        name = hashlib.sha256(public.encode()).hexdigest()[:16] if purpose == "seal" else public
    held = await tx.one("SELECT COUNT(*) FROM keys WHERE member = $1 AND retired IS NULL", member)
    if held and held[0] >= MOST_KEYS:
        raise SharingError("this member has many keys", hint="retire one")
    sql = "INSERT INTO keys (name, member, purpose, public, since) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO NOTHING"
    if not await tx.run(sql, name, member, purpose, public, now):
        raise SharingError("this key is or was somebody's", where=name, hint="make another one")
    return name


async def _retire(tx: Tx, member: int, name: str, now: int) -> None:
    row = await tx.one(
        "SELECT purpose FROM keys WHERE name = $1 AND member = $2 AND retired IS NULL", name, member
    )
    if row is None:
        raise SharingError("there is no such key to retire", where=name)
    if row[0] == "sign" and len(await signing(tx, member)) == 1:
        raise SharingError("the last signing key stays", where=name, hint="add the new one first")
    await tx.run("UPDATE keys SET retired = $2 WHERE name = $1", name, now)


def _said(envelope: object, kind: str) -> dict[str, Any]:
    """What an envelope says, before anything of it is known to be true."""
    return _signed(envelope, {}, kind, 0)


def _signed(
    envelope: object, known: Mapping[str, Ed25519PublicKey], kind: str, signers: int = 1
) -> dict[str, Any]:
    try:
        payload, names = dsse.verified(envelope, known, kind)
        found = read(payload, depth=4)
    except AttestError as error:
        raise SharingError(error.message, hint=error.hint) from error
    if len(names) < signers:
        raise SharingError("the message is not signed with a key that holds")
    if not isinstance(found, dict):
        raise SharingError("this is no signed message")
    return cast("dict[str, Any]", found)


def _fresh(fields: Mapping[str, Any], audience: str, now: int) -> None:
    if fields.get("audience") != audience:
        raise SharingError("the message is for another hub")
    time = fields.get("time")
    if type(time) is not int or abs(time - now) > FRESH:
        raise SharingError("the message is too old, or clocks differ", hint="set the clock")


def _public(text: object) -> Ed25519PublicKey:
    try:
        return keys.parse(text if isinstance(text, str) else "", "public")
    except AttestError as error:
        raise SharingError(error.message, where=error.where, hint=error.hint) from error
