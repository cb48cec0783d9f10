"""The page: what it says, that it stands alone, and that nothing in a result can act in the reader's browser."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spiritsafe.cases.page import page

PAYLOADS = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)//",
    "</style><script>alert(1)</script>",
    "</title></svg><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    '" autofocus onfocus=alert(1) x="',
    "javascript:alert(1)",
    "<a href='javascript:alert(1)'>x</a>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--><img src=1 onerror=alert(1)>'>",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<!--><script>alert(1)</script>-->",
    "{{ 7 * 7 }}{% for x in [1] %}{{ x }}{% endfor %}",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<meta http-equiv=refresh content='0;url=https://example.org'>",
    "<base href=https://example.org/>",
    "<link rel=stylesheet href=//example.org/x.css>",
    "⟨<script>alert(1)</script>⟩ ⟨quoted⟩",
    "\x00<scr\x00ipt>alert(1)</scr\x00ipt>",
    "a\u202e\u2066gnp.exe\u200b\U000e0041",
    "\ud800 lone",
    "x" * 100_000,
    "e" + "\u0301" * 5_000,
    "</textarea></noscript></template><body onload=alert(1)>",
)
TAGS = {
    "html", "head", "meta", "title", "style", "body", "a", "div", "nav", "p", "ul", "li", "main", "header",
    "h1", "h2", "h3", "h4", "section", "article", "bdi", "span", "code", "strong", "mark", "pre", "table",
    "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd", "details", "summary", "figure", "figcaption",
    "svg", "desc", "g", "rect", "line", "circle", "text", "path",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "href", "class", "id", "role", "scope", "dir",
    "tabindex", "data-label", "aria-label", "aria-labelledby", "aria-hidden", "focusable", "xmlns",
    "viewbox", "preserveaspectratio", "width", "height", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r",
    "d", "transform", "fill-opacity", "stroke-width", "text-anchor",
}  # fmt: skip


class Reader(HTMLParser):
    """Collects what a browser would see: elements, attributes, ids, links and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.values: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.longest = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            self.values.append((name, value or ""))

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.lasttag != "style":
            self.longest = max(self.longest, len(data))

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.values if key == name]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def poison(value: Any, text: str) -> Any:
    """The same result with ``text`` in place of every string but the words that steer what is drawn."""
    if isinstance(value, dict):
        kept = {"kind", "label", "start", "first", "last", "first_seen", "last_seen", "fits"}
        return {k: v if k in kept and k != "label" else poison(v, text) for k, v in value.items()} | (
            {"label": value["label"]}
            if value.get("label") in {"campaign", "reseller", "insufficient"}
            else {}
        )
    if isinstance(value, list):
        return [poison(item, text) for item in value]
    return text if isinstance(value, str) else value


def small(result: dict[str, Any]) -> dict[str, Any]:
    """One campaign and one reseller with a dozen accounts each: fast to draw."""
    cut = copy.deepcopy(result)
    cut["campaigns"] = [cut["campaigns"][0], cut["campaigns"][3]]
    for entry in cut["campaigns"]:
        entry["accounts"] = entry["accounts"][:12]
        for exhibit in entry["exhibits"]:
            if exhibit["kind"] == "matrix":
                exhibit |= {"accounts": exhibit["accounts"][:12], "counts": exhibit["counts"][:12]}
            if exhibit["kind"] == "graph":
                exhibit["edges"] = exhibit["edges"][:30]
    return cut


@pytest.fixture(scope="module")
def html(result: dict[str, Any]) -> str:
    return page(result)


def test_the_top_answers_what_a_manager_asks(html: str):
    text = Reader(html).text
    top = text[: text.index("The campaigns at a glance")]
    assert "3 distillation campaigns found" in top
    assert "1,204,331 exchanges of 20,431 accounts, 3–17 Sep 2026" in top
    assert "430 accounts acted together in 3 campaigns" in top
    assert "at most 1 % of it is wrong" in top
    assert "c-81b7e6a2f0 rests on payment" in top
    assert "Suspend the whole network at once" in top
    assert "2 signals were blind" in top
    assert "588 of 1,204,931 lines could not be read" in top


def test_every_test_shows_its_null_statistic_and_size(result: dict[str, Any], html: str):
    text = Reader(html).text
    test = result["campaigns"][0]["coordination"]["tests"][0]
    for part in (
        test["question"],
        test["null"],
        test["statistic"],
        test["window"],
        "388",
        "41,226",
        "15 bits",
    ):
        assert part in text


