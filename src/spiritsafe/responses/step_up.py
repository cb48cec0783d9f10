"""Rung 2: 403 until the account has been verified; says where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spiritsafe.responses._call import refuse_call
from spiritsafe.responses._parameters import Parameter

if TYPE_CHECKING:
    from spiritsafe.model import Order
    from spiritsafe.responses._call import Call, Refusal

RUNG = 2
PARAMETERS = {"url": Parameter("url")}
EXAMPLES: tuple[dict[str, Any], ...] = (
    {
        "dialect": "messages",
        "parameters": {"url": "https://provider.example/verify"},
        "request": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]},
        "becomes": {
            "status": 403,
            "category": "verification_required",
            "url": "https://provider.example/verify",
        },
    },
)


def step_up(call: Call, order: Order, *, now: int) -> Refusal:  # noqa: ARG001 - the same for every response
    """Asks for verification: who has passed it is exempt from the order."""
    url = str(order.parameters["url"])
    message = f"This account must be verified before it may send such requests: {url} ."
    return refuse_call(call, order, 403, "verification_required", message, url=url)
