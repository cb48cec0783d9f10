"""The snapshot: all orders and exemptions in one signed file, replaced as a whole.

``{"schema":1,"version":N,"issued":…,"expires":…,"issuer":…,"orders":[…],"exempt":[…],"signature":…}``: Ed25519 over the
canonical JSON of everything else. ``version`` only grows, so that an old file cannot bring back what was lifted; after
``expires`` no order of it is in force. Without the file there are no measures.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from spiritsafe.attest import keys
from spiritsafe.errors import OrderError, StorageError
from spiritsafe.orders.approvals import Rules, Withheld, missing
from spiritsafe.orders.content import (
    canonical,
    from_exemption,
    from_order,
    microseconds,
    parse,
    rfc3339,
    to_exemption,
    to_order,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from spiritsafe.model import Exemption, Order

DOMAIN = b"spiritsafe orders 1\n"
_KEYS = {"schema", "version", "issued", "expires", "issuer", "orders", "exempt", "signature"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A checked snapshot. ``orders`` have the approvals they need; ``withheld`` do not, each with the reason.

    ``digest``: hex SHA-256 of the file.
    """

    version: int
    issued: int
    expires: int
    issuer: str
    orders: tuple[Order, ...]
    withheld: tuple[Withheld, ...]
    exempt: tuple[Exemption, ...]
    digest: str

    @property
    def all_orders(self) -> tuple[Order, ...]:
        """Orders in force and withheld, by id."""
        everything = [*self.orders, *(one.order for one in self.withheld)]
        return tuple(sorted(everything, key=lambda order: order.order_id))


def read(
    path: Path, signer: str, *, now: int | None, at_least_version: int = 0, rules: Rules | None = None
) -> Snapshot:
    """The snapshot in ``path``, signed by ``signer`` ("ed25519:…").

    ``now`` None reads an expired one, too (to sign its successor). Without ``rules`` nobody can approve, so that orders
    which need a person are withheld. Raises OrderError for what is forged, expired, rolled back or malformed,
    AttestError when ``signer`` is no public key.
    """
    where = str(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise OrderError(f"the orders cannot be read: {error.strerror}", where=where) from error
    table = parse(data, where)
    signature = table.pop("signature", None)
    if not keys.fits(keys.parse(signer, "signer"), DOMAIN, _canonical(table, where), signature):
        raise OrderError(
            "the signature does not fit: the file was changed, or another key signed it",
            where=where,
            hint="compare `signer` in the policy with what `spiritsafe orders key` printed",
        )
    return _checked(table, signer, now, at_least_version, rules or Rules(), data, where)


def write(
    path: Path,
    key: Ed25519PrivateKey,
    *,
    version: int,
    issuer: str,
    orders: Sequence[Order],
    exempt: Sequence[Exemption],
    now: int,
    expires: int,
) -> str:
    """Sign and replace the snapshot at ``path`` at once; returns the file's hex SHA-256.

    Readers see the old file or the new one. Raises OrderError when the content makes no sense, StorageError when the
    disk refuses; the old file then stays.
    """
    table: dict[str, Any] = {
        "schema": 1,
        "version": version,
        "issued": rfc3339(now),
        "expires": rfc3339(expires),
        "issuer": issuer,
        "orders": [from_order(one) for one in sorted(orders, key=lambda order: order.order_id)],
        "exempt": [from_exemption(one) for one in exempt],
    }
    content = _canonical(table, str(path))
    data = canonical({**table, "signature": keys.sign(key, DOMAIN, content)}) + b"\n"
    # Whatever a reader would refuse is not written.
    _checked(parse(content, str(path)), keys.public(key), now, version, Rules(), data, str(path))
    replace_file(Path(path), data)
    return hashlib.sha256(data).hexdigest()


def replace_file(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` at once and durably. Raises StorageError; the old file then stays."""
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with part.open("wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StorageError(f"cannot be written: {error.strerror}", where=str(path)) from error


def _checked(
    table: dict[str, Any], signer: str, now: int | None, least: int, rules: Rules, data: bytes, where: str
) -> Snapshot:
    if {*table, "signature"} != _KEYS or table["schema"] != 1:
        raise OrderError("this is not a snapshot of schema 1", where=where, hint="is it of another version?")
    version, issuer = table["version"], table["issuer"]
    if type(version) is not int or version < 1 or not isinstance(issuer, str) or not issuer:
        raise OrderError("version is a number from 1 on, issuer a text", where=where)
    if version < least:
        raise OrderError(
            f"this is version {version}, but version {least} was there already: it was rolled back",
            where=where,
            hint="sign the orders anew; versions only grow",
        )
    issued = microseconds(table["issued"], where, "issued")
    expires = microseconds(table["expires"], where, "expires")
    if expires <= issued:
        raise OrderError("a snapshot expires after it was issued", where=where)
    if now is not None and expires <= now:
        raise OrderError(
            f"the orders expired at {table['expires']}; no measure is in force",
            where=where,
            hint="sign them again with `spiritsafe orders sign`",
        )
    if not isinstance(table["orders"], list) or not isinstance(table["exempt"], list):
        raise OrderError("orders and exempt are lists", where=where)
    orders = [
        to_order(one, f"{where}, order {n}") for n, one in enumerate(cast("list[object]", table["orders"]))
    ]
    if len({one.order_id for one in orders}) != len(orders):
        raise OrderError("two orders have the same id", where=where)
    exempt = [
        to_exemption(one, f"{where}, exemption {n}")
        for n, one in enumerate(cast("list[object]", table["exempt"]))
    ]
    faults = [missing(one, rules, signer=signer, issuer=issuer) for one in orders]
    return Snapshot(
        version=version,
        issued=issued,
        expires=expires,
        issuer=issuer,
        orders=tuple(one for one, why in zip(orders, faults, strict=True) if not why),
        withheld=tuple(Withheld(one, why) for one, why in zip(orders, faults, strict=True) if why),
        exempt=tuple(exempt),
        digest=hashlib.sha256(data).hexdigest(),
    )


def _canonical(table: dict[str, Any], where: str) -> bytes:
    try:
        return canonical(table)
    except (ValueError, TypeError, RecursionError) as error:
        raise OrderError(f"this is not a file of orders: {error}", where=where) from error
