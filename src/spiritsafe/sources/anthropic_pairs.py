"""Anthropic-style request/answer pairs (messages) as JSON Lines."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from spiritsafe.sources._pairs import looks, pairs

if TYPE_CHECKING:
    from spiritsafe.sources._sample import Sample

EXAMPLES: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    (
        {
            "timestamp": 1772366400000,
            "account_id": "a1",
            "request": {
                "model": "claude-x",
                "max_tokens": 100,
                "system": [{"type": "text", "text": "Be kind."}, {"type": "text", "text": "Be brief."}],
                "messages": [
                    {"role": "user", "content": "Weather?"},
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "thinking", "thinking": "hm", "signature": "sig-old"},
                            {"type": "tool_use", "id": "t1", "name": "weather", "input": {}},
                        ],
                    },
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "rain"}]},
                ],
                "tools": [{"name": "weather", "input_schema": {}}],
                "metadata": {"user_id": "u1"},
            },
            "response": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "content": [
                    {"type": "redacted_thinking", "data": "opaque"},
                    {"type": "thinking", "thinking": "ah", "signature": "sig-new"},
                    {"type": "text", "text": "Rain."},
                ],
                "stop_reason": "end_turn",
                "usage": {"input_tokens": 12, "cache_read_input_tokens": 4, "output_tokens": 2},
            },
        },
        {
            "time": 1772366400000000, "exchange_id": "msg_1", "account_id": "a1", "end_user_id": "u1",
            "model": "claude-x", "operation": "messages", "system": "Be kind.\nBe brief.", "prompt": "Weather?",
            "turns": 3, "tools": ["weather"], "max_tokens": 100, "response": "Rain.",
            "reasoning_issued": hashlib.sha256(b"sig-new").hexdigest(),
            "reasoning_redeemed": hashlib.sha256(b"sig-old").hexdigest(),
            "input_tokens": 12, "cached_tokens": 4, "output_tokens": 2, "finish_reason": "end_turn",
        },
    ),
)  # fmt: skip


def recognises(sample: Sample) -> bool:
    """At least as many of the records that hold a request body are Anthropic's as OpenAI's."""
    openai, anthropic = looks(sample)
    return anthropic > 0 and anthropic >= openai


def anthropic_pairs(relation: str) -> str:
    """The last user message with text is the prompt. Thinking signatures and redacted thinking are hashed."""
    return pairs(relation, operation="'messages'")
