"""SQL over request and answer bodies: chat completions, responses, messages, Converse, and older shapes.

Gateways wrap the same few bodies differently. Sources unwrap; what a body means stands here, once. Shapes after the
public API references of OpenAI, Anthropic, Amazon Bedrock (Converse, Titan, Llama, Cohere) and LiteLLM.
"""

from __future__ import annotations

import json
from typing import Any

#: What we look at in one message; ``content`` is text or a list of parts.
MESSAGES = json.dumps(
    [{"role": "VARCHAR", "type": "VARCHAR", "content": "JSON", "parts": "JSON", "encrypted_content": "VARCHAR",
      "thinking_blocks": "JSON"}]
)  # fmt: skip

_PARTS = json.dumps(
    [{"type": "VARCHAR", "text": "VARCHAR", "content": "VARCHAR", "refusal": "VARCHAR", "signature": "VARCHAR",
      "data": "VARCHAR", "reasoningContent": {"reasoningText": {"signature": "VARCHAR"}, "redactedContent": "VARCHAR"}}]
)  # fmt: skip

# The text of one part.
_PART = "coalesce(p.text, CASE WHEN p.type = 'text' THEN p.content END, p.refusal)"

_REQUEST: dict[str, Any] = {
    **dict.fromkeys(
        (
            "model", "instructions", "preamble", "temperature", "top_p", "topP", "p", "n", "num_generations",
            "max_tokens", "max_completion_tokens", "max_output_tokens", "max_tokens_to_sample", "max_gen_len",
            "logprobs", "top_logprobs", "user", "safety_identifier", "inputText", "message",
        ),
        "VARCHAR",
    ),
    **dict.fromkeys(("body", "messages", "input", "prompt", "system", "contents", "include"), "JSON"),
    "metadata": {"user_id": "VARCHAR"},
    "tools": [{"type": "VARCHAR", "name": "VARCHAR", "function": {"name": "VARCHAR"}}],
    "functions": [{"name": "VARCHAR"}],
    "toolConfig": {"tools": [{"toolSpec": {"name": "VARCHAR"}}]},
    "inferenceConfig": {"maxTokens": "VARCHAR", "temperature": "VARCHAR", "topP": "VARCHAR"},
    "textGenerationConfig": {"maxTokenCount": "VARCHAR", "temperature": "VARCHAR", "topP": "VARCHAR"},
}  # fmt: skip

_USAGE: dict[str, Any] = {
    **dict.fromkeys(
        (
            "prompt_tokens", "input_tokens", "inputTokens", "completion_tokens", "output_tokens", "outputTokens",
            "cache_read_input_tokens", "cacheReadInputTokens",
        ),
        "VARCHAR",
    ),
    "prompt_tokens_details": {"cached_tokens": "VARCHAR"},
    "input_tokens_details": {"cached_tokens": "VARCHAR"},
    "completion_tokens_details": {"reasoning_tokens": "VARCHAR"},
    "output_tokens_details": {"reasoning_tokens": "VARCHAR", "thinking_tokens": "VARCHAR"},
}  # fmt: skip

_CHOICE: dict[str, Any] = {
    "index": "VARCHAR",
    "text": "VARCHAR",
    "finish_reason": "VARCHAR",
    "message": {"content": "JSON", "refusal": "VARCHAR", "thinking_blocks": "JSON"},
    "delta": {"content": "VARCHAR", "refusal": "VARCHAR"},
}

_ANSWER: dict[str, Any] = {
    **dict.fromkeys(
        (
            "id", "model", "created", "created_at", "completion", "generation", "outputText", "text", "stop_reason",
            "stopReason", "finish_reason", "status", "status_code", "request_id", "prompt_token_count",
            "generation_token_count",
        ),
        "VARCHAR",
    ),
    **dict.fromkeys(("body", "content", "output"), "JSON"),
    "choices": [_CHOICE],
    "results": [{"outputText": "VARCHAR", "completionReason": "VARCHAR"}],
    "outputs": [{"text": "VARCHAR", "stop_reason": "VARCHAR"}],
    "generations": [{"text": "VARCHAR", "finish_reason": "VARCHAR"}],
    "incomplete_details": {"reason": "VARCHAR"},
    "usage": _USAGE,
}  # fmt: skip

