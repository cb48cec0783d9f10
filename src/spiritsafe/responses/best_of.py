"""Rung 3: draws several answers and serves one that the campaign's key prefers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spiritsafe.responses._call import Draws
from spiritsafe.responses._parameters import Parameter

if TYPE_CHECKING:
    from spiritsafe.model import Order
    from spiritsafe.responses._call import Call

RUNG = 3
DRAWS = True
#: ``drafts``: how many answers are drawn, an even number: two equal hands. ``key``: the id of a key in the gateway's keyring.
PARAMETERS = {"drafts": Parameter("integer", 4, choices=(2, 4, 6, 8)), "key": Parameter("token")}
_WHOLE = {"chat", "messages"}
_BODY = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
EXAMPLES: tuple[dict[str, Any], ...] = (
    {
        "dialect": "chat",
        "parameters": {"key": "wm-7"},
        "request": _BODY,
        "becomes": _BODY,
        "draws": Draws(4, "wm-7", "c-1"),
    },
    {
        "dialect": "messages",
        "parameters": {"key": "wm-7", "drafts": 2},
        "request": _BODY,
        "becomes": _BODY,
        "draws": Draws(2, "wm-7", "c-1"),
    },
    {
        "dialect": "embeddings",
        "parameters": {"key": "wm-7"},
        "request": {"model": "m", "input": "Hello"},
        "becomes": {"model": "m", "input": "Hello"},
    },
)


def best_of(call: Call, order: Order, *, now: int) -> Call:  # noqa: ARG001 - the same for every response
    """Has the model asked several times; each answer is one that it gave by itself, and none is altered."""
    if call.dialect.id not in _WHOLE:
        return call
    draws = Draws(int(order.parameters.get("drafts", 4)), str(order.parameters["key"]), order.campaign_id)
    return replace(call, draws=draws)
