"""Request/answer pairs as gateways and proxies log them: an envelope a line around the two bodies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spiritsafe.schema import NAMES
from spiritsafe.sources._bodies import broken, columns, instant, unpacked

if TYPE_CHECKING:
    from spiritsafe.sources._sample import Sample

_TIMES = ("time", "timestamp", "created", "created_at", "request_time", "ts", "start_time", "startTime")
_ACCOUNTS = ("account_id", "account", "user_id", "customer_id", "user")
_ORGANIZATIONS = ("organization_id", "organization", "org_id")
_REQUESTS = ("request", "request_body", "requestBody", "input_body", "body")
_ANSWERS = ("response", "response_body", "responseBody", "output_body")
_IDS = ("exchange_id", "request_id", "id", "custom_id")
_STATUS = ("status", "status_code", "http_status")


def _envelope() -> dict[str, Any]:
    plain = (*NAMES, *_TIMES, *_ACCOUNTS, *_ORGANIZATIONS, *_IDS, *_STATUS)
    bodies = (*_REQUESTS, *_ANSWERS)
    return {
        name: "JSON" if name in bodies else "VARCHAR"
        for name in dict.fromkeys((*plain, *bodies))
        if name != "prompt"
    }


def pairs(relation: str, *, operation: str) -> str:
    """SELECT over lines that hold a request and an answer. ``operation``: SQL for that column.

    The envelope may carry any canonical column by its name; it has the last word over the bodies (but for prompt and response).
    """
    envelope = json.dumps(_envelope())
    inner = f"""SELECT file, line, raw, e,
      coalesce({_any(_REQUESTS)}) AS request, coalesce({_any(_ANSWERS)}) AS answer, CAST(NULL AS JSON) AS asked
    FROM (SELECT file, line, raw, TRY(from_json(raw, '{envelope}')) AS e FROM {relation})"""
    body = columns()
    outputs = {
        **{name: f"coalesce(e.{name}, CAST({body[name]} AS VARCHAR))" for name in NAMES if name in body},
        **{name: f"e.{name}" for name in NAMES if name not in body},
        "prompt": body["prompt"],
        "response": body["response"],
        "tools": f"""coalesce(TRY(from_json(e.tools, '["VARCHAR"]')), {body["tools"]})""",
        "time": instant(f"coalesce({_any(_TIMES)}, a.created, a.created_at)"),
        "exchange_id": f"coalesce(e.exchange_id, {body['exchange_id']}, {_any(_IDS[1:])})",
        "account_id": f"coalesce({_any(_ACCOUNTS)}, q.user, q.safety_identifier, q.metadata.user_id)",
        "organization_id": f"coalesce({_any(_ORGANIZATIONS)})",
        "operation": f"coalesce(e.operation, {operation})",
        "status": f"coalesce({_any(_STATUS)}, answer_status)",
    }
    listed = ",\n  ".join(f"{outputs[name]} AS {name}" for name in NAMES)
    return f"""SELECT file, line, {listed},
  CASE {broken("e")}
       WHEN q IS NULL AND said IS NULL THEN 'the request is missing or not JSON' END AS reason
FROM ({unpacked(inner)})"""


def _any(names: tuple[str, ...]) -> str:
    return ", ".join(f"e.{name}" for name in names)


def looks(sample: Sample) -> tuple[int, int]:
    """How many records of a sample look like pairs of OpenAI's and of Anthropic's API."""
    openai = anthropic = 0
    for record in sample.records:
        request, answer = _body(record, _REQUESTS), _body(record, _ANSWERS)
        if request is None or "schemaType" in record or not {"messages", "input", "prompt"} & set(request):
            continue
        answer = answer or {}
        model = str(request.get("model", answer.get("model", "")))
        if "choices" in answer or answer.get("object") in {"response", "chat.completion", "text_completion"}:
            openai += 1
        elif answer.get("type") == "message" or "anthropic_version" in request or "claude" in model:
            anthropic += 1
        else:
            openai += 1
    return openai, anthropic


def _body(record: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any] | None:
    value: Any = next((record[name] for name in names if record.get(name) is not None), None)
    for _wrapper in range(3):
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                return None
        if not isinstance(value, dict):
            return None
        if "body" not in value:
            return value
        value = value["body"]
    return None
