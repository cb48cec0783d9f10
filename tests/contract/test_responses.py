"""Promises that every response keeps, whichever the registry finds."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe.errors import UsageError
from spiritsafe.model import Caller, Order
from spiritsafe.registry import extensions
from spiritsafe.responses import Call, Changes, Refusal, Taken, check, find, refuse_body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.responses import Dialect

RESPONSES = extensions("responses")
PAGES = Path(__file__).parent.parent.parent / "docs" / "responses"
RUNGS = {
    "observe": 0, "budget": 1, "step_up": 2, "strip_logprobs": 3, "cap_output": 3, "withhold_reasoning": 3, "mark": 3,
    "best_of": 3,
    "refuse": 4, "suspend": 5,
}  # fmt: skip
PATHS = ("chat/completions", "completions", "responses", "embeddings", "messages", "messages/count_tokens")
FOUND = [find("POST", f"/v1/{path}") for path in PATHS]
DIALECTS: dict[str, Dialect] = {one.id: one for one in FOUND if one is not None}
NEEDED = {
    "budget": {"exchanges": 5},
    "step_up": {"url": "https://a.example/v"},
    "cap_output": {"tokens": 100},
    "mark": {"key": "k1"},
    "best_of": {"key": "k1"},
}
CONTEST = "https://provider.example/contest"


def order(name: str, parameters: dict[str, Any] | None = None) -> Order:
    given = check(name, RESPONSES[name].module.PARAMETERS, NEEDED.get(name, {}) | (parameters or {}))
    return Order(
        "o-1", "c-1", name, "streams", frozenset(), "shared_templates", "c-1:ab", 0, 1 << 60, (), given
    )


def call(dialect: str, body: dict[str, Any], left: tuple[bool, float, float] | None = None) -> Call:
    return Call(DIALECTS[dialect], body, Caller("a1"), Taken(*left) if left else None, CONTEST)


def apply(name: str, made: Call, parameters: dict[str, Any] | None = None) -> Any:
    return RESPONSES[name].function(made, order(name, parameters), now=5)


def changed(name: str, dialect: str, documents: list[Any], *, streamed: bool, **parameters: Any) -> list[Any]:
    changes = Changes(DIALECTS[dialect], [(RESPONSES[name], order(name, parameters))], streamed=streamed)
    return [new for one in documents if (new := changes(one)) is not None]


EXAMPLES = [(name, example) for name, one in RESPONSES.items() for example in one.module.EXAMPLES]


@pytest.mark.parametrize("name", RESPONSES)
def test_a_response_says_what_it_is(name: str):
    module = RESPONSES[name].module
    assert RESPONSES[name].summary.endswith(".")
    assert RUNGS.get(name, module.RUNG) == module.RUNG
    assert module.EXAMPLES
    page = (PAGES / f"{name}.md").read_text("utf-8")
    assert f"`{name}`" in page.partition("\n")[0]
    assert f"Rung {module.RUNG}" in page
    for parameter in module.PARAMETERS:
        assert f"`{parameter}`" in page, parameter


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_examples_hold_once_and_twice(name: str, example: dict[str, Any]):
    before = copy.deepcopy(example)
    parameters, dialect = example.get("parameters", {}), example["dialect"]
    if "request" in example:
        made = call(dialect, example["request"], example.get("left"))
        got = apply(name, made, parameters)
        if isinstance(got, Refusal):
            assert {key: getattr(got, key) for key in example["becomes"]} == example["becomes"]
            assert (got.contest, got.reference, got.reason) == (CONTEST, "o-1", "shared_templates")
        else:
            assert got.body == example["becomes"]
            assert got.headers == example.get("headers", ())
            assert got.draws == example.get("draws")
            assert apply(name, got, parameters) == got
    else:
        streamed = "stream" in example
        documents, becomes = (
            (example["stream"], example["becomes"])
            if streamed
            else ([example["answer"]], [example["becomes"]])
        )
        got = changed(name, dialect, documents, streamed=streamed, **parameters)
        assert got == becomes
        assert changed(name, dialect, got, streamed=streamed, **parameters) == becomes
    assert example == before


@pytest.mark.parametrize("name", RESPONSES)
def test_parameters_are_checked(name: str):
    known = RESPONSES[name].module.PARAMETERS
    with pytest.raises(UsageError, match=f"response {name} has no parameter 'nonsense'"):
        check(name, known, NEEDED.get(name, {}) | {"nonsense": 1})
    for parameter, one in known.items():
        if one.default is ...:
            rest = {key: value for key, value in NEEDED[name].items() if key != parameter}
            with pytest.raises(UsageError, match=f"needs the parameter {parameter}"):
                check(name, known, rest)
        odd: list[Any] = [
            [],
            {},
            True,
            float("nan"),
            -1,
            "",
            "a\r\nb: c",
            "javascript:alert(1)",
            "http://[",
            "  ",
        ]
        for value in odd:
            with pytest.raises(UsageError, match=parameter):
                check(name, known, NEEDED.get(name, {}) | {parameter: value})


BODIES: dict[str, dict[str, Any]] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 900, "n": 4, "logprobs": True},
    "completions": {"model": "m", "prompt": "x", "max_tokens": 900, "logprobs": 5, "best_of": 9, "n": 3},
    "responses": {"model": "m", "input": "x", "max_output_tokens": 900, "reasoning": {"summary": "auto"}},
    "embeddings": {"model": "m", "input": "x"},
    "messages": {"model": "m", "max_tokens": 9000, "messages": [], "thinking": {"type": "enabled", "budget_tokens": 8000}},
    "count_tokens": {"model": "m", "messages": [], "thinking": {"type": "enabled", "budget_tokens": 8000}},
}  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", RESPONSES)
def test_works_on_each_dialect(name: str, dialect: str):
    body = copy.deepcopy(BODIES[dialect])
    got = apply(name, call(dialect, body, (False, 0.0, 3.0)))
    assert body == BODIES[dialect]
    if isinstance(got, Call):
        assert apply(name, got) == got
        assert not any(character in repr(got.headers) for character in "\r\n")
        return
    for streamed in (False, True):
        status, headers, content = refuse_body(DIALECTS[dialect], got, streamed=streamed)
        told = json.loads(content)["error"]
        assert status == got.status
        assert dict(headers)["x-spiritsafe-category"] == got.category == told["category"]
        assert dict(headers)["x-spiritsafe-reference"] == "o-1" == told["reference"]
        assert dict(headers)["x-spiritsafe-contest"] == CONTEST == told["contest"]
        assert (got.status == 429) == ("retry-after" in dict(headers))
        assert got.reason == told["reason"]
        assert CONTEST in told["message"]


def test_caps_never_raise_and_what_is_no_number_is_no_limit():
    for value in (5, 5.0, 100, 0):
        body = {"messages": [], "max_tokens": value}
        assert apply("cap_output", call("messages", body)).body == body
    for value in (101, -1, "99999", "1_000", 1e300, True, [5], {}, float("nan")):
        body = {"messages": [], "max_tokens": value, "max_completion_tokens": 7, "min_tokens": 500}
        got = apply("cap_output", call("chat", body)).body
        assert got == {"messages": [], "max_tokens": 100, "max_completion_tokens": 7, "min_tokens": 100}
    assert apply("cap_output", call("chat", {"messages": []})).body["max_completion_tokens"] == 100
    assert apply("cap_output", call("completions", {"prompt": "x"})).body == {"prompt": "x"}
    small = {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000}}
    assert apply("cap_output", call("messages", small)).body["thinking"] == {"type": "disabled"}


SECRET = "SECRET-THOUGHT"  # noqa: S105 - the model's, not ours
SECRETS: Sequence[tuple[str, bool, Any]] = [
    ("chat", False, {"choices": [{"message": {"content": "x", field: value}}]})
    for field, value in (
        ("reasoning_content", SECRET), ("reasoning", SECRET), ("reasoning_details", [{"text": SECRET}]),
        ("thinking_blocks", [{"thinking": SECRET}]), ("thinking", SECRET),
        ("provider_specific_fields", {"reasoning_content": SECRET, "thinking_blocks": [{"signature": SECRET}]}),
    )
] + [
    ("chat", True, {"choices": [{"index": 0, "delta": {"reasoning_content": SECRET}, "finish_reason": None}]}),
    ("chat", True, {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "", "reasoning": SECRET}}]}),
    ("messages", False, {"type": "message", "content": [{"type": "redacted_thinking", "data": SECRET}]}),
    ("messages", True, {"type": "content_block_start", "index": 0,
                        "content_block": {"type": "redacted_thinking", "data": SECRET}}),
    ("messages", True, {"type": "message_start", "message": {"content": [{"type": "thinking", "thinking": SECRET}]}}),
    ("messages", True, {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": SECRET}}),
    *[("responses", True, {"type": f"response.reasoning{kind}", "delta": SECRET, "text": SECRET}) for kind in
      ("_text.delta", "_text.done", "_summary_text.delta", "_summary_text.done", ".delta", ".done", "_summary.done")],
    *[("responses", True, {"type": f"response.{kind}", "part": {"type": part, "text": SECRET}}) for kind in
      ("content_part.added", "content_part.done", "reasoning_summary_part.added") for part in ("reasoning_text", "summary_text")],
    *[("responses", True, {"type": f"response.output_item.{kind}", "item": {"type": "reasoning", "summary": [{"text": SECRET}],
       "content": [{"text": SECRET}], "encrypted_content": SECRET}}) for kind in ("added", "done")],
    *[("responses", True, {"type": f"response.{kind}", "response": {"output": [{"type": "reasoning", "content": [
       {"type": "reasoning_text", "text": SECRET}], "encrypted_content": SECRET}]}})
      for kind in ("created", "in_progress", "completed", "incomplete", "failed")],
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "streamed", "document"), SECRETS)
def test_no_reasoning_is_left(dialect: str, streamed: bool, document: Any):
    assert SECRET in repr(document)
    before = copy.deepcopy(document)
    got = changed("withhold_reasoning", dialect, [document], streamed=streamed)
    assert SECRET not in repr(got)
    assert document == before


def test_a_chunk_that_says_anything_else_stays():
    usage = {"choices": [{"index": 0, "delta": {"reasoning": "x"}}], "usage": {"completion_tokens": 1}}
    finish = {"choices": [{"index": 0, "delta": {"reasoning": "x"}, "finish_reason": "stop"}]}
    text = {"choices": [{"index": 0, "delta": {"reasoning": "x", "content": "y"}}]}
    assert len(changed("withhold_reasoning", "chat", [usage, finish, text], streamed=True)) == 3


def test_a_summary_hook_that_is_not_there_gives_nothing():
    document = {"choices": [{"message": {"content": "x", "reasoning": SECRET}}]}
    got = changed("withhold_reasoning", "chat", [document], streamed=False, summary="nobody-made-this")
    assert got == [{"choices": [{"message": {"content": "x"}}]}]


@pytest.fixture
def summaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an installed hook that counts the reasoning's letters."""
    info = tmp_path / "summaries_of_tests-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: summaries-of-tests\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[spiritsafe.summaries]\nletters = letters_of_tests:letters\n")
    (tmp_path / "letters_of_tests.py").write_text("def letters(text):\n    return f'{len(text)} letters'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "letters"


def test_a_stream_tells_its_summary_once_when_the_reasoning_is_over(summaries: str):
    def chunk(index: int = 0, **delta: Any) -> dict[str, Any]:
        return {"choices": [{"index": index, "delta": delta}]}

    chunks = [
        chunk(role="assistant", reasoning_content=SECRET), chunk(reasoning_content=SECRET), chunk(1, reasoning="xyz"),
        chunk(content="Hi"), chunk(1, content="Ho"), chunk(content=" there"),
    ]  # fmt: skip
    got = changed("withhold_reasoning", "chat", chunks, streamed=True, summary=summaries)
    assert got == [
        chunk(role="assistant"), chunk(content="Hi", reasoning_content=f"{2 * len(SECRET)} letters"),
        chunk(1, content="Ho", reasoning="3 letters"), chunk(content=" there"),
    ]  # fmt: skip
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "xyz"}],
    }
    told = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "3 letters"}]}
    events = [
        {"type": "response.reasoning_text.delta", "delta": SECRET},
        {"type": "response.output_item.done", "item": item},
        {"type": "response.completed", "response": {"output": [item]}},
    ]
    assert changed("withhold_reasoning", "responses", events, streamed=True, summary=summaries) == [
        {"type": "response.output_item.done", "item": told},
        {"type": "response.completed", "response": {"output": [told]}},
    ]
    missing = RESPONSES["withhold_reasoning"].module.missing
    assert missing({"summary": summaries}) is None
    assert "nobody-made-this" in missing({"summary": "nobody-made-this"})


