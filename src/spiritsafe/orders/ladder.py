"""The ladder: campaigns of a scan become proposed orders, one for each step that the evidence carries.

Lower steps stay beside higher ones: they act while persons have not yet agreed. Only the label ``campaign`` meets more
than ``observe``; accounts are named, and nobody is suspended, only where the scan itself proposes a suspension.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from spiritsafe.errors import OrderError
from spiritsafe.model import RUNGS, Order
from spiritsafe.orders.content import DAY, parse

if TYPE_CHECKING:
    from spiritsafe.orders.policy import Ladder, Step

_POOLS = ("pool", "reseller")


def propose(campaigns_json: bytes, ladder: Ladder, now: int, *, where: str = "campaigns.json") -> list[Order]:
    """The orders that ``ladder`` derives from the bytes of a scan's ``campaigns.json``; without approvals.

    Raises OrderError when that is no result of a scan.
    """
    result = parse(campaigns_json, where)
    digest = hashlib.sha256(campaigns_json).hexdigest()
    found: list[Order] = []
    try:
        for entry in result["campaigns"]:
            if entry["label"] == "campaign":
                for step in ladder.steps:
                    found += _order(entry, step, ladder, digest, now)
            elif entry["label"] in _POOLS and ladder.pools:
                listed = _members(entry, ladder)
                if listed:
                    found.append(
                        _made(entry, "observe", listed, entry["label"], digest, now, now + 14 * DAY, {})
                    )
    except (KeyError, TypeError, AttributeError) as error:
        raise OrderError(
            f"this is not a scan's result: {error!r}", where=where, hint="name the folder that a scan wrote"
        ) from error
    return list({order.order_id: order for order in found}.values())


def _order(entry: dict[str, Any], step: Step, ladder: Ladder, digest: str, now: int) -> list[Order]:
    if entry["coordination"]["bits"] < step.bits:
        return []
    listed = _members(entry, ladder) if step.scope == "accounts" else frozenset[str]()
    if step.scope == "accounts" and not listed:
        return []
    strong = entry["proposed_order"]["response"] == "suspend"
    harsh = RUNGS[step.response] >= RUNGS["suspend"] or (
        step.scope == "accounts" and RUNGS[step.response] > RUNGS["observe"]
    )
    if harsh and not strong:
        return []
    expires = now + step.lifetime
    return [_made(entry, step.response, listed, "campaign", digest, now, expires, dict(step.parameters))]


def _members(entry: dict[str, Any], ladder: Ladder) -> frozenset[str]:
    return frozenset(one["account_id"] for one in entry["accounts"] if one["membership"] >= ladder.membership)


def _made(
    entry: dict[str, Any],
    response: str,
    accounts: frozenset[str],
    reason: str,
    digest: str,
    now: int,
    expires: int,
    parameters: dict[str, Any],
) -> Order:
    scope = "accounts" if accounts else "streams"
    name = hashlib.sha256("\0".join([entry["campaign_id"], response, scope, digest]).encode())
    return Order(
        order_id=f"o-{name.hexdigest()[:12]}",
        campaign_id=entry["campaign_id"],
        response=response,
        scope=scope,
        accounts=accounts,
        reason=reason,
        evidence=f"{entry['campaign_id']}@sha256:{digest}",
        start=now,
        expires=expires,
        parameters=parameters,
    )
