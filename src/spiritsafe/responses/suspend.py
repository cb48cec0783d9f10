"""Rung 5: the account may send nothing; an order needs two persons' approval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spiritsafe.responses._call import refuse_call

if TYPE_CHECKING:
    from spiritsafe.model import Order
    from spiritsafe.responses._call import Call, Refusal
    from spiritsafe.responses._parameters import Parameter

RUNG = 5
PARAMETERS: dict[str, Parameter] = {}
EXAMPLES: tuple[dict[str, Any], ...] = (
    {
        "dialect": "responses",
        "request": {"model": "m", "input": "Hello"},
        "becomes": {"status": 403, "category": "account_suspended"},
    },
)


def suspend(call: Call, order: Order, *, now: int) -> Refusal:  # noqa: ARG001 - the same for every response
    """Refuses with 403: the account is suspended."""
    return refuse_call(call, order, 403, "account_suspended", "This account is suspended.")
