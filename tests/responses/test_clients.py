"""The official clients, over a real connection, read refusals and changed answers as they should."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from spiritsafe.model import Caller, Order
from spiritsafe.registry import extensions
from spiritsafe.responses import Call, Changes, Refusal, Taken, check, find, refuse_body

if TYPE_CHECKING:
    from collections.abc import Generator

RESPONSES = extensions("responses")
CONTEST = "https://provider.example/contest"
USER: list[Any] = [{"role": "user", "content": "Hello"}]


class Server(ThreadingHTTPServer):
    """Answers each request with what the order makes of it, or with ``upstream`` changed by the order."""

    order: Order
    upstream: Any = None
    left: Taken | None = None
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        dialect = find("POST", self.path)
        assert dialect is not None
        extension = RESPONSES[self.server.order.response]
        made = Call(dialect, body, Caller("a1"), self.server.left, CONTEST)
        got = extension.function(made, self.server.order, now=0)
        streamed = body.get("stream") is True
        if isinstance(got, Refusal):
            status, headers, content = refuse_body(dialect, got, streamed=streamed)
        else:
            changes = Changes(dialect, [(extension, self.server.order)], streamed=streamed)
            documents = self.server.upstream if streamed else [self.server.upstream]
            kept = [new for one in documents if (new := changes(one)) is not None]
            named = "type" in documents[0]
            content = (
                b"".join(
                    (f"event: {one['type']}\n" if named else "").encode()
                    + b"data: "
                    + json.dumps(one).encode()
                    + b"\n\n"
                    for one in kept
                )
                if streamed
                else json.dumps(kept[0]).encode()
            )
            status, headers = 200, [("content-type", "text/event-stream" if streamed else "application/json")]
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Generator[Server, None, None]:
    with Server(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def gpt(server: Server) -> Generator[openai.OpenAI, None, None]:
    url = f"http://127.0.0.1:{server.server_port}/v1"
    with openai.OpenAI(base_url=url, api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(server: Server) -> Generator[anthropic.Anthropic, None, None]:
    url = f"http://127.0.0.1:{server.server_port}"
    with anthropic.Anthropic(base_url=url, api_key="k", max_retries=0) as client:
        yield client


def order(name: str, **parameters: Any) -> Order:
    given = check(name, RESPONSES[name].module.PARAMETERS, parameters)
    return Order("o1", "c1", name, "streams", frozenset(), "shared_templates", "e", 0, 1 << 60, (), given)


REFUSALS: list[tuple[Order, Taken | None, int, str]] = [
    (order("budget", exchanges=5), Taken(False, 0, 6.5), 429, "campaign_budget"),
    (order("step_up", url="https://p.example/v"), None, 403, "verification_required"),
    (order("refuse"), None, 403, "request_refused"),
    (order("suspend"), None, 403, "account_suspended"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("made", "left", "status", "category"), REFUSALS)
def test_clients_raise_their_own_errors(
    server: Server, gpt: openai.OpenAI, claude: anthropic.Anthropic, made: Order, left: Taken | None, status: int,
    category: str, stream: bool,
):  # fmt: skip
    server.order, server.left = made, left
    theirs = openai.RateLimitError if status == 429 else openai.PermissionDeniedError
    calls = [
        lambda: gpt.chat.completions.create(model="m", messages=USER, stream=stream),
        lambda: gpt.completions.create(model="m", prompt="x", stream=stream),
        lambda: gpt.responses.create(model="m", input="x", stream=stream),
        lambda: gpt.embeddings.create(model="m", input="x"),
    ]
    for one in calls:
        with pytest.raises(theirs) as caught:
            one()
        error: Any = caught.value
        assert (error.status_code, error.code, error.body["category"]) == (status, category, category)
        assert error.body["reason"] == "shared_templates"
        assert error.response.headers["x-spiritsafe-contest"] == CONTEST == error.body["contest"]
        assert error.response.headers.get("retry-after") == ("7" if status == 429 else None)
    ours = anthropic.RateLimitError if status == 429 else anthropic.PermissionDeniedError
    for again in (
        lambda: claude.messages.create(model="m", max_tokens=9, messages=USER, stream=stream),
        lambda: claude.messages.count_tokens(model="m", messages=USER),
    ):
        with pytest.raises(ours) as raised:
            again()
        body: Any = raised.value.body
        assert raised.value.status_code == status
        assert body["error"]["type"] == ("rate_limit_error" if status == 429 else "permission_error")
        assert (body["error"]["category"], body["error"]["contest"]) == (category, CONTEST)


def test_refusals_in_the_shape_of_an_answer(server: Server, gpt: openai.OpenAI, claude: anthropic.Anthropic):
    server.order = order("refuse", style="answer")
    whole = gpt.chat.completions.create(model="m", messages=USER).choices[0]
    assert whole.finish_reason == "stop"
    assert CONTEST in (whole.message.refusal or "")
    with gpt.chat.completions.stream(model="m", messages=USER) as chunks:
        streamed = chunks.get_final_completion().choices[0]
    assert (streamed.message.refusal, streamed.finish_reason) == (whole.message.refusal, "stop")
    part: Any = gpt.responses.create(model="m", input="x").output[0]
    assert (part.content[0].type, part.content[0].refusal) == ("refusal", whole.message.refusal)
    with gpt.responses.stream(model="m", input="x") as events:
        for _ in events:
            pass
        final: Any = events.get_final_response()
    assert final.output[0].content[0].refusal == whole.message.refusal
    message = claude.messages.create(model="m", max_tokens=9, messages=USER)
    with claude.messages.stream(model="m", max_tokens=9, messages=USER) as stream:
        last = stream.get_final_message()
    for one in (message, last):
        assert (one.stop_reason, one.content[0].type) == ("refusal", "text")
        assert one.stop_details is not None
        assert one.stop_details.explanation == whole.message.refusal
    with pytest.raises(openai.PermissionDeniedError):
        gpt.embeddings.create(model="m", input="x")


def _blocks() -> list[dict[str, Any]]:
    start = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
             "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        ({"type": "thinking", "thinking": "", "signature": ""}, [{"type": "thinking_delta", "thinking": "SECRET"},
                                                                {"type": "signature_delta", "signature": "SECRET"}]),
        ({"type": "text", "text": ""}, [{"type": "text_delta", "text": "Hello"}]),
        ({"type": "redacted_thinking", "data": "SECRET"}, []),
        ({"type": "tool_use", "id": "t", "name": "f", "input": {}}, [{"type": "input_json_delta", "partial_json": '{"a":1}'}]),
    ]  # fmt: skip
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    events.append(
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}
    )
    return [*events, {"type": "message_stop"}]


def test_messages_without_thinking_are_parsed(server: Server, claude: anthropic.Anthropic):
    server.order, server.upstream = order("withhold_reasoning"), _blocks()
    with claude.messages.stream(model="m", max_tokens=2000, messages=USER) as stream:
        got = stream.get_final_message()
    assert [block.type for block in got.content] == ["text", "tool_use"]
    tool: Any = got.content[1]
    assert (tool.input, got.stop_reason, got.usage.output_tokens) == ({"a": 1}, "tool_use", 9)
    assert "SECRET" not in got.to_json()


def test_responses_without_reasoning_are_parsed(server: Server, gpt: openai.OpenAI):
    base: dict[str, Any] = {"id": "r", "object": "response", "created_at": 1, "model": "m", "tools": [],
            "tool_choice": "auto", "parallel_tool_calls": True, "status": "in_progress", "output": []}  # fmt: skip
    thought = {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "SECRET"}]}
    text = {"type": "output_text", "text": "Hello", "annotations": []}
    item = {"type": "message", "id": "i", "role": "assistant", "status": "completed", "content": [text]}
    at = {"item_id": "rs", "output_index": 0, "summary_index": 0}
    to = {"item_id": "i", "output_index": 1, "content_index": 0}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": base},
        {"type": "response.output_item.added", "output_index": 0, "item": thought | {"summary": []}},
        {"type": "response.reasoning_summary_part.added", **at, "part": {"type": "summary_text", "text": ""}},
        {"type": "response.reasoning_summary_text.delta", **at, "delta": "SECRET"},
        {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": thought | {"encrypted_content": "SECRET"},
        },
        {"type": "response.output_item.added", "output_index": 1, "item": item | {"content": []}},
        {"type": "response.content_part.added", **to, "part": text | {"text": ""}},
        {"type": "response.output_text.delta", **to, "delta": "Hello", "logprobs": []},
        {"type": "response.output_item.done", "output_index": 1, "item": item},
        {"type": "response.completed", "response": base | {"status": "completed", "output": [thought, item]}},
    ]
    numbered = [one | {"sequence_number": n} for n, one in enumerate(events)]
    server.order, server.upstream = order("withhold_reasoning"), numbered
    with gpt.responses.stream(model="m", input="x") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert not [kind for kind in kinds if "reasoning" in kind]
    assert [one.type for one in final.output] == ["reasoning", "message"]
    assert final.output_text == "Hello"
    assert "SECRET" not in final.to_json()


def test_chat_without_reasoning_and_logprobs_is_parsed(server: Server, gpt: openai.OpenAI):
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "SECRET"},
        {"content": "Hi"},
    ]
    server.upstream = [
        base | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    server.upstream.append(base | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    server.order = order("withhold_reasoning")
    with gpt.chat.completions.stream(model="m", messages=USER) as chunks:
        got = chunks.get_final_completion()
    assert got.choices[0].message.content == "Hi"
    assert "SECRET" not in got.to_json()
    server.order = order("strip_logprobs")
    message = {"role": "assistant", "content": "Hi"}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": {"content": []}}
    server.upstream = base | {"object": "chat.completion", "choices": [choice]}
    assert gpt.chat.completions.create(model="m", messages=USER).choices[0].logprobs is None
