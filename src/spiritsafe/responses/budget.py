"""Rung 1: one budget for a whole campaign, over all its accounts; above it 429 with Retry-After."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spiritsafe.responses._call import refuse_call
from spiritsafe.responses._parameters import Parameter

if TYPE_CHECKING:
    from spiritsafe.model import Order
    from spiritsafe.responses._call import Call, Refusal

RUNG = 1
COUNTS = True
#: ``exchanges`` in ``seconds``, at most ``burst`` at once (default: all of them).
PARAMETERS = {
    "exchanges": Parameter("integer", least=1),
    "seconds": Parameter("number", 3600, least=1),
    "burst": Parameter("integer", None, least=1),
}
_BODY = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
_HUNDRED = {"exchanges": 100}
EXAMPLES: tuple[dict[str, Any], ...] = (
    {"dialect": "chat", "parameters": _HUNDRED, "left": (True, 7.0, 0.0), "request": _BODY, "becomes": _BODY},
    {
        "dialect": "chat",
        "parameters": _HUNDRED,
        "left": (False, 0.0, 11.2),
        "request": _BODY,
        "becomes": {"status": 429, "category": "campaign_budget", "retry_after": 11.2},
    },
)


def budget(call: Call, order: Order, *, now: int) -> Call | Refusal:  # noqa: ARG001 - the same for every response
    """Refuses with 429 what the campaign's bucket has no token for; without a bucket's answer, nothing is refused."""
    if call.left is None or call.left.allowed:
        return call
    return refuse_call(
        call,
        order,
        429,
        "campaign_budget",
        "This request is one of a group of accounts whose common budget is used up.",
        retry_after=call.left.retry_after,
    )
