"""Rung 3: asks the model server to watermark the answer with the campaign's key."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spiritsafe.responses._parameters import Parameter

if TYPE_CHECKING:
    from spiritsafe.model import Order
    from spiritsafe.responses._call import Call
    from spiritsafe.responses._shapes import Document

RUNG = 3
#: ``key``: the id of a watermark key that the model server holds. ``carrier``: where it is told.
PARAMETERS = {
    "key": Parameter("token"),
    "carrier": Parameter("text", "header", choices=("header", "vllm_xargs")),
}
HEADER = "x-spiritsafe-mark"
ARGUMENT = "spiritsafe_mark"
_MAKES_TEXT = {"chat", "completions", "responses", "messages"}
_BODY = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
EXAMPLES: tuple[dict[str, Any], ...] = (
    {
        "dialect": "chat",
        "parameters": {"key": "wm-7"},
        "request": _BODY,
        "becomes": _BODY,
        "headers": ((HEADER, "wm-7"),),
    },
    {
        "dialect": "chat",
        "parameters": {"key": "wm-7", "carrier": "vllm_xargs"},
        "request": _BODY,
        "becomes": {**_BODY, "vllm_xargs": {ARGUMENT: "wm-7"}},
    },
)


def unnamed(body: Document) -> Document:
    """The body without a key that its sender named: keys are for orders to name. The very same where none is named."""
    given = body.get("vllm_xargs")
    if not isinstance(given, dict) or ARGUMENT not in given:
        return body
    left = {name: value for name, value in given.items() if name != ARGUMENT}
    return {**body, "vllm_xargs": left}


def mark(call: Call, order: Order, *, now: int) -> Call:  # noqa: ARG001 - the same for every response
    """Names the key to the model server, in a header or in vLLM's ``vllm_xargs``; the caller never sees it."""
    if call.dialect.id not in _MAKES_TEXT:
        return call
    key = str(order.parameters["key"])
    if order.parameters.get("carrier", "header") == "header":
        others = tuple(one for one in call.headers if one[0] != HEADER)
        return replace(call, headers=(*others, (HEADER, key)))
    given = call.body.get("vllm_xargs")
    return call.with_body(vllm_xargs={**(given if isinstance(given, dict) else {}), ARGUMENT: key})
