"""Roles in other words and other languages: what the lexicon reaches, and what it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
MEASURED = json.loads((ROOT / "bench" / "results" / "roles.json").read_text("utf-8"))


@pytest.mark.parametrize("split", ["development", "held_out"])
def test_plain_wording_is_told_in_nine_of_ten_and_no_innocent_prompt_is_accused(split: str):
    roles = dict(MEASURED["paraphrases"][split]["role"])
    right, of = roles.pop("innocent")
    assert right == of
    assert sum(one for one, _ in roles.values()) >= 0.9 * sum(total for _, total in roles.values())


def test_other_writers_wordings_are_told_in_half_and_their_innocent_prompts_left_alone():
    roles = dict(MEASURED["paraphrases"]["operators_unseen"]["role"])
    right, of = roles.pop("innocent")
    assert right == of
    assert sum(one for one, _ in roles.values()) >= 0.5 * sum(total for _, total in roles.values())


@pytest.mark.xfail(strict=True, reason="known gap: wording that avoids the usual words is beyond a lexicon")
def test_evasive_wording_is_told_in_half():
    roles = MEASURED["paraphrases"]["blind"]["role"].values()
    assert sum(one for one, _ in roles) >= 0.5 * sum(total for _, total in roles)


def test_templates_are_told_and_ordinary_sources_are_left_alone():
    share = {name: one["any_role"] for name, one in MEASURED["sources"].items()}
    for template in (
        "alpaca_gen",
        "cot_gsm8k",
        "fireact_react",
        "prometheus_grading",
        "toolalpaca",
        "wizardlm_evol",
    ):
        assert share[template] >= 0.8
    for ordinary in (
        *(
            "arena_hard",
            "banking77_tickets",
            "bitext_support",
            "hh_rlhf",
            "meeting_summaries",
            "reddit_questions",
        ),
        *("spamassassin_email_jobs", "spider_text2sql", "t0_template_jobs", "tau_airline", "webquestions"),
        "wmt22_translation",
    ):
        assert share[ordinary] <= 0.02
