"""A refusal -> status, headers and body as the provider of that API would send them.

Errors are JSON even where a stream was asked for: providers refuse before a stream begins, and their clients read the
status. A refusal shaped as an answer is a stream where one was asked for.
"""

from __future__ import annotations

import json
from math import ceil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spiritsafe.responses._call import Refusal
    from spiritsafe.responses._shapes import Dialect, Document

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def refuse_body(
    dialect: Dialect | None, refusal: Refusal, *, streamed: bool
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of a refusal. ``dialect`` None (an unknown path) is answered as OpenAI would."""
    headers = [("x-spiritsafe-category", _header(refusal.category))]
    for name, value in (("reference", refusal.reference), ("contest", refusal.contest)):
        if value:
            headers.append((f"x-spiritsafe-{name}", _header(value)))
    if refusal.answer and dialect is not None and dialect.id in _ANSWERS:
        whole, events = _ANSWERS[dialect.id](refusal)
        if streamed:
            return (
                200,
                [("content-type", "text/event-stream"), ("cache-control", "no-store"), *headers],
                events,
            )
        return 200, [("content-type", "application/json"), *headers], _bytes(whole)
    if refusal.retry_after is not None:
        headers.append(("retry-after", str(max(1, ceil(refusal.retry_after)))))
    if refusal.status != 429:
        # Read by both official clients: trying again changes nothing.
        headers.append(("x-should-retry", "false"))
    status = refusal.status if not refusal.answer else 403
    body = _error(dialect, refusal, status)
    return status, [("content-type", "application/json"), *headers], _bytes(body)


def _error(dialect: Dialect | None, refusal: Refusal, status: int) -> Document:
    kind = _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    told = _told(refusal)
    if dialect is not None and dialect.provider == "anthropic":
        return {
            "type": "error",
            "error": {"type": kind, "message": refusal.message, **told},
            "request_id": None,
        }
    return {
        "error": {"message": refusal.message, "type": kind, "param": None, "code": refusal.category, **told}
    }


def _told(refusal: Refusal) -> Document:
    fields = {
        "category": refusal.category,
        "reason": refusal.reason,
        "reference": refusal.reference,
        "contest": refusal.contest,
        "verification": refusal.url,
        "retry_after": None if refusal.retry_after is None else max(1, ceil(refusal.retry_after)),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _chat(refusal: Refusal) -> tuple[Document, bytes]:
    base = {
        "id": f"refusal-{refusal.reference}",
        "created": 0,
        "model": "spiritsafe",
        "spiritsafe": _told(refusal),
    }
    message = {"role": "assistant", "content": None, "refusal": refusal.message}
    choice: Document = {"index": 0, "logprobs": None}
    whole = base | {
        "object": "chat.completion",
        "choices": [choice | {"message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }
    chunk = base | {"object": "chat.completion.chunk"}
    events = [
        chunk | {"choices": [choice | {"delta": message, "finish_reason": None}]},
        chunk | {"choices": [choice | {"delta": {}, "finish_reason": "stop"}]},
    ]
    return whole, b"".join(map(_event, events)) + b"data: [DONE]\n\n"


def _responses(refusal: Refusal) -> tuple[Document, bytes]:
    part = {"type": "refusal", "refusal": refusal.message}
    item = {"id": f"msg_{refusal.reference}", "type": "message", "role": "assistant"}
    done = item | {"status": "completed", "content": [part]}
    base: Document = {
        "id": f"resp_{refusal.reference}", "object": "response", "created_at": 0, "model": "spiritsafe", "error": None,
        "incomplete_details": None, "instructions": None, "metadata": {}, "tools": [], "tool_choice": "auto",
        "parallel_tool_calls": True, "temperature": None, "top_p": None, "spiritsafe": _told(refusal),
    }  # fmt: skip
    usage = {
        "input_tokens": 0, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 0,
    }  # fmt: skip
    whole = base | {"status": "completed", "output": [done], "usage": usage}
    begun = base | {"status": "in_progress", "output": [], "usage": None}
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    events: list[Document] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": item | {"status": "in_progress", "content": []}},
        {"type": "response.content_part.added", **at, "part": part | {"refusal": ""}},
        {"type": "response.refusal.delta", **at, "delta": refusal.message},
        {"type": "response.refusal.done", **at, "refusal": refusal.message},
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.completed", "response": whole},
    ]  # fmt: skip
    numbered = [event | {"sequence_number": number} for number, event in enumerate(events)]
    return whole, b"".join(map(_named, numbered))


def _messages(refusal: Refusal) -> tuple[Document, bytes]:
    # stop_details.category is a closed list of Anthropic's: ours stands beside it.
    details = {"type": "refusal", "category": None, "explanation": refusal.message}
    end = {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}
    base: Document = {
        "id": f"msg_{refusal.reference}", "type": "message", "role": "assistant", "model": "spiritsafe",
        "usage": {"input_tokens": 0, "output_tokens": 0}, "spiritsafe": _told(refusal),
    }  # fmt: skip
    text = {"type": "text", "text": refusal.message}
    events: list[Document] = [
        {
            "type": "message_start",
            "message": base | {"content": [], "stop_reason": None, "stop_sequence": None},
        },
        {"type": "content_block_start", "index": 0, "content_block": text | {"text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": refusal.message}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 0}},
        {"type": "message_stop"},
    ]
    return base | end | {"content": [text]}, b"".join(map(_named, events))


_ANSWERS = {"chat": _chat, "responses": _responses, "messages": _messages}


def _bytes(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _event(document: Document) -> bytes:
    return b"data: " + _bytes(document) + b"\n\n"


def _named(document: Document) -> bytes:
    return f"event: {document['type']}\n".encode() + _event(document)


def _header(value: str) -> str:
    """``value`` as one header: no line ends, nothing but printable ASCII."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in value)
