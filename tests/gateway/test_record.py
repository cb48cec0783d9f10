from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from spiritsafe.gateway.record import Decided, key_id, key_secret, record
from spiritsafe.schema import NAMES

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_772_366_400_000_123
DECIDED = Decided(("c1",), ("o1",), "budget", "campaign_budget")


def asked(**changed: Any) -> Any:
    said = {
        "operation": "chat", "model": "m", "system": "Be brief.", "prompt": "Hello", "turns": 2, "tools": ["clock"],
        "temperature": 0.5, "top_p": None, "n": 1, "max_tokens": 100, "logprobs": False, "end_user_id": "u-body",
        "stream": True,
    }  # fmt: skip
    return SimpleNamespace(**said | changed)


def caller(**changed: Any) -> Any:
    none = dict.fromkeys(
        ("organization_id", "api_key_id", "session_id", "end_user_id", "device_id", "client_ip", "asn", "user_agent",
         "plan", "account_created", "email_domain", "payment_id", "relation")
    )  # fmt: skip
    return SimpleNamespace(**{"account_id": "a1", **none, "asn": 64500, "account_created": NOW - 1} | changed)


ANSWER = {"exchange_id": "r1", "response": "Hi", "input_tokens": 7, "output_tokens": 2, "finish_reason": "stop",
          "authorization": "Bearer SECRET"}  # fmt: skip


def made(content: Any, sketch: str | None = "packed", **more: Any) -> dict[str, Any]:
    line = record(
        more.get("asked", asked()), more.get("caller", caller()), sketch, more.get("answer", ANSWER),
        exchange_id=f"gw-{os.urandom(12).hex()}", now=NOW, status=200, content=content, decided=DECIDED,
    )  # fmt: skip
    assert line.count(b"\n") == 1
    assert line.endswith(b"}\n")
    line.decode("utf-8")
    return json.loads(line)


def test_a_record_has_the_canonical_columns_and_what_the_gateway_did():
    full = made("full")
    assert set(full) == {*NAMES, "gateway"} - {"sketch"}
    assert full["time"] == "2026-03-01T12:00:00.000123Z"
    assert (full["prompt"], full["system"], full["response"]) == ("Hello", "Be brief.", "Hi")
    assert (full["end_user_id"], made("full", caller=caller(end_user_id="u1"))["end_user_id"]) == (
        "u-body",
        "u1",
    )
    assert full["gateway"] == {
        "campaigns": ["c1"], "orders": ["o1"], "response": "budget", "category": "campaign_budget", "shadow": False,
        "answer_id": "r1",
    }  # fmt: skip


@pytest.mark.parametrize(("content", "sketch"), [("none", None), ("skeleton", "packed")])
def test_without_text_no_text_is_written(content: str, sketch: str | None):
    bare = made(content)
    assert (bare["prompt"], bare["system"], bare["response"]) == ("", None, None)
    assert bare.get("sketch") == sketch
    assert not {"Hello", "Be brief.", "Hi"} & set(map(str, bare.values()))


def test_text_that_json_cannot_hold_never_breaks_a_line():
    odd = made(
        "full", asked=asked(prompt="a\ud800b\x00\n\u2028\udc00", turns=1 << 70, tools=["\udfff", None])
    )
    assert odd["prompt"] == "a\ufffdb\x00\n\u2028\ufffd"
    assert (odd["turns"], odd["tools"]) == (None, ["\ufffd", None])
    assert made("full", asked=asked(prompt=None, temperature=float("nan")))["prompt"] == ""


def test_an_exchange_without_an_id_gets_one_of_its_own():
    ids = {made("none", answer={})["exchange_id"] for _ in range(100)}
    assert len(ids) == 100


def test_what_is_no_column_never_gets_in():
    assert "SECRET" not in json.dumps(made("full"))


def test_a_key_is_told_by_a_keyed_hash(tmp_path: Path):
    secret = key_secret(tmp_path / "secret")
    assert key_secret(tmp_path / "secret") == secret
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    assert key_id("sk-1", secret) == key_id("sk-1", secret) != key_id("sk-2", secret)
    assert key_id("sk-1", secret) != key_id("sk-1", key_secret(tmp_path / "other"))
    (tmp_path / "other").write_bytes(b"short")
    with pytest.raises(ValueError, match="32 bytes"):
        key_secret(tmp_path / "other")


def test_scan_reads_what_the_gateway_writes(tmp_path: Path, ran: Any):
    log = tmp_path / "log"
    log.mkdir()
    with (log / "a.jsonl").open("wb") as file:
        for number in range(50):
            file.write(record(
                asked(prompt=f"Hello \ud800 {number}"), caller(), None, {}, exchange_id=f"gw-{number}",
                now=NOW + number, status=200, content="full", decided=DECIDED,
            ))  # fmt: skip
    (log / "a.jsonl.torn").write_bytes(b'{"acc')
    ended = ran("scan", log, "--strict", "--out", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    scanned = json.loads((tmp_path / "out" / "campaigns.json").read_text("utf-8"))["scanned"]
    assert scanned["records"] == 50
