"""One record of the exchange log as an OpenTelemetry GenAI span, and spans as an OTLP request.

Attribute names are those of ``schema`` (semantic conventions 1.42.0); what the conventions have no name for is
``spiritsafe.<column>``, which our own source reads. A span holds nothing that its record does not hold.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, cast

import orjson

from spiritsafe import __version__
from spiritsafe.schema import COLUMNS, SEMCONV_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Json = dict[str, Any]
    Encoding = Literal["json", "protobuf"]

CONTENT_TYPES: dict[str, str] = {"json": "application/json", "protobuf": "application/x-protobuf"}
SCHEMA_URL = f"https://opentelemetry.io/schemas/{SEMCONV_VERSION}"
CLIENT, ERROR = 3, 2  # SpanKind, StatusCode
#: Our operation -> the conventions' name.
_OPERATIONS = {"completion": "text_completion", "responses": "chat", "messages": "chat"}
#: Columns whose attributes have a form of their own, below.
_OWN = {"time", "exchange_id", "operation", "system", "prompt", "tools", "response", "finish_reason"}
_PLAIN = tuple(
    (column.name, column.otel[0] if column.otel else f"spiritsafe.{column.name}")
    for column in COLUMNS
    if column.name not in _OWN
)


def span(line: bytes, seconds: float, *, text: bool) -> Json:
    """The span of one line of the log; ``seconds``: how long the exchange took; ``text``: with what was said.

    Its ids are made from the exchange's id: one that is sent twice is the same span.
    """
    record: Json = orjson.loads(line)
    begin = round(datetime.fromisoformat(record["time"]).timestamp() * 1_000_000) * 1_000
    identity = hashlib.blake2b(record["exchange_id"].encode(), digest_size=24).hexdigest()
    kind = str(record["operation"])
    name = _OPERATIONS.get(kind, kind)
    given = [("gen_ai.operation.name", name), *_facts(record), *_done(record)]
    if text:
        given += _texts(record)
    elif record.get("sketch") is None:
        given.append(("spiritsafe.prompt", ""))  # a scan asks whether there was one
    made: Json = {
        "traceId": identity[:32],
        "spanId": identity[32:],
        "name": f"{name} {record['model']}" if record["model"] else name,
        "kind": CLIENT,
        "startTimeUnixNano": str(begin),
        "endTimeUnixNano": str(begin + round(seconds * 1e9)),
        "attributes": [{"key": key, "value": _value(value)} for key, value in given],
    }
    if (record["status"] or 0) >= 400:
        made["status"] = {"code": ERROR}
    return made


def request(spans: Sequence[Json], writer: str) -> Json:
    """The body of an export request."""
    resource = {
        "service.name": "spiritsafe-gateway",
        "service.version": __version__,
        "service.instance.id": writer,
    }
    scope = {"name": "spiritsafe.gateway", "version": __version__}
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": k, "value": _value(v)} for k, v in resource.items()]},
                "scopeSpans": [{"scope": scope, "spans": spans, "schemaUrl": SCHEMA_URL}],
                "schemaUrl": SCHEMA_URL,
            }
        ]
    }


def encoded(document: Json, encoding: Encoding) -> bytes:
    """The bytes of a request. Protobuf needs the package ``opentelemetry-proto``."""
    if encoding == "json":
        return orjson.dumps(document)
    from google.protobuf import json_format  # noqa: PLC0415 - only where it is asked for
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service  # noqa: PLC0415

    # OTLP writes ids in hexadecimal; protobuf's own JSON has bytes in base64.
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            scope["spans"] = [
                one
                | {
                    name: base64.b64encode(bytes.fromhex(one[name])).decode()
                    for name in ("traceId", "spanId")
                }
                for one in scope["spans"]
            ]
    message = json_format.ParseDict(document, service.ExportTraceServiceRequest())
    return message.SerializeToString()


def rejected(body: bytes, encoding: Encoding) -> int:
    """How many spans a collector that answered 200 did not take; 0 where the answer says nothing of it."""
    try:
        if encoding == "json":
            partial = cast("Json", orjson.loads(body)).get("partialSuccess") if body else None
            return max(0, int(partial.get("rejectedSpans") or 0)) if isinstance(partial, dict) else 0
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service  # noqa: PLC0415

        return max(0, service.ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans)
    except Exception:  # noqa: BLE001 - a stranger's bytes, and nothing depends on them
        return 0


def _facts(record: Json) -> Iterable[tuple[str, Any]]:
    """What was asked and used, without any text."""
    yield "gen_ai.provider.name", "anthropic" if record["operation"] == "messages" else "openai"
    yield "spiritsafe.operation", record["operation"]
    yield "spiritsafe.exchange_id", record["exchange_id"]
    for column, name in _PLAIN:
        if (value := record.get(column)) is not None:
            yield name, value
    if record["tools"] is not None:
        yield "gen_ai.tool.definitions", _json([{"type": "function", "name": one} for one in record["tools"]])
    if record["finish_reason"] is not None:
        yield "gen_ai.response.finish_reasons", [record["finish_reason"]]


def _done(record: Json) -> Iterable[tuple[str, Any]]:
    """What the gateway made of it."""
    done: Json = record["gateway"]
    if done["answer_id"] is not None:
        yield "gen_ai.response.id", done["answer_id"]
    for name in ("campaigns", "orders", "response", "category", "shadow"):
        if done[name] is not None and done[name] != []:
            yield f"spiritsafe.gateway.{name}", done[name]
    if (status := record["status"] or 0) >= 400:
        yield "error.type", done["category"] or str(status)


def _texts(record: Json) -> Iterable[tuple[str, Any]]:
    """What was said."""
    yield "gen_ai.input.messages", _json([_message("user", record["prompt"])])
    if record["system"] is not None:
        yield "gen_ai.system_instructions", _json([{"type": "text", "content": record["system"]}])
    if record["response"] is not None:
        said = _message("assistant", record["response"]) | {"finish_reason": record["finish_reason"] or ""}
        yield "gen_ai.output.messages", _json([said])


def _message(role: str, content: str) -> Json:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _value(value: Any) -> Json:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(one) for one in cast("list[Any]", value)]}}
    return {"stringValue": str(value)}
