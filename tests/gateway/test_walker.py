from __future__ import annotations

import copy
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.gateway._places import gives_out, hands_in, in_answer, in_request
from spiritsafe.gateway.artefacts import PREFIX, Owner
from spiritsafe.gateway.stream import Stream
from spiritsafe.gateway.walker import Issuer, handed, handed_path, touches
from spiritsafe.sources import anthropic_pairs, openai_pairs

if TYPE_CHECKING:
    from spiritsafe.gateway.artefacts import Binding

NOW = 1_772_366_400_000_000
OWNER = Owner("a", "o", "f")
STRANGER = Owner("b", "p", "f")

MESSAGES_STREAM = [
    {"type": "message_start", "message": {"id": "msg_1", "content": [], "usage": {"input_tokens": 3}}},
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "redacted_thinking", "data": "RAWone="},
    },
    {"type": "content_block_stop", "index": 0},
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "thinking", "thinking": "", "signature": ""},
    },
    {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "thinking_delta", "thinking": "a signature"},
    },
    {"type": "content_block_delta", "index": 1, "delta": {"type": "signature_delta", "signature": "RAWtwo"}},
    {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "signature_delta", "signature": "RAWthree"},
    },
    {"type": "content_block_stop", "index": 1},
    {"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "Rain, é."}},
    {"type": "content_block_stop", "index": 2},
    {"type": "message_stop"},
]
_ITEM = {"type": "reasoning", "id": "RAWrs_1", "encrypted_content": "RAWblob", "summary": []}
_WHOLE = {
    "id": "RAWresp_1",
    "object": "response",
    "previous_response_id": "RAWresp_0",
    "conversation": {"id": "RAWconv"},
}
RESPONSES_STREAM = [
    {"type": "response.created", "response": {**_WHOLE, "output": []}},
    {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": {**_ITEM, "encrypted_content": "RAWbl"},
    },
    {"type": "response.reasoning_summary_text.delta", "item_id": "RAWrs_1", "delta": "x"},
    {"type": "response.output_item.done", "output_index": 0, "item": _ITEM},
    {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "Forty"},
    {"type": "response.completed", "response": {**_WHOLE, "output": [_ITEM]}},
]


def framed(events: list[dict[str, Any]], end: str = "\n") -> bytes:
    return "".join(f"event: {e['type']}{end}data: {json.dumps(e)}{end}{end}" for e in events).encode()


def events_of(stream: bytes) -> list[dict[str, Any]]:
    lines = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("events", [MESSAGES_STREAM, RESPONSES_STREAM])
def test_a_stream_cut_at_any_byte_comes_out_the_same(
    binding: Binding, events: list[dict[str, Any]], end: str
):
    whole = framed(events, end)
    expected = None
    for cut in range(len(whole) + 1):
        issuer = Issuer(OWNER, binding, now=NOW)
        stream = Stream(issuer)
        out = stream.feed(whole[:cut]) + stream.feed(whole[cut:]) + stream.end()
        expected = expected or (out, issuer.issued)
        assert (out, issuer.issued) == expected
    stream = Stream(Issuer(OWNER, binding, now=NOW))
    single = b"".join(stream.feed(whole[i : i + 1]) for i in range(len(whole))) + stream.end()
    assert expected is not None
    assert single == expected[0]
    assert b"RAW" not in single


def test_a_signature_in_parts_goes_out_once_and_opens(binding: Binding):
    issuer = Issuer(OWNER, binding, now=NOW)
    out = Stream(issuer).feed(framed(MESSAGES_STREAM))
    deltas = [e["delta"]["signature"] for e in events_of(out) if "signature" in e.get("delta", {})]
    assert len(deltas) == 1
    assert binding.unwrap(deltas[0], OWNER, "reasoning", now=NOW).artefact == "RAWtwoRAWthree"
    assert issuer.issued == hashlib.sha256(deltas[0].encode()).hexdigest()
    assert framed(MESSAGES_STREAM[8:]) in out


def test_every_event_of_a_response_names_it_alike(binding: Binding):
    out = events_of(Stream(Issuer(OWNER, binding, now=NOW)).feed(framed(RESPONSES_STREAM)))
    assert out[0]["response"]["id"] == out[-1]["response"]["id"]
    assert out[1]["item"]["id"] == out[2]["item_id"] == out[-1]["response"]["output"][0]["id"]
    assert out[4] == RESPONSES_STREAM[4]