# An answer that was streamed and logged as the list of its pieces.
_CHUNKS = [
    {
        **dict.fromkeys(
            (
                "type",
                "index",
                "id",
                "outputText",
                "generation",
                "completion",
                "text",
                "stop_reason",
                "completionReason",
            ),
            "VARCHAR",
        ),
        "delta": {"text": "VARCHAR", "signature": "VARCHAR", "stop_reason": "VARCHAR"},
        "content_block": {"type": "VARCHAR", "text": "VARCHAR", "data": "VARCHAR", "signature": "VARCHAR"},
        "message": {"id": "VARCHAR", "usage": _USAGE},
        "usage": _USAGE,
        "choices": [_CHOICE],
    }
]


def text_of(content: str) -> str:
    """SQL for the text of a JSON value that is a string, a list of parts, or one part.

    Reasoning and tool parts are no text.
    """
    return f"""CASE left({content}, 1) WHEN '"' THEN {content} ->> '$'
      WHEN '[' THEN array_to_string([{_PART} FOR p IN from_json({content}, '{_PARTS}') IF {_PART} IS NOT NULL], chr(10))
      WHEN '{{' THEN coalesce({content} ->> '$.text', {content} ->> '$.content') END"""


def unpacked(inner: str) -> str:
    """A SELECT that adds what the bodies say to ``inner``'s rows.

    ``inner`` gives ``request`` and ``answer`` (JSON text or null) and ``asked`` (JSON text of the messages when they
    stand outside the request, or null). Added: ``q``, ``a`` (the bodies as structs), ``m`` (messages of the request),
    ``talk`` and ``told`` (role, type, text and opaque mark of each message asked and answered), ``c`` (chunks) and
    ``spent`` (their usage). Each JSON text is parsed once, in one stage; binding these SELECTs costs more than running
    them over a thousand records, so nothing is written twice.
    """
    struct_q, struct_a = json.dumps(_REQUEST), json.dumps(_ANSWER)
    plain = "CASE WHEN left({0}, 1) = '\"' THEN {0} ->> '$' ELSE CAST({0} AS VARCHAR) END"
    one_answer = """[struct_pack(role := 'assistant', type := 'message', content := coalesce(a.choices[1].message.content,
      a.output -> '$.message.content', a.content), parts := CAST(NULL AS JSON), encrypted_content := NULL,
      thinking_blocks := a.choices[1].message.thinking_blocks)]"""
    mark = (
        "coalesce(nullif(p.signature, ''), CASE WHEN p.type = 'redacted_thinking' THEN p.data END, "
        "p.reasoningContent.reasoningText.signature, p.reasoningContent.redactedContent)"
    )
    marks = f"[{mark} FOR p IN {{0}} IF {mark} IS NOT NULL][-1]"
    return f"""SELECT *, parted[:coalesce(len(m), 0)] AS talk, parted[coalesce(len(m), 0) + 1:] AS told
  FROM (SELECT * EXCLUDE (split), [struct_pack(role := x.role, type := x.type,
      said := coalesce(x.plain, array_to_string([{_PART} FOR p IN x.parts IF {_PART} IS NOT NULL], chr(10))),
      mark := coalesce(x.sealed, {marks.format("list_concat(x.thoughts, x.parts)")})) FOR x IN split] AS parted
  FROM (SELECT *, [struct_pack(role := coalesce(x.role, ''), type := coalesce(x.type, 'message'),
      sealed := nullif(x.encrypted_content, ''), thoughts := from_json(x.thinking_blocks, '{_PARTS}'),
      plain := CASE left(coalesce(x.content, x.parts), 1) WHEN '"' THEN x.content ->> '$'
        WHEN '{{' THEN coalesce(x.content ->> '$.text', x.content ->> '$.content') END,
      parts := from_json(coalesce(x.content, x.parts), '{_PARTS}')) FOR x IN list_concat(m, r)] AS split
  FROM (SELECT *, CASE WHEN left(said, 1) = '[' THEN from_json(said, '{MESSAGES}') END AS m,
    CASE WHEN left(a.output, 1) = '[' THEN from_json(a.output, '{MESSAGES}') ELSE {one_answer} END AS r
  FROM (SELECT *, coalesce(asked, q.messages, q.input, q.contents, q.prompt) AS said,
    [coalesce(x.message.usage, x.usage) FOR x IN c IF coalesce(x.message.usage, x.usage) IS NOT NULL] AS spent
  FROM (SELECT * EXCLUDE (q0, a0),
    CASE WHEN q0.body IS NOT NULL THEN TRY(from_json({plain.format("q0.body")}, '{struct_q}')) ELSE q0 END AS q,
    CASE WHEN a0.body IS NOT NULL THEN TRY(from_json({plain.format("a0.body")}, '{struct_a}')) ELSE a0 END AS a,
    a0.status_code AS answer_status
  FROM (SELECT * EXCLUDE (request, answer), answer,
    TRY(from_json({plain.format("request")}, '{struct_q}')) AS q0,
    TRY(from_json({plain.format("answer")}, '{struct_a}')) AS a0,
    CASE WHEN left(answer, 1) = '[' THEN TRY(from_json(answer, '{json.dumps(_CHUNKS)}')) END AS c
  FROM (SELECT * REPLACE (CASE WHEN left(answer, 1) = '[' THEN coalesce(answer -> '$[#-1].response', answer)
    ELSE answer END AS answer) FROM ({inner}))))))))"""


