"""Rung 3: answers come without the model's reasoning, or with a summary of the operator's making."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from spiritsafe.responses._parameters import Parameter
from spiritsafe.responses._reasoning import (
    Thoughts,
    responses_event,
    with_summary,
    without_blocks,
    without_fields,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spiritsafe.model import Order
    from spiritsafe.responses._call import Call
    from spiritsafe.responses._shapes import Document

RUNG = 3
#: ``summary``: name of an entry point in the group ``spiritsafe.summaries``, a function of the reasoning's text.
PARAMETERS = {"summary": Parameter("token", None)}
_ENCRYPTED = "reasoning.encrypted_content"
_MESSAGES = [{"role": "user", "content": "Hello"}]
_THINKING = {"type": "thinking", "thinking": "hm", "signature": "sig"}
_TEXT = {"type": "text", "text": "Hi"}
EXAMPLES: tuple[dict[str, Any], ...] = (
    {
        "dialect": "responses",
        "request": {
            "input": "Hello",
            "include": [_ENCRYPTED],
            "reasoning": {"effort": "high", "summary": "detailed"},
        },
        "becomes": {"input": "Hello", "include": [], "reasoning": {"effort": "high"}},
    },
    {
        "dialect": "messages",
        "request": {"messages": _MESSAGES, "max_tokens": 99, "thinking": {"type": "adaptive"}},
        "becomes": {
            "messages": _MESSAGES,
            "max_tokens": 99,
            "thinking": {"type": "adaptive", "display": "omitted"},
        },
    },
    {
        "dialect": "messages",
        "answer": {"type": "message", "content": [_THINKING, _TEXT]},
        "becomes": {"type": "message", "content": [_TEXT]},
    },
    {
        "dialect": "messages",
        "stream": [
            {"type": "content_block_start", "index": 0, "content_block": _THINKING},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "thinking_delta", "thinking": "hm"},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "signature_delta", "signature": "s"},
            },
            {"type": "content_block_stop", "index": 0},
            {"type": "content_block_start", "index": 1, "content_block": _TEXT},
            {"type": "content_block_stop", "index": 1},
        ],
        "becomes": [
            {"type": "content_block_start", "index": 0, "content_block": _TEXT},
            {"type": "content_block_stop", "index": 0},
        ],
    },
    {
        "dialect": "chat",
        "answer": {"choices": [{"message": {"content": "Hi", "reasoning_content": "hm", "reasoning": "hm"}}]},
        "becomes": {"choices": [{"message": {"content": "Hi"}}]},
    },
    {
        "dialect": "responses",
        "answer": {
            "output": [{"type": "reasoning", "id": "rs_1", "summary": [{}], "encrypted_content": "x"}]
        },
        "becomes": {"output": [{"type": "reasoning", "id": "rs_1", "summary": []}]},
    },
)


def withhold_reasoning(call: Call, order: Order, *, now: int) -> Call:  # noqa: ARG001 - the same for every response
    """Stops asking for reasoning where the API can leave it out; how much the model reasons does not change."""
    body = call.body
    changed: dict[str, Any] = {}
    if call.dialect.id == "responses":
        include, reasoning = body.get("include"), body.get("reasoning")
        if isinstance(include, list) and _ENCRYPTED in include:
            changed["include"] = [one for one in include if one != _ENCRYPTED]
        if isinstance(reasoning, dict) and {"summary", "generate_summary"} & reasoning.keys():
            changed["reasoning"] = {
                key: value for key, value in reasoning.items() if key not in {"summary", "generate_summary"}
            }
    elif call.dialect.id == "messages":
        thinking = body.get("thinking")
        shown = isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")
        if isinstance(thinking, dict) and shown and thinking.get("display") != "omitted":
            changed["thinking"] = {**thinking, "display": "omitted"}
    elif call.dialect.id == "chat" and body.get("include_reasoning") not in (None, False):
        changed["include_reasoning"] = False  # OpenRouter's and vLLM's way to ask for it
    return call.with_body(**changed) if changed else call


def answer(dialect_id: str, document: Document, order: Order, *, streamed: bool) -> Document | None:
    """Takes reasoning out of a whole answer or of one event; None where nothing is left of the event."""
    hook = None if streamed else _hook(order.parameters.get("summary"))
    if dialect_id == "messages":
        return without_blocks(document, streamed=streamed)
    if dialect_id == "responses":
        return responses_event(document, hook)
    if dialect_id in {"chat", "completions"}:
        return without_fields(document, hook)
    return document


def begin(order: Order) -> Callable[..., Document | None]:
    """``answer`` for the events of one stream: a summary comes with the first event after the reasoning."""
    hook = _hook(order.parameters.get("summary"))
    return answer if hook is None else Summary(hook)


def missing(parameters: Mapping[str, Any]) -> str | None:
    """That the hook is not installed: reasoning is withheld, but nothing stands in its place."""
    name = parameters.get("summary")
    if name is None or _hook(name) is not None:
        return None
    return f"no entry point of the group spiritsafe.summaries is called {name}: reasoning is withheld without a summary"


class Summary:
    """One stream's changes with an operator's summary. Anthropic's blocks have none: their text is signed."""

    def __init__(self, hook: Callable[[str], object]) -> None:
        self._hook = cache(hook)  # an item's text comes with the item, and again with the whole response
        self._thoughts: dict[int, Thoughts] = {}

    def __call__(
        self, dialect_id: str, document: Document, order: Order, *, streamed: bool
    ) -> Document | None:
        """As ``answer``."""
        if dialect_id == "responses":
            return responses_event(document, self._hook)
        if dialect_id in {"chat", "completions"}:
            return with_summary(document, self._hook, self._thoughts)
        return answer(dialect_id, document, order, streamed=streamed)


@cache
def _hook(name: object) -> Callable[[str], object] | None:
    # A summary that cannot be had is none: reasoning stays withheld.
    for point in entry_points(group="spiritsafe.summaries", name=name) if isinstance(name, str) else ():
        return point.load()
    return None