@pytest.mark.parametrize("events", [MESSAGES_STREAM, RESPONSES_STREAM])
def test_an_upstream_that_dies_anywhere_leaks_no_artefact(binding: Binding, events: list[dict[str, Any]]):
    whole = framed(events)
    for cut in range(len(whole)):
        stream = Stream(Issuer(OWNER, binding, now=NOW))
        assert b"RAW" not in stream.feed(whole[:cut]) + stream.end()


@given(st.binary(max_size=300), st.integers(0, 300))
def test_bytes_without_artefacts_go_through_unchanged(binding: Binding, data: bytes, cut: int):
    whole = b"data: " + data.hex().encode() + b"\n\n: " + data.hex().encode() + b"\n\ndata: [DONE]\n\n"
    stream = Stream(Issuer(OWNER, binding, now=NOW))
    assert stream.feed(whole[:cut]) + stream.feed(whole[cut:]) + stream.end() == whole


CHAT = {
    "choices": [
        {
            "message": {
                "role": "assistant",
                "content": "x",
                "reasoning_details": [{"type": "reasoning.encrypted", "data": "RAWdata"},
                                      {"type": "reasoning.text", "text": "t", "signature": "RAWsig"}],
                "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "RAWthought"}],
                "provider_specific_fields": {"thought_signatures": ["RAWgoogle"]},
                "tool_calls": [{"extra_content": {"google": {"thought_signature": "RAWcall"}}}],
            }
        }
    ]
}  # fmt: skip


def test_a_chat_answer_goes_out_and_comes_back(binding: Binding):
    before = copy.deepcopy(CHAT)
    issuer = Issuer(OWNER, binding, now=NOW)
    out = issuer.answer(CHAT)
    assert before == CHAT
    assert "RAW" not in json.dumps(out)
    back = handed({"messages": [out["choices"][0]["message"]]}, OWNER, binding, now=NOW)
    assert back.document["messages"][0] == CHAT["choices"][0]["message"]
    assert back.redeemed == issuer.issued
    refused = handed({"messages": [out["choices"][0]["message"]]}, STRANGER, binding, now=NOW)
    assert "RAW" not in json.dumps(refused.document)
    found = refused.refused()
    assert found is not None
    assert (found.verdict, found.crossed) == ("foreign", True)


def test_paths_and_continued_responses(binding: Binding):
    token = binding.wrap("resp_1", OWNER, "response", now=NOW)
    assert handed_path(f"/v1/responses/{token}/cancel", Owner("a", "o"), binding, now=NOW)[0] == (
        "/v1/responses/resp_1/cancel"
    )
    escaped = f"/v1/responses/%73{token[1:]}"
    assert handed_path(escaped, OWNER, binding, now=NOW)[0] == "/v1/responses/resp_1"
    path, told = handed_path(f"/v1/responses/{token}", STRANGER, binding, now=NOW)
    assert path == f"/v1/responses/{token}"
    assert [entry.verdict for entry in told.redemptions] == ["foreign"]
    body = handed({"previous_response_id": token}, OWNER, binding, now=NOW)
    assert body.document == {"previous_response_id": "resp_1"}
    answer = Issuer(OWNER, binding, now=NOW, echoes=body.echoes).answer(
        {"object": "response", "id": "resp_2", "previous_response_id": "resp_1"}
    )
    assert answer["previous_response_id"] == token


def test_raw_artefacts_are_told_and_refused_only_when_asked(binding: Binding):
    body = {"input": [{"type": "reasoning", "encrypted_content": "gAAA"}]}
    told = handed(body, OWNER, binding, now=NOW)
    assert told.document is body
    assert told.refused() is None
    found = told.refused(unbound=True)
    assert found is not None
    assert found.verdict == "unbound"