def columns() -> dict[str, str]:
    """SQL for each canonical column that bodies can tell, over the rows of ``unpacked``."""
    texts = "[x.said FOR x IN talk IF x.role = 'user' AND x.type = 'message' AND x.said <> '']"
    systems = "[x.said FOR x IN talk IF x.role IN ('system', 'developer') AND x.said <> '']"
    others = "[x.said FOR x IN talk IF x.role NOT IN ('system', 'developer') AND x.said <> '']"
    strings = (
        "CASE WHEN left(said, 2) = '[\"' THEN array_to_string(from_json(said, '[\"VARCHAR\"]'), chr(10)) END"
    )
    tools = (
        "coalesce([coalesce(t.function.name, t.name, t.type) FOR t IN q.tools], [t.name FOR t IN q.functions], "
        "[t.toolSpec.name FOR t IN q.toolConfig.tools])"
    )
    # In chunks each choice comes by itself, with its index; the first one is meant.
    choice = "list_filter(x.choices, lambda k: coalesce(k.index, '0') = '0')[1]"
    first_text = "list_filter(c, lambda y: y.content_block.type = 'text')[1].index"
    chunk = (
        "coalesce(x.delta.text, x.outputText, x.generation, x.completion, x.text, "
        f"{choice}.delta.content, {choice}.delta.refusal, {choice}.text, "
        f"CASE WHEN x.content_block.type = 'text' AND x.index <> {first_text} THEN chr(10) || "
        "coalesce(x.content_block.text, '') ELSE x.content_block.text END)"
    )
    chunks = f"array_to_string(list_filter([{chunk} FOR x IN c], lambda t: t IS NOT NULL), '')"
    chunk_mark = (
        "coalesce(nullif(x.delta.signature, ''), x.content_block.data, nullif(x.content_block.signature, ''))"
    )
    issued = f"coalesce([x.mark FOR x IN told IF x.mark <> ''][-1], [{chunk_mark} FOR x IN c IF {chunk_mark} IS NOT NULL][-1])"
    answered = (
        "CASE WHEN c IS NULL THEN [x.said FOR x IN told IF x.type = 'message' AND x.said IS NOT NULL] END"
    )
    return {
        "exchange_id": "coalesce(a.id, c[1].id, c[1].message.id)",
        "end_user_id": "coalesce(q.safety_identifier, q.user, q.metadata.user_id)",
        "model": "coalesce(q.model, a.model)",
        "system": f"""nullif(concat_ws(chr(10), {text_of("q.system")}, q.instructions, q.preamble,
          nullif(array_to_string({systems}, chr(10)), '')), '')""",
        "prompt": f"""CASE left(said, 1) WHEN '"' THEN said ->> '$'
          WHEN '[' THEN coalesce({texts}[-1], {strings},
            {others}[-1], CASE WHEN len(m) > 0 THEN '' END)
          ELSE coalesce(q.inputText, q.message) END""",
        "turns": """CASE WHEN left(said, 1) = '[' THEN len(m)
          WHEN said IS NOT NULL OR coalesce(q.inputText, q.message) IS NOT NULL THEN 1 END""",
        "tools": tools,
        "temperature": "coalesce(q.temperature, q.inferenceConfig.temperature, q.textGenerationConfig.temperature)",
        "top_p": "coalesce(q.top_p, q.topP, q.p, q.inferenceConfig.topP, q.textGenerationConfig.topP)",
        "n": "coalesce(q.n, q.num_generations)",
        "max_tokens": "coalesce(q.max_completion_tokens, q.max_output_tokens, q.max_tokens, q.max_tokens_to_sample, "
        "q.max_gen_len, q.inferenceConfig.maxTokens, q.textGenerationConfig.maxTokenCount)",
        "logprobs": "coalesce(CASE WHEN TRY_CAST(q.logprobs AS BIGINT) > 0 THEN true "
        "ELSE TRY_CAST(q.logprobs AS BOOLEAN) END, CASE WHEN q.input IS NOT NULL AND "
        "(TRY_CAST(q.top_logprobs AS BIGINT) > 0 OR contains(CAST(q.include AS VARCHAR), "
        "'\"message.output_text.logprobs\"')) THEN true END)",
        "response": f"""coalesce(CASE WHEN len({answered}) > 0 THEN array_to_string({answered}, chr(10)) END,
          a.choices[1].message.refusal, a.choices[1].text, a.completion, a.generation, a.outputText,
          a.results[1].outputText, a.outputs[1].text, a.text, a.generations[1].text,
          CASE WHEN a.output IS NOT NULL THEN '' WHEN c IS NOT NULL THEN {chunks} END,
          CASE WHEN left(answer, 1) = '"' AND a IS NULL THEN answer ->> '$' END)""",
        "reasoning_issued": f"sha256({issued})",
        "reasoning_redeemed": "sha256([x.mark FOR x IN talk IF x.mark <> ''][-1])",
        "input_tokens": _usage("prompt_tokens", "input_tokens", "inputTokens", last="a.prompt_token_count"),
        "cached_tokens": _usage(
            "prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens", "cache_read_input_tokens",
            "cacheReadInputTokens",
        ),
        "output_tokens": _usage(
            "completion_tokens", "output_tokens", "outputTokens", last="a.generation_token_count"
        ),
        "reasoning_tokens": _usage(
            "completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens",
            "output_tokens_details.thinking_tokens",
        ),
        "status": "answer_status",
        "finish_reason": "coalesce(a.choices[1].finish_reason, a.stop_reason, a.stopReason, a.incomplete_details.reason, "
        "a.results[1].completionReason, a.outputs[1].stop_reason, a.generations[1].finish_reason, a.finish_reason, "
        "a.status, list_filter([coalesce(x.delta.stop_reason, x.stop_reason, x.completionReason, "
        f"{choice}.finish_reason) FOR x IN c], lambda t: t IS NOT NULL)[-1])",
    }  # fmt: skip


