"""Orders and exemptions as JSON: strict both ways, and one canonical form of bytes for signatures.

Canonical JSON is the ledger's: keys sorted, no spaces, ASCII, finite numbers. Times are RFC 3339, UTC.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from spiritsafe.errors import OrderError
from spiritsafe.model import RUNGS, SCOPES, Approval, Exemption, Order

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ORDER = (
    "order_id",
    "campaign_id",
    "response",
    "scope",
    "accounts",
    "reason",
    "evidence",
    "start",
    "expires",
    "approvals",
    "parameters",
)
_APPROVAL = ("by", "time", "signature")
_EXEMPTION = ("organization_id", "account_id", "reason", "by", "time", "expires")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")


def canonical(value: object) -> bytes:
    """The one byte form of a JSON value. Raises ValueError for what JSON cannot say."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def parse(data: bytes, where: str) -> dict[str, Any]:
    """The JSON object in ``data``. Raises OrderError; a key that stands twice would have two readings."""
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_never)
    except (ValueError, RecursionError) as error:
        raise OrderError(f"this is not a file of orders: {error}", where=where) from error
    if not isinstance(found, dict):
        raise OrderError("this is not a file of orders: an object is needed", where=where)
    return cast("dict[str, Any]", found)


def rfc3339(time: int) -> str:
    """RFC 3339 text, UTC, of microseconds since the epoch."""
    moment = _EPOCH + timedelta(microseconds=time)
    return moment.isoformat(timespec="microseconds" if time % 1_000_000 else "seconds")[:-6] + "Z"


def microseconds(value: object, where: str, name: str) -> int:
    """Microseconds since the epoch of an RFC 3339 time that ends in ``Z``. Raises OrderError."""
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            return (datetime.fromisoformat(value) - _EPOCH) // timedelta(microseconds=1)
        except ValueError:
            pass
    raise OrderError(f"{name} is no time", where=where, hint="times are written as 2026-09-30T12:00:00Z")


def from_order(order: Order) -> dict[str, Any]:
    """An order as plain JSON, approvals included."""
    return {
        **subject(order),
        "approvals": [
            {"by": one.by, "time": rfc3339(one.time), "signature": one.signature} for one in order.approvals
        ],
    }


def subject(order: Order) -> dict[str, Any]:
    """What an approval covers: the whole order without its approvals."""
    return {
        "order_id": order.order_id,
        "campaign_id": order.campaign_id,
        "response": order.response,
        "scope": order.scope,
        "accounts": sorted(order.accounts),
        "reason": order.reason,
        "evidence": order.evidence,
        "start": rfc3339(order.start),
        "expires": rfc3339(order.expires),
        "parameters": dict(order.parameters),
    }


def to_order(entry: object, where: str) -> Order:
    """The order of one JSON entry. Raises OrderError that says which field of which order makes no sense."""
    table = _table(entry, _ORDER, where, "an order")
    where = f"{where} ({table['order_id']})"
    accounts = table["accounts"]
    if not isinstance(accounts, list) or not all(isinstance(one, str) and one for one in accounts):
        raise OrderError("accounts is a list of account ids", where=where)
    if table["response"] not in tuple(RUNGS):
        raise OrderError(
            f"there is no response {table['response']!r}", where=where, hint=f"there are: {', '.join(RUNGS)}"
        )
    if table["scope"] not in SCOPES or (table["scope"] == "accounts") != bool(accounts):
        raise OrderError('scope is "streams" without accounts, or "accounts" with at least one', where=where)
    start = microseconds(table["start"], where, "start")
    expires = microseconds(table["expires"], where, "expires")
    if expires <= start:
        raise OrderError("an order expires after its start", where=where)
    if not isinstance(table["approvals"], list):
        raise OrderError("approvals is a list", where=where)
    return Order(
        order_id=_text(table, "order_id", where),
        campaign_id=_text(table, "campaign_id", where),
        response=table["response"],
        scope=table["scope"],
        accounts=frozenset(cast("list[str]", accounts)),
        reason=_text(table, "reason", where),
        evidence=_text(table, "evidence", where),
        start=start,
        expires=expires,
        approvals=tuple(_approval(one, where) for one in cast("list[object]", table["approvals"])),
        parameters=_parameters(table["parameters"], where),
    )


def from_exemption(one: Exemption) -> dict[str, Any]:
    """An exemption as plain JSON; ``above`` stands there only where it says something."""
    told = {
        "organization_id": one.organization_id,
        "account_id": one.account_id,
        "reason": one.reason,
        "by": one.by,
        "time": rfc3339(one.time),
        "expires": rfc3339(one.expires),
    }
    return told if one.above is None else {**told, "above": one.above}


def to_exemption(entry: object, where: str) -> Exemption:
    """The exemption of one JSON entry. Raises OrderError."""
    partly = isinstance(entry, dict) and "above" in entry
    table = _table(entry, (*_EXEMPTION, "above") if partly else _EXEMPTION, where, "an exemption")
    above = table.get("above")
    if partly and above not in tuple(RUNGS):
        raise OrderError(
            f"there is no response {above!r}", where=where, hint=f"there are: {', '.join(RUNGS)}"
        )
    organization, account = table["organization_id"], table["account_id"]
    if (organization is None) == (account is None):
        raise OrderError("an exemption is for one organization or one account", where=where)
    name = "account_id" if organization is None else "organization_id"
    _text(table, name, where)
    return Exemption(
        organization_id=organization,
        account_id=account,
        reason=_text(table, "reason", where),
        by=_text(table, "by", where),
        time=microseconds(table["time"], where, "time"),
        expires=microseconds(table["expires"], where, "expires"),
        above=above,
    )


def _approval(entry: object, where: str) -> Approval:
    table = _table(entry, _APPROVAL, where, "an approval")
    return Approval(
        _text(table, "by", where),
        microseconds(table["time"], where, "time of an approval"),
        _text(table, "signature", where),
    )


def _parameters(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(
        isinstance(one, (str, int, float, bool)) for one in cast("dict[str, object]", value).values()
    ):
        raise OrderError("parameters is an object of texts, numbers and booleans", where=where)
    return cast("dict[str, Any]", value)


def _table(entry: object, keys: tuple[str, ...], where: str, what: str) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise OrderError(f"{what} is an object", where=where)
    table = cast("dict[str, Any]", entry)
    if set(table) != set(keys):
        wrong = ", ".join(sorted(set(table) ^ set(keys)))
        raise OrderError(
            f"{what} lacks or does not have: {wrong}", where=where, hint="is it of another version?"
        )
    return table


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    value = table[key]
    if not isinstance(value, str) or not value:
        raise OrderError(f"{key} is a text", where=where)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key stands twice")
    return table


def _never(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