KEYS = [
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "min_tokens",
    "n",
    "logprobs",
    "top_logprobs",
    "include",
    "thinking",
    "type",
    "display",
    "reasoning",
    "summary",
    "encrypted_content",
    "content",
    "choices",
    "message",
    "delta",
    "finish_reason",
    "usage",
    "index",
    "content_block",
    "item",
    "part",
    "response",
    "output",
    "vllm_xargs",
    "budget_tokens",
    "provider_specific_fields",
    "include_reasoning",
    "reasoning_content",
    "text",
]
WORDS = [
    "enabled",
    "adaptive",
    "thinking",
    "thinking_delta",
    "reasoning",
    "content_block_start",
    "response.completed",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
    "response.reasoning_text.delta",
    "�",
    "-1",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(WORDS) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=25,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8), st.lists(JSON, max_size=3))
@settings(max_examples=200, deadline=None)
def test_any_json_is_taken_unchanged_and_twice_is_once(body: dict[str, Any], documents: list[Any]):
    before = repr((body, documents))
    for name in RESPONSES:
        for dialect in DIALECTS:
            got = apply(name, call(dialect, body))
            if isinstance(got, Call):
                assert apply(name, got) == got
            for streamed in (False, True):
                once = changed(name, dialect, [*documents, body], streamed=streamed)
                if not streamed:
                    assert changed(name, dialect, once, streamed=streamed) == once
    assert repr((body, documents)) == before


@given(JSON)
@settings(max_examples=50, deadline=None)
def test_without_an_order_nothing_changes(document: Any):
    for dialect in DIALECTS.values():
        for streamed in (False, True):
            changes = Changes(dialect, [], streamed=streamed)
            assert not changes
            assert changes(document) is document
