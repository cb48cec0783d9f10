"""OpenAI-style request/answer pairs as JSON Lines: chat completions, completions, responses; batch files too."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from spiritsafe.sources._pairs import looks, pairs

if TYPE_CHECKING:
    from spiritsafe.sources._sample import Sample


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


EXAMPLES: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    (
        {
            "time": "2026-03-01T12:00:00Z",
            "account_id": "a1",
            "client_ip": "192.0.2.7",
            "request": {
                "model": "m-large",
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "First"},
                    {"role": "assistant", "content": "Yes."},
                    {"role": "user", "content": [{"type": "text", "text": "Second"}, {"type": "image_url"}]},
                ],
                "tools": [{"type": "function", "function": {"name": "search"}}],
                "temperature": 0.2,
                "max_completion_tokens": 50,
                "logprobs": True,
                "n": 2,
                "user": "u9",
            },
            "response": {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "choices": [{"message": {"role": "assistant", "content": "Fine."}, "finish_reason": "stop"}],
                "usage": {
                    "prompt_tokens": 20,
                    "completion_tokens": 3,
                    "prompt_tokens_details": {"cached_tokens": 8},
                    "completion_tokens_details": {"reasoning_tokens": 1},
                },
            },
        },
        {
            "time": 1772366400000000, "exchange_id": "chatcmpl-1", "account_id": "a1", "client_ip": "192.0.2.7",
            "end_user_id": "u9", "model": "m-large", "operation": "chat", "system": "Be brief.", "prompt": "Second",
            "turns": 4, "tools": ["search"], "temperature": 0.2, "n": 2, "max_tokens": 50, "logprobs": True,
            "response": "Fine.", "input_tokens": 20, "cached_tokens": 8, "output_tokens": 3, "reasoning_tokens": 1,
            "finish_reason": "stop",
        },
    ),
    (
        {
            "account_id": "a1",
            "request": {
                "model": "m-reason",
                "instructions": "Think.",
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "Solve it"}]},
                    {"type": "reasoning", "encrypted_content": "gAAA-old", "summary": []},
                ],
                "max_output_tokens": 9,
            },
            "response": {
                "id": "resp_1",
                "object": "response",
                "created_at": 1772366400,
                "status": "completed",
                "output": [
                    {"type": "reasoning", "encrypted_content": "gAAA-new", "summary": []},
                    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "42"}]},
                ],
                "usage": {"input_tokens": 5, "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 6}},
            },
        },
        {
            "time": 1772366400000000, "exchange_id": "resp_1", "account_id": "a1", "model": "m-reason",
            "operation": "responses", "system": "Think.", "prompt": "Solve it", "turns": 2, "max_tokens": 9,
            "response": "42", "reasoning_issued": _sha("gAAA-new"), "reasoning_redeemed": _sha("gAAA-old"),
            "input_tokens": 5, "output_tokens": 7, "reasoning_tokens": 6, "finish_reason": "completed",
        },
    ),
    (
        {
            "custom_id": "row-1",
            "account_id": "a2",
            "created": 1772366400,
            "body": {"model": "m", "input": "Only text"},
            "response": {"status_code": 200, "request_id": "r1", "body": {"id": "resp_2", "output": []}},
        },
        {
            "time": 1772366400000000, "exchange_id": "resp_2", "account_id": "a2", "model": "m",
            "operation": "responses", "prompt": "Only text", "turns": 1, "response": "", "status": 200,
        },
    ),
)  # fmt: skip


def recognises(sample: Sample) -> bool:
    """Most records that hold a request body are OpenAI's."""
    openai, anthropic = looks(sample)
    return openai > anthropic


def openai_pairs(relation: str) -> str:
    """The last user message is the prompt. Encrypted reasoning is hashed (SHA-256); the last item counts."""
    operation = "CASE WHEN q.input IS NOT NULL THEN 'responses' WHEN q.messages IS NOT NULL THEN 'chat' ELSE 'completion' END"
    return pairs(relation, operation=operation)
