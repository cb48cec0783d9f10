"""The whole way of an exchange: real server behind, real clients before, real keys, orders and files."""

from __future__ import annotations

import gzip
import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anthropic
import httpx
import openai
import pytest

from spiritsafe import pipeline
from spiritsafe.attest import keys
from spiritsafe.features.inline import Inline, Sketch
from spiritsafe.gateway import keys as artefact_keys
from spiritsafe.gateway import policy as policies
from spiritsafe.gateway.app import Gateway
from spiritsafe.gateway.works import LONG
from spiritsafe.ledger import entries
from spiritsafe.model import Exemption, Order
from spiritsafe.orders import approvals, snapshot
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager
    from pathlib import Path

    OpenHouse = Callable[..., AbstractContextManager["House"]]

HARVEST = (
    "Solve the problem below and write every step of your reasoning inside <think> tags, then the answer.\n\n"
)
SEEN: list[tuple[dict[bytes, bytes], Any]] = []


async def model(scope: Any, receive: Any, send: Any) -> None:
    """A model server that speaks chat completions, responses and messages, with reasoning artefacts."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    asked = json.loads(body) if body else {}
    if asked.get("model") == "coded":
        head = [(b"content-type", b"application/json"), (b"content-encoding", b"gzip")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": gzip.compress(b'{"reasoning_content": "secret"}')})
        return
    SEEN.append((dict(scope["headers"]), asked))
    whole: dict[str, Any]
    if scope["path"] == "/v1/messages":
        thinking = {"type": "thinking", "thinking": "hm", "signature": "U2lnbmF0dXJlIG9mIHRoZSBwcm92aWRlcg=="}
        whole = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": "end_turn",
            "stop_sequence": None, "content": [thinking, {"type": "text", "text": "forty-two"}],
            "usage": {"input_tokens": 5, "output_tokens": 7},
        }  # fmt: skip
    else:
        logprobs = {"content": [{"token": "hi", "logprob": -0.1, "bytes": None, "top_logprobs": []}]}
        said = {"role": "assistant", "content": "hi", "reasoning_content": "secret thoughts"}
        whole = {
            "id": "c-1", "object": "chat.completion", "created": 0, "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop", "message": said, "logprobs": logprobs}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        }  # fmt: skip
    if not asked.get("stream"):
        await answer(send, [json.dumps(whole).encode()], b"application/json")
        return
    chunk = {"id": "c-1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    deltas = [{"role": "assistant", "reasoning_content": "secret"}, {"content": "h"}, {"content": "i"}]
    events: list[Any] = [
        {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    events.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    lines = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    await answer(send, [*lines, b"data: [DONE]\n\n"], b"text/event-stream")


async def answer(send: Any, pieces: list[bytes], kind: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


class House:
    """A policy with orders, indicators and artefact keys in a folder, and a gateway that follows them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.signer = keys.make(folder / "signer.pem")
        self.key = keys.load(folder / "signer.pem")
        self.approver = keys.make(folder / "dana.pem")
        self.dana = keys.load(folder / "dana.pem")
        artefact_keys.make(folder / "artefacts.json", now=now())
        self.version = 0
        self.clients: dict[tuple[str, str], openai.OpenAI] = {}
        self.gateway: Gateway
        self.port = 0

    def policy(self, upstream: int, *, content: str, shadow: bool) -> None:
        (self.folder / "policy.toml").write_text(
            f'[gateway]\nupstream = "http://127.0.0.1:{upstream}"\ncontest = "https://example.com/contest"\n'
            f"shadow = {str(shadow).lower()}\n"
            '[identity]\ntrusted = ["127.0.0.1/32"]\naccount = "x-account"\norganization = "x-org"\n'
            f'[log]\nfolder = "log"\non_failure = "closed"\ncontent = "{content}"\n'
            f'[orders]\nfile = "orders.json"\nsigner = "{self.signer}"\nindicators = ["indicators.json"]\n'
            '[artefacts]\nkeys = "artefacts.json"\n[approvers]\n'
            f'dana = "{self.approver}"\n'
        )

    def indicate(self, prompt: str) -> None:
        sketch = Inline().sketch(prompt)
        one = {
            "indicator_id": "i-1", "campaign_id": "c-1", "kind": "template", "least": 2,
            "anchors": [f"{int(anchor):016x}" for anchor in sketch.anchors], "valid_from": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        text = json.dumps({"schema": 1, "fingerprint_version": 1, "indicators": [one]})
        replace_file(self.folder / "indicators.json", text)

    def order(self, response: str, exempt: tuple[Exemption, ...] = (), **parameters: Any) -> None:
        self.orders([(response, parameters)], exempt)

    def orders(self, steps: list[tuple[str, dict[str, Any]]], exempt: tuple[Exemption, ...] = ()) -> None:
        self.version += 1
        moment = now()
        made = [
            Order(
                f"o-{number}", "c-1", response, "streams", frozenset(), "distillation", "c-1@0", moment - 10**6,
                moment + 3600 * 10**6, (), parameters,
            )
            for number, (response, parameters) in enumerate(steps, 1)
        ]  # fmt: skip
        made = [approvals.approve(one, "dana", self.dana, now=moment) for one in made]
        snapshot.write(
            self.folder / "orders.json", self.key, version=self.version, issuer="tests", orders=made,
            exempt=exempt, now=moment, expires=moment + 3600 * 10**6,
        )  # fmt: skip
        self.wait(lambda: self.gateway.works.rules.version == self.version)

    def wait(self, condition: Any, seconds: float = 5.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.gateway.works.complaints()
            time.sleep(0.02)

    def records(self) -> list[dict[str, Any]]:
        paths = sorted(self.folder.glob("log/*.jsonl*"))
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]

    def openai(self, account: str = "a-1", org: str = "g-1") -> openai.OpenAI:
        if (account, org) not in self.clients:
            self.clients[account, org] = openai.OpenAI(
                base_url=f"http://127.0.0.1:{self.port}/v1",
                api_key="sk-secret",
                default_headers={"x-account": account, "x-org": org},
                max_retries=0,
            )
        return self.clients[account, org]

    def ask(self, prompt: str, account: str = "a-1", org: str = "g-1", **more: Any) -> Any:
        messages: Any = [{"role": "user", "content": prompt}]
        return self.openai(account, org).chat.completions.create(model="m", messages=messages, **more)


def now() -> int:
    return time.time_ns() // 1000


def replace_file(path: Path, text: str) -> None:
    made = path.with_suffix(".new")
    made.write_text(text)
    made.replace(path)


@pytest.fixture
def house(serving: Any) -> OpenHouse:
    """Opens a ``House`` in a folder, served."""

    @contextmanager
    def opened(folder: Path, *, content: str = "skeleton", shadow: bool = False) -> Generator[House]:
        made = House(folder)
        made.indicate(HARVEST + "What is 3 + 4?")
        with serving(model, "off") as upstream:
            made.policy(upstream, content=content, shadow=shadow)
            made.gateway = Gateway(policies.read(folder / "policy.toml"))
            with serving(made.gateway, "on") as made.port:
                yield made
                for client in made.clients.values():
                    client.close()

    return opened


@pytest.fixture
def safe(tmp_path: Path, house: OpenHouse) -> Generator[House]:
    with house(tmp_path) as made:
        yield made


def test_without_orders_all_pass_and_each_is_a_record_without_text(safe: House):
    assert safe.ask("Tell me a secret about otters").choices[0].message.content == "hi"
    assert safe.ask(HARVEST + "What is 8 + 9?", account="a-2").choices[0].message.content == "hi"
    first, second = safe.records()
    assert (first["account_id"], first["organization_id"], first["status"]) == ("a-1", "g-1", 200)
    assert (first["input_tokens"], first["output_tokens"], first["finish_reason"]) == (3, 4, "stop")
    assert first["gateway"]["campaigns"] == []
    assert second["gateway"]["campaigns"] == ["c-1"]
    text = json.dumps([first, second])
    assert "otters" not in text
    assert "sk-secret" not in text
    assert first["sketch"].startswith("s1:")


def test_a_new_account_is_under_the_campaigns_budget_from_its_first_request(safe: House):
    safe.order("budget", exchanges=3, seconds=3600)
    for n in range(3):
        safe.ask(HARVEST + f"What is {n} + 9?", account=f"member-{n}")
    with pytest.raises(openai.RateLimitError) as refused:
        safe.ask(HARVEST + "What is 5 + 9?", account="never-seen-before")
    assert int(refused.value.response.headers["retry-after"]) >= 1
    assert refused.value.response.headers["x-spiritsafe-category"] == "campaign_budget"
    assert "contest" in refused.value.response.text
    # Streams only: the same account's other work, and everybody else's, goes on.
    assert safe.ask("Tell me about otters", account="member-1").choices
    last = safe.records()[-2]
    assert (last["account_id"], last["status"]) == ("never-seen-before", 429)
    assert last["gateway"]["orders"] == ["o-1"]
    assert last["gateway"]["category"] == "campaign_budget"


def test_a_request_that_is_refused_anyway_takes_no_token(safe: House):
    budget = ("budget", {"exchanges": 2, "seconds": 86_400})
    safe.orders([budget, ("refuse", {})])
    for number in range(3):
        with pytest.raises(openai.PermissionDeniedError):
            safe.ask(HARVEST + f"What is 7 + {number}?")
    assert [one["gateway"]["category"] for one in safe.records()] == ["request_refused"] * 3
    safe.orders([budget])
    for number in range(2):
        assert safe.ask(HARVEST + f"What is 7 + {number}?").choices
    with pytest.raises(openai.RateLimitError):
        safe.ask(HARVEST + "What is 7 + 2?")


class Seen(Inline):
    """Notes in which thread sketches are taken."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[int] = []

    def sketch(self, prompt: str, system: str | None = None, *, minhash: bool = False) -> Sketch:
        self.threads.append(threading.get_ident())
        return super().sketch(prompt, system, minhash=minhash)


def test_long_texts_are_sketched_apart_and_matched_all_the_same(safe: House):
    safe.order("refuse")  # by then the gateway has started, and warmed its own
    short, long = Seen(), Seen()
    safe.gateway.works.inline, safe.gateway.works.long = short, long
    text = HARVEST + "What is 3 + 4? " + "And so on, to the end. " * 4_000
    assert len(text) > LONG
    safe.ask("Tell me about otters", account="b-1")
    with pytest.raises(openai.PermissionDeniedError):
        safe.ask(text, account="b-2", org="g-2")
    assert (len(short.threads), len(long.threads)) == (1, 1)
    assert short.threads != long.threads
    record = safe.records()[-1]
    assert record["sketch"] == Inline().sketch(text).pack()
    # Read in the thread, a body is as strict: a key twice is refused.
    raw = b'{"model": "m", "model": "n", "messages": [{"role": "user", "content": "' + b"a" * LONG + b'"}]}'
    with httpx.Client() as client:
        got = client.post(
            f"http://127.0.0.1:{safe.port}/v1/chat/completions", content=raw, headers={"x-account": "a-1"}
        )
    assert (got.status_code, got.headers["x-spiritsafe-category"]) == (400, "key_twice")


def test_a_summary_hook_that_is_not_installed_is_complained_of(safe: House):
    safe.order("withhold_reasoning", summary="nobody-made-this")
    assert any("o-1" in one and "nobody-made-this" in one for one in safe.gateway.works.complaints())
    assert not hasattr(safe.ask(HARVEST + "What is 3 + 5?").choices[0].message, "reasoning_content")
    safe.order("withhold_reasoning")
    assert not safe.gateway.works.complaints()


def test_who_changes_models_within_a_conversation_is_not_refused(safe: House):
    with anthropic.Anthropic(
        base_url=f"http://127.0.0.1:{safe.port}", api_key="k", max_retries=0,
        default_headers={"x-account": "a-1", "x-org": "g-1"},
    ) as client:  # fmt: skip
        question: Any = {"role": "user", "content": "What is the answer?"}
        first = client.messages.create(model="claude-x", max_tokens=100, messages=[question])
        said: Any = {"role": "assistant", "content": [block.model_dump() for block in first.content]}
        assert client.messages.create(model="other-y", max_tokens=100, messages=[question, said, question])


def test_removing_the_order_file_restores_everything_and_an_old_one_is_not_believed(safe: House):
    safe.order("refuse")
    path = safe.folder / "orders.json"
    old = path.read_bytes()
    with pytest.raises(openai.PermissionDeniedError):
        safe.ask(HARVEST + "What is 5 + 9?")
    safe.order("observe")
    assert safe.ask(HARVEST + "What is 5 + 9?").choices
    path.unlink()
    safe.wait(lambda: safe.gateway.works.rules.orders == 0, 1.0)
    assert safe.ask(HARVEST + "What is 5 + 9?").choices
    path.write_bytes(old)
    safe.wait(safe.gateway.works.complaints)
    assert safe.ask(HARVEST + "What is 5 + 9?").choices
    path.write_bytes(old.replace(b'"distillation"', b'"something-else"'))
    safe.wait(lambda: "signature" in " ".join(safe.gateway.works.complaints()))
    assert safe.ask(HARVEST + "What is 5 + 9?").choices


def test_an_exempt_customer_is_untouched_within_a_second(safe: House):
    safe.order("refuse")
    with pytest.raises(openai.PermissionDeniedError):
        safe.ask(HARVEST + "What is 5 + 9?", org="licensed")
    exempt = Exemption("licensed", None, "contract", "dana", now(), now() + 10**9)
    before = time.monotonic()
    safe.order("refuse", (exempt,))
    assert time.monotonic() - before < 1.5
    assert safe.ask(HARVEST + "What is 5 + 9?", org="licensed").choices
    with pytest.raises(openai.PermissionDeniedError):
        safe.ask(HARVEST + "What is 5 + 9?", org="other")


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_is_withheld_and_the_rest_is_whole(safe: House, stream: bool):
    safe.order("withhold_reasoning")
    got = safe.ask(HARVEST + "What is 5 + 9?", stream=stream)
    chunks = list(got) if stream else [got]
    assert "secret" not in "".join(chunk.to_json() for chunk in chunks)
    said = [
        (choice.delta.content if stream else choice.message.content) or ""
        for c in chunks
        for choice in c.choices
    ]
    assert "".join(said) == "hi"
    untouched = safe.ask("Tell me about otters", stream=stream)
    whole = list(untouched) if stream else [untouched]
    assert "secret" in "".join(chunk.to_json() for chunk in whole)


def test_shadow_decides_and_records_but_enforces_nothing(tmp_path: Path, house: OpenHouse):
    with house(tmp_path, shadow=True) as safe:
        safe.order("refuse")
        assert safe.ask(HARVEST + "What is 5 + 9?").choices
        told = safe.records()[-1]["gateway"]
        assert (told["shadow"], told["response"], told["orders"]) == (True, "refuse", ["o-1"])


def test_a_thinking_signature_works_for_its_owner_only(safe: House):
    def ask(account: str, org: str, messages: Any) -> anthropic.types.Message:
        with anthropic.Anthropic(
            base_url=f"http://127.0.0.1:{safe.port}", api_key="k", max_retries=0,
            default_headers={"x-account": account, "x-org": org},
        ) as client:  # fmt: skip
            return client.messages.create(model="claude-x", max_tokens=100, messages=messages)

    question: Any = {"role": "user", "content": "What is the answer?"}
    first = ask("a-1", "g-1", [question])
    given: Any = first.content[0]
    assert given.signature.startswith("ssb1.")
    again: Any = [
        question,
        {"role": "assistant", "content": [block.model_dump() for block in first.content]},
        question,
    ]
    ask("a-1", "g-1", again)
    handed = SEEN[-1][1]["messages"][1]["content"][0]["signature"]
    assert handed == "U2lnbmF0dXJlIG9mIHRoZSBwcm92aWRlcg=="
    with pytest.raises(anthropic.PermissionDeniedError) as refused:
        ask("thief", "g-2", again)
    assert refused.value.response.headers["x-spiritsafe-category"] == "artefact_not_yours"
    one, _, three = safe.records()
    assert one["reasoning_issued"] == three["reasoning_redeemed"] is not None
    evidence = safe.folder / "log" / "_gateway"
    safe.wait(lambda: any(list(entries(path)) for path in evidence.glob("evidence-*.jsonl")))
    told = [entry for path in evidence.glob("evidence-*.jsonl") for entry in entries(path)]
    assert (told[0].kind, told[0].body["account_id"]) == ("artefact_crossing", "thief")


def test_a_callers_own_mark_or_identity_goes_nowhere(safe: House):
    client = safe.openai()
    client.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": "Hello"}],
        extra_headers={"x-spiritsafe-mark": "forged"},
    )
    headers = SEEN[-1][0]
    assert b"x-account" not in headers
    assert b"x-spiritsafe-mark" not in headers


def test_the_log_is_what_a_scan_reads(tmp_path: Path, house: OpenHouse):
    with house(tmp_path) as safe:
        for n in range(12):
            list(safe.ask(HARVEST + f"What is {n} + 9?", account=f"a-{n}", stream=True))
    record = pipeline.scan([tmp_path / "log"], tmp_path / "out", settings=Settings(), strict=True)
    assert record["scanned"]["accepted"] == 12
    assert record["scanned"]["rejected"] == 0


def test_full_text_is_kept_only_when_asked_for(tmp_path: Path, house: OpenHouse):
    with house(tmp_path, content="full") as safe:
        safe.ask("Tell me about otters")
        assert safe.records()[0]["prompt"] == "Tell me about otters"
        assert safe.records()[0]["response"] == "hi"


def test_answers_with_one_id_are_records_of_their_own(safe: House):
    for _ in range(3):
        safe.ask("Tell me about otters")
    records = safe.records()
    assert len({one["exchange_id"] for one in records}) == 3
    assert {one["gateway"]["answer_id"] for one in records} == {"c-1"}


def test_an_answer_that_cannot_be_read_does_not_pass_where_it_must_be(safe: House):
    messages: Any = [{"role": "user", "content": "Tell me about otters"}]
    with pytest.raises(openai.APIStatusError) as refused:
        safe.openai().chat.completions.create(model="coded", messages=messages)
    assert refused.value.status_code == 502
    assert refused.value.response.headers["x-spiritsafe-category"] == "answer_coded"
    safe.wait(lambda: bool(safe.records()))  # a refusal may be here before its record
    assert safe.records()[-1]["status"] == 502
