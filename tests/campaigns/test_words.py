"""The explanation in words: nothing of the evidence is missing, and nothing in it can steer a terminal."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.campaigns.words import LABELS, words

CAMPAIGN: dict[str, Any] = {
    "campaign_id": "c-3f2a91d04c",
    "label": "campaign",
    "headline": "212 accounts share out one job of reconstructing reasoning",
    "accounts": [{"account_id": f"a{at}", "membership": 0.999 if at else 0.7} for at in range(212)],
    "streams": 252,
    "exchanges": 60_961,
    "tokens": {"input": 25_000_000, "output": 118_000_000},
    "first_seen": "2026-09-04T14:00:00Z",
    "last_seen": "2026-09-16T22:00:00Z",
    "roles": [{"role": "reconstruct_reasoning", "exchanges": 43_282, "share": 0.71, "technique": "AML.T0024.002"}],
    "coordination": {
        "e_value": 2.0**40,
        "bits": 40.0,
        "combination": "weighted average of the tests' e-values",
        "tests": [
            {
                "name": "even_load",
                "question": "Is the work shared out too evenly?",
                "null": "rates vary as among customers",
                "statistic": "CV² of exchanges per account",
                "value": 0.02,
                "expected": 0.9,
                "p_value": 1e-12,
                "e_value": 2.0**40,
                "weight": 0.2,
                "n": 212,
                "window": "odd hours",
                "note": "",
            },
            {"name": "even_arrivals", "e_value": 0.001, "value": 1.0},
        ],
    },
    "intent": {"score": 0.93, "p_value": 0.0007, "e_value": 18.9, "null": "one more benign cluster",
               "question": "Do more exchanges play an extraction role?", "tests": [],
               "reference": {"clusters": 1_412, "quantiles": {"0.5": 0.04}}},
    "independent_layers": ["load"],
    "layers": [{"layer": "payment", "accounts": 170, "values": 18, "bits": 34.0,
                "top": [{"value": "car…417", "accounts": 31, "elsewhere": 0}]}],
    "leave_one_out": [{"without": "even_load", "decision": "insufficient", "e_value": 1.0, "bits": 0.0}],
    "hypotheses": [{"hypothesis": "a prompt that went around", "fits": "no", "because": "too regular"}],
    "clears": ["a licence that permits training on outputs"],
    "exhibits": [{"kind": "skeleton", "text": "Reconstruct ⟨…⟩ step by step", "accounts": 212, "exchanges": 40_000}],
    "proposed_order": {"response": "suspend", "reason": "two layers", "needs": ["two persons"], "expires_days": 30},
}  # fmt: skip


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    "part",
    [
        "This is an accusation",
        "212 accounts, 252 streams, 60,961 exchanges, from 2026-09-04 14:00 to 2026-09-16 22:00 (UTC)",
        "43,282 exchanges (71%) play the role of reconstruct reasoning (ATLAS AML.T0024.002)",
        "40 bits of evidence (bits are log2 of the e-value, which is a weighted average",
        "Independent customers would show as much at most once in 10^12",
        "211 of 212 accounts have at least 0.99",
        "Is the work shared out too evenly? Null: rates vary as among customers.",
        "Seen: 0.02 where 0.9 was expected (CV² of exchanges per account; n = 212; odd hours)",
        "e-value 0.001: -10.0 bits; it speaks against the claim",
        "Left out, one of these changes the decision: even load",
        "The score is 0.93; that of 1,412 benign clusters has the quantiles 0.5: 0.04",
        "payment: 18 values shared by 170 accounts, 34 bits",
        "a prompt that went around: does not fit. too regular",
        "a licence that permits training on outputs",
        "Reconstruct ⟨…⟩ step by step",
        "Suspend the whole network at once. Reason: two layers. Needs two persons. Ends by itself after 30 days.",
        "A proposal only: a person decides",
        "Who stands behind the accounts",
    ],
)
def test_the_evidence_is_told(part: str):
    assert part in one_line(words(CAMPAIGN))


@pytest.mark.parametrize("label", ["pool", "reseller", "insufficient"])
def test_other_labels_say_that_they_accuse_nobody(label: str):
    text = one_line(words({**CAMPAIGN, "label": label}))
    assert "This is no accusation" in text
    assert "A proposal only" not in text


def test_lines_are_short_and_later_lines_hang_under_their_text():
    lines = words(CAMPAIGN, width=70).splitlines()
    assert max(map(len, lines)) <= 70
    assert any(line.startswith("    ") for line in lines)


def test_an_empty_entry_has_words_too():
    assert words({}).startswith("unnamed")
    assert words({"label": "campaign"}).startswith(f"unnamed: {LABELS['campaign'][:20]}")


def test_nothing_steers_the_terminal():
    hostile = copy.deepcopy(CAMPAIGN)
    trick = "\x1b[2J\x1b]0;owned\x07\u202eevil\u2066\r\nFORGED LINE\x9b31m"
    hostile["headline"] = hostile["campaign_id"] = hostile["clears"][0] = trick
    hostile["exhibits"][0]["text"] = trick * 100
    hostile["coordination"]["tests"][0]["null"] = trick
    text = words(hostile)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert not any(line.startswith("FORGED") for line in text.splitlines())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(CAMPAIGN)), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(CAMPAIGN)), JSON))
def test_no_shape_of_an_entry_breaks_the_words(changed: dict[str, Any]):
    assert words({**CAMPAIGN, **changed}).strip()
