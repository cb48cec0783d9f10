"""What a response is given and what it may give back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from spiritsafe.model import Caller, Order
    from spiritsafe.responses._shapes import Dialect, Document


@dataclass(frozen=True, slots=True)
class Taken:
    """What the campaign's bucket said: may this request pass, how many more may, and after how many seconds one may."""

    allowed: bool
    remaining: float
    retry_after: float


class Draws(NamedTuple):
    """Several drafts are to be drawn: how many, by the choice of which key, and for which campaign."""

    drafts: int
    key: str
    campaign_id: str


@dataclass(frozen=True, slots=True)
class Call:
    """A request on its way to the model.

    ``left``: what the bucket said, None when the order does not count. ``url``: where a caller contests a measure.
    ``headers``: added to the request that goes to the model server. ``draws``: it is asked several times, and one of the
    answers is served; None: once. Nothing of it may be changed in place.
    """

    dialect: Dialect
    body: Document
    caller: Caller
    left: Taken | None = None
    url: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    draws: Draws | None = None

    def with_body(self, **changed: Any) -> Call:
        """The same call with some fields of the body changed; a field given as ... is taken away."""
        body = {name: value for name, value in (self.body | changed).items() if value is not ...}
        return replace(self, body=body)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A visible "no": what (``category``), why (``message``, ``reason``), and how to contest it (``contest``, a URL).

    ``reference`` names the order, so that a caller and the operator speak of the same thing; ``retry_after`` is in seconds;
    ``url`` is where to go next (verification). ``answer``: shaped as the model's refusal (status 200), not as an error.
    """

    status: int
    category: str
    message: str
    retry_after: float | None = None
    url: str | None = None
    contest: str | None = None
    reference: str | None = None
    reason: str | None = None
    answer: bool = False


def refuse_call(call: Call, order: Order, status: int, category: str, message: str, **more: Any) -> Refusal:
    """A refusal that names its order and where to contest it."""
    how = f" To contest this, see {call.url} and give the reference {order.order_id}." if call.url else ""
    text = f"{message} Reason: {order.reason}.{how}"
    return Refusal(
        status, category, text, contest=call.url, reference=order.order_id, reason=order.reason, **more
    )
