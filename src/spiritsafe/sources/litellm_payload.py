"""LiteLLM's standard logging payload as JSON Lines, one object for each call of the proxy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spiritsafe.schema import NAMES
from spiritsafe.sources._bodies import broken, columns, instant, unpacked

if TYPE_CHECKING:
    from spiritsafe.sources._sample import Sample

_ENVELOPE = json.dumps(
    {
        **dict.fromkeys(
            (
                "id", "trace_id", "call_type", "startTime", "model", "model_group", "end_user",
                "requester_ip_address", "status", "prompt_tokens", "completion_tokens", "error_str",
            ),
            "VARCHAR",
        ),
        **dict.fromkeys(("messages", "response", "model_parameters", "standard_logging_object"), "JSON"),
        "error_information": {"error_code": "VARCHAR"},
        "metadata": dict.fromkeys(
            (
                "user_api_key_hash", "user_api_key_user_id", "user_api_key_team_id", "user_api_key_org_id",
                "user_api_key_end_user_id", "requester_ip_address", "user_agent",
            ),
            "VARCHAR",
        ),
    }
)  # fmt: skip

EXAMPLES: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    (
        {
            "id": "chatcmpl-7",
            "trace_id": "s1",
            "call_type": "acompletion",
            "status": "success",
            "startTime": 1772366400.25,
            "endTime": 1772366401.0,
            "model": "m-large",
            "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}],
            "response": {
                "id": "chatcmpl-7",
                "choices": [{"message": {"content": "Hello", "role": "assistant"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 1},
            },
            "model_parameters": {"temperature": 0.0, "max_tokens": 5, "tools": [{"function": {"name": "f"}}]},
            "prompt_tokens": 3,
            "completion_tokens": 1,
            "end_user": "eu",
            "requester_ip_address": "192.0.2.1",
            "metadata": {
                "user_api_key_hash": "k1",
                "user_api_key_user_id": "u1",
                "user_api_key_team_id": "t1",
                "user_api_key_org_id": "o1",
            },
        },
        {
            "time": 1772366400250000, "exchange_id": "chatcmpl-7", "account_id": "u1", "organization_id": "o1",
            "api_key_id": "k1", "session_id": "s1", "end_user_id": "eu", "client_ip": "192.0.2.1", "model": "m-large",
            "operation": "chat", "system": "S", "prompt": "Hi", "turns": 2, "tools": ["f"], "temperature": 0.0,
            "max_tokens": 5, "response": "Hello", "input_tokens": 3, "output_tokens": 1, "status": 200,
            "finish_reason": "stop",
        },
    ),
    (
        {
            "id": "x-2", "call_type": "completion", "status": "failure", "startTime": 1772366400.0, "model": "m",
            "messages": "just text", "response": None, "model_parameters": {}, "error_str": "busy",
            "error_information": {"error_code": "429"}, "metadata": {"user_api_key_hash": "k2"},
        },
        {
            "time": 1772366400000000, "exchange_id": "x-2", "account_id": "k2", "api_key_id": "k2", "model": "m",
            "operation": "chat", "prompt": "just text", "turns": 1, "status": 429,
        },
    ),
)  # fmt: skip


def recognises(sample: Sample) -> bool:
    """The payload itself, or objects that hold it under ``standard_logging_object``."""
    return sample.has("call_type", "startTime", "metadata") or sample.has("standard_logging_object")


def litellm_payload(relation: str) -> str:
    """Who pays is the account: user of the key, else its team, else the key."""
    first = f"SELECT file, line, raw, TRY(from_json(raw, '{_ENVELOPE}')) AS e0 FROM {relation}"
    envelope = (
        "SELECT file, line, raw, CASE WHEN e0.standard_logging_object IS NOT NULL "
        f"THEN TRY(from_json(e0.standard_logging_object, '{_ENVELOPE}')) ELSE e0 END AS e FROM ({first})"
    )
    inner = f"""SELECT file, line, raw, e, e.model_parameters AS request, e.response AS answer,
      CASE WHEN left(e.messages, 1) = '{{' THEN e.messages -> '$.messages' ELSE e.messages END AS asked FROM ({envelope})"""
    body = columns()
    outputs = {
        **{name: body.get(name, "NULL") for name in NAMES},
        "time": instant("e.startTime"),
        "exchange_id": f"coalesce(e.id, {body['exchange_id']})",
        "account_id": "coalesce(nullif(e.metadata.user_api_key_user_id, ''), nullif(e.metadata.user_api_key_team_id, ''), "
        "nullif(e.metadata.user_api_key_hash, ''))",
        "organization_id": "coalesce(nullif(e.metadata.user_api_key_org_id, ''), "
        "nullif(e.metadata.user_api_key_team_id, ''))",
        "api_key_id": "nullif(e.metadata.user_api_key_hash, '')",
        "session_id": "e.trace_id",
        "end_user_id": "coalesce(nullif(e.end_user, ''), nullif(e.metadata.user_api_key_end_user_id, ''), q.user)",
        "client_ip": "coalesce(nullif(e.requester_ip_address, ''), nullif(e.metadata.requester_ip_address, ''))",
        "user_agent": "e.metadata.user_agent",
        "model": "coalesce(e.model, e.model_group)",
        "operation": "CASE WHEN e.call_type LIKE '%response%' THEN 'responses' WHEN e.call_type LIKE '%anthropic%' "
        "THEN 'messages' WHEN e.call_type LIKE '%text_completion%' THEN 'completion' ELSE 'chat' END",
        "input_tokens": f"coalesce(e.prompt_tokens, {body['input_tokens']})",
        "output_tokens": f"coalesce(e.completion_tokens, {body['output_tokens']})",
        "status": "CASE e.status WHEN 'success' THEN 200 ELSE TRY_CAST(e.error_information.error_code AS BIGINT) END",
    }
    listed = ",\n  ".join(f"{expression} AS {name}" for name, expression in outputs.items())
    return f"""SELECT file, line, {listed},
  CASE {broken("e")}
       WHEN e.call_type LIKE '%embedding%' OR e.call_type LIKE '%image%' OR e.call_type LIKE '%transcription%'
         OR e.call_type LIKE '%speech%' OR e.call_type LIKE '%rerank%' OR e.call_type LIKE '%moderation%'
         THEN 'not an exchange' END AS reason
FROM ({unpacked(inner)})"""
