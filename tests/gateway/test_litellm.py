"""LiteLLM's own proxy on loopback with our guardrail in it: real processes, a stub model server, official clients."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from spiritsafe import pipeline
from spiritsafe.attest import keys
from spiritsafe.features.inline import Inline
from spiritsafe.gateway import keys as artefact_keys
from spiritsafe.model import Order
from spiritsafe.orders import approvals, snapshot
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).parent.parent.parent
#: A Python that has ``litellm[proxy]``; it pins much, so it is not the one that runs the tests.
PYTHON = os.environ.get("SPIRITSAFE_LITELLM") or (
    sys.executable if importlib.util.find_spec("litellm") is not None else None
)
pytestmark = pytest.mark.skipif(
    PYTHON is None, reason="SPIRITSAFE_LITELLM names no Python with litellm[proxy]"
)
RUN = "from litellm import run_server; run_server()"
HARVEST = (
    "Solve the problem below and write every step of your reasoning inside <think> tags, then the answer.\n\n"
)
THOUGHT = "secret thoughts"
SIGNATURE = "U2lnbmF0dXJlIG9mIHRoZSBwcm92aWRlcg=="
ENCRYPTED = "RW5jcnlwdGVkIHJlYXNvbmluZyBvZiB0aGUgcHJvdmlkZXI="
#: LiteLLM keeps keys in PostgreSQL; this is its way to have another authority say whose a key is.
AUTHORITY = """
from fastapi import Request
from litellm.proxy._types import UserAPIKeyAuth

async def known(request: Request, api_key: str) -> UserAPIKeyAuth:
    name, _, team = api_key.removeprefix("sk-").partition("@")
    if name == "nobody":
        return UserAPIKeyAuth()
    return UserAPIKeyAuth(api_key=api_key, user_id=name, team_id=team or None)
"""
CONFIG = """
model_list:
  - model_name: m
    litellm_params: {{model: openai/m, api_base: "{upstream}/v1", api_key: sk-upstream}}
  - model_name: claude
    litellm_params: {{model: anthropic/claude-x, api_base: "{upstream}", api_key: sk-upstream}}
guardrails:
  - guardrail_name: spiritsafe
    litellm_params:
      guardrail: spiritsafe.gateway.litellm.Guardrail
      mode: {mode}
      policy: {policy}
      account: user
      relations: {{licensed-team: distillation-licence}}
