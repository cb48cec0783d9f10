"""Rung 3: no log probabilities, no bias on tokens, one answer a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spiritsafe.responses._responses import LOGPROBS

if TYPE_CHECKING:
    from spiritsafe.model import Order
    from spiritsafe.responses._call import Call
    from spiritsafe.responses._parameters import Parameter
    from spiritsafe.responses._shapes import Document

RUNG = 3
PARAMETERS: dict[str, Parameter] = {}
# best_of and prompt_logprobs (vLLM) give the same by other names.
_ASKED = ("logprobs", "top_logprobs", "logit_bias", "best_of", "prompt_logprobs")
_TOLD = {"logprobs", "top_logprobs", "prompt_logprobs"}
_DIALECTS = {"chat", "completions", "responses"}
_MESSAGES = [{"role": "user", "content": "Hello"}]
_SAID = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
EXAMPLES: tuple[dict[str, Any], ...] = (
    {
        "dialect": "chat",
        "request": {
            "messages": _MESSAGES,
            "logprobs": True,
            "top_logprobs": 5,
            "logit_bias": {"50256": -100},
            "n": 8,
        },
        "becomes": {"messages": _MESSAGES, "n": 1},
    },
    {
        "dialect": "responses",
        "request": {
            "input": "Hello",
            "include": [LOGPROBS, "reasoning.encrypted_content"],
            "top_logprobs": 3,
        },
        "becomes": {"input": "Hello", "include": ["reasoning.encrypted_content"]},
    },
    {
        "dialect": "chat",
        "answer": {"choices": [{**_SAID, "logprobs": {"content": [{"token": "Hi", "logprob": -0.1}]}}]},
        "becomes": {"choices": [{**_SAID, "logprobs": None}]},
    },
    {
        "dialect": "responses",
        "stream": [{"type": "response.output_text.delta", "delta": "Hi", "logprobs": [{"token": "Hi"}]}],
        "becomes": [{"type": "response.output_text.delta", "delta": "Hi", "logprobs": []}],
    },
)


def strip_logprobs(call: Call, order: Order, *, now: int) -> Call:  # noqa: ARG001 - the same for every response
    """Takes log probabilities, ``logit_bias`` and further answers out of the request."""
    if call.dialect.id not in _DIALECTS:
        return call
    changed: dict[str, Any] = {name: ... for name in _ASKED if name in call.body}
    if call.body.get("n") is not None and call.body["n"] != 1:
        changed["n"] = 1
    include = call.body.get("include")
    if isinstance(include, list) and LOGPROBS in include:
        changed["include"] = [one for one in include if one != LOGPROBS]
    return call.with_body(**changed) if changed else call


def answer(dialect_id: str, document: Document, order: Order, *, streamed: bool) -> Document:  # noqa: ARG001
    """Empties the log probabilities that a server gives all the same."""
    if dialect_id not in _DIALECTS:
        return document
    if dialect_id == "responses":
        return _emptied(document, ("response", "part", "item", "output", "content"), [])
    return _emptied(document, ("choices",), None)


def _emptied(document: Document, inner: tuple[str, ...], empty: object) -> Document:
    changed: Document = {}
    for name, value in document.items():
        if name in _TOLD and (isinstance(value, dict) or (isinstance(value, list) and value)):
            changed[name] = empty
        elif name in inner:
            new = _inside(value, inner, empty)
            if new is not value:
                changed[name] = new
    return {**document, **changed} if changed else document


def _inside(value: Any, inner: tuple[str, ...], empty: object) -> Any:
    # Bodies nest at most: event, response, output, content. Deeper than the parser allows there is nothing.
    if isinstance(value, dict):
        return _emptied(value, inner, empty)
    if isinstance(value, list):
        new = [_inside(one, inner, empty) for one in value]
        return new if any(a is not b for a, b in zip(new, value, strict=True)) else value
    return value
