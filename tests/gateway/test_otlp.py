"""Spans against a real collector on loopback that reads them with OpenTelemetry's own definitions."""

from __future__ import annotations

import base64
import gzip
import ipaddress
import json
import ssl
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import openai
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service

from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.errors import UsageError
from spiritsafe.gateway import policy as policies
from spiritsafe.gateway import spans as exporting
from spiritsafe.gateway.app import Gateway
from spiritsafe.gateway.policy import Otlp
from spiritsafe.gateway.record import Decided, record
from spiritsafe.gateway.spans import Spans
from spiritsafe.model import Caller
from spiritsafe.responses import find
from spiritsafe.sources import read

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

NOW = 1_772_366_400_000_000
HEAD = '[gateway]\n[identity]\ntrusted = ["127.0.0.1/32"]\naccount = "x-account"\n[log]\nfolder = "log"\non_failure = "open"\n'


class Collector:
    """Answers as ``answers`` says, one after the other, then 200; ``taken`` are the requests it took."""

    def __init__(
        self, *answers: tuple[int, dict[str, str], bytes], most: int = 1 << 30, delay: float = 0.0
    ) -> None:
        self.answers, self.most, self.delay = [*answers], most, delay
        self.taken: list[service.ExportTraceServiceRequest] = []
        self.documents: list[bytes] = []
        self.seen: list[tuple[str, dict[str, str], float]] = []

    def spans(self) -> list[Any]:
        return [s for one in self.taken for r in one.resource_spans for p in r.scope_spans for s in p.spans]

    def hear(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.seen.append((path, headers, time.monotonic()))
        plain = gzip.decompress(body)
        if len(plain) > self.most:
            return 413, {}, b""
        if self.answers:
            answer = self.answers.pop(0)
            if answer[0] != 200:
                return answer
        else:
            answer = (200, {}, b"{}" if headers["content-type"] == "application/json" else b"")
        time.sleep(self.delay)
        self.documents.append(plain)
        self.taken.append(parsed(plain, headers["content-type"]))
        return answer


def parsed(body: bytes, kind: str) -> service.ExportTraceServiceRequest:
    if kind == "application/x-protobuf":
        return service.ExportTraceServiceRequest.FromString(body)
    document = json.loads(body)
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:  # hexadecimal in OTLP, base64 in protobuf's own JSON
                for name in ("traceId", "spanId"):
                    span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return json_format.ParseDict(document, service.ExportTraceServiceRequest())


@contextmanager
def collecting(collector: Collector, tls: ssl.SSLContext | None = None) -> Generator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            names = {name.lower(): value for name, value in self.headers.items()}
            status, headers, answer = collector.hear(self.path, names, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def line(number: int = 0, **told: Any) -> bytes:
    dialect = find("POST", "/v1/chat/completions")
    assert dialect is not None
    asked = dialect.asked(
        {"model": "m", "temperature": 0.5, "messages": [{"role": "user", "content": f"otters {number}"}]}
    )
    return record(
        asked, Caller(f"a-{number}", "g-1"), None, {"input_tokens": 3, "finish_reason": "stop", **told},
        exchange_id=f"gw-{number}", now=NOW + number, status=200, content="none",
        decided=Decided(campaigns=("c-1",), orders=("o-1",)),
    )  # fmt: skip


def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def exporter(endpoint: str, environment: dict[str, str] | None = None, **settings: Any) -> Generator[Spans]:
    made = Spans(Otlp(endpoint, "policy.toml:1", **settings), "w1", environment or {})
    made.start()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "EVERY", 0.05)
    monkeypatch.setattr(exporting, "FIRST_WAIT", 0.05)


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
def test_a_span_says_what_its_record_says_and_no_more(encoding: Any):
    collector = Collector()
    with collecting(collector) as endpoint:
        with exporter(endpoint, encoding=encoding) as spans:
            spans.offer(line(answer="secret", response="a secret answer", exchange_id="c-9"), 0.25)
            until(lambda: collector.taken)
        (span,) = collector.spans()
    assert collector.seen[0][0] == "/v1/traces"
    assert (span.name, span.kind, len(span.trace_id), len(span.span_id)) == ("chat m", 3, 16, 8)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (NOW * 1000, NOW * 1000 + 250_000_000)
    found = {one.key: one.value for one in span.attributes}
    assert found["gen_ai.operation.name"].string_value == "chat"
    assert found["gen_ai.request.model"].string_value == "m"
    assert found["gen_ai.usage.input_tokens"].int_value == 3
    assert found["gen_ai.request.temperature"].double_value == 0.5
    assert found["gen_ai.response.id"].string_value == "c-9"
    assert [one.string_value for one in found["gen_ai.response.finish_reasons"].array_value.values] == [
        "stop"
    ]
    assert [one.string_value for one in found["spiritsafe.gateway.campaigns"].array_value.values] == ["c-1"]
    assert found["user.id"].string_value == "a-0"
    assert b"secret" not in collector.documents[0]
    assert b"otters" not in collector.documents[0]
    resource = {
        one.key: one.value.string_value for one in collector.taken[0].resource_spans[0].resource.attributes
    }
    assert resource["service.name"] == "spiritsafe-gateway"
    assert resource["service.instance.id"] == "w1"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_the_collector_cannot_take_now_is_sent_again_and_is_the_same_span(status: int):
    collector = Collector((status, {"retry-after": "1"}, b""), (status, {}, b""))
    with collecting(collector) as endpoint, exporter(endpoint) as spans:
        spans.offer(line(), 0.1)
        until(lambda: collector.taken)
        until(lambda: spans.figures()["spans_exported"])
        assert spans.figures() == {"spans_exported": 1, "spans_failures": 2}
        assert spans.complaint is None
    first, second, _ = (moment for _, _, moment in collector.seen)
    assert second - first >= 1  # as long as it asked for


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_what_the_collector_refuses_is_dropped_and_told(status: int):
    collector = Collector((status, {}, b"no"))
    with collecting(collector) as endpoint, exporter(endpoint) as spans:
        spans.offer(line(), 0.1)
        until(lambda: spans.figures().get("spans_dropped.refused"))
        assert spans.complaint == f"spans are not exported: status {status}"
        spans.offer(line(1), 0.1)
        until(lambda: collector.taken)
        until(lambda: spans.complaint is None)


def test_a_request_too_large_is_sent_in_halves_and_a_span_too_large_is_dropped():
    collector = Collector(most=12_000)
    with collecting(collector) as endpoint, exporter(endpoint) as spans:
        for number in range(40):
            spans.offer(line(number), 0.1)
        spans.offer(line(40, exchange_id="x" * 13_000), 0.1)
        until(lambda: len(collector.spans()) == 40)
        until(lambda: spans.figures().get("spans_dropped.too_large") == 1)
    assert len({span.span_id for span in collector.spans()}) == 40


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
def test_spans_that_the_collector_says_it_left_out_are_counted(encoding: Any):
    partial = service.ExportTraceServiceResponse()
    partial.partial_success.rejected_spans = 2
    said = (
        b'{"partialSuccess": {"rejectedSpans": "2"}}' if encoding == "json" else partial.SerializeToString()
    )
    with collecting(Collector((200, {}, said))) as endpoint, exporter(endpoint, encoding=encoding) as spans:
        for number in range(5):
            spans.offer(line(number), 0.1)
        until(lambda: spans.figures().get("spans_dropped.rejected"))
        assert spans.figures()["spans_exported"] == 3


def test_a_collector_that_is_down_costs_nothing_but_what_the_queue_cannot_hold():
    with collecting(Collector()) as gone:
        pass
    spans = Spans(Otlp(gone, "policy.toml:1", queue=500), "w1", {})
    spans.start()
    for number in range(2_000):
        spans.offer(line(number), 0.1)
    until(lambda: spans.complaint)
    assert spans.complaint == "spans are not exported: ConnectionRefusedError"
    begin = time.monotonic()
    spans.close()
    assert time.monotonic() - begin < exporting.PATIENCE + 2
    figures = spans.figures()
    assert figures["spans_dropped.queue_full"] >= 1_000
    assert sum(many for name, many in figures.items() if name.startswith("spans_dropped")) == 2_000
    assert figures["spans_exported"] == 0


def test_a_collector_that_comes_back_gets_what_was_kept():
    collector = Collector()
    with collecting(collector) as endpoint:
        pass
    port = int(endpoint.rpartition(":")[2])
    with exporter(endpoint) as spans:
        spans.offer(line(), 0.1)
        until(lambda: spans.complaint)
        server = ThreadingHTTPServer(("127.0.0.1", port), handler(collector))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        until(lambda: collector.taken)
        server.shutdown()
        server.server_close()


def handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.hear(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


def test_a_slow_collector_delays_no_request_and_gets_its_spans_in_the_end(tmp_path: Path, serving: Any):
    collector = Collector(delay=30)
    with serving(model) as upstream, collecting(collector) as endpoint:
        (tmp_path / "policy.toml").write_text(
            f'{HEAD}[log.otlp]\nendpoint = "{endpoint}"\ntimeout = "200ms"\n'.replace(
                "[gateway]", f'[gateway]\nupstream = "http://127.0.0.1:{upstream}"'
            )
        )
        gateway = Gateway(policies.read(tmp_path / "policy.toml"))
        with serving(gateway, "on") as port:
            for _ in range(5):
                ask(port)
            until(gateway.works.complaints)
            assert gateway.works.complaints() == ["spans are not exported: TimeoutError"]
            assert gateway.works.ready()
            assert gateway.works.figures()["records"] == 20
            collector.delay = 0.0
            until(lambda: gateway.works.figures()["spans_exported"] == 20)
    assert len({span.span_id for span in collector.spans()}) == 20


def test_headers_come_from_the_environment_and_are_never_shown():
    collector = Collector((401, {}, b""))
    environment = {"COLLECTOR": "authorization=Bearer%20top-secret, x-tenant=7"}
    with (
        collecting(collector) as endpoint,
        exporter(endpoint, environment, headers_from="COLLECTOR") as spans,
    ):
        spans.offer(line(), 0.1)
        until(lambda: spans.complaint)
        assert "secret" not in (spans.complaint or "")
    assert collector.seen[0][1]["authorization"] == "Bearer top-secret"
    assert collector.seen[0][1]["x-tenant"] == "7"
    for text in ("", "top-secret", "a=top-secret%0D%0Ab: c", "two words=top-secret"):
        with pytest.raises(UsageError) as refused:
            Spans(
                Otlp("https://localhost:1", "policy.toml:1", headers_from="COLLECTOR"),
                "w1",
                {"COLLECTOR": text},
            )
        assert "secret" not in str(refused.value)
        assert "COLLECTOR" in str(refused.value)


def test_over_tls_the_collector_must_be_who_it_says(tmp_path: Path):
    ca = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(ca, tmp_path / "key.pem")
    collector = Collector()
    with collecting(collector, tls) as endpoint:
        with exporter(endpoint) as spans:
            spans.offer(line(), 0.1)
            until(lambda: spans.complaint)
            assert spans.complaint == "spans are not exported: SSLCertVerificationError"
        assert collector.taken == []
        with exporter(endpoint, ca=ca) as spans:
            spans.offer(line(), 0.1)
            until(lambda: collector.taken)
    with pytest.raises(UsageError, match="certificates"):
        Spans(Otlp("https://localhost:1", "policy.toml:1", ca=tmp_path / "none.pem"), "w1", {})


def certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "collector")])
    now = datetime.now(UTC)

    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return folder / "ca.pem"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "needs endpoint"),
        ('endpoint = "http://collector.example:4318"', "in the clear"),
        ('endpoint = "collector:4318"', "makes no sense"),
        ('endpoint = "https://c.example"\ncontent = "full"', "no more than the log"),
        ('endpoint = "https://c.example"\nendpont = 1', "endpont"),
        ('endpoint = "https://c.example"\nencoding = "grpc"', "grpc"),
        ('endpoint = "https://c.example"\nqueue = 0', "queue"),
    ],
)
def test_a_policy_that_makes_no_sense_says_where(tmp_path: Path, text: str, why: str):
    path = tmp_path / "policy.toml"
    path.write_text(f"{HEAD}[log.otlp]\n{text}\n")
    with pytest.raises(UsageError, match=why) as refused:
        policies.read(path)
    assert "policy.toml:" in str(refused.value)


