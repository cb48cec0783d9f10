"""What the orders make of a request. Pure: what buckets said is an argument."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spiritsafe.responses import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from spiritsafe.features.lookup import Index
    from spiritsafe.model import Order
    from spiritsafe.registry import Extension
    from spiritsafe.responses import Call, Taken


@dataclass(frozen=True, slots=True)
class Judged:
    """``call``: the request as it goes on. ``refusal`` by ``order``: it does not. ``applied``: orders that were heard."""

    call: Call
    applied: tuple[Order, ...]
    refusal: Refusal | None = None
    order: Order | None = None


@dataclass(frozen=True, slots=True)
class Bucket:
    """A campaign's budget: ``rate`` a second, ``burst`` at once, over all its accounts."""

    name: str
    rate: float
    burst: float


def campaigns(index: Index, matched: Iterable[int]) -> tuple[str, ...]:
    """The campaigns of the indicators that matched, each once, in their order."""
    return tuple(dict.fromkeys(index.campaigns[number] for number in matched))


def bucket(order: Order, response: Extension) -> Bucket | None:
    """The bucket that an order takes a token from, or None when its response does not count.

    The name is the campaign's and the budget's size: a renewed order goes on with what is left.
    """
    if not getattr(response.module, "COUNTS", False):
        return None
    exchanges = float(order.parameters["exchanges"])
    seconds = float(order.parameters.get("seconds", 3600))
    burst = order.parameters.get("burst")
    size = float(burst) if burst is not None else exchanges
    return Bucket(f"{order.campaign_id}/{exchanges:g}/{seconds:g}/{size:g}", exchanges / seconds, size)


def buckets(orders: Iterable[Order], responses: Mapping[str, Extension]) -> Iterator[tuple[Order, Bucket]]:
    """The orders that count, each with its bucket."""
    for order in orders:
        if (found := bucket(order, responses[order.response])) is not None:
            yield order, found


def judge(
    call: Call,
    orders: Sequence[Order],
    left: Mapping[str, Taken],
    responses: Mapping[str, Extension],
    *,
    now: int,
) -> Judged:
    """Hear the orders from the lowest rung up; the first that refuses ends it. ``left`` by order id."""
    for place, order in enumerate(orders):
        found = responses[order.response].function(
            replace(call, left=left.get(order.order_id)), order, now=now
        )
        if isinstance(found, Refusal):
            return Judged(call, tuple(orders[: place + 1]), found, order)
        call = found  # type: ignore[assignment] - the contract of responses: a Call or a Refusal
    return Judged(call, tuple(orders))