@pytest.mark.parametrize(("request_body", "answer", "record"), [
    (given_["request"], given_["response"], wanted)
    for given_, wanted in (*openai_pairs.EXAMPLES, *anthropic_pairs.EXAMPLES)
    if "request" in given_ and isinstance(given_.get("response"), dict)
])  # fmt: skip
def test_the_columns_are_those_of_a_scan(
    binding: Binding, request_body: dict[str, Any], answer: dict[str, Any], record: dict[str, Any]
):
    # Raw artefacts are hashed as they stand, so the request column must be the source's own.
    assert handed(request_body, OWNER, binding, now=NOW).redeemed == record.get("reasoning_redeemed")
    issuer = Issuer(OWNER, binding, now=NOW)
    issuer.answer(answer)
    assert (issuer.issued is None) == (record.get("reasoning_issued") is None)


KEYS = st.sampled_from(
    ["messages", "input", "content", "signature", "data", "type", "index", "delta", "choices", "message", "output",
     "response", "id", "object", "item", "encrypted_content", "conversation", "tool_calls", "content_block",
     "thinking_blocks", "provider_specific_fields", "reasoning_details", "extra_content", "google", "item_id"]
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(
    ["redacted_thinking", "reasoning", "response", "content_block_delta", "content_block_stop", "signature_delta",
     PREFIX, PREFIX + "AAAA", "item_reference", "response.reasoning_text.delta"]
)  # fmt: skip
HOSTILE = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=30,
)


@given(HOSTILE)
def test_json_of_any_shape_never_raises_and_is_never_changed_in_place(binding: Binding, document: Any):
    before = copy.deepcopy(document)
    issuer = Issuer(OWNER, binding, now=NOW)
    answer = issuer.answer(document)
    assert touches(document) or answer is document
    issuer.event(document)
    told = handed(document, OWNER, binding, now=NOW)
    told.refused(unbound=True)
    handed_path("/v1/responses/" + str(document), OWNER, binding, now=NOW)
    assert document == before


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "c2ln"}]}]},
        {"messages": [{"role": "assistant", "content": [{"type": "redacted_thinking", "data": "ZGF0YQ=="}]}]},
        {"messages": [{"role": "assistant", "reasoning_details": [{"type": "reasoning.encrypted", "data": "eA=="}]}]},
        {"input": [{"type": "reasoning", "id": "rs_1", "encrypted_content": "ZW5j", "summary": []}]},
        {"input": [{"type": "item_reference", "id": "rs_1"}]},
        {"input": "go on", "previous_response_id": "resp_1"},
        {"input": "go on", "conversation": {"id": "conv_1"}},
    ],
)  # fmt: skip
def test_bytes_without_a_sign_of_an_artefact_hold_none(body: dict[str, Any], ascii_only: bool):
    assert in_request(body)
    text = json.dumps(body, ensure_ascii=ascii_only)
    assert hands_in(body)
    # A name written with escapes is the same name to a JSON reader.
    escaped = text.replace("s", "\\u0073") if ascii_only else text
    assert in_request(json.loads(escaped))
    assert hands_in(json.loads(escaped))


@pytest.mark.parametrize(
    "answer",
    [
        {"object": "chat.completion", "choices": [{"message": {"content": "x", "reasoning_details": [{"data": "eA=="}]}}]},
        {"object": "chat.completion", "choices": [{"message": {"content": [{"type": "thinking", "signature": "c2ln"}]}}]},
        {"object": "chat.completion", "choices": [{"message": {"content": "x"}}], "conversation": "conv_1"},
        {"object": "response", "id": "resp_1", "output": []},
        {"type": "message", "content": [{"type": "redacted_thinking", "data": "ZGF0YQ=="}]},
    ],
)  # fmt: skip
def test_an_answer_that_is_said_to_give_out_nothing_holds_nothing(answer: dict[str, Any]):
    assert in_answer(answer)
    assert gives_out(answer)


def test_plain_texts_need_no_closer_look():
    said = {"role": "user", "content": "signature reasoning ssb1."}
    assert not hands_in({"model": "m", "messages": [said]})
    for odd in ("encrypted_content", 7, {"signature": "x"}, None, [["signature"], "signature", 1]):
        assert not hands_in({"model": "m", "input": odd})
    message = {"role": "assistant", "content": "a signature"}
    assert not gives_out(
        {"id": "c", "object": "chat.completion", "choices": [{"index": 0, "message": message}]}
    )