def test_pools_and_resellers_stand_apart_and_accuse_nobody(html: str):
    text = Reader(html).text
    aside = text[text.rindex("Also seen – not accusations") :]
    assert "c-77a0c2d3e4" in aside
    assert "c-0aa1b2c3d4" in aside
    assert "Proposed" not in aside[: aside.index("Not looked at")]


def test_averaged_evidence_is_not_added_up(result: dict[str, Any]):
    averaged, added = result["campaigns"][0], result["campaigns"][1]
    text = Reader(page({"campaigns": [averaged]})).text
    assert "The decision rests on: 14 bits" in text
    assert "Together" not in text
    assert f"Together: {added['coordination']['bits']:.0f} bits" in Reader(page({"campaigns": [added]})).text


def test_slots_of_skeletons_are_marked(html: str):
    assert "<mark>⟨quoted⟩</mark>" in html
    assert "请为下面的题目" in html


def test_the_page_stands_alone_and_allows_only_its_own_style(html: str):
    reader = Reader(html)
    style = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert len(style) == 1
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    policy = next(value for value in reader.all("content") if "default-src" in value)
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in style[0]
    assert "@import" not in style[0]
    assert all(link.startswith("#") for link in reader.all("href"))
    assert reader.tags <= TAGS
    assert reader.attributes <= ATTRIBUTES


def test_links_and_labels_of_drawings_lead_somewhere_once(html: str):
    reader = Reader(html)
    ids = reader.all("id")
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in reader.all("href")} <= set(ids)
    assert {name for pair in reader.all("aria-labelledby") for name in pair.split()} <= set(ids)


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_hostile_text_stays_text(result: dict[str, Any], payload: str):
    hostile = poison(small(result), payload)
    html = page(hostile, title=payload)
    reader = Reader(html)
    assert reader.tags <= TAGS
    assert reader.attributes <= ATTRIBUTES
    assert all(re.fullmatch(r"#[a-z0-9-]+", link) for link in reader.all("href"))
    assert len(re.findall("<style", html)) == 1
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", html)
    assert "{{" not in payload or "{{ 7 * 7 }}" in reader.text
    assert reader.longest < 5_000
    html.encode("utf-8")


@pytest.mark.parametrize(
    "empty",
    [
        {},
        {"campaigns": []},
        {"campaigns": None, "scanned": None, "blind": None},
        {"campaigns": [{"label": "campaign"}]},
        {"campaigns": [{"label": "pool"}, {"label": "reseller"}, {}]},
        {"scanned": {"accepted": 0, "records": 0}},
        {
            "campaigns": [
                {"label": "campaign", "exhibits": [{"kind": kind}]}
                for kind in ("load", "graph", "matrix", "x")
            ]
        },
    ],
)
def test_what_is_missing_is_left_out(empty: dict[str, Any]):
    reader = Reader(page(empty))
    assert reader.tags <= TAGS
    assert "campaign" in reader.text
    assert "None" not in reader.text


def test_an_empty_log_is_told_from_a_clean_one():
    assert "Nothing to scan" in page({"scanned": {"accepted": 0, "records": 0}})
    assert "No distillation campaign found" in page({"scanned": {"accepted": 9, "accounts": 2, "fdr": 0.01}})


def test_same_result_same_page_in_another_process(result: dict[str, Any]):
    code = (
        "import json,sys,hashlib;from spiritsafe.cases.page import page;"
        "print(hashlib.sha256(page(json.load(sys.stdin)).encode()).hexdigest())"
    )
    given_ = json.dumps(small(result))
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            input=given_,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert seen == {hashlib.sha256(page(json.loads(given_)).encode()).hexdigest() + "\n"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("campaign"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_shape_of_a_result_breaks_the_page(result: dict[str, Any], data: st.DataObject):
    broken = small(result)
    for _ in range(data.draw(st.integers(1, 6))):
        place: Any = broken
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(min(len(place), 12)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            inner = place[key]
            if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
                place[key] = data.draw(JSON)
                break
            place = inner
    reader = Reader(page(broken))
    assert reader.tags <= TAGS
    assert reader.attributes <= ATTRIBUTES
