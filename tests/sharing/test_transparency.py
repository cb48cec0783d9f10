"""Transparency: exact among members; to the public private, once, within a budget, and in words where numbers would mislead."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from spiritsafe.cli import app
from spiritsafe.errors import SpiritsafeError, UsageError
from spiritsafe.ledger import Ledger, entries
from spiritsafe.sharing import transparency as page_of
from spiritsafe.sharing.transparency import EXTENSION, FAMILIES, Period, Privacy

if TYPE_CHECKING:
    from pathlib import Path

YEAR = Period("2026-01-01", "2027-01-01")


def one(kind: str, number: int, author: str = "a", day: str = "2026-03-01", **more: Any) -> dict[str, Any]:
    facts = {name: more.pop(name) for name in ("outcome", "redress", "valid_until") if name in more}
    return {
        "type": kind,
        "id": f"{kind}--{number}",
        "created_by_ref": f"identity--{author}",
        "created": f"{day}T00:00:00.000Z",
        "modified": f"{day}T00:00:00.000Z",
        "extensions": {EXTENSION: facts},
        **more,
    }


OBJECTS = [
    one("campaign", 1),
    one("campaign", 2, "b", "2025-12-31"),
    one("indicator", 3, valid_until="2026-06-01T00:00:00Z"),
    one("indicator", 4, valid_until="2026-06-01T00:00:00Z"),
    one("indicator", 4, modified="2026-04-01T00:00:00.000Z", revoked=True),
    one("sighting", 5, "b", outcome="seen"),
    one("sighting", 6, "b", outcome="false-positive"),
    one("opinion", 7, "b", redress={"step": "dispute"}),
    one("opinion", 8, "a", redress={"step": "appeal-upheld"}),
    one("opinion", 9, "a"),
    {"type": "marking-definition", "id": "marking-definition--1", "created": "2026-01-01T00:00:00Z"},
]


def private(
    folder: Path, objects: list[dict[str, Any]], period: Period = YEAR, **more: Any
) -> dict[str, Any]:
    privacy = more.pop("privacy", Privacy())
    path = folder / "ledger"
    with Ledger(path) as book:
        return page_of.to_the_public(
            objects, period, book, list(entries(path)), members=4, privacy=privacy, now=1, **more
        )


def exact(values: Any, _scale: float) -> list[int]:
    return list(values)


def test_members_see_exact_counts_of_the_period():
    page = page_of.among_members(OBJECTS, YEAR, members=4, rounds=[{"hypotheses": 12, "campaigns": 2}])
    counts = page["counts"]
    assert (counts["shared"]["campaign"], counts["shared"]["indicator"]) == (1, 2)
    assert counts["sightings"] == {"seen": 1, "false-positive": 1, "expired": 0}
    assert counts["redress"] == {"dispute": 1, "appeal-upheld": 1, "appeal-rejected": 0, "review": 0}
    assert counts["ended"] == {"revoked": 1, "expired": 1}, "what was taken back did not end by itself"
    assert (page["members"], page["members_that_shared"]) == (4, 2)
    assert page["joint"] == {"rounds": 1, "groups": 12, "campaigns": 2}


def test_versions_in_any_order_are_one_object():
    straight = page_of.among_members(OBJECTS, YEAR, members=4)
    assert page_of.among_members(OBJECTS[::-1], YEAR, members=4) == straight


def test_what_is_no_object_is_refused():
    with pytest.raises(SpiritsafeError, match="without id"):
        page_of.among_members([{"type": "campaign"}], YEAR, members=1)


def test_small_counts_are_told_in_words(tmp_path: Path):
    page = private(tmp_path, OBJECTS)
    told = [value for names in page["counts"].values() for value in names.values()]
    assert all(set(value) == {"fewer_than"} for value in told)
    assert "fewer than" in page_of.as_text(page)


def test_large_counts_are_told_with_an_error_of_a_tenth_at_most(tmp_path: Path):
    privacy = Privacy(unit="object")
    many = [one("indicator", number, f"m{number % 50}") for number in range(1000)]
    page = private(tmp_path, many, privacy=privacy)
    about = page["counts"]["shared"]["indicator"]["about"]
    assert abs(about - 1000) <= 100
    assert page["counts"]["shared"]["campaign"] == {"fewer_than": privacy.fewer_than()}
    assert f"about {about:,}" in page_of.as_text(page)


@pytest.mark.parametrize("privacy", [Privacy(), Privacy(unit="object"), Privacy(0.1), Privacy(3.0, cap=5)])
def test_the_stated_error_holds_at_95_percent_and_no_smaller_one_does(privacy: Privacy):
    """By the exact distribution of discrete Laplace noise, and by OpenDP's."""
    r = math.exp(-1 / privacy.scale)

    def inside(q: int) -> float:
        return 1 - 2 * r ** (q + 1) / (1 + r)

    error = privacy.error()
    assert inside(error) >= 0.95
    assert error == 0 or inside(error - 1) < 0.95
    drawn = np.array(page_of.opendp([0] * 4000, privacy.scale))
    assert (np.abs(drawn) <= error).mean() == pytest.approx(inside(error), abs=0.02)
    assert drawn.mean() == pytest.approx(0, abs=5 * privacy.scale * math.sqrt(2 / 4000))


