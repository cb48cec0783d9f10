"""The exchange record: canonical columns and what they are called elsewhere.

The names are a public contract. ``otel`` gives the OpenTelemetry GenAI attribute (semantic conventions
1.42.0, status "development") that a column maps to; older names are listed after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SEMCONV_VERSION = "1.42.0"

Kind = Literal["time", "string", "number", "integer", "boolean", "strings"]


@dataclass(frozen=True, slots=True)
class Column:
    """One canonical column: its name, kind, and OpenTelemetry attribute names, newest first."""

    name: str
    kind: Kind
    otel: tuple[str, ...] = ()
    required: bool = False


COLUMNS: tuple[Column, ...] = (
    Column("time", "time", required=True),
    Column("exchange_id", "string", ("gen_ai.response.id",)),
    Column("account_id", "string", ("user.id", "enduser.id"), required=True),
    Column("organization_id", "string", ("organization.id",)),
    Column("api_key_id", "string"),
    Column("session_id", "string", ("gen_ai.conversation.id", "session.id")),
    Column("end_user_id", "string", ("enduser.pseudo.id", "gen_ai.openai.request.user")),
    Column("plan", "string"),
    Column("account_created", "time"),
    Column("email_domain", "string"),
    Column("relation", "string"),
    Column("payment_id", "string"),
    Column("device_id", "string", ("device.id",)),
    Column("client_ip", "string", ("client.address", "net.peer.ip")),
    Column("asn", "integer"),
    Column("user_agent", "string", ("user_agent.original", "http.user_agent")),
    Column("model", "string", ("gen_ai.request.model", "llm.request.model")),
    Column("operation", "string", ("gen_ai.operation.name", "llm.request.type")),
    Column("system", "string", ("gen_ai.system_instructions",)),
    Column("prompt", "string", ("gen_ai.input.messages", "gen_ai.prompt"), required=True),
    Column("sketch", "string"),
    Column("turns", "integer"),
    Column("tools", "strings", ("gen_ai.tool.definitions",)),
    Column("temperature", "number", ("gen_ai.request.temperature", "llm.temperature")),
    Column("top_p", "number", ("gen_ai.request.top_p", "llm.top_p")),
    Column("n", "integer", ("gen_ai.request.choice.count",)),
    Column("max_tokens", "integer", ("gen_ai.request.max_tokens", "llm.request.max_tokens")),
    Column("logprobs", "boolean"),
    Column("response", "string", ("gen_ai.output.messages", "gen_ai.completion")),
    Column("reasoning_issued", "string"),
    Column("reasoning_redeemed", "string"),
    Column("input_tokens", "integer", ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")),
    Column("cached_tokens", "integer", ("gen_ai.usage.cache_read.input_tokens",)),
    Column("output_tokens", "integer", ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")),
    Column("reasoning_tokens", "integer", ("gen_ai.usage.reasoning.output_tokens",)),
    Column("status", "integer", ("http.response.status_code", "http.status_code")),
    Column("finish_reason", "string", ("gen_ai.response.finish_reasons",)),
)

NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)
REQUIRED: tuple[str, ...] = tuple(column.name for column in COLUMNS if column.required)
BY_NAME: dict[str, Column] = {column.name: column for column in COLUMNS}

#: What each kind is in the SQL of the engines and in Arrow. ``time`` is microseconds since the epoch, UTC: one
#: integer compares the same on every engine.
SQL_TYPE: dict[Kind, str] = {
    "time": "BIGINT",
    "string": "VARCHAR",
    "number": "DOUBLE",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
    "strings": "VARCHAR[]",
}

LABELS: tuple[str, ...] = ("campaign", "pool", "reseller", "insufficient")

SKETCH_BYTES = 129
"""Bytes of a packed sketch before its anchors (``features/_packed``)."""
SKETCH_SHAPE = (
    "(regexp_full_match({0}, 's1:[0-9]{{5}}:[A-Za-z0-9+/]+') AND length({0}) = 9 + 4 * CAST(ceil(("
    + str(SKETCH_BYTES)
    + " + 8 * (TRY_CAST(substr({0}, 4, 3) AS INTEGER) + TRY_CAST(substr({0}, 7, 2) AS INTEGER))) / 3.0) AS INTEGER))"
)
"""SQL (DuckDB): whether the text ``{0}`` has the shape of a packed sketch of this version."""
