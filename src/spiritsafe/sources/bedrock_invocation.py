"""Amazon Bedrock model invocation logs: JSON Lines as delivered to S3, or exported from CloudWatch."""

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
                "timestamp",
                "accountId",
                "requestId",
                "operation",
                "modelId",
                "errorCode",
                "schemaType",
                "message",
            ),
            "VARCHAR",
        ),
        "identity": {"arn": "VARCHAR"},
        "input": {
            "inputBodyJson": "JSON",
            "inputTokenCount": "VARCHAR",
            "cacheReadInputTokenCount": "VARCHAR",
        },
        "output": {"outputBodyJson": "JSON", "outputTokenCount": "VARCHAR"},
    }
)

EXAMPLES: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    (
        {
            "schemaType": "ModelInvocationLog",
            "schemaVersion": "1.0",
            "timestamp": "2026-03-01T12:00:00Z",
            "accountId": "111122223333",
            "identity": {"arn": "arn:aws:sts::111122223333:assumed-role/app/session-1"},
            "region": "us-east-1",
            "requestId": "r-1",
            "operation": "Converse",
            "modelId": "m.large-v1:0",
            "input": {
                "inputContentType": "application/json",
                "inputBodyJson": {
                    "system": [{"text": "Be brief."}],
                    "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
                    "inferenceConfig": {"maxTokens": 10, "temperature": 0.5, "topP": 0.9},
                    "toolConfig": {"tools": [{"toolSpec": {"name": "clock"}}]},
                },
                "inputTokenCount": 4,
            },
            "output": {
                "outputContentType": "application/json",
                "outputBodyJson": {
                    "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
                    "stopReason": "end_turn",
                    "usage": {"inputTokens": 4, "outputTokens": 1},
                },
                "outputTokenCount": 1,
            },
        },
        {
            "time": 1772366400000000, "exchange_id": "r-1", "organization_id": "111122223333",
            "account_id": "arn:aws:sts::111122223333:assumed-role/app/session-1", "model": "m.large-v1:0",
            "operation": "chat", "system": "Be brief.", "prompt": "Hi", "turns": 1, "tools": ["clock"],
            "temperature": 0.5, "top_p": 0.9, "max_tokens": 10, "response": "Hello", "input_tokens": 4,
            "output_tokens": 1, "status": 200, "finish_reason": "end_turn",
        },
    ),
    (
        {
            "schemaType": "ModelInvocationLog", "timestamp": "2026-03-01T12:00:00Z", "accountId": "111122223333",
            "requestId": "r-2", "operation": "InvokeModelWithResponseStream", "modelId": "anthropic.claude-x",
            "input": {
                "inputBodyJson": {
                    "anthropic_version": "bedrock-2023-05-31",
                    "max_tokens": 9,
                    "messages": [{"role": "user", "content": "Hi"}],
                }
            },
            "output": {
                "outputBodyJson": [
                    {"type": "message_start", "message": {"id": "msg_9", "usage": {"input_tokens": 3}}},
                    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hel"}},
                    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "lo"}},
                    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
                ]
            },
        },
        {
            "time": 1772366400000000, "exchange_id": "r-2", "account_id": "111122223333",
            "organization_id": "111122223333", "model": "anthropic.claude-x", "operation": "messages", "prompt": "Hi",
            "turns": 1, "max_tokens": 9, "response": "Hello", "input_tokens": 3, "output_tokens": 2, "status": 200,
            "finish_reason": "end_turn",
        },
    ),
    (
        {
            "schemaType": "ModelInvocationLog", "timestamp": "2026-03-01T12:00:00Z", "accountId": "1", "requestId": "r-3",
            "operation": "InvokeModel", "modelId": "amazon.titan-text", "errorCode": "ThrottlingException",
            "input": {"inputBodyJson": {"inputText": "Say hi", "textGenerationConfig": {"maxTokenCount": 7}}},
        },
        {
            "time": 1772366400000000, "exchange_id": "r-3", "account_id": "1", "organization_id": "1",
            "model": "amazon.titan-text", "operation": "completion", "prompt": "Say hi", "turns": 1, "max_tokens": 7,
            "status": 429,
        },
    ),
)  # fmt: skip


def recognises(sample: Sample) -> bool:
    """``schemaType`` says so, in the record or in the ``message`` that CloudWatch wraps around it."""
    wrapped = any("ModelInvocationLog" in str(record.get("message", "")) for record in sample.records)
    return wrapped or any(record.get("schemaType") == "ModelInvocationLog" for record in sample.records)


def bedrock_invocation(relation: str) -> str:
    """The caller's identity (ARN) is the account, the AWS account the organization."""
    first = f"SELECT file, line, raw, TRY(from_json(raw, '{_ENVELOPE}')) AS e0 FROM {relation}"
    envelope = (
        "SELECT file, line, raw, CASE WHEN e0.schemaType IS NULL AND e0.message IS NOT NULL "
        f"THEN TRY(from_json(e0.message, '{_ENVELOPE}')) ELSE e0 END AS e FROM ({first})"
    )
    inner = f"""SELECT file, line, raw, e, e.input.inputBodyJson AS request, e.output.outputBodyJson AS answer,
      CAST(NULL AS JSON) AS asked FROM ({envelope})"""
    body = columns()
    outputs = {
        **{name: body.get(name, "NULL") for name in NAMES},
        "time": instant("e.timestamp"),
        "exchange_id": "e.requestId",
        "account_id": "coalesce(nullif(e.identity.arn, ''), e.accountId)",
        "organization_id": "e.accountId",
        "model": "coalesce(e.modelId, q.model)",
        "operation": "CASE WHEN e.operation LIKE 'Converse%' THEN 'chat' WHEN q.messages IS NOT NULL "
        "AND e.modelId LIKE '%anthropic%' THEN 'messages' WHEN q.messages IS NOT NULL THEN 'chat' ELSE 'completion' END",
        "input_tokens": f"coalesce({body['input_tokens']}, e.input.inputTokenCount)",
        "cached_tokens": f"coalesce({body['cached_tokens']}, e.input.cacheReadInputTokenCount)",
        "output_tokens": f"coalesce({body['output_tokens']}, e.output.outputTokenCount)",
        "status": "CASE WHEN e.errorCode IS NULL THEN 200 WHEN e.errorCode LIKE '%Throttl%' THEN 429 "
        "WHEN e.errorCode LIKE '%AccessDenied%' THEN 403 WHEN e.errorCode LIKE '%Validation%' THEN 400 ELSE 500 END",
    }
    listed = ",\n  ".join(f"{expression} AS {name}" for name, expression in outputs.items())
    return f"""SELECT file, line, {listed},
  CASE {broken("e")}
       WHEN e.schemaType <> 'ModelInvocationLog' OR e.modelId LIKE '%embed%' THEN 'not an exchange'
       WHEN q IS NULL THEN 'the request body is not in the log (delivered apart, or not JSON)' END AS reason
FROM ({unpacked(inner)})"""
