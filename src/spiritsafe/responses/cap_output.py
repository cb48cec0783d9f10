"""Rung 3: answers may not be longer than so many tokens; a lower limit of the caller's own stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spiritsafe.responses._parameters import Parameter
from spiritsafe.responses._shapes import integer

if TYPE_CHECKING:
    from spiritsafe.model import Order
    from spiritsafe.responses._call import Call

RUNG = 3
#: The Responses API takes no limit below 16.
PARAMETERS = {"tokens": Parameter("integer", least=16)}
#: The fields of each API; where none is given, the first is set.
_LIMITS = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "completions": ("max_tokens",),
    "responses": ("max_output_tokens",),
    "messages": ("max_tokens",),
}
_LEAST_THINKING = 1024  # Anthropic: budget_tokens is at least 1,024 and less than max_tokens
_MESSAGES = [{"role": "user", "content": "Hello"}]
EXAMPLES: tuple[dict[str, Any], ...] = (
    {
        "dialect": "chat",
        "parameters": {"tokens": 500},
        "request": {"messages": _MESSAGES, "max_tokens": 4000},
        "becomes": {"messages": _MESSAGES, "max_tokens": 500},
    },
    {
        "dialect": "responses",
        "parameters": {"tokens": 500},
        "request": {"input": "Hello", "max_output_tokens": 20},
        "becomes": {"input": "Hello", "max_output_tokens": 20},
    },
    {
        "dialect": "messages",
        "parameters": {"tokens": 4000},
        "request": {
            "messages": _MESSAGES,
            "max_tokens": 9000,
            "thinking": {"type": "enabled", "budget_tokens": 8000},
        },
        "becomes": {
            "messages": _MESSAGES,
            "max_tokens": 4000,
            "thinking": {"type": "enabled", "budget_tokens": 2000},
        },
    },
)


def cap_output(call: Call, order: Order, *, now: int) -> Call:  # noqa: ARG001 - the same for every response
    """Lowers the request's limit of output tokens; never raises it. The API then says so: "length", "max_tokens"."""
    limits = _LIMITS.get(call.dialect.id)
    if limits is None:
        return call
    tokens = int(order.parameters["tokens"])
    given = {name: call.body[name] for name in limits if call.body.get(name) is not None}
    changed = {name: tokens for name, value in given.items() if not _within(value, tokens)}
    # The legacy API's own limit is 16, which no order undercuts.
    if not given and call.dialect.id != "completions":
        changed = {limits[0]: tokens}
    if call.body.get("min_tokens") is not None and not _within(call.body["min_tokens"], tokens):
        changed["min_tokens"] = tokens  # vLLM's: more than the limit would be an error
    if not changed:
        return call
    thinking = call.body.get("thinking")
    if call.dialect.id == "messages" and "max_tokens" in changed and isinstance(thinking, dict):
        changed |= _thinking(thinking, tokens)
    return call.with_body(**changed)


def _within(value: object, tokens: int) -> bool:
    # Servers differ in what they take for a number: what is not plainly one is no limit. -1 means none to some.
    count = integer(value) if type(value) is int or isinstance(value, float) else None
    return count is not None and 0 <= count <= tokens


def _thinking(thinking: dict[str, Any], tokens: int) -> dict[str, Any]:
    asked = integer(thinking.get("budget_tokens"))
    if asked is None or asked < tokens:
        return {}
    if tokens <= _LEAST_THINKING:
        return {"thinking": {"type": "disabled"}}
    return {"thinking": {**thinking, "budget_tokens": max(_LEAST_THINKING, tokens // 2)}}
