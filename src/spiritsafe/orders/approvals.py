"""Approvals: which persons agreed to an order, and whether that suffices to put it in force.

An approval is a signature over the order as it stands, the approver's name and the time. A changed order has no
approvals. One key is one person, however many names it has, and the signer of the snapshot is a process, no person.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spiritsafe.attest import keys
from spiritsafe.errors import OrderError
from spiritsafe.model import RUNGS, Approval, Order
from spiritsafe.orders.content import canonical, rfc3339, subject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

DOMAIN = b"spiritsafe order approval 1\n"
LEAST = {"suspend": 2, "refuse": 1}
"""Persons that must agree when the policy says nothing; ``suspend`` never needs fewer than two."""
FORUM = "campaign--"
"""How the id of a campaign begins that another member of a forum found; no approval makes it own evidence."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may approve (name → public key as text), and how many must, by response."""

    approvers: Mapping[str, str] = field(default_factory=dict[str, str])
    needed: Mapping[str, int] = field(default_factory=dict[str, int])

    def persons(self, response: str) -> int:
        """How many different persons must approve ``response``."""
        asked = self.needed.get(response, LEAST.get(response, 0))
        return max(asked, LEAST["suspend"]) if RUNGS[response] >= RUNGS["suspend"] else asked


@dataclass(frozen=True, slots=True)
class Withheld:
    """An order that is not in force, and why."""

    order: Order
    why: str


def approve(order: Order, by: str, key: Ed25519PrivateKey, *, now: int) -> Order:
    """The order with one approval more. Raises OrderError when it has this key's or this name's already."""
    shown = keys.parse(keys.public(key), by)
    for one in order.approvals:
        if one.by == by or keys.fits(shown, DOMAIN, _content(order, one.by, one.time), one.signature):
            raise OrderError(
                f"{order.order_id} has this person's approval already, as {one.by!r}",
                hint="another person must approve, with a key of their own",
            )
    signature = keys.sign(key, DOMAIN, _content(order, by, now))
    return replace(order, approvals=(*order.approvals, Approval(by, now, signature)))


def missing(order: Order, rules: Rules, *, signer: str, issuer: str) -> str:
    """Why the order is not in force; empty when enough persons approved it.

    ``signer`` is the public key that signs snapshots, ``issuer`` its name: neither counts as a person.
    """
    if order.campaign_id.startswith(FORUM) and RUNGS[order.response] > RUNGS["observe"]:
        return f"{order.response} needs a campaign of an own scan; what others found carries no more than observe"
    needed = rules.persons(order.response)
    if not needed:
        return ""
    persons: set[str] = set()
    faults: list[str] = []
    for one in order.approvals:
        known = rules.approvers.get(one.by)
        if known is None:
            faults.append(f"{one.by!r} is no approver")
        elif known == signer or one.by == issuer:
            faults.append(f"{one.by!r} issues the orders and is no second person")
        elif known in persons:
            faults.append(f"{one.by!r} counts once")
        elif not keys.fits(
            keys.parse(known, one.by), DOMAIN, _content(order, one.by, one.time), one.signature
        ):
            faults.append(f"the approval of {one.by!r} is not for this order as it stands")
        else:
            persons.add(known)
    if len(persons) >= needed:
        return ""
    lacks = (
        f"{order.response} needs {needed} approval{'s' if needed > 1 else ''}, {len(persons)} of them valid"
    )
    return "; ".join([lacks.replace("approvals, 0 of them valid", "approvals and has none"), *faults])


def _content(order: Order, by: str, time: int) -> bytes:
    return canonical({"order": subject(order), "by": by, "time": rfc3339(time)})
