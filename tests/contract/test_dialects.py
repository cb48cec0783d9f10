"""What a dialect reads from bodies is what the sources read from logs of the same bodies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.registry import extensions
from spiritsafe.responses import find
from spiritsafe.sources import read

if TYPE_CHECKING:
    from pathlib import Path

PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
    "messages": "/v1/messages",
    "count_tokens": "/v1/messages/count_tokens",
}
ASKED = (
    "model", "operation", "system", "prompt", "turns", "tools", "temperature", "top_p", "n", "max_tokens", "logprobs",
    "end_user_id",
)  # fmt: skip
TOLD = (
    "exchange_id", "response", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "finish_reason",
)  # fmt: skip
USER = {"role": "user", "content": "Hello"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "choices": [choice], **more}


def chat(message: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "c1", "object": "chat.completion", "choices": [{"index": 0, "message": message, **more}]}


OUTPUT = [
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "secret"}]},
    {"type": "message", "role": "assistant", "content": [
        {"type": "output_text", "text": "One"}, {"type": "output_text", "text": "Two"}]},
    {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "k"},
    {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
]  # fmt: skip
RESPONSE = {
    "id": "resp_9", "object": "response", "status": "completed", "output": OUTPUT,
    "usage": {"input_tokens": 3, "input_tokens_details": {"cached_tokens": 1}, "output_tokens": 4,
              "output_tokens_details": {"reasoning_tokens": 2}},
}  # fmt: skip
EVENTS = [
    {"type": "message_start", "message": {"id": "m1", "usage": {"input_tokens": 7, "cache_read_input_tokens": 3,
                                                               "output_tokens": 1}}},
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hel"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "lo"}},
    {"type": "content_block_stop", "index": 1},
    {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "name": "f", "input": {}}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "content_block_stop", "index": 2},
    {"type": "content_block_start", "index": 3, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 3, "delta": {"type": "text_delta", "text": "again"}},
    {"type": "content_block_stop", "index": 3},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {
        "input_tokens": 9, "output_tokens": 8, "output_tokens_details": {"thinking_tokens": 5}}},
    {"type": "message_stop"},
]  # fmt: skip
MESSAGE = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "usage": {"input_tokens": 9, "output_tokens": 8},
}
#: Dialect, request, and the answer: a document, or the list of a stream's events.
CASES: list[tuple[str, dict[str, Any], Any]] = [
    ("chat", {"model": "m", "messages": [USER], "n": 2}, [
        chunk({"role": "assistant", "content": ""}), chunk({"content": "He"}), chunk({"content": "other"}, index=1),
        chunk({"content": "llo"}), chunk({}, "length", 1), chunk({}, "stop"),
        {"id": "c1", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 9}}]),
    ("chat", {"model": "m", "messages": [USER]}, [chunk({"role": "assistant", "refusal": "I can"}),
                                                 chunk({"refusal": "not."}), chunk({}, "stop")]),
    ("chat", {"model": "m", "messages": [USER]}, [chunk({"content": "a"}, usage={"completion_tokens": 1}),
                                                 chunk({"content": "b"}, "stop", usage={"completion_tokens": 2})]),
    ("chat", {"model": "m", "messages": [USER]}, [chunk({"tool_calls": [{"index": 0}]}), chunk({}, "tool_calls")]),
    ("chat", {"model": "m", "messages": [{"role": "developer", "content": "Be"}, USER, {"role": "system", "content": "kind"},
      {"role": "user", "content": [IMAGE]}]}, chat({"content": None, "refusal": "No"}, finish_reason="stop")),
    ("chat", {"model": "m", "messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
      {"role": "tool", "tool_call_id": "1", "content": "rain"}], "functions": [{"name": "f"}], "logprobs": False},
     chat({"content": None, "tool_calls": []}, finish_reason="tool_calls")),
    ("chat", {"model": "m", "messages": [{"role": "tool", "content": "rain"}], "max_tokens": 5, "stream": True},
     chat({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]})),
    ("chat", {"model": "m", "messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}],
              "temperature": 1, "top_p": 0.5, "safety_identifier": "s", "user": "u", "tools": []}, chat({"content": ""})),
    ("chat", {"model": "m", "messages": []}, {"error": {"message": "empty"}}),
    ("completions", {"model": "m", "prompt": "Once", "logprobs": 3, "max_tokens": 7},
     {"id": "x", "choices": [{"index": 0, "text": "upon", "finish_reason": "length"}]}),
    ("completions", {"model": "m", "prompt": ["One", "Two"], "logprobs": 0}, [
        {"id": "x", "choices": [{"index": 0, "text": "a"}]}, {"id": "x", "choices": [{"index": 1, "text": "b"}]},
        {"id": "x", "choices": [{"index": 0, "text": "c", "finish_reason": "stop"}]}]),
    ("responses", {"model": "m", "input": "Hello", "instructions": "Be brief.", "top_logprobs": 2}, RESPONSE),
    ("responses", {"model": "m", "input": [{"role": "developer", "content": "Dev."}, {"role": "user", "content": [
        {"type": "input_text", "text": "See"}, {"type": "input_image", "image_url": "x"}]}, {"type": "function_call",
        "name": "f", "arguments": "{}"}, {"type": "function_call_output", "output": "4"}], "instructions": "Ins.",
        "include": ["message.output_text.logprobs"], "tools": [{"type": "web_search"}, {"type": "function", "name": "f"}]},
     [{"type": "response.created", "response": {"id": "resp_9", "status": "in_progress", "output": []}},
      {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "On"},
      {"type": "response.completed", "response": RESPONSE}]),
    ("responses", {"model": "m", "input": "Hi"}, [{"type": "response.created", "response": {"id": "r"}}, {
        "type": "response.incomplete", "response": {"id": "r", "status": "incomplete", "output": [],
                                                    "incomplete_details": {"reason": "max_output_tokens"}}}]),
    ("responses", {"model": "m", "input": "Hi"}, [{"type": "response.failed", "response": {
        "id": "r", "status": "failed", "error": {"code": "server_error"}, "output": []}}]),
    ("messages", {"model": "claude", "max_tokens": 5, "messages": [USER], "system": "S", "metadata": {"user_id": "u"}}, EVENTS),
    ("messages", {"model": "claude", "messages": [USER, {"role": "user", "content": [{"type": "tool_result", "content": [
        {"type": "text", "text": "in"}]}, {"type": "text", "text": "out"}]}], "top_p": 0.9, "top_k": 5},
     MESSAGE | {"stop_reason": "refusal", "content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "t"},
                                                      {"type": "text", "text": "b"}]}),
    ("messages", {"model": "claude", "messages": [USER]}, MESSAGE | {"stop_reason": "tool_use", "content": [
        {"type": "tool_use", "name": "f", "input": {}}]}),
    ("messages", {"model": "claude", "messages": [USER]}, {"type": "error", "error": {"type": "overloaded_error"}}),
]  # fmt: skip


def told(dialect: str, answer: Any) -> dict[str, Any]:
    tally = _dialect(dialect).tally()
    for document in answer if isinstance(answer, list) else [answer]:
        tally.add(document)
    return tally.record()


def _dialect(name: str) -> Any:
    found = find("POST", PATHS[name])
    assert found is not None
    assert found.id == name
    return found


def _from_sources() -> list[tuple[str, dict[str, Any], Any]]:
    found: list[tuple[str, dict[str, Any], Any]] = []
    for source in ("openai_pairs", "anthropic_pairs"):
        for record, _ in extensions("sources")[source].module.EXAMPLES:
            request = record.get("request", record.get("body"))
            name = (
                "messages" if source == "anthropic_pairs" else "responses" if "input" in request else "chat"
            )
            found.append((name, request, record["response"].get("body", record["response"])))
    return found


@pytest.mark.parametrize("source", ["openai_pairs", "anthropic_pairs"])
def test_a_dialect_reads_what_the_source_reads(source: str, tmp_path: Path):
    cases = [
        case for case in _from_sources() + CASES if (case[0] == "messages") == (source == "anthropic_pairs")
    ]
    lines = [
        json.dumps({"time": 1772366400000 + n, "account_id": "a", "request": request, "response": answer})
        for n, (_, request, answer) in enumerate(cases)
    ]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    with DuckDB(tmp_path, memory="1GB", threads=1) as engine:
        reading = read([path], engine=engine, rejects=tmp_path / "rejected.jsonl", format=source)
        rows = {row["source_line"]: row for batch in reading for row in batch.to_pylist()}
    for line, (name, request, answer) in enumerate(cases, 1):
        asked = _dialect(name).asked(request)
        if line not in rows:  # a request without a prompt is no exchange
            assert asked.prompt is None
            continue
        row = rows[line]
        assert {key: getattr(asked, key) for key in ASKED} == {key: row[key] for key in ASKED}, (
            name,
            request,
        )
        expected = {key: row[key] for key in TOLD}
        got = told(name, answer)
        if got["exchange_id"] is None:  # the source makes one up
            expected["exchange_id"] = None
        assert got == expected, (name, answer)
        assert asked.stream is (request.get("stream") is True)


def test_a_stream_that_was_cut_tells_what_came():
    events = [
        {"type": "response.created", "response": {"id": "r", "status": "in_progress", "output": []}},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "On"},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "e"},
        {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "Two"},
    ]
    assert told("responses", events)["response"] == "One\nTwo"
    assert told("messages", EVENTS[:8])["response"] == "Hel"
    assert (
        told("embeddings", {"data": [], "usage": {"prompt_tokens": 3, "total_tokens": 3}})["input_tokens"]
        == 3
    )
    assert told("count_tokens", {"input_tokens": 9})["input_tokens"] == 9


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"), ("post", "/v1/messages"), ("POST", "/v1/Messages"), ("POST", "/v1//messages"),
        ("POST", "//v1/messages"), ("POST", "/v1/messages//"), ("POST", "/v1/%6dessages"), ("POST", "/v1/x/../messages"),
        ("POST", "/v1/messages?x"), ("POST", "/v1/messages\n"), ("POST", "v1/messages"), ("POST", ""), ("POST", "/"),
        ("GET", "/v1/responses"), ("GET", "/v1/responses/.."), ("GET", "/v1/responses/../files"),
        ("GET", "/v1/responses/a/b"), ("GET", "/v1/responses/a%2Fb"), ("POST", "/v1/responses/a"), ("GET", "/v1/responses/a\n"),
        ("POST", "/v1/chat/completions;x"), ("POST", "/v1/chat\\completions"), ("DELETE", "/v1/responses/a/cancel"),
    ],
)  # fmt: skip
def test_what_is_not_exactly_a_known_path_is_none(method: str, path: str):
    assert find(method, path) is None


def test_paths_are_found():
    for name, path in PATHS.items():
        for found in (find("POST", path), find("POST", path + "/"), find("POST", "/base" + path, "/base/")):
            assert found is not None
            assert found.id == name
        assert find("POST", "/other" + path, "/base") is None
    for method, path in (
        ("GET", "resp_1"),
        ("DELETE", "resp_1/"),
        ("POST", "r.-~/cancel"),
        ("GET", "r/input_items"),
    ):
        found = find(method, "/v1/responses/" + path)
        assert found is not None
        assert (found.id, found.makes) == ("responses", False)


KEYS = [
    "model",
    "messages",
    "input",
    "prompt",
    "system",
    "role",
    "content",
    "type",
    "text",
    "refusal",
    "tools",
    "function",
    "name",
    "functions",
    "n",
    "stop",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "logprobs",
    "top_logprobs",
    "include",
    "metadata",
    "user_id",
    "user",
    "instructions",
    "temperature",
    "top_p",
    "stream",
    "choices",
    "message",
    "delta",
    "index",
    "usage",
    "prompt_tokens",
    "prompt_tokens_details",
    "cached_tokens",
    "id",
    "output",
    "response",
    "status",
    "incomplete_details",
    "reason",
    "content_block",
    "stop_reason",
    "thinking",
    "budget_tokens",
    "reasoning",
    "summary",
    "encrypted_content",
    "item",
    "part",
    "reasoning_content",
    "provider_specific_fields",
    "vllm_xargs",
    "min_tokens",
    "finish_reason",
    "error",
]
WORDS = [
    "user",
    "system",
    "text",
    "message",
    "message_start",
    "message_delta",
    "content_block_start",
    "content_block_delta",
    "response.completed",
    "response.output_text.delta",
    "thinking",
    "reasoning",
    "thinking_delta",
    "enabled",
    "1e999",
    "-1",
    "�",
    "5",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=25,
)


@given(JSON, JSON)
@settings(max_examples=400, deadline=None)
def test_any_json_is_read(body: Any, more: Any):
    before = repr(body)
    for name in PATHS:
        asked = _dialect(name).asked(body)
        assert asked.model is None or isinstance(asked.model, str)
        assert asked.prompt is None or isinstance(asked.prompt, str)
        assert asked.n is None or type(asked.n) is int
        assert asked.logprobs in (None, True, False)
        tally = _dialect(name).tally()
        for document in (body, more):
            tally.add(document)
            tally.add(document, "message_delta")
        record = tally.record()
        assert record["response"] is None or isinstance(record["response"], str)
        assert record["finish_reason"] is None or isinstance(record["finish_reason"], str)
        assert all(
            record[key] is None or type(record[key]) is int for key in record if key.endswith("tokens")
        )
    assert repr(body) == before
