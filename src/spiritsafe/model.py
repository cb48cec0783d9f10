"""Who calls and which measures are in force: what orders, responses and the gateway hand to one another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request; names are those of the canonical columns."""

    account_id: str
    organization_id: str | None = None
    api_key_id: str | None = None
    session_id: str | None = None
    end_user_id: str | None = None
    device_id: str | None = None
    client_ip: str | None = None
    asn: int | None = None
    user_agent: str | None = None
    plan: str | None = None
    account_created: int | None = None
    email_domain: str | None = None
    payment_id: str | None = None
    relation: str | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's signed agreement to an order. ``time``: microseconds since the epoch, UTC."""

    by: str
    time: int
    signature: str


@dataclass(frozen=True, slots=True)
class Order:
    """A measure in force. ``start`` and ``expires``: microseconds since the epoch, UTC."""

    order_id: str
    campaign_id: str
    response: str
    scope: Literal["streams", "accounts"]
    accounts: frozenset[str]
    reason: str
    evidence: str
    start: int
    expires: int
    approvals: tuple[Approval, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