def test_a_policy_may_send_in_the_clear_where_it_says_so_or_stays_at_home(tmp_path: Path):
    path = tmp_path / "policy.toml"
    for text in (
        'endpoint = "http://collector.example:4318"\ninsecure = true',
        'endpoint = "http://[::1]:4318"',
    ):
        path.write_text(f"{HEAD}[log.otlp]\n{text}\n")
        assert policies.read(path).log.otlp is not None


@pytest.mark.parametrize("content", ["none", "skeleton", "full"])
def test_our_own_source_reads_the_spans_as_it_reads_the_log(
    tmp_path: Path, serving: Any, monkeypatch: pytest.MonkeyPatch, content: str
):
    monkeypatch.setenv("COLLECTOR", "authorization=x")
    collector = Collector()
    with collecting(collector) as endpoint, serving(model) as upstream:
        said = 'content = "full"\n' if content == "full" else ""
        (tmp_path / "policy.toml").write_text(
            f'{HEAD}content = "{content}"\n[log.otlp]\nendpoint = "{endpoint}"\nheaders_from = "COLLECTOR"\n{said}'.replace(
                "[gateway]", f'[gateway]\nupstream = "http://127.0.0.1:{upstream}"'
            )
        )
        gateway = Gateway(policies.read(tmp_path / "policy.toml"))
        with serving(gateway, "on") as port:
            ask(port)
            until(lambda: gateway.works.figures()["spans_exported"] == 4)
    (tmp_path / "spans.jsonl").write_bytes(b"".join(one + b"\n" for one in collector.documents))
    log, rejected = rows(tmp_path, "log")
    told, lost = rows(tmp_path, "spans.jsonl")
    assert (len(log), len(told), rejected, lost) == (4, 4, 0, 0)
    pairs = zip(log, told, strict=True)
    assert [{k: (v, b[k]) for k, v in a.items() if v != b[k]} for a, b in pairs] == [{}] * 4
    assert ("otters" in json.dumps(told)) == (content == "full")