@given(st.integers(0, 2000))
def test_what_is_told_is_true_with_95_percent(count: int):
    """Over the noise within its stated error: a number is off by a tenth at most, and words are true."""
    privacy = Privacy(unit="object")
    for noise in (-privacy.error(), 0, privacy.error()):
        told = page_of._shown(count + noise, privacy)
        if "about" in told:
            assert abs(told["about"] - count) <= 0.1 * count
        else:
            assert count < told["fewer_than"]


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from(FAMILIES["shared"]), max_size=60)))
def test_no_member_changes_the_counts_of_a_section_by_more_than_the_sensitivity(by: dict[str, list[str]]):
    privacy = Privacy(cap=7)

    def totals(names: dict[str, list[str]]) -> Any:
        counts = {kind: Counter[str]() for kind in FAMILIES["shared"]}
        for author, kinds in names.items():
            for kind in kinds:
                counts[kind][author] += 1
        return np.array(page_of._capped(counts, privacy))

    whole = totals(by)
    for author in by:
        rest = {name: kinds for name, kinds in by.items() if name != author}
        assert np.abs(whole - totals(rest)).sum() <= privacy.sensitivity


def test_a_page_is_drawn_once(tmp_path: Path):
    first = private(tmp_path, OBJECTS)
    again = private(tmp_path, [*OBJECTS, *(one("campaign", 100 + n) for n in range(500))])
    assert again == first
    assert len(list(entries(tmp_path / "ledger"))) == 1


def test_periods_do_not_overlap_and_the_budget_ends(tmp_path: Path):
    privacy = Privacy(budget=9.0)
    for number, (start, end) in enumerate([("2026-01-01", "2026-04-01"), ("2026-04-01", "2026-07-01")], 1):
        page = private(tmp_path, OBJECTS, Period(start, end), privacy=privacy, noise=exact)
        assert page["privacy"]["spent"] == number * privacy.cost
    with pytest.raises(UsageError, match="was published"):
        private(tmp_path, OBJECTS, Period("2026-06-01", "2026-09-01"), privacy=privacy, noise=exact)
    with pytest.raises(UsageError, match="budget is spent"):
        private(tmp_path, OBJECTS, Period("2026-07-01", "2026-10-01"), privacy=privacy, noise=exact)


def test_a_period_that_ends_before_it_begins_is_refused():
    with pytest.raises(UsageError, match="ends before it begins"):
        Period("2026-02-01", "2026-01-01")


def test_the_command_writes_both_pages(tmp_path: Path):
    bundle, lines, members = tmp_path / "bundle.json", tmp_path / "more.jsonl", tmp_path / "members.json"
    bundle.write_text(json.dumps({"type": "bundle", "objects": OBJECTS[:5]}))
    lines.write_text("".join(json.dumps(each) + "\n" for each in OBJECTS[5:]))
    key = "ed25519:" + "A" * 43 + "="
    members.write_text(json.dumps({"members": [{"id": "identity--1", "key": key, "state": "active"}]}))
    words = [
        "share",
        "transparency",
        bundle,
        lines,
        "--members",
        members,
        "--from",
        "2026-01-01",
        "--to",
        "2027-01-01",
    ]

    def run(*more: Any) -> Any:
        return CliRunner().invoke(app, [str(word) for word in (*words, *more)], catch_exceptions=False)

    done = run("--out", tmp_path / "page.md")
    assert "| indicator | 2 |" in (tmp_path / "page.md").read_text()
    assert done.exit_code == 0
    page = json.loads(run("--public", "--ledger", tmp_path / "ledger", "--json").stdout)
    assert page["privacy"]["spent"] == 4
    with pytest.raises(UsageError, match="needs --ledger"):
        run("--public")
    lines.write_text("{}\n")
    with pytest.raises(UsageError, match="no STIX object") as told:
        run()
    assert told.value.where == f"{lines}, object 0"