def _usage(*names: str, last: str = "NULL") -> str:
    """SQL for a count of usage; in a stream counts are running totals, and the last one counts."""
    whole = ", ".join(f"a.usage.{name}" for name in names)
    one = "coalesce(" + ", ".join(f"x.{name}" for name in (*names, names[0])) + ")"
    return f"coalesce({whole}, {last}, [{one} FOR x IN spent IF {one} IS NOT NULL][-1])"


def broken(value: str) -> str:
    """SQL branches of a CASE that say why a line (``raw``), parsed as ``value``, is no record."""
    return (
        f"WHEN {value} IS NULL AND NOT json_valid(raw) THEN 'not valid JSON' "
        f"WHEN {value} IS NULL OR left(ltrim(raw, chr(32) || chr(9)), 1) <> '{{' THEN 'not a JSON object'"
    )


def instant(value: str) -> str:
    """SQL that turns a time into what a source may give as ``time``.

    RFC 3339 text is left as it is; seconds, milli-, micro- or nanoseconds since the epoch become milliseconds.
    """
    number = f"TRY_CAST({value} AS DOUBLE)"
    return (
        f"CASE WHEN {number} IS NULL THEN {value} WHEN {number} < 1e11 THEN CAST({number} * 1e3 AS VARCHAR) "
        f"WHEN {number} < 1e14 THEN {value} WHEN {number} < 1e17 THEN CAST({number} / 1e3 AS VARCHAR) "
        f"ELSE CAST({number} / 1e6 AS VARCHAR) END"
    )