def rows(folder: Path, name: str) -> tuple[list[dict[str, Any]], int]:
    aside = folder / f"{name}.rejected"
    with DuckDB(folder / "work", memory="1GB", threads=2) as engine:
        reading = read([folder / name], engine=engine, rejects=aside)
        found = [row for batch in reading for row in batch.to_pylist()]
    for row in found:
        row.pop("source_file")
        row.pop("source_line")
        row["prompt"] = row["prompt"] or None  # with a sketch the log says "", a span nothing
    return sorted(found, key=lambda row: row["exchange_id"]), reading.scanned["rejected"]


def ask(port: int) -> None:
    with openai.OpenAI(
        base_url=f"http://127.0.0.1:{port}/v1",
        api_key="k",
        max_retries=0,
        default_headers={"x-account": "a-1"},
    ) as client:
        messages: Any = [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "About otters"},
        ]
        tool: Any = {"type": "function", "function": {"name": "clock", "parameters": {}}}
        client.chat.completions.create(
            model="m", messages=messages, temperature=0.25, tools=[tool], logprobs=True, user="u"
        )
        list(client.chat.completions.create(model="m", messages=messages, stream=True))
        client.responses.create(model="m", input="About otters", max_output_tokens=99)
        with pytest.raises(openai.APIStatusError):
            client.completions.create(model="broken", prompt="About otters")


async def model(scope: Any, receive: Any, send: Any) -> None:
    """A model server."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    asked = json.loads(body)
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    status, kind = 200, b"application/json"
    if asked["model"] == "broken":
        status, pieces = 500, [b'{"error": {"message": "no"}}']
    elif scope["path"].endswith("/responses"):
        text = {"type": "output_text", "text": "hi", "annotations": []}
        said = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [text]}
        whole = {
            "id": "r1",
            "object": "response",
            "created_at": 1,
            "model": "m",
            "status": "completed",
            "output": [said],
        }
        pieces = [json.dumps(whole).encode()]
    elif asked.get("stream"):
        kind = b"text/event-stream"
        chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        choices = [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]
        pieces = [
            b"data: " + json.dumps({**chunk, "choices": choices}).encode() + b"\n\n",
            b"data: [DONE]\n\n",
        ]
    else:
        choices = [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}]
        whole = {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": choices,
            "usage": usage,
        }
        pieces = [json.dumps(whole).encode()]
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
