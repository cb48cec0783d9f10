"""A dry run: what the orders in force would do to recorded exchanges, and to whom. Nothing is changed by it.

Each exchange is taken as if it came at one time, ``now``: indicators and orders that hold then are tried on it. Only budgets
go by the recorded times, since a bucket fills with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spiritsafe.errors import OrderError, UsageError
from spiritsafe.gateway import _spend, decide
from spiritsafe.gateway.rules import RuleFiles, responses
from spiritsafe.model import RUNGS, Caller
from spiritsafe.orders import policy as ladders
from spiritsafe.orders import snapshot
from spiritsafe.orders.book import Book
from spiritsafe.orders.content import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spiritsafe.gateway.policy import Policy
    from spiritsafe.model import Order
    from spiritsafe.orders.snapshot import Snapshot

_WHO = ("account_id", "organization_id", "relation")
_ALL = -1  # in place of a campaign: orders that list the account


@dataclass(slots=True)
class Touched:
    """Requests, accounts and organizations that something touches."""

    requests: int = 0
    accounts: set[str] = field(default_factory=set[str])
    organizations: set[str] = field(default_factory=set[str])

    def add(self, caller: Caller, requests: int) -> None:
        """So many requests of one caller."""
        self.requests += requests
        self.accounts.add(caller.account_id)
        if caller.organization_id is not None:
            self.organizations.add(caller.organization_id)

    def told(self) -> dict[str, int]:
        """As numbers."""
        return {
            "requests": self.requests,
            "accounts": len(self.accounts),
            "organizations": len(self.organizations),
        }


@dataclass(slots=True)
class _Effect:
    order: Order
    touched: Touched = field(default_factory=Touched)
    spared: Touched = field(default_factory=Touched)
    times: list[Any] = field(default_factory=list[Any])


class DryRun:
    """The rules of ``policy`` as the gateway reads them. Raises UsageError and OrderError where it could not."""

    def __init__(self, policy: Policy, *, now: int) -> None:
        if policy.orders.file is None or policy.orders.signer is None:
            raise UsageError(
                "the policy names no orders",
                where=str(policy.path),
                hint="[orders] file and signer name them",
            )
        self._policy, self._now = policy, now
        ladder = ladders.read(policy.path)
        self._snapshot: Snapshot = snapshot.read(
            policy.orders.file, policy.orders.signer, now=now, rules=ladder.rules
        )
        files = RuleFiles(policy)
        rules = files.load(now)
        if files.complaints:
            raise OrderError("; ".join(files.complaints.values()))
        self._book, self._index = rules.book, rules.index
        self._bare = Book(self._snapshot.orders, expires=self._snapshot.expires)
        found = sorted(self._snapshot.orders, key=lambda one: (RUNGS[one.response], one.order_id))
        self._effects = {one.order_id: _Effect(one) for one in found}
        self._listed = {name for one in found if one.scope == "accounts" for name in one.accounts}
        names = self._index.campaigns
        distinct = {name: code for code, name in enumerate(dict.fromkeys(names))}
        self._campaigns = [*distinct]
        self._campaign_of = np.array([distinct[name] for name in names], np.int64)
        self._matched = np.zeros(len(names), np.bool_)
        self._seen, self._any = Touched(), Touched()
        self._spared = {"exempt": Touched(), "relation": Touched()}
        self._responses = responses()

    def take(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Try the rules on sketched batches, as ``pipeline.replay`` gives them."""
        for batch in batches:
            self._take(batch)

    def _take(self, batch: pa.RecordBatch) -> None:
        codes, names = _coded(batch)
        everyone, requests = np.unique(codes, axis=0, return_counts=True)
        for who, many in zip(everyone.tolist(), requests.tolist(), strict=True):
            self._seen.add(_caller(who, names), many)
        rows, numbers = self._index.match_batch(batch, now=self._now)
        self._matched[numbers] = True
        pairs = np.unique(np.stack([rows, self._campaign_of[numbers]], axis=1), axis=0)
        listed = np.array([name in self._listed for name in names[0]], np.bool_)[codes[:, 0]]
        alone = np.flatnonzero(listed)
        pairs = np.concatenate([pairs, np.stack([alone, np.full(alone.size, _ALL)], axis=1)])
        # One entry for each customer and campaign, not for each exchange.
        entries, of, many = np.unique(
            np.column_stack([codes[pairs[:, 0]], pairs[:, 1]]),
            axis=0,
            return_inverse=True,
            return_counts=True,
        )
        of = of.reshape(-1)
        hit = np.zeros(len(entries), np.bool_)
        counted: dict[str, list[int]] = {}
        for place, (entry, requests) in enumerate(zip(entries.tolist(), many.tolist(), strict=True)):
            caller = _caller(entry, names)
            for order in self._orders(self._book, entry[-1], caller):
                hit[place] = True
                self._effects[order.order_id].touched.add(caller, requests)
                counted.setdefault(order.order_id, []).append(place)
            self._spare(entry[-1], caller, requests)
        self._keep_times(batch, counted, pairs[:, 0], of)
        reached = np.unique(pairs[hit[of], 0])
        customers, requests = np.unique(codes[reached], axis=0, return_counts=True)
        for who, number in zip(customers.tolist(), requests.tolist(), strict=True):
            self._any.add(_caller(who, names), number)

    def _orders(self, book: Book, campaign: int, caller: Caller) -> list[Order]:
        if campaign == _ALL:
            return [one for one in book.applying((), caller, self._now) if one.scope == "accounts"]
        found = book.applying((self._campaigns[campaign],), caller, self._now)
        return [one for one in found if one.scope == "streams"]

    def _spare(self, campaign: int, caller: Caller, requests: int) -> None:
        """Count what an exemption or a declared relation keeps from a customer."""
        held = {one.order_id for one in self._orders(self._book, campaign, caller)}
        kept = [one for one in self._orders(self._bare, campaign, caller) if one.order_id not in held]
        for order in kept:
            self._effects[order.order_id].spared.add(caller, requests)
        if kept:
            why = "exempt" if self._book.exempt(caller, self._now) else "relation"
            self._spared[why].add(caller, requests)

    def _keep_times(self, batch: pa.RecordBatch, counted: dict[str, list[int]], rows: Any, of: Any) -> None:
        times = batch.column("time").cast(pa.int64()).to_numpy(zero_copy_only=False)
        for name, places in counted.items():
            effect = self._effects[name]
            if getattr(self._responses[effect.order.response].module, "COUNTS", False):
                effect.times.append(times[rows[np.isin(of, places)]])

    def report(self) -> dict[str, Any]:
        """What would happen, by order, lowest rung first."""
        return {
            "schema": 1,
            "policy": str(self._policy.path),
            "at": rfc3339(self._now),
            "shadow": self._policy.shadow,
            "version": self._snapshot.version,
            "expires": rfc3339(self._snapshot.expires),
            "seen": self._seen.told(),
            "touched": self._any.told(),
            "spared": {why: one.told() for why, one in self._spared.items()},
            "indicators": {
                "loaded": len(self._index),
                "matched": int(self._matched.sum()),
                "not_tried": self._index.kinds["minhash"],
            },
            "orders": [self._told(one) for one in self._effects.values()],
            "withheld": [{**_named(one.order), "why": one.why} for one in self._snapshot.withheld],
        }

    def _told(self, effect: _Effect) -> dict[str, Any]:
        order = effect.order
        members = [
            one.accounts
            for one in self._snapshot.all_orders
            if one.campaign_id == order.campaign_id and one.scope == "accounts"
        ]
        known: frozenset[str] = frozenset().union(*members)
        return {
            **_named(order),
            "state": "ended"
            if order.expires <= self._now
            else "later"
            if order.start > self._now
            else "in_force",
            **effect.touched.told(),
            "unlisted_accounts": len(effect.touched.accounts - known) if members else None,
            "spared": effect.spared.told(),
            "over_budget": self._over(effect),
        }

    def _over(self, effect: _Effect) -> int | None:
        bucket = decide.bucket(effect.order, self._responses[effect.order.response])
        if bucket is None:
            return None
        if not effect.times:
            return 0
        return int(_spend.over(np.sort(np.concatenate(effect.times)), bucket.rate, bucket.burst))


def _named(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "campaign_id": order.campaign_id,
        "response": order.response,
        "scope": order.scope,
        "reason": order.reason,
        "start": rfc3339(order.start),
        "expires": rfc3339(order.expires),
    }


def _coded(batch: pa.RecordBatch) -> tuple[Any, list[list[str | None]]]:
    """Who asked, as numbers (rows, 3), and what each column's numbers stand for; the last of each is None."""
    codes: list[Any] = []
    names: list[list[str | None]] = []
    for column in _WHO:
        coded = batch.column(column).cast(pa.string()).dictionary_encode()
        names.append([*coded.dictionary.to_pylist(), None])
        codes.append(coded.indices.fill_null(len(names[-1]) - 1).to_numpy(zero_copy_only=False))
    return np.column_stack(codes).astype(np.int64), names


def _caller(codes: list[int], names: list[list[str | None]]) -> Caller:
    account, organization, relation = (known[code] for known, code in zip(names, codes, strict=False))
    return Caller(account or "", organization, relation=relation)
