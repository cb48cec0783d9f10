"""Rung 0: nothing changes; the request is recorded as one of the campaign's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spiritsafe.model import Order
    from spiritsafe.responses._call import Call
    from spiritsafe.responses._parameters import Parameter

RUNG = 0
PARAMETERS: dict[str, Parameter] = {}
_BODY = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
EXAMPLES: tuple[dict[str, Any], ...] = ({"dialect": "chat", "request": _BODY, "becomes": _BODY},)


def observe(call: Call, order: Order, *, now: int) -> Call:  # noqa: ARG001 - the same for every response
    """Lets the request pass as it is."""
    return call
