"""What LiteLLM hands over, read in our words: needs no LiteLLM."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from spiritsafe.errors import UsageError
from spiritsafe.features.lookup import Index
from spiritsafe.gateway import _litellm as told
from spiritsafe.gateway import litellm as hooks
from spiritsafe.gateway import policy as policies
from spiritsafe.gateway.exchange import Refusing
from spiritsafe.gateway.identity import Unknown
from spiritsafe.gateway.rules import Rules
from spiritsafe.model import Order
from spiritsafe.orders.book import Book
from spiritsafe.responses import Refusal

HIDDEN = [{"role": "user", "content": "hidden"}]


def auth(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**fields)


def test_the_key_or_its_user_is_the_account_and_the_team_the_organization():
    who = auth(
        api_key="hash-1",
        user_id="u-1",
        team_id="t-1",
        org_id=None,
        end_user_id="e-1",
        user_email="a@B.example",
    )
    data = {
        "metadata": {"requester_ip_address": "10.0.0.9", "user_id": "forged"},
        "proxy_server_request": {"headers": {"user-agent": "x/1", "x-account-id": "forged"}},
    }
    caller = told.naming("key", {"t-1": "research"}).caller(who, data)
    assert (caller.account_id, caller.organization_id, caller.api_key_id) == ("hash-1", "t-1", "hash-1")
    assert (caller.client_ip, caller.user_agent, caller.email_domain) == ("10.0.0.9", "x/1", "b.example")
    assert (caller.relation, caller.end_user_id) == ("research", "e-1")
    assert told.naming("user", {}).caller(who, data).account_id == "u-1"
    assert told.naming("user", {}).caller(auth(api_key="hash-1"), {}).account_id == "hash-1"
    assert (
        told.naming("key", {}).caller(auth(api_key="k", org_id="o-1", team_id="t-1"), {}).organization_id
        == "o-1"
    )
    with pytest.raises(Unknown):
        told.naming("key", {}).caller(auth(token=None, user_id=""), data)


@pytest.mark.parametrize(("account", "relations"), [("team", {}), ("key", {"t": 1}), ("key", ["t"])])
def test_settings_that_make_no_sense_are_refused(account: str, relations: Any):
    with pytest.raises(UsageError):
        told.naming(account, relations)


@pytest.mark.parametrize(
    ("data", "fine"),
    [
        ({}, True),
        ({"fallbacks": ["b", {"model": "c"}, {"a": ["b", "c"]}]}, True),
        ({"fallbacks": [{"model": "b", "messages": HIDDEN}]}, False),
        ({"fallbacks": [{"model": "b", "messages": ["hidden"]}]}, False),
        ({"context_window_fallbacks": [{"a": [{"model": "b", "messages": HIDDEN}]}]}, False),
        ({"content_policy_fallbacks": [{"model": "b", "max_tokens": 10**6}]}, False),
        ({"extra_body": "messages"}, False),
        ({"extra_body": {}}, True),
    ],
)
def test_a_body_with_a_second_reading_is_not_taken(data: dict[str, Any], fine: bool):
    assert (told.unreadable(data) is None) is fine


def test_a_field_is_changed_wherever_it_stands():
    data: dict[str, Any] = {
        "model": "m", "messages": [], "max_tokens": 9, "n": 4, "additional_drop_params": ["max_tokens"],
        "extra_body": {"messages": HIDDEN, "logprobs": True, "max_tokens": 99, "other": 1},
    }  # fmt: skip
    before = told.body(data)
    assert before["messages"] is HIDDEN
    after = {name: value for name, value in before.items() if name != "logprobs"} | {"max_tokens": 5, "n": 1}
    given = data["extra_body"]
    told.apply(data, before, after)
    assert data == {
        "model": "m", "messages": [], "max_tokens": 5, "n": 1,
        "extra_body": {"messages": HIDDEN, "max_tokens": 5, "other": 1},
    }  # fmt: skip
    assert given["max_tokens"] == 99  # the caller's own object is left as it was


def test_headers_that_look_like_ours_do_not_pass():
    data: dict[str, Any] = {
        "extra_headers": {"X_Spiritsafe-Mark": "no", "b": "1"},
        "headers": {"x-spiritsafe-mark": "no"},
    }
    told.send_headers(data, ((b"x-spiritsafe-mark", b"wm-7"),))
    assert data == {"extra_headers": {"b": "1", "x-spiritsafe-mark": "wm-7"}, "headers": {}}


def test_a_refusal_says_what_why_and_when_again():
    made = told.refused(
        Refusal(429, "campaign_budget", "no", retry_after=1.2, reference="o-1", reason="distillation")
    )
    assert (made["code"], made["type"], made["openai_code"]) == (429, "rate_limit_error", "campaign_budget")
    assert made["headers"]["retry-after"] == "2"
    assert made["provider_specific_fields"] == {
        "category": "campaign_budget", "reason": "distillation", "reference": "o-1", "retry_after": 2,
    }  # fmt: skip
    assert told.refused(Refusal(200, "request_refused", "no", answer=True))["code"] == 403


def test_calls_are_read_by_what_they_are():
    names = {
        "acompletion": "chat",
        "aresponses": "responses",
        "anthropic_messages": "messages",
        "aembedding": "embeddings",
    }
    assert {name: getattr(told.dialect(name), "operation", None) for name in names} == names
    stored = told.dialect("aget_responses")
    assert stored is not None
    assert not stored.makes
    assert told.dialect("pass_through_endpoint") is None


def test_a_policy_inside_another_server_says_only_what_has_an_effect_there(tmp_path: Any):
    path = tmp_path / "policy.toml"
    path.write_text('[log]\nfolder = "log"\non_failure = "open"\n[gateway]\nshadow = true\n')
    assert policies.read(path, hosted=True).shadow
    path.write_text('[log]\nfolder = "log"\non_failure = "open"\n[gateway]\nlisten = "127.0.0.1:1"\n')
    with pytest.raises(UsageError, match="listen"):
        policies.read(path, hosted=True)
    path.write_text('[log]\nfolder = "log"\non_failure = "open"\n[identity]\naccount = "x-account"\n')
    with pytest.raises(UsageError, match="identity"):
        policies.read(path, hosted=True)


def desk(folder: Any, response: str | None = None, **parameters: Any) -> hooks.Desk:
    """A desk with one order in force for the account ``k``, as if it had been read."""
    path = folder / "policy.toml"
    path.write_text(
        '[log]\nfolder = "log"\non_failure = "open"\n[gateway]\nanswer_timeout = "1ms"\nidle_timeout = "1ms"\n'
    )
    made = hooks.Desk(policies.read(path, hosted=True), told.naming("key", {}))
    if response is not None:
        order = Order(
            "o-1",
            "c-1",
            response,
            "accounts",
            frozenset({"k"}),
            "distillation",
            "c-1@0",
            0,
            1 << 62,
            (),
            parameters,
        )
        made.works.files.rules = Rules(Book([order]), Index(()))
    return made


def records(folder: Any) -> list[dict[str, Any]]:
    return [
        json.loads(line) for path in folder.glob("log/*.jsonl*") for line in path.read_text().splitlines()
    ]


def asked(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **more}


def test_where_the_answer_never_comes_by_no_measure_on_it_is_promised(tmp_path: Any):
    async def run(response: str) -> None:
        taken = desk(tmp_path, response)
        await taken.take(auth(api_key="k"), asked(), "acompletion")
        await taken.works.close()

    asyncio.run(run("observe"))
    assert [one["finish_reason"] for one in records(tmp_path)] == ["batched"]
    with pytest.raises(Refusing, match="answer_out_of_reach"):
        asyncio.run(run("withhold_reasoning"))


def test_an_exchange_whose_end_is_never_told_is_closed_and_recorded(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hooks, "SWEEP", 0.01)

    async def run() -> None:
        taken = desk(tmp_path)
        data = asked(litellm_logging_obj=object())
        await taken.take(auth(api_key="k"), data, "acompletion")
        for _ in range(500):
            if records(tmp_path):
                break
            await asyncio.sleep(0.01)
        assert taken.taken(data) is None

    asyncio.run(run())
    assert [one["finish_reason"] for one in records(tmp_path)] == ["incomplete"]


def test_an_answer_that_cannot_be_changed_as_it_must_does_not_go_out(tmp_path: Any):
    async def run(response: Any) -> None:
        taken = desk(tmp_path, "withhold_reasoning")
        data = asked(litellm_logging_obj=object())
        await taken.take(auth(api_key="k"), data, "acompletion")
        await taken.answer(data, response)

    class Odd:
        """Can be read, and not be made again."""

        def model_dump(self, **_: Any) -> dict[str, Any]:
            return {"choices": [{"index": 0, "message": {"content": "hi", "reasoning_content": "secret"}}]}

    for response in ([], Odd()):
        with pytest.raises(Refusing, match="answer_unreadable"):
            asyncio.run(run(response))
