"""The shapes in which the same exchange may be logged, beyond each source's own examples."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NANO = "1772366400000000000"
TIME = 1772366400000000


def attributes(**values: Any) -> list[dict[str, Any]]:
    return [{"key": key.replace("__", "."), "value": {"stringValue": value}} for key, value in values.items()]


def spans(*items: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(items)}]}]}


def logs(*items: dict[str, Any]) -> dict[str, Any]:
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": list(items)}]}]}


def call(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "traceId": f"t{number}", "spanId": f"s{number}", "startTimeUnixNano": NANO,
        "attributes": attributes(gen_ai__operation__name="chat", user__id="a1"), **more,
    }  # fmt: skip


def body(**fields: Any) -> dict[str, Any]:
    """An OTLP log body: a key-value list, one level of nesting."""
    return {
        "kvlistValue": {
            "values": [
                {"key": key, "value": body(**value) if isinstance(value, dict) else {"stringValue": value}}
                for key, value in fields.items()
            ]
        }
    }


def test_log_records_are_joined_to_their_span_over_lines(take: Callable[..., Any], log: Callable[..., Path]):
    def said(number: int, name: str, moment: int, **fields: Any) -> dict[str, Any]:
        return {
            "traceId": f"t{number}", "spanId": f"s{number}", "timeUnixNano": str(moment), "eventName": name,
            "body": body(**fields),
        }  # fmt: skip

    path = log(
        "o.jsonl",
        logs(
            said(2, "gen_ai.user.message", 5, content="Second"),
            said(1, "gen_ai.user.message", 2, content="First"),
            said(1, "gen_ai.system.message", 1, content="Sys"),
        ),
        spans(call(1), call(2)),
        logs(
            said(
                1, "gen_ai.choice", 9, finish_reason="stop", message={"role": "assistant", "content": "Told"}
            )
        ),
    )
    first, second = take(path).rows
    assert (first["prompt"], first["system"], first["response"], first["finish_reason"]) == (
        "First",
        "Sys",
        "Told",
        "stop",
    )
    assert (second["prompt"], second["source_line"]) == ("Second", 2)
    assert "response" not in second

    lost = said(7, "gen_ai.user.message", int(NANO), content="No span")
    result = take(log("p.jsonl", logs(lost, {**lost, "spanId": ""}, {"body": {"stringValue": "ready"}})))
    assert [item["reason"] for item in result.rejects] == [
        "account_id is missing",
        "a message event without a span id",
    ]
    assert (result.rows, result.scanned["other"]) == ([], 1)


def test_a_details_event_fills_its_span_or_stands_alone(take: Callable[..., Any], log: Callable[..., Path]):
    def details(number: int, **more: str) -> dict[str, Any]:
        asked = '[{"role": "user", "parts": [{"type": "text", "content": "Asked"}]}]'
        return {
            "traceId": f"t{number}", "spanId": f"s{number}", "timeUnixNano": NANO,
            "attributes": attributes(event__name="gen_ai.client.inference.operation.details",
                                     gen_ai__input__messages=asked, gen_ai__request__model="m", **more),
        }  # fmt: skip

    alone = {"user__id": "a2", "gen_ai__operation__name": "chat"}
    loose = {**details(4, **alone), "traceId": "", "spanId": ""}
    path = log("o.jsonl", spans(call(1)), logs(details(1), details(3, **alone), loose, dict(loose)))
    rows = take(path).rows
    assert [(row["account_id"], row["prompt"], row["model"]) for row in rows] == [
        ("a1", "Asked", "m"), ("a2", "Asked", "m"), ("a2", "Asked", "m"), ("a2", "Asked", "m"),
    ]  # fmt: skip


def test_structured_messages_resource_account_and_other_spans(
    take: Callable[..., Any], log: Callable[..., Path]
):
    def text(value: str) -> dict[str, Any]:
        return {"stringValue": value}

    part = {
        "kvlistValue": {
            "values": [{"key": "type", "value": text("text")}, {"key": "content", "value": text("Hi \u4f60")}]
        }
    }
    message = {"kvlistValue": {"values": [
        {"key": "role", "value": text("user")}, {"key": "parts", "value": {"arrayValue": {"values": [part]}}},
    ]}}  # fmt: skip
    item = call(1, attributes=[
        *attributes(gen_ai__operation__name="chat", spiritsafe__payment_id="p1"),
        {"key": "gen_ai.input.messages", "value": {"arrayValue": {"values": [message]}}},
    ])  # fmt: skip
    other = call(2, attributes=attributes(http__method="GET"))
    tool = call(3, attributes=attributes(gen_ai__operation__name="execute_tool"))
    whole = spans(item, other, tool)
    whole["resourceSpans"][0]["resource"] = {"attributes": attributes(user__id="from-resource")}
    path = log("o.json")
    path.write_text(json.dumps(whole, indent=1))
    result = take(path, log("p.jsonl", {"resourceMetrics": []}, "junk", spans(call(9))), format="otlp_json")
    row = result.rows[0]
    assert (row["prompt"], row["account_id"], row["payment_id"], row["turns"]) == (
        "Hi \u4f60",
        "from-resource",
        "p1",
        1,
    )
    assert (result.scanned["other"], result.scanned["rejected"], result.scanned["accepted"]) == (3, 2, 1)
    assert [item["reason"] for item in result.rejects] == ["not a JSON object", "prompt is missing"]


@pytest.mark.parametrize("wrap", ["plain", "body", "text", "text body"])
def test_bodies_may_be_wrapped_or_written_as_text(
    wrap: str, take: Callable[..., Any], log: Callable[..., Path]
):
    request: Any = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "user": "u1"}
    answer: Any = {"id": "r1", "object": "chat.completion", "choices": [{"message": {"content": "Ho"}}]}
    if "text" in wrap:
        request, answer = json.dumps(request), json.dumps(answer)
    if "body" in wrap:
        request, answer = {"body": request, "url": "/v1"}, {"body": answer, "status_code": 200}
    path = log("o.jsonl", {"timestamp": 1772366400, "request": request, "response": answer})
    result = take(path)
    assert set(result.scanned["formats"].values()) == {"openai_pairs"}
    row = result.rows[0]
    assert (row["prompt"], row["response"], row["account_id"], row["end_user_id"], row["time"]) == (
        "Hi",
        "Ho",
        "u1",
        "u1",
        TIME,
    )
    assert row.get("status") == (200 if "body" in wrap else None)


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_clocks_of_pairs_may_count_in_any_unit(unit: int, take: Callable[..., Any], log: Callable[..., Path]):
    path = log(
        "o.jsonl", {"time": 1772366400 * unit, "account_id": "a", "request": {"model": "m", "input": "Hi"}}
    )
    assert take(path).rows[0]["time"] == TIME


def test_pairs_without_a_message_or_request_are_set_aside(take: Callable[..., Any], log: Callable[..., Path]):
    def pair(request: Any) -> dict[str, Any]:
        return {"time": 1772366400, "account_id": "a", "request": request, "response": None}

    tool_only = [{"role": "user", "content": [{"type": "image_url"}]}]
    path = log(
        "o.jsonl", pair({"messages": [{"role": "user", "content": "Hi"}]}), pair({"messages": tool_only}),
        pair({"messages": []}), pair(None), pair("no json"), pair({"prompt": ["one", "two"]}),
        pair({"messages": [{"role": "system", "content": "S"}, {"role": "tool", "content": "T"}]}),
    )  # fmt: skip
    result = take(path)
    assert [row["prompt"] for row in result.rows] == ["Hi", "", "one\ntwo", "T"]
    assert [(item["line"], item["reason"].partition(" ")[0]) for item in result.rejects] == [
        (3, "prompt"),
        (4, "the"),
        (5, "the"),
    ]


def test_reasoning_handed_back_has_the_hash_it_was_issued_with(
    take: Callable[..., Any], log: Callable[..., Path]
):
    def turn(messages: list[dict[str, Any]], content: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "time": 1772366400, "account_id": "a",
            "request": {"model": "claude-x", "max_tokens": 9, "messages": messages},
            "response": {"type": "message", "content": content},
        }  # fmt: skip

    ask = {"role": "user", "content": "Hi"}
    told = [{"type": "thinking", "thinking": "…", "signature": "sig-1"}, {"type": "text", "text": "Ho"}]
    path = log(
        "o.jsonl", turn([ask], told), turn([ask, {"role": "assistant", "content": told}, ask], [told[1]])
    )
    first, second = take(path).rows
    assert first["reasoning_issued"] == second["reasoning_redeemed"] == hashlib.sha256(b"sig-1").hexdigest()
    assert "reasoning_redeemed" not in first
    assert "reasoning_issued" not in second
    assert first["response"] == "Ho"


@pytest.mark.parametrize(
    ("model", "request_body", "answer", "prompt", "response"),
    [
        ("meta.llama", {"prompt": "P", "max_gen_len": 9}, {"generation": "G", "stop_reason": "stop"}, "P", "G"),
        ("cohere.command-r", {"message": "P"}, {"text": "G", "finish_reason": "COMPLETE"}, "P", "G"),
        ("amazon.titan", {"inputText": "P"}, [{"outputText": "G"}, {"outputText": "H"}], "P", "GH"),
        ("mistral.m", {"prompt": "P"}, {"outputs": [{"text": "G", "stop_reason": "stop"}]}, "P", "G"),
        ("amazon.nova", {"messages": [{"role": "user", "content": [{"text": "P"}]}]},
         {"output": {"message": {"content": [{"text": "G"}]}}}, "P", "G"),
        ("anthropic.claude", {"prompt": "P"}, {"completion": "G"}, "P", "G"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("wrapped", [False, True])
def test_bedrock_bodies_of_many_models(
    model: str, request_body: Any, answer: Any, prompt: str, response: str, wrapped: bool,
    take: Callable[..., Any], log: Callable[..., Path],
):  # fmt: skip
    record: dict[str, Any] = {
        "schemaType": "ModelInvocationLog", "timestamp": "2026-03-01T12:00:00Z", "accountId": "1", "requestId": "r",
        "operation": "InvokeModel", "modelId": model, "input": {"inputBodyJson": request_body, "inputTokenCount": 3},
        "output": {"outputBodyJson": answer, "outputTokenCount": 4},
    }  # fmt: skip
    embed = {**record, "modelId": "amazon.titan-embed"}
    lines = [record, embed]
    if wrapped:
        lines = [{"timestamp": 1, "message": json.dumps(line)} for line in lines]
    result = take(log("b.jsonl", *lines))
    (row,) = result.rows
    assert (row["prompt"], row["response"], row["input_tokens"], row["output_tokens"]) == (
        prompt,
        response,
        3,
        4,
    )
    assert result.scanned["other"] == 1


def test_litellm_may_be_nested_and_embeddings_are_no_exchange(
    take: Callable[..., Any], log: Callable[..., Path]
):
    payload = {
        "id": "1", "call_type": "acompletion", "startTime": 1772366400.0, "status": "success", "model": "m",
        "messages": {"messages": [{"role": "user", "content": "Hi"}]}, "response": {"choices": [{"message": {"content": "Ho"}}]},
        "metadata": {"user_api_key_user_id": "", "user_api_key_team_id": "t"}, "model_parameters": {"stream": True},
    }  # fmt: skip
    path = log(
        "l.jsonl",
        payload,
        {"standard_logging_object": {**payload, "id": "2"}},
        {**payload, "call_type": "aembedding"},
    )
    result = take(path)
    assert [(row["exchange_id"], row["account_id"], row["prompt"], row["response"]) for row in result.rows] == [
        ("1", "t", "Hi", "Ho"), ("2", "t", "Hi", "Ho"),
    ]  # fmt: skip
    assert result.scanned["other"] == 1
