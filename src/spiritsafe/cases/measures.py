"""Measures in a case: the orders against its campaigns with their approvals, and proof that the house's ledger has them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spiritsafe import ledger
from spiritsafe.attest import merkle
from spiritsafe.cases import folder
from spiritsafe.errors import AttestError, UsageError
from spiritsafe.ledger import GENESIS, line_of
from spiritsafe.orders import approvals, snapshot
from spiritsafe.orders.approvals import Rules
from spiritsafe.orders.content import from_order, rfc3339, to_order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from spiritsafe.cases.folder import Item
    from spiritsafe.ledger import Entry
    from spiritsafe.orders.policy import Policy

ORDERS, HOUSE = "orders.json", "house.json"
_KINDS = ("order", "lift")


def add(case_folder: Path, policy: Policy, book: Path | None, *, by: str, why: str, now: int) -> Item:
    """Add the orders of the policy's signed file that stand against the case's campaigns. Raises UsageError, OrderError.

    ``book``: the ledger that orders are recorded in; entries about these orders are proven to stand in it.
    """
    case = folder.open_case(case_folder)
    campaigns = {one["id"] for item in case.of("campaign") for one in item.about["campaigns"]}
    found = snapshot.read(policy.file, policy.signer, now=None, rules=policy.rules)
    mine = [one for one in found.all_orders if one.campaign_id in campaigns]
    if not mine:
        raise UsageError(
            "no order stands against a campaign of this case",
            where=str(policy.file),
            hint="add the campaign first",
        )
    names = {one.order_id for one in mine}
    table: dict[str, Any] = {
        "schema": 1,
        "issuer": found.issuer,
        "signer": policy.signer,
        "version": found.version,
        "issued": rfc3339(found.issued),
        "snapshot": found.digest,
        "approvers": dict(policy.rules.approvers),
        "needed": dict(policy.rules.needed),
        "orders": [from_order(one) for one in mine],
        "withheld": {one.order.order_id: one.why for one in found.withheld if one.order.order_id in names},
    }
    files: dict[str, Path | bytes] = {ORDERS: json.dumps(table, sort_keys=True).encode()}
    if book is not None:
        wanted = excerpt(book, lambda one: one.kind in _KINDS and one.body.get("order_id") in names)
        files[HOUSE] = json.dumps(wanted).encode()
    about = {
        "orders": [
            {"id": one.order_id, "campaign": one.campaign_id, "response": one.response, "scope": one.scope}
            for one in mine
        ],
        "snapshot": found.digest,
    }
    return folder.add(case_folder, "orders", by=by, why=why, now=now, about=about, files=files)


def excerpt(book: Path, wanted: Callable[[Entry], bool]) -> dict[str, Any]:
    """The ``wanted`` entries of a ledger, each with its proof of inclusion; nothing of the others is shown.

    The tree is RFC 6962 over the entries' hashes, so that a later look at the whole ledger finds the same root.
    """
    found = list(ledger.entries(book))
    hashes = [merkle.leaf_hash(bytes.fromhex(one.hash)) for one in found]
    return {
        "name": book.name,
        "size": len(found),
        "head": found[-1].hash if found else GENESIS,
        "root": merkle.root(hashes).hex(),
        "entries": [
            {
                "line": line_of(one).decode().rstrip("\n"),
                "path": [node.hex() for node in merkle.inclusion(hashes, one.seq)],
            }
            for one in found
            if wanted(one)
        ],
    }


def check(table: Mapping[str, Any], where: str) -> int:
    """Check the approvals of an ``orders.json``; returns how many orders have all they need. Raises AttestError."""
    rules = Rules(table["approvers"], table["needed"])
    held = 0
    for number, entry in enumerate(table["orders"]):
        order = to_order(entry, f"{where}, order {number}")
        lacks = approvals.missing(order, rules, signer=table["signer"], issuer=table["issuer"])
        if lacks != table["withheld"].get(order.order_id, ""):
            raise AttestError(f"{order.order_id}: {lacks or 'it was in force'}", where=where)
        held += not lacks
    return held