litellm_settings: {{num_retries: 0, drop_params: true}}
general_settings: {{custom_auth: authority.known}}
"""


class Model:
    """A model server that speaks chat completions, responses and messages; ``seen`` is what reached it."""

    def __init__(self) -> None:
        self.seen: list[tuple[dict[str, str], dict[str, Any]]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        asked = json.loads(body)
        self.seen.append(({k.decode(): v.decode() for k, v in scope["headers"]}, asked))
        path = scope["path"]
        if "break" in json.dumps(asked.get("messages")):
            whole = json.dumps({"error": {"message": "no", "type": "server_error"}}).encode()
            await send(
                {
                    "type": "http.response.start",
                    "status": 503,
                    "headers": [(b"content-type", b"application/json")],
                }
            )
            await send({"type": "http.response.body", "body": whole})
            return
        pieces = (
            messages(asked)
            if path.endswith("/messages")
            else responses(asked)
            if path.endswith("/responses")
            else chat(asked)
        )
        kind = b"text/event-stream" if asked.get("stream") else b"application/json"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if "slow" in json.dumps(asked.get("messages")):
                await asyncio.sleep(1)
        await send({"type": "http.response.body", "body": b""})


def chat(asked: dict[str, Any]) -> list[bytes]:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    if not asked.get("stream"):
        said = {"role": "assistant", "content": "hi", "reasoning_content": THOUGHT}
        whole = {
            "id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "usage": usage,
            "choices": [{"index": 0, "finish_reason": "stop", "message": said}],
        }  # fmt: skip
        return [json.dumps(whole).encode()]
    chunk = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas = [{"role": "assistant", "reasoning_content": THOUGHT}, {"content": "h"}, {"content": "i"}]
    events: list[Any] = [
        {**chunk, "choices": [{"index": 0, "delta": one, "finish_reason": None}]} for one in deltas
    ]
    events.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events.append({**chunk, "choices": [], "usage": usage})
    return [b"data: " + json.dumps(one).encode() + b"\n\n" for one in events] + [b"data: [DONE]\n\n"]


def responses(asked: dict[str, Any]) -> list[bytes]:
    reasoning = {"type": "reasoning", "id": "rs_1", "encrypted_content": ENCRYPTED,
                 "summary": [{"type": "summary_text", "text": THOUGHT}]}  # fmt: skip
    text = {"type": "output_text", "text": "hi", "annotations": []}
    said = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
    whole = {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "error": None,
        "incomplete_details": None, "instructions": None, "metadata": {}, "tools": [], "tool_choice": "auto",
        "parallel_tool_calls": True, "temperature": None, "top_p": None, "output": [reasoning, said],
        "usage": {"input_tokens": 3, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 4,
                  "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 7},
    }  # fmt: skip
    if not asked.get("stream"):
        return [json.dumps(whole).encode()]
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**whole, "status": "in_progress", "output": [], "usage": None}},
        {"type": "response.output_item.done", "output_index": 0, "item": reasoning},
        {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "item_id": "msg_1", "delta": "hi",
         "logprobs": []},
        {"type": "response.output_item.done", "output_index": 1, "item": said},
        {"type": "response.completed", "response": whole},
    ]  # fmt: skip
    return [named({**event, "sequence_number": number}) for number, event in enumerate(events)]


def messages(asked: dict[str, Any]) -> list[bytes]:
    thinking = {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE}
    base = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "stop_sequence": None}
    usage = {"input_tokens": 5, "output_tokens": 7}
    if not asked.get("stream"):
        content = [thinking, {"type": "text", "text": "forty-two"}]
        return [json.dumps({**base, "stop_reason": "end_turn", "content": content, "usage": usage}).encode()]
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**base, "stop_reason": None, "content": [], "usage": usage}},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {**thinking, "thinking": "", "signature": ""},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": THOUGHT}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "signature_delta", "signature": SIGNATURE},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "forty-two"}},
        {"type": "content_block_stop", "index": 1},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": usage,
        },
        {"type": "message_stop"},
    ]
    return [named(event) for event in events]


def named(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def free() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as held:
        return held.getsockname()[1]


class Proxy:
    """One LiteLLM process with a policy, orders, indicators and artefact keys of its own."""

    def __init__(self, folder: Path, model: Model, upstream: int) -> None:
        self.folder, self.model, self.port = folder, model, free()
        self.signer = keys.make(folder / "signer.pem")
        self.key = keys.load(folder / "signer.pem")
        self.approver = keys.make(folder / "dana.pem")
        self.dana = keys.load(folder / "dana.pem")
        self.number = 0
        self.clients: list[Any] = []
        self.process: subprocess.Popen[bytes]
        artefact_keys.make(folder / "artefacts.json", now=now())
        (folder / "authority.py").write_text(AUTHORITY)
        self.policy()
        self.configure(upstream)
        self.indicate()

    def policy(self) -> None:
        (self.folder / "policy.toml").write_text(
            '[gateway]\ncontest = "https://example.com/contest"\n'
            '[log]\nfolder = "log"\non_failure = "closed"\ncontent = "skeleton"\n'
            f'[orders]\nfile = "orders.json"\nsigner = "{self.signer}"\nindicators = ["indicators.json"]\n'
            f'[artefacts]\nkeys = "artefacts.json"\n[approvers]\ndana = "{self.approver}"\n'
            '[ladder]\nuntouched = ["distillation-licence"]\n'
        )

    def configure(
        self, upstream: int, mode: str = "[pre_call, post_call]", policy: str | None = None
    ) -> None:
        text = CONFIG.format(
            upstream=f"http://127.0.0.1:{upstream}", mode=mode, policy=policy or self.folder / "policy.toml"
        )
        (self.folder / "config.yaml").write_text(text)

    def indicate(self) -> None:
        sketch = Inline().sketch(HARVEST + "What is 3 + 4?")
        one = {
            "indicator_id": "i-1", "campaign_id": "c-1", "kind": "template", "least": 2,
            "anchors": [f"{int(anchor):016x}" for anchor in sketch.anchors], "valid_from": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        text = json.dumps({"schema": 1, "fingerprint_version": 1, "indicators": [one]})
        (self.folder / "indicators.json").write_text(text)

    def order(self, response: str, **parameters: Any) -> str:
        """Put one order in force, in place of those before."""
        self.number += 1
        moment, name = now(), f"o-{self.number}"
        one = Order(
            name, "c-1", response, "streams", frozenset(), "distillation", "c-1@0", moment - 10**6,
            moment + 3600 * 10**6, (), parameters,
        )  # fmt: skip
        one = approvals.approve(one, "dana", self.dana, now=moment)
        snapshot.write(
            self.folder / "orders.json", self.key, version=self.number, issuer="tests", orders=[one],
            exempt=(), now=moment, expires=moment + 3600 * 10**6,
        )  # fmt: skip
        self.until_in_force(name)
        return name

    def until_in_force(self, order: str) -> None:
        # The proxy has no page of ours to ask; a record says which orders applied.
        for _ in range(100):
            with suppress(openai.APIStatusError):
                self.ask(HARVEST + "What is 1 + 1?", key="sk-probe")
            if order in self.records(account="probe")[-1]["gateway"]["orders"]:
                return
            time.sleep(0.1)
        raise AssertionError(f"{order} never came in force: {self.complaints()}")

    def start(self) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(self.folder))),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION",
            "LITELLM_MASTER_KEY": f"sk-{secrets.token_hex(32)}", "LITELLM_TELEMETRY": "False",
        }  # fmt: skip
        arguments = (
            "--config",
            str(self.folder / "config.yaml"),
            "--port",
            str(self.port),
            "--host",
            "127.0.0.1",
        )
        self.log = (self.folder / "proxy.log").open("ab")
        self.process = subprocess.Popen(
            [PYTHON or "", "-c", RUN, *arguments], cwd=self.folder, env=environment,
            stdout=self.log, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def wait(self, seconds: float = 300.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/liveliness", timeout=5):
                    return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(self.complaints())

    def complaints(self) -> str:
        return (self.folder / "proxy.log").read_text("utf-8", "replace")[-4000:]

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def records(self, **columns: str) -> list[dict[str, Any]]:
        paths = sorted(self.folder.glob("log/*.jsonl*"))
        found = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
        wanted = {f"{name}_id": value for name, value in columns.items()}
        return [one for one in found if all(one[name] == value for name, value in wanted.items())]

    def openai(self, key: str) -> Any:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key=key, max_retries=0)
        self.clients.append(client)
        return client

    def anthropic(self, key: str) -> Any:
        client = anthropic.Anthropic(base_url=f"http://127.0.0.1:{self.port}", api_key=key, max_retries=0)
        self.clients.append(client)
        return client

    def ask(self, prompt: str, key: str = "sk-a@team", model: str = "m", **more: Any) -> Any:
        conversation: Any = [{"role": "user", "content": prompt}]
        return self.openai(key).chat.completions.create(model=model, messages=conversation, **more)


def now() -> int:
    return time.time_ns() // 1000


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, serving: Any) -> Generator[Proxy]:
    model = Model()
    with serving(model, "off") as upstream:
        made = Proxy(tmp_path_factory.mktemp("litellm"), model, upstream)
        made.start()
        try:
            made.wait()
            yield made
        finally:
            made.stop()


def test_what_no_order_touches_passes_and_is_a_record_without_text(proxy: Proxy):
    answer = proxy.ask("Tell me a secret about otters", key="sk-plain@team-1", user="their-user")
    assert answer.choices[0].message.content == "hi"
    assert answer.choices[0].message.reasoning_content == THOUGHT
    (record,) = proxy.records(account="plain")
    assert (record["organization_id"], record["status"], record["end_user_id"]) == (
        "team-1",
        200,
        "their-user",
    )
    assert (record["input_tokens"], record["output_tokens"], record["finish_reason"]) == (3, 4, "stop")
    assert (record["model"], record["operation"], record["gateway"]["campaigns"]) == ("m", "chat", [])
    text = json.dumps(record)
    assert "otters" not in text
    assert "sk-plain" not in text
    assert record["sketch"].startswith("s1:")
    assert len(record["api_key_id"]) == 32


def test_two_accounts_of_one_campaign_share_its_budget(proxy: Proxy):
    order = proxy.order("budget", exchanges=20, seconds=3600)
    passed, refused = 0, None
    for number in range(30):
        try:
            proxy.ask(HARVEST + f"What is {number} + 9?", key=f"sk-member{number % 2}@team-{number % 2}")
            passed += 1
        except openai.RateLimitError as error:
            refused = error
            break
    assert refused is not None
    assert passed < 20  # the probe took one, too
    assert int(refused.response.headers["retry-after"]) >= 1
    assert refused.response.headers["x-spiritsafe-category"] == "campaign_budget"
    told = refused.response.json()["error"]
    assert told["code"] == "429"
    assert told["provider_specific_fields"]["category"] == "campaign_budget"
    assert told["provider_specific_fields"]["reference"] == order
    assert told["provider_specific_fields"]["contest"] == "https://example.com/contest"
    with pytest.raises(openai.RateLimitError):
        proxy.ask(HARVEST + "What is 7 + 9?", key="sk-never-seen-before")
    proxy.ask("Something else entirely", key="sk-member0@team-0")
    last = proxy.records(account="never-seen-before")[-1]
    assert (last["status"], last["gateway"]["response"], last["gateway"]["category"]) == (
        429,
        "budget",
        "campaign_budget",
    )


def test_a_licensed_team_meets_no_order(proxy: Proxy):
    proxy.order("refuse")
    with pytest.raises(openai.PermissionDeniedError):
        proxy.ask(HARVEST + "What is 2 + 9?", key="sk-student@other-team")
    proxy.ask(HARVEST + "What is 2 + 9?", key="sk-student@licensed-team")
    assert proxy.records(account="student")[-1]["relation"] == "distillation-licence"


@pytest.mark.parametrize(
    ("response", "parameters", "category"),
    [
        ("refuse", {}, "request_refused"),
        ("refuse", {"style": "answer"}, "request_refused"),
        ("step_up", {"url": "https://example.com/verify"}, "verification_required"),
    ],
)
def test_a_refusal_is_an_error_on_each_api_before_the_model_is_asked(
    proxy: Proxy, response: str, parameters: Any, category: str
):
    proxy.order(response, **parameters)
    before = len(proxy.model.seen)
    prompt = HARVEST + "What is 5 + 5?"
    with pytest.raises(openai.PermissionDeniedError) as chatted:
        proxy.ask(prompt, stream=True)
    with pytest.raises(openai.PermissionDeniedError) as responded:
        proxy.openai("sk-a").responses.create(model="m", input=prompt)
    with pytest.raises(anthropic.PermissionDeniedError) as messaged:
        proxy.anthropic("sk-a").messages.create(
            model="claude", max_tokens=99, messages=[{"role": "user", "content": prompt}]
        )
    for one in (chatted, responded, messaged):
        assert one.value.response.headers["x-spiritsafe-category"] == category
        assert "contest" in one.value.response.text
    assert len(proxy.model.seen) == before


def test_reasoning_is_withheld_in_answers_and_streams_of_each_api(proxy: Proxy):
    proxy.order("withhold_reasoning")
    prompt = HARVEST + "What is 6 + 6?"
    whole = proxy.ask(prompt, extra_body={"merge_reasoning_content_in_choices": True})
    assert whole.choices[0].message.content == "hi"
    assert THOUGHT not in whole.model_dump_json()
    chunks = list(proxy.ask(prompt, key="sk-stream", stream=True))
    assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == "hi"
    assert THOUGHT not in "".join(one.model_dump_json() for one in chunks)
    assert proxy.records(account="stream")[-1]["finish_reason"] == "stop"
    client = proxy.openai("sk-a")
    responded = client.responses.create(model="m", input=prompt, include=["reasoning.encrypted_content"])
    assert responded.output_text == "hi"
    assert {THOUGHT, ENCRYPTED} & set(re.findall(r'"([^"]*)"', responded.model_dump_json())) == set()
    events = list(client.responses.create(model="m", input=prompt, stream=True))
    assert events[-1].type == "response.completed"
    assert THOUGHT not in "".join(one.model_dump_json() for one in events)
    ask = {"model": "claude", "max_tokens": 4000, "messages": [{"role": "user", "content": prompt}]}
    message = proxy.anthropic("sk-a").messages.create(**ask)
    assert [block.type for block in message.content] == ["text"]
    with proxy.anthropic("sk-b").messages.stream(**ask) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["text"]
    assert final.content[0].text == "forty-two"
    assert proxy.records(account="b")[-1]["output_tokens"] == 7


def test_limits_marks_and_log_probabilities_hold_in_every_place_of_a_body(proxy: Proxy):
    prompt = HARVEST + "What is 8 + 1?"
    proxy.order("strip_logprobs")
    proxy.ask(prompt, logprobs=True, top_logprobs=5)
    assert {"logprobs", "top_logprobs"} & proxy.model.seen[-1][1].keys() == set()
    proxy.ask(prompt, extra_body={"extra_body": {"logprobs": True, "top_logprobs": 5}})
    assert {"logprobs", "top_logprobs"} & proxy.model.seen[-1][1].keys() == set()
    proxy.order("cap_output", tokens=50)
    proxy.ask(
        prompt,
        max_tokens=4000,
        extra_body={"additional_drop_params": ["max_tokens", "max_completion_tokens"]},
    )
    assert proxy.model.seen[-1][1]["max_tokens"] == 50
    proxy.order("mark", key="wm-7")
    proxy.ask(prompt, extra_body={"extra_headers": {"X-Spiritsafe-Mark": "none"}})
    assert proxy.model.seen[-1][0]["x-spiritsafe-mark"] == "wm-7"


def test_what_a_body_hides_is_found_or_refused(proxy: Proxy):
    proxy.order("refuse")
    hidden = {"messages": [{"role": "user", "content": HARVEST + "What is 9 + 9?"}]}
    with pytest.raises(openai.PermissionDeniedError):
        proxy.ask("Hello", extra_body={"extra_body": hidden})
    with pytest.raises(openai.BadRequestError) as ambiguous:
        proxy.ask("Hello", extra_body={"fallbacks": [{"model": "m", **hidden}]})
    assert ambiguous.value.response.headers["x-spiritsafe-category"] == "request_ambiguous"
    with pytest.raises(openai.PermissionDeniedError):  # nobody can leave the guard out
        proxy.ask(
            HARVEST + "What is 9 + 9?",
            extra_body={
                "guardrails": [],
                "disable_global_guardrails": True,
                "metadata": {"disable_global_guardrails": True},
            },
        )


def test_reasoning_artefacts_work_for_their_owner_only(proxy: Proxy):
    proxy.order("observe")
    conversation: list[Any] = [{"role": "user", "content": "How much is it?"}]
    ask = {"model": "claude", "max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    first = proxy.anthropic("sk-owner@team").messages.create(messages=conversation, **ask)
    token = first.content[0].signature
    assert token.startswith("ssb1.")
    conversation += [
        {"role": "assistant", "content": [one.model_dump() for one in first.content]},
        {"role": "user", "content": "And twice that?"},
    ]
    proxy.anthropic("sk-owner@team").messages.create(messages=conversation, **ask)
    assert proxy.model.seen[-1][1]["messages"][1]["content"][0]["signature"] == SIGNATURE
    with pytest.raises(anthropic.PermissionDeniedError) as refused:
        proxy.anthropic("sk-thief@elsewhere").messages.create(messages=conversation, **ask)
    assert refused.value.response.headers["x-spiritsafe-category"] == "artefact_not_yours"
    with proxy.anthropic("sk-owner@team").messages.stream(messages=conversation[:1], **ask) as stream:
        assert stream.get_final_message().content[0].signature.startswith("ssb1.")
    responded = proxy.openai("sk-owner@team").responses.create(
        model="m", input="Hello", include=["reasoning.encrypted_content"]
    )
    wrapped = responded.output[0]
    assert wrapped.type == "reasoning"
    assert ENCRYPTED not in responded.model_dump_json()
    given: Any = [wrapped.model_dump(exclude_none=True), {"role": "user", "content": "go on"}]
    proxy.openai("sk-owner@team").responses.create(model="m", input=given)
    assert proxy.model.seen[-1][1]["input"][0]["encrypted_content"] == ENCRYPTED


def test_a_failed_call_and_a_caller_who_leaves_are_records(proxy: Proxy):
    with pytest.raises(openai.APIStatusError):
        proxy.ask("break", key="sk-unlucky")
    (record,) = proxy.records(account="unlucky")
    assert (record["status"], record["finish_reason"]) == (503, "failed")
    with pytest.raises(openai.NotFoundError):
        proxy.openai("sk-a").images.generate(model="m", prompt="an otter")
    with pytest.raises(openai.AuthenticationError) as unknown:
        proxy.ask("Hello", key="sk-nobody")
    assert unknown.value.response.headers["x-spiritsafe-category"] == "identity_missing"
    stream = proxy.ask("slow", key="sk-hasty", stream=True)
    next(iter(stream))
    stream.close()
    end = time.monotonic() + 30
    while not proxy.records(account="hasty") and time.monotonic() < end:
        time.sleep(0.1)
    assert [one["finish_reason"] for one in proxy.records(account="hasty")] == ["cancelled"]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"mode": "[pre_call]"}, "both modes are needed"),
        ({"policy": "nowhere.toml"}, "nowhere.toml"),
        ({"mode": "[pre_call, post_call], run_in_parallel: true"}, "run_in_parallel"),
    ],
)
def test_a_proxy_whose_guard_cannot_be_made_does_not_start(
    tmp_path: Path, settings: dict[str, str], why: str
):
    made = Proxy(tmp_path, Model(), 1)
    if mode := settings.get("mode", "").partition("]")[2]:
        settings = {"mode": f"[pre_call, post_call]\n      {mode.strip(', ')}"}
    made.configure(1, **settings)
    made.start()
    with pytest.raises(AssertionError, match=why):
        made.wait()
    made.stop()


def test_what_a_proxy_left_open_is_mended_by_the_next_and_read_by_a_scan(proxy: Proxy, tmp_path: Path):
    proxy.stop()
    many = len(proxy.records())
    proxy.start()
    proxy.wait()
    end = time.monotonic() + 20
    while (
        len([*proxy.folder.glob("log/*.open")]) > 1 and time.monotonic() < end
    ):  # one is the new proxy's own
        time.sleep(0.1)
    found = pipeline.scan([proxy.folder / "log"], tmp_path / "out", settings=Settings(), strict=True)
    assert (found["scanned"]["accepted"], found["scanned"]["rejected"]) == (many, 0)
    assert many > 30
