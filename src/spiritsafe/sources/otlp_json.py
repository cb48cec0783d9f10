"""OpenTelemetry OTLP/JSON: spans with GenAI attributes and events, and log records, joined by trace and span id.

Attribute names of the semantic conventions 1.42.0 (the pin is in ``schema``), the older ones, and OpenLLMetry's
indexed ``gen_ai.prompt.0.content``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spiritsafe.schema import COLUMNS
from spiritsafe.sources._bodies import broken, text_of

if TYPE_CHECKING:
    from spiritsafe.sources._sample import Sample

#: A span and the log records of its messages may stand in different lines: joined within this many bytes of a file.
WINDOW = 32 << 20

_VALUE: dict[str, Any] = {
    **dict.fromkeys(("stringValue", "intValue", "doubleValue", "boolValue"), "VARCHAR"),
    "arrayValue": "JSON",
    "kvlistValue": "JSON",
}
_ATTRIBUTES = [{"key": "VARCHAR", "value": _VALUE}]
_EVENT = {"name": "VARCHAR", "timeUnixNano": "VARCHAR", "attributes": _ATTRIBUTES}
_SPAN = {
    **dict.fromkeys(("traceId", "spanId", "name", "startTimeUnixNano"), "VARCHAR"),
    "attributes": _ATTRIBUTES,
    "events": [_EVENT],
}
_RECORD = {
    **dict.fromkeys(("traceId", "spanId", "timeUnixNano", "observedTimeUnixNano", "eventName"), "VARCHAR"),
    "body": _VALUE,
    "attributes": _ATTRIBUTES,
}
_RESOURCE = {"attributes": _ATTRIBUTES}
_DOCUMENT = json.dumps(
    {
        "resourceSpans": [{"resource": _RESOURCE, "scopeSpans": [{"spans": [_SPAN]}],
                           "instrumentationLibrarySpans": [{"spans": [_SPAN]}]}],
        "resourceLogs": [{"resource": _RESOURCE, "scopeLogs": [{"logRecords": [_RECORD]}]}],
    }
)  # fmt: skip

# Messages in structured form: a list of key-value lists, whose parts are again lists of them.
_FIELD = {"key": "VARCHAR", "value": {"stringValue": "VARCHAR"}}
_STRUCTURED = json.dumps(
    {"values": [{"kvlistValue": {"values": [{"key": "VARCHAR", "value": {
        "stringValue": "VARCHAR",
        "arrayValue": {"values": [{"kvlistValue": {"values": [_FIELD]}}]},
    }}]}}]}
)  # fmt: skip
_PLAIN = json.dumps(
    [{"role": "VARCHAR", "content": "JSON", "parts": "JSON", "type": "VARCHAR", "finish_reason": "VARCHAR"}]
)
_BODY = json.dumps(
    {"values": [{"key": "VARCHAR", "value": {
        "stringValue": "VARCHAR",
        "kvlistValue": {"values": [_FIELD]},
    }}]}
)  # fmt: skip
_INSIDE = json.dumps(
    {"content": "JSON", "role": "VARCHAR", "finish_reason": "VARCHAR", "message": {"content": "JSON"}}
)

_CALLS = ("chat", "text_completion", "completion", "generate_content", "responses", "messages")
# Events that carry a whole call, and events that carry one message of it.
_DETAILS = ("gen_ai.client.inference.operation.details", "gen_ai.content.prompt", "gen_ai.content.completion")
_SAID = tuple(
    f"gen_ai.{name}"
    for name in ("user.message", "system.message", "assistant.message", "tool.message", "choice")
)


def _attributes(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in pairs]


EXAMPLES: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    (
        {"resourceSpans": [{"resource": {"attributes": _attributes(("organization.id", "o1"))}, "scopeSpans": [{"spans": [{
            "traceId": "t1", "spanId": "s1", "name": "chat m", "startTimeUnixNano": "1772366400000000000",
            "attributes": [
                *_attributes(("user.id", "a1"), ("gen_ai.operation.name", "chat"), ("gen_ai.request.model", "m"),
                             ("gen_ai.response.id", "r1")),
                {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "7"}},
                {"key": "gen_ai.request.temperature", "value": {"doubleValue": 0.5}},
                {"key": "gen_ai.response.finish_reasons", "value": {"arrayValue": {"values": [{"stringValue": "stop"}]}}},
                *_attributes(
                    ("gen_ai.system_instructions", '[{"type": "text", "content": "Be brief."}]'),
                    ("gen_ai.input.messages",
                     '[{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]'),
                    ("gen_ai.output.messages",
                     '[{"role": "assistant", "parts": [{"type": "text", "content": "Hello"}], "finish_reason": "stop"}]'),
                    ("gen_ai.tool.definitions", '[{"type": "function", "name": "clock"}]'),
                ),
            ],
        }]}]}]},
        {
            "time": 1772366400000000, "exchange_id": "r1", "account_id": "a1", "organization_id": "o1", "model": "m",
            "operation": "chat", "system": "Be brief.", "prompt": "Hi", "turns": 1, "tools": ["clock"],
            "temperature": 0.5, "response": "Hello", "input_tokens": 7, "finish_reason": "stop",
        },
    ),
    (
        {"resourceSpans": [{"scopeSpans": [{"spans": [{
            "traceId": "t2", "spanId": "s2", "startTimeUnixNano": 1772366400000000000,
            "attributes": _attributes(
                ("enduser.id", "a2"), ("llm.request.type", "chat"), ("gen_ai.prompt.0.role", "system"),
                ("gen_ai.prompt.0.content", "S"), ("gen_ai.prompt.1.role", "user"), ("gen_ai.prompt.1.content", "Q"),
                ("gen_ai.completion.0.content", "A"), ("gen_ai.completion.0.finish_reason", "length"),
            ),
        }]}]}]},
        {
            "time": 1772366400000000, "exchange_id": "t2-s2", "account_id": "a2", "operation": "chat", "system": "S",
            "prompt": "Q", "turns": 2, "response": "A", "finish_reason": "length",
        },
    ),
    (
        {"resourceSpans": [{"scopeSpans": [{"spans": [{
            "traceId": "t3", "spanId": "s3", "startTimeUnixNano": "1772366400000000000",
            "attributes": _attributes(("user.id", "a3"), ("gen_ai.operation.name", "chat")),
            "events": [
                {"name": "gen_ai.user.message", "timeUnixNano": "2", "attributes": _attributes(("content", "Ask"))},
                {"name": "gen_ai.system.message", "timeUnixNano": "1", "attributes": _attributes(
                    ("gen_ai.event.content", '{"role": "system", "content": "Sys"}'))},
                {"name": "gen_ai.choice", "timeUnixNano": "3", "attributes": _attributes(
                    ("gen_ai.event.content", '{"finish_reason": "stop", "message": {"content": "Told"}}'))},
            ],
        }]}]}]},
        {
            "time": 1772366400000000, "exchange_id": "t3-s3", "account_id": "a3", "operation": "chat", "system": "Sys",
            "prompt": "Ask", "turns": 2, "response": "Told", "finish_reason": "stop",
        },
    ),
)  # fmt: skip


def recognises(sample: Sample) -> bool:
    """``resourceSpans`` or ``resourceLogs`` at the top, even of a record too long to be complete in the sample."""
    if sample.has("resourceSpans") or sample.has("resourceLogs"):
        return True
    return not sample.records and (sample.mentions("resourceSpans") or sample.mentions("resourceLogs"))


def otlp_json(relation: str) -> str:
    """A span of a model call is an exchange, and so is a details event without a span. Other spans are none.

    The account is ``user.id``, else ``enduser.id``, on the span or its resource; any canonical column may be given
    as attribute ``spiritsafe.<column>``.
    """
    scopes = "coalesce(r.scopeSpans, r.instrumentationLibrarySpans)"
    return f"""SELECT * FROM (WITH documents AS MATERIALIZED (
  SELECT file, line, raw, TRY(from_json(raw, '{_DOCUMENT}')) AS d FROM {relation}
), spans AS MATERIALIZED (
  SELECT file, line, around, span.traceId AS trace, span.spanId AS part, span.startTimeUnixNano AS moment,
    span.attributes AS attributes, span.events AS events
  FROM (SELECT file, line, r.resource.attributes AS around, unnest(flatten([s.spans FOR s IN {scopes}])) AS span
    FROM (SELECT file, line, unnest(d.resourceSpans) AS r FROM documents))
), records AS (
  SELECT file, line, r.resource.attributes AS around, unnest(flatten([s.logRecords FOR s IN r.scopeLogs])) AS record
  FROM (SELECT file, line, unnest(d.resourceLogs) AS r FROM documents)
), happenings AS MATERIALIZED (
  SELECT file, line, around, trace, part, e.name AS name, e.timeUnixNano AS moment,
    e.attributes AS attributes, CAST(NULL AS JSON) AS body, false AS logged, NULL AS loose
  FROM (SELECT *, unnest(events) AS e FROM spans WHERE len(events) > 0)
  UNION ALL
  SELECT file, line, around, record.traceId, record.spanId,
    coalesce(nullif(record.eventName, ''), {_one("record.attributes", "event.name")}),
    coalesce(nullif(record.timeUnixNano, '0'), record.observedTimeUnixNano), record.attributes,
    coalesce(record.body.kvlistValue, CASE WHEN left(record.body.stringValue, 1) = '{{' AND
      json_valid(record.body.stringValue) THEN TRY_CAST(record.body.stringValue AS JSON) END), true,
    CASE WHEN coalesce(record.spanId, '') = '' THEN row_number() OVER () END
  FROM records
), told AS (
  SELECT file, line, trace, part, name, moment, attributes, around, {_said()} AS text, {_why()} AS why
  FROM (SELECT *, {_INSIDE_SQL} AS inside, TRY(from_json(body, '{_BODY}')) AS fields FROM happenings)
  WHERE name IN {_SAID}
), talks AS MATERIALIZED (
  SELECT file, trace, part,
    list(struct_pack(role := split_part(name, '.', 2), text := text)
      ORDER BY TRY_CAST(moment AS UBIGINT), line) AS talk, max(why) AS why,
    min(line) AS line, min(moment) AS moment, first(list_concat(attributes, around) ORDER BY line) AS attributes
  FROM told WHERE part IS NOT NULL AND part <> '' GROUP BY file, trace, part
), details AS (
  SELECT file, trace, part, loose, name, min(line) AS line, min(moment) AS moment,
    first(attributes ORDER BY line, moment) AS attributes, first(around ORDER BY line) AS around
  FROM happenings WHERE name IN {_DETAILS}
  GROUP BY file, trace, part, loose, name
), joined_details AS MATERIALIZED (
  SELECT file, trace, part, min(line) AS line, min(moment) AS moment, flatten(list(attributes ORDER BY name)) AS attributes,
    first(around ORDER BY line) AS around FROM details GROUP BY file, trace, part, loose
), calls AS (
  SELECT s.file, s.line, s.trace, s.part, s.moment, list_concat(s.attributes, x.attributes, s.around) AS attributes, t.talk, t.why
  FROM spans s
  LEFT JOIN talks t ON t.file = s.file AND t.trace = s.trace AND t.part = s.part
  LEFT JOIN joined_details x ON x.file = s.file AND x.trace = s.trace AND x.part = s.part
  UNION ALL
  SELECT x.file, x.line, x.trace, x.part, x.moment, list_concat(x.attributes, x.around), NULL, NULL
  FROM joined_details x ANTI JOIN spans s
    ON x.file = s.file AND x.trace = s.trace AND x.part = s.part
  UNION ALL
  SELECT t.file, t.line, t.trace, t.part, t.moment, t.attributes, t.talk, t.why
  FROM talks t ANTI JOIN spans s ON t.file = s.file AND t.trace = s.trace AND t.part = s.part
    ANTI JOIN joined_details x ON t.file = x.file AND t.trace = x.trace AND t.part = x.part
), flat AS (
  SELECT * EXCLUDE (attributes), [a.key FOR a IN attributes] AS k,
    [coalesce(a.value.stringValue, a.value.intValue, a.value.doubleValue, a.value.boolValue,
      CAST(a.value.arrayValue AS VARCHAR), CAST(a.value.kvlistValue AS VARCHAR)) FOR a IN attributes] AS v
  FROM calls
), read AS (
  SELECT *, {_messages("gen_ai.input.messages", "gen_ai.prompt")} AS asked,
    {_messages("gen_ai.output.messages", "gen_ai.completion")} AS answered,
    {_get("gen_ai.operation.name", "llm.request.type")} AS kind
  FROM flat
)
SELECT file, line, {_outputs()},
  CASE WHEN kind NOT IN {_CALLS} OR (kind IS NULL AND asked IS NULL AND talk IS NULL) THEN 'not an exchange' END AS reason
FROM read
UNION ALL BY NAME
SELECT file, line,
  CASE WHEN name IN {_SAID} THEN 'a message event without a span id' ELSE 'not an exchange' END AS reason
FROM happenings
WHERE logged AND coalesce(name, '') NOT IN {_DETAILS}
  AND (coalesce(name, '') NOT IN {_SAID} OR coalesce(part, '') = '')
UNION ALL BY NAME
SELECT file, line, CASE {broken("d")}
  ELSE 'not an exchange' END AS reason
FROM documents ANTI JOIN (SELECT file, line FROM spans UNION ALL SELECT file, line FROM records) USING (file, line))"""


def _get(*names: str) -> str:
    """SQL for the first of these attributes that is there (``k`` and ``v`` are its keys and values)."""
    return "coalesce(" + ", ".join(f"v[list_position(k, '{name}')]" for name in names) + ", NULL)"


def _one(attributes: str, name: str) -> str:
    return f"list_filter({attributes}, lambda x: x.key = '{name}')[1].value.stringValue"


_INSIDE_SQL = (
    f"TRY(from_json(coalesce({_one('attributes', 'gen_ai.event.content')}, "
    f"CASE WHEN logged AND left(CAST(body AS VARCHAR), 10) <> '{{\"values\":' THEN CAST(body AS VARCHAR) END), '{_INSIDE}'))"
)


def _said() -> str:
    """SQL for the text of a message event: an attribute, JSON in an attribute, or the body of a log record."""
    field = "list_filter(fields.values, lambda x: x.key = '{0}')[1].value"
    nested = f"list_filter({field.format('message')}.kvlistValue.values, lambda x: x.key = 'content')[1].value.stringValue"
    plain = _one("attributes", "content")
    return (
        f"coalesce({plain}, {text_of('inside.content')}, {text_of('inside.message.content')}, "
        f"{field.format('content')}.stringValue, {nested}, '')"
    )


def _why() -> str:
    reason = "list_filter(fields.values, lambda x: x.key = 'finish_reason')[1].value.stringValue"
    return f"coalesce({_one('attributes', 'finish_reason')}, inside.finish_reason, {reason})"


def _messages(name: str, old: str) -> str:
    """SQL for a list of (role, text): from a JSON attribute, a structured one, or indexed older ones."""
    value = f"v[list_position(k, '{name}')]"
    first = f"coalesce({value}, v[list_position(k, '{old}')])"
    body = "coalesce(x.parts, x.content)"
    plain = (
        f"[struct_pack(role := x.role, text := {text_of(body)}) FOR x IN TRY(from_json({first}, '{_PLAIN}'))]"
    )
    part = "list_filter(p.kvlistValue.values, lambda f: f.key IN ('content', 'text'))[1].value.stringValue"
    parts = "list_filter(x.kvlistValue.values, lambda f: f.key = 'parts')[1].value.arrayValue.values"
    structured = f"""[struct_pack(
      role := list_filter(x.kvlistValue.values, lambda f: f.key = 'role')[1].value.stringValue,
      text := coalesce(list_filter(x.kvlistValue.values, lambda f: f.key = 'content')[1].value.stringValue,
        array_to_string(list_filter([{part} FOR p IN {parts}], lambda t: t IS NOT NULL), chr(10)), ''))
      FOR x IN TRY(from_json({first}, '{_STRUCTURED}')).values]"""
    pattern = "^" + old.replace(".", "[.]") + "[.][0-9]+[.]content$"
    indexed = f"""[struct_pack(role := v[list_position(k, replace(x, '.content', '.role'))],
        text := CASE WHEN left(v[list_position(k, x)], 2) = '[{{' AND json_valid(v[list_position(k, x)])
          THEN {text_of("TRY_CAST(v[list_position(k, x)] AS JSON)")} ELSE v[list_position(k, x)] END)
      FOR x IN list_sort(list_filter(k, lambda y: regexp_matches(y, '{pattern}')))]"""
    return f"""CASE WHEN left({first}, 1) = '[' THEN {plain} WHEN left({first}, 10) = '{{"values":' THEN {structured}
      WHEN {first} IS NOT NULL THEN [struct_pack(role := 'user', text := {first})]
      ELSE nullif({indexed}, []) END"""


def _outputs() -> str:
    system = _get("gen_ai.system_instructions")
    talk = "list_filter({0}, lambda t: t.role {1} AND t.text <> '')"
    tools = _get("gen_ai.tool.definitions")
    special = {
        "time": "CAST(TRY_CAST(moment AS DOUBLE) / 1e6 AS VARCHAR)",
        "exchange_id": f"coalesce({_get('spiritsafe.exchange_id', 'gen_ai.response.id')}, "
        "nullif(trace, '') || '-' || nullif(part, ''))",
        "operation": "CASE kind WHEN 'text_completion' THEN 'completion' WHEN 'generate_content' THEN 'chat' ELSE kind END",
        "system": f"""coalesce(CASE WHEN left({system}, 1) = '[' THEN {text_of(f"TRY_CAST({system} AS JSON)")} ELSE {system} END,
          {talk.format("asked", "IN ('system', 'developer')")}[1].text, {talk.format("talk", "= 'system'")}[1].text)""",
        "prompt": f"""coalesce({talk.format("asked", "= 'user'")}[-1].text, {talk.format("talk", "= 'user'")}[-1].text,
          {talk.format("asked", "IS DISTINCT FROM 'system'")}[-1].text,
          CASE WHEN len(asked) > 0 OR len(talk) > 0 THEN '' END)""",
        "turns": "coalesce(len(asked), len(list_filter(talk, lambda t: t.role <> 'choice')))",
        "tools": f"CASE WHEN left({tools}, 1) = '[' THEN [coalesce(t.name, t.function.name) FOR t IN "
        f"""TRY(from_json({tools}, '[{{"name": "VARCHAR", "function": {{"name": "VARCHAR"}}}}]'))] END""",
        "response": "coalesce(answered[1].text, " + talk.format("talk", "= 'choice'") + "[1].text)",
        "finish_reason": f"""coalesce(why, {_get("gen_ai.completion.0.finish_reason")}, CASE WHEN
          left({_get("gen_ai.response.finish_reasons")}, 1) = '[' THEN {_get("gen_ai.response.finish_reasons")} ->> '$[0]'
          WHEN left({_get("gen_ai.response.finish_reasons")}, 1) = '{{' THEN
          {_get("gen_ai.response.finish_reasons")} ->> '$.values[0].stringValue'
          ELSE {_get("gen_ai.response.finish_reasons")} END)""",
    }
    # Ours goes before what is made out of several; lists and times have one form only.
    for name in ("operation", "system", "prompt", "turns", "response", "finish_reason"):
        own = _get(f"spiritsafe.{name}")
        own = f"TRY_CAST({own} AS BIGINT)" if name == "turns" else own
        special[name] = f"coalesce({own}, {special[name]})"
    return ",\n  ".join(
        f"{special.get(column.name) or _get('spiritsafe.' + column.name, *column.otel)} AS {column.name}"
        for column in COLUMNS
    )
