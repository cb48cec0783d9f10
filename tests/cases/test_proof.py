"""The page of a proof: what it must say, and that no text of a case becomes anything but text."""

from __future__ import annotations

import re
from typing import Any

import pytest

from spiritsafe.cases.proof import page

BAD = '"><script>alert(1)</script>\u202e</title>'


def finding(**more: Any) -> dict[str, Any]:
    return {
        "test": "twins", "tier": "A", "verdict": "inconclusive", "null_hypothesis": "chance alone", "p_value": 0.4,
        "log10_p": -0.4, "holm_p": 0.8, "holm_log10_p": -0.1, "effect": 0.01, "interval": [None, 0.2],
        "effect_unit": "nats", "n": 30, "access": "text", "power": None, "power_interval": [0.0, 1.0], "power_n": 30,
        "curve": None, "e_value": None, "reasons": ["the power of this run is not known"], "counts": {"used": 30}, "details": {},
        "defeaters": ["paraphrase"],
    } | more  # fmt: skip


def control(name: str, **more: Any) -> dict[str, Any]:
    return {
        "test": "twins", "suspect": name, "p_value": 0.5, "log10_p": -0.3, "n": 30, "access": "text", "verdict": "inconclusive",
        "by_text": None, "by_readings": None, "readings": 0,
    } | more  # fmt: skip


def case(word: str = "X", **more: Any) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    none = dict.fromkeys(("ok", "truncated", "refused", "empty", "failed"), 0)
    result = {
        "case": word, "claim": word, "plan": "ab" * 32, "suspect": word, "teacher": "ours", "campaigns": [word],
        "alpha": 0.01, "gave_up": None, "complete": True, "verdict": "inconclusive", "findings": [finding()],
        "controls": [control(word)],
        "false_labels": [{"test": "twins", "suspect": word, "log10_p": None}],
        "sound": {"quiet": True, "why": [], "controls_found": [], "false_labels": {}}, "commitments_checked": 3,
        "answers": {word: {"answers": none | {"ok": 5, "refused": 2}, "scores": none | {"failed": 4}, "readings": none}},
        "alternatives": ["somebody else published the outputs"], "made_with": {"python": "3.11"},
    } | more  # fmt: skip
    plan = {
        "controls": [{"group": "g"}], "multiplicity": "holm", "doubled_prompts": 0, "tests": ["twins"], "stopping": "fixed",
        "asked": {"answers": 7, "texts": 4}, "sampler": {"temperature": 1.0}, "seed": 1, "escrow": {},
        "power": {"exposure": 0.25, "target": 0.9},
    }  # fmt: skip
    entries = [
        {"kind": "prove-plan", "time": 1_800_000_000_000_000, "hash": word, "body": {"plan": "ab" * 32}}
    ]
    return result, plan, entries


def test_it_says_what_a_reader_must_know():
    text = page(*case())
    for said in (
        "Inconclusive", "chance alone", "What would defeat this test", "paraphrase", "No curve measured",
        "never proves innocence", "Only 1 unrelated control", "of 7 answers, 2 refused",
        "4 log-probabilities are missing",
        "This plan registered",
        "somebody else published", "spiritsafe prove check",
    ):  # fmt: skip
        assert said.lower() in text.lower(), said
    assert page(*case()) == text


def test_an_entry_of_another_case_is_not_told():
    result, plan, entries = case()
    entries.append({"kind": "prove-result", "time": 0, "hash": "other-case", "body": {"plan": "cd" * 32}})
    assert "other-case" not in page(result, plan, entries)


@pytest.mark.parametrize(
    "place", ["test", "null_hypothesis", "effect_unit", "reasons", "counts", "details", "defeaters"]
)
def test_hostile_text_stays_text(place: str):
    bad: Any = {"reasons": [BAD], "defeaters": [BAD], "counts": {BAD: 1}, "details": {BAD: BAD}}.get(
        place, BAD
    )
    text = page(*case(BAD, findings=[finding(**{place: bad})], gave_up=BAD))
    assert "<script" not in text
    assert "\u202e" not in text
    assert len(re.findall("</title>", text.partition("<body>")[0])) == 1


def test_controls_are_told_one_by_one_and_with_what_was_read():
    read = control(
        "beta",
        test="radioactivity",
        by_text=-1.0,
        by_readings=-2.0,
        readings=1204,
        verdict="does not support derivation",
    )
    plain = control("alpha", n=77, access="logprobs")
    result, plan, entries = case(
        findings=[finding(), finding(test="radioactivity")],
        controls=[plain, read, control("gamma", test="other")],
    )
    none = dict.fromkeys(("ok", "truncated", "refused", "empty", "failed"), 0)
    result["answers"] = {
        "X": {
            "answers": none | {"ok": 5},
            "scores": none | {"ok": 6},
            "readings": none | {"ok": 8, "failed": 1},
        },
        "beta": {"answers": none | {"empty": 5}, "scores": none, "readings": none | {"ok": 9}},
    }
    text = page(result, plan, entries)
    first, _, second = text.partition('id="test-1"')
    assert re.search(r"<bdi>alpha</bdi>.*0\.5.*>77<.*log-probabilities", first)
    assert "beta" not in first.partition('id="test-0"')[2]
    assert re.search(
        r"<bdi>beta</bdi>.*by text 0\.1; by 1,204 readings 0\.01.*does not support derivation", second
    )
    told = re.findall(r"<bdi>([^<]*)</bdi></th><td class=\"num\" data-label=\"Asked\">([^<]*)<", text)
    assert told == [
        ("X, answers", "5"), ("X, log-probabilities", "6"), ("X, marked texts read", "9"),
        ("beta, answers", "5"), ("beta, marked texts read", "9"),
    ]  # fmt: skip


def test_numbers_beyond_floats_are_told():
    curve = {
        "unit": "pairs", "alpha": 0.01, "exposure": 0.25, "sources": ["bench"], "conditions": "",
        "points": [[0.25, 10, 3, 20], [0.25, 100, 19, 20]],
        "line": [[10, 0.2, 0.0, 0.5], [50, None, 0.0, 0.9], [100, 0.9, 0.6, 1.0]],
    }  # fmt: skip
    sure = finding(
        p_value=0.0, log10_p=-412.3, holm_p=0.0, holm_log10_p=-412.0, verdict="supports derivation", curve=curve, power=0.5,
        power_interval=[0.1, 0.9], e_value=1e9,
    )  # fmt: skip
    text = page(*case(findings=[sure], verdict="supports derivation"))
    assert "10 to the power of -412" in text
    assert "this run had a chance of 50 %" in text
    assert "this run: 30" in text
    under = {**curve, "unit": "tokens", "conditions": "among 1,000 keys"}
    text = page(*case(findings=[sure | {"curve": under, "power_n": 77_000}]))
    assert "With 77,000 tokens (among 1,000 keys) this run had a chance of 50 %" in text
    assert "this run: 77,000" in text
