"""What the gateway goes by and may change while it runs: the orders in force and the indicators.

Files are looked at a few times a second and swapped whole. A file that is bad, forged or older than one seen before
changes nothing and is told; a file that is gone lifts what was in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import orjson

from spiritsafe import registry
from spiritsafe.errors import OrderError, SpiritsafeError
from spiritsafe.features import FINGERPRINT_VERSION
from spiritsafe.features.lookup import Index
from spiritsafe.model import Indicator
from spiritsafe.orders import policy as ladders
from spiritsafe.orders import snapshot
from spiritsafe.orders.book import Book
from spiritsafe.orders.content import microseconds
from spiritsafe.responses import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from spiritsafe.gateway.policy import Policy
    from spiritsafe.model import Order
    from spiritsafe.registry import Extension

Seen = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """One state of the rules. ``notes``: orders that are not in force, and why."""

    book: Book
    index: Index
    version: int = 0
    digest: str = ""
    orders: int = 0
    notes: tuple[str, ...] = ()


def lacking(order: Order) -> str | None:
    """What an order's response needs and this installation does not have, in words."""
    told = getattr(responses()[order.response].module, "missing", None)
    return None if told is None else told(order.parameters)


@dataclass(slots=True)
class RuleFiles:
    """The files behind the rules. ``complaints`` by file: what is wrong with it now.

    ``lack``: what an order asks for and whoever goes by these rules does not have.
    """

    policy: Policy
    lack: Callable[[Order], str | None] = lacking
    rules: Rules = field(default_factory=lambda: Rules(Book(()), Index(())))
    complaints: dict[str, str] = field(default_factory=dict[str, str])
    _seen: dict[str, Seen] = field(default_factory=dict[str, Seen])
    _lacking: tuple[str, ...] = ()

    def changed(self) -> bool:
        """Whether a file is not what it was at the last ``load``: a ``stat`` each."""
        return self._looked() != self._seen

    def load(self, now: int, floor: int = 0) -> Rules:
        """The rules as the files say now; where a file is bad, the rules as they were. Blocks: call it in a thread.

        ``floor``: the least version of the orders that is believed.
        """
        self._seen = self._looked()
        for lack in self._lacking:
            self.complaints.pop(f"{self.policy.orders.file} {lack}", None)
        before, found = self.rules, self.rules
        orders = self.policy.orders
        if orders.file is not None and orders.signer is not None:
            try:
                found = self._orders(orders.file, orders.signer, now, floor, before)
                self.complaints.pop(str(orders.file), None)
            except SpiritsafeError as error:
                self.complaints[str(orders.file)] = str(error)
        for lack in self._lacking:
            self.complaints[f"{orders.file} {lack}"] = lack
        try:
            index = Index(self._indicators()) if orders.indicators else before.index
            for path in orders.indicators:
                self.complaints.pop(str(path), None)
        except (SpiritsafeError, ValueError) as error:
            self.complaints[str(orders.indicators[0])] = str(error)
            index = before.index
        self.rules = Rules(found.book, index, found.version, found.digest, found.orders, found.notes)
        return self.rules

    def _looked(self) -> dict[str, Seen]:
        found: dict[str, Seen] = {}
        orders = self.policy.orders
        for path in (*([orders.file] if orders.file else []), *orders.indicators):
            try:
                facts = path.stat()
            except OSError:
                found[str(path)] = ()
            else:
                found[str(path)] = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
        return found

    def _orders(self, file: Path, signer: str, now: int, floor: int, before: Rules) -> Rules:
        if not file.exists():
            self._lacking = ()
            return Rules(Book(()), before.index)
        ladder = ladders.read(self.policy.path)
        told = snapshot.read(file, signer, now=now, at_least_version=floor, rules=ladder.rules)
        known = responses()
        for order in told.orders:
            if order.response not in known:
                raise OrderError(
                    f"order {order.order_id}: no response is called {order.response}", where=str(file)
                )
            check(order.response, known[order.response].module.PARAMETERS, order.parameters)
        book = Book(
            told.orders,
            told.exempt,
            untouched=ladder.ladder.untouched,
            streams_only=ladder.ladder.streams_only,
            expires=told.expires,
        )
        notes = tuple(f"{one.order.order_id}: {one.why}" for one in told.withheld)
        self._lacking = tuple(f"{one.order_id}: {lack}" for one in told.orders if (lack := self.lack(one)))
        return Rules(book, before.index, told.version, told.digest, len(told.orders), notes)

    def _indicators(self) -> Iterator[Indicator]:
        for path in self.policy.orders.indicators:
            if path.exists():
                yield from indicators(path)


def responses() -> Mapping[str, Extension]:
    """All responses by id."""
    return registry.extensions("responses")


def indicators(path: Path) -> Iterator[Indicator]:
    """The indicators in a file as ``scan`` writes it, one by one. Raises OrderError with the file."""
    where = str(path)
    try:
        parsed: Any = orjson.loads(path.read_bytes())
        if parsed["fingerprint_version"] != FINGERPRINT_VERSION:
            raise OrderError(
                f"these indicators are of fingerprint version {parsed['fingerprint_version']}, not {FINGERPRINT_VERSION}",
                where=where,
                hint="scan again with this version",
            )
        entries = cast("list[dict[str, Any]]", parsed.pop("indicators"))
        entries.reverse()
        while entries:  # a million values: what was read is let go of
            yield _indicator(entries.pop(), where)
    except OSError as error:
        raise OrderError(f"the indicators cannot be read: {error.strerror}", where=where) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise OrderError(f"these are no indicators: {error!r}"[:200], where=where) from error


def _indicator(one: dict[str, Any], where: str) -> Indicator:
    values = one.get("values", one.get("anchors"))
    begin, end = one.get("valid_from"), one.get("valid_until")
    return Indicator(
        indicator_id=str(one["indicator_id"]),
        campaign_id=str(one["campaign_id"]),
        kind=one["kind"],
        values=tuple(map(str, cast("Sequence[str]", values))),
        least=int(one.get("least", 1)),
        valid_from=microseconds(begin, where, "valid_from") if begin else 0,
        valid_until=microseconds(end, where, "valid_until") if end else None,
    )
