"""The proxy against a real server behind it and real clients before it."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import openai
import pytest

from spiritsafe.gateway import policy as policies
from spiritsafe.gateway.app import Gateway, SpiritsafeMiddleware
from spiritsafe.gateway.remote import Remote
from spiritsafe.gateway.upstream import Outgoing, Unreachable

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = [
    b'data: {"choices":[{"delta":{"content":"h\xc3\xa9"},"index":0}]}\r\n\r\n',
    b": ping\n\n",
    b"data: [DONE]\n\n",
]
SEEN: list[dict[str, Any]] = []
LEFT = threading.Event()


async def model(scope: Any, receive: Any, send: Any) -> None:
    """A model server: it says what it was asked, streams byte by byte, dies, or never ends."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    SEEN.append({"headers": scope["headers"], "body": body})
    kind = json.loads(body).get("model", "") if body[:1] == b"{" else ""
    if kind == "stream":
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream")],
            }
        )
        for byte in b"".join(EVENTS):
            await send({"type": "http.response.body", "body": bytes((byte,)), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif kind == "dies":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": EVENTS[0], "more_body": True})
    elif kind == "endless":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": EVENTS[0], "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        LEFT.set()
    else:
        answer = json.dumps(
            {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": kind,
                "choices": [
                    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
                ],
            }
        ).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(answer)),
            (b"set-cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
            (b"keep-alive", b"timeout=9"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


@pytest.fixture(scope="module", params=["remote", "mounted"])
def port(request: Any, tmp_path_factory: Any, serving: Any):
    path = tmp_path_factory.mktemp("policy") / "policy.toml"
    path.write_text(
        '[gateway]\nmax_body = "100kB"\nbody_timeout = "1s"\nmax_depth = 20\n'
        '[identity]\ntrusted = ["127.0.0.1/32"]\naccount = "x-account-id"\n'
        '[log]\nfolder = "log"\non_failure = "open"\n'
    )
    policy = policies.read(path)
    if request.param == "mounted":
        with serving(SpiritsafeMiddleware(model, policy=policy)) as at:
            yield at
        return
    with ExitStack() as stack:
        behind = stack.enter_context(serving(model))
        gateway = Gateway(replace(policy, upstream=f"http://127.0.0.1:{behind}"))
        yield stack.enter_context(serving(gateway, lifespan="on"))


def raw(port: int, data: bytes, *, wait: float = 5.0) -> bytes:
    with closing(socket.create_connection(("127.0.0.1", port))) as line:
        line.settimeout(wait)
        line.sendall(data)
        got = b""
        while piece := line.recv(65_536):
            got += piece
        return got


def post(
    body: bytes, *more: str, path: str = "/v1/chat/completions", version: str = "1.1", who: str = "acct"
) -> bytes:
    lines = [f"POST {path} HTTP/{version}", "host: gateway", "connection: close", *more]
    if who:
        lines.append(f"x-account-id: {who}")
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in more):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def unchunked(answer: bytes) -> bytes:
    rest, whole = answer.partition(b"\r\n\r\n")[2], b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        whole += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return whole


def test_an_openai_client_is_answered_and_the_upstream_never_sees_who_asked(port: int):
    SEEN.clear()
    with openai.OpenAI(
        base_url=f"http://127.0.0.1:{port}/v1",
        api_key="k",
        max_retries=0,
        default_headers={"x-account-id": "acct-7"},
    ) as client:
        made = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
    assert made.choices[0].message.content == "hi"
    names = {name for name, _ in SEEN[0]["headers"]}
    assert b"x-account-id" not in names
    assert (b"accept-encoding", b"identity") in SEEN[0]["headers"]


def test_a_stream_comes_byte_for_byte_though_it_is_split_at_every_byte(port: int):
    answer = raw(port, post(b'{"model":"stream"}'))
    assert unchunked(answer) == b"".join(EVENTS)
    assert answer.endswith(b"0\r\n\r\n")


def test_an_upstream_that_dies_gives_a_broken_transfer_and_no_false_end(port: int):
    answer = raw(port, post(b'{"model":"dies"}'))
    assert EVENTS[0] in answer
    assert not answer.endswith(b"0\r\n\r\n")


def test_a_caller_who_leaves_cancels_the_work(port: int):
    LEFT.clear()
    with closing(socket.create_connection(("127.0.0.1", port))) as line:
        line.sendall(post(b'{"model":"endless"}'))
        assert line.recv(4_096).startswith(b"HTTP/1.1 200")
    assert LEFT.wait(5)


def test_a_caller_of_http_1_0_gets_a_length_and_no_pieces(port: int):
    answer = raw(port, post(b'{"model":"stream"}', version="1.0"))
    assert b"chunked" not in answer
    assert answer.endswith(b"\r\n\r\n" + b"".join(EVENTS))


def test_fields_of_one_connection_end_and_double_ones_stay(port: int):
    SEEN.clear()
    answer = raw(port, post(b'{"model":"m"}', "x-two: 1", "x-two: 2", "te: trailers", "x-account_id: forged"))
    assert answer.count(b"set-cookie") == 2
    assert b"keep-alive" not in answer
    assert [value for name, value in SEEN[0]["headers"] if name == b"x-two"] == [b"1", b"2"]
    assert not {b"te", b"x-account_id"} & {name for name, _ in SEEN[0]["headers"]}


@pytest.mark.parametrize(
    ("request_", "status", "category"),
    [
        (post(b"{}", who=""), 401, b"identity_missing"),
        (post(b"{}", "x-account-id: other"), 401, b"identity_twice"),
        (post(b'{"a":'), 400, b"not_json"),
        (post(b'{"a":"\xff"}'), 400, b"not_json"),
        (post(b'{"model":"a", "model":"b"}'), 400, b"key_twice"),
        (post(b'{"a":' + b"[" * 30 + b"]" * 30 + b"}"), 400, b"too_deep"),
        (post(b"x" * 100_001), 413, b"body_too_large"),
        (post(b"{}", "content-length: 10"), 408, b"body_too_slow"),
        (post(b"{}", "content-encoding: br"), 415, b"content_encoding"),
        (post(b"{}", path="/v1//chat/completions"), 400, b"path_not_canonical"),
        (post(b"{}", path="/v1/chat/%63ompletions"), 400, b"path_not_canonical"),
        (post(b"{}", path="/v1/else"), 404, b"path_unknown"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_a_reason(
    port: int, request_: bytes, status: int, category: bytes
):
    SEEN.clear()
    answer = raw(port, request_)
    assert answer.startswith(b"HTTP/1.1 %d" % status)
    assert b"x-spiritsafe-category: " + category in answer
    assert not SEEN


@pytest.mark.parametrize(
    ("who", "path", "status"),
    [("acct", "/v1/chat/completions", 413), ("", "/v1/chat/completions", 401), ("acct", "/v1/else", 404)],
)
def test_a_refusal_reaches_a_caller_who_sends_all_of_a_long_body_first(
    port: int, who: str, path: str, status: int
):
    SEEN.clear()
    answer = raw(port, post(b"x" * 20_000_000, who=who, path=path))
    assert answer.startswith(b"HTTP/1.1 %d" % status)
    assert b"\r\nx-spiritsafe-category: " in answer
    assert not SEEN


def test_a_refused_body_is_waited_for_only_as_long_as_a_body_may_take(port: int):
    began = time.monotonic()
    answer = raw(port, post(b"", "content-length: 200000"))
    assert answer.startswith(b"HTTP/1.1 413")
    assert 0.9 < time.monotonic() - began < 4.5


def test_who_asks_first_sends_no_body_after_a_refusal_and_none_is_waited_for(tmp_path: Path, serving: Any):
    path = tmp_path / "policy.toml"
    path.write_text(
        '[gateway]\nbody_timeout = "90s"\n[identity]\ntrusted = ["127.0.0.1/32"]\naccount = "x-account-id"\n'
        '[log]\nfolder = "log"\non_failure = "open"\n'
    )
    with serving(SpiritsafeMiddleware(model, policy=policies.read(path))) as at:
        answer = raw(at, post(b"", "content-length: 20", "expect: 100-continue", who=""), wait=30)
    assert answer.startswith(b"HTTP/1.1 401")


def test_a_bomb_is_refused_and_a_coded_body_goes_on_as_it_came(port: int):
    SEEN.clear()
    small, bomb = gzip.compress(b'{"model":"m"}'), gzip.compress(b'{"a":"' + b"x" * 5_000_000 + b'"}')
    assert raw(port, post(bomb, "content-encoding: gzip")).startswith(b"HTTP/1.1 413")
    assert raw(port, post(small + small, "content-encoding: gzip")).startswith(b"HTTP/1.1 400")
    assert raw(port, post(small, "content-encoding: gzip")).startswith(b"HTTP/1.1 200")
    assert [one["body"] for one in SEEN] == [small]


@pytest.mark.parametrize(
    "request_",
    [
        post(b"0\r\n\r\n", "content-length: 5", "transfer-encoding: chunked"),
        post(b"{}", "content-length: 2", "content-length: 3"),
        post(b"zz\r\n{}\r\n0\r\n\r\n", "transfer-encoding: chunked"),
        post(b"{}", "x-a: b\r\n folded: c"),
        post(b"{}", "x-a : b"),
        post(b"{}", "x-a: b\rx-account-id: c"),
    ],
)
def test_smuggled_requests_end_at_the_door(port: int, request_: bytes):
    SEEN.clear()
    assert raw(port, request_).startswith(b"HTTP/1.1 400")
    assert not SEEN


def test_a_long_body_on_a_path_that_is_not_guarded_is_streamed_through(port: int):
    SEEN.clear()
    data = b"x" * 300_000
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (data[:7], data[7:])) + b"0\r\n\r\n"
    assert raw(port, post(chunks, "transfer-encoding: chunked", path="/v1/models/upload")).startswith(
        b"HTTP/1.1 200"
    )
    assert SEEN[0]["body"] == data


def test_websockets_are_refused(port: int):
    answer = raw(
        port,
        b"GET /v1/models HTTP/1.1\r\nhost: a\r\nx-account-id: a\r\n"
        b"connection: upgrade, close\r\nupgrade: websocket\r\n\r\n",
    )
    assert b" 426 " in answer.splitlines()[0]


def test_no_server_behind_is_a_502(tmp_path: Path):
    with closing(socket.create_server(("127.0.0.1", 0))) as held:
        closed = held.getsockname()[1]
    answer = asyncio.run(_asked(closed, tmp_path))
    assert answer == 502


async def _asked(port: int, tmp_path: Any) -> int:
    (tmp_path / "p.toml").write_text(
        '[identity]\ntrusted = ["127.0.0.1"]\naccount = "x-a"\n[log]\nfolder = "l"\non_failure = "open"\n'
    )
    policy = policies.read(tmp_path / "p.toml")
    remote = Remote(f"http://127.0.0.1:{port}", policy.limits)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/messages",
        "raw_path": b"/v1/messages",
        "headers": [(b"x-a", b"me")],
        "client": ("127.0.0.1", 1),
        "query_string": b"",
    }
    gateway = Gateway(policy, remote)
    await gateway.start()
    await gateway(scope, receive, send)
    await gateway.works.close()
    await remote.close()
    return sent[0]["status"]


ODD_ANSWERS = {
    "early": (b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno", 413, b"no"),
    "interim": (b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, b"ok"),
    "until closed": (b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nall of it", 200, b"all of it"),
    "garbled": (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nno", 502, None),
    "two for one": (2 * b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, b"ok"),
    "endless head": (b"HTTP/1.1 200 OK\r\n" + b"x-a: " + b"a" * 500_000, 502, None),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD_ANSWERS)
def test_odd_answers_of_a_model_server(tmp_path: Path, case: str):
    answer, status, body = ODD_ANSWERS[case]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"{}")
                writer.write(answer)
                await writer.drain()
                if case == "until closed":
                    break
        writer.close()

    async def ask() -> tuple[int, bytes | None]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        (tmp_path / "p.toml").write_text(
            '[identity]\ntrusted = ["127.0.0.1"]\naccount = "x-a"\n[log]\nfolder = "l"\non_failure = "open"\n'
        )
        limits = replace(policies.read(tmp_path / "p.toml").limits, answer_timeout=2.0, idle_timeout=2.0)
        remote = Remote(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", limits)
        found: list[tuple[int, bytes | None]] = []
        for _ in range(2):  # what is left on a connection must not answer the next request
            try:
                got = await remote.send(Outgoing("POST", "/v1/models", [(b"host", b"x")], b"{}"))
                whole = b""
                while piece := await got.read():
                    whole += piece
                found.append((got.status, whole))
                got.close()
            except Unreachable:
                found.append((502, None))
        await remote.close()
        server.close()
        await asyncio.sleep(0.1)
        assert found[0] == found[1]
        return found[0]

    assert asyncio.run(ask()) == (status, body)
