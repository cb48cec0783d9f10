"""Skeletons: two providers that meet one template with different items find the same runs of words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spiritsafe import pipeline
from spiritsafe.campaigns import _buckets, _passes, skeletons
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spiritsafe.campaigns.log import Log

OPENING = (
    "You grade an answer for a training set. Read the question and the answer that stand below, think about each step of the "
    "answer in turn, say where it goes wrong and close with one whole number from one to ten that tells how good it is."
)
WORDS = (
    "river",
    "copper",
    "window",
    "ladder",
    "garden",
    "pencil",
    "winter",
    "orange",
    "marble",
    "whistle",
    "basket",
    "meadow",
)


def _log(folder: Path, provider: int, *, opening: str = OPENING) -> Path:
    """Twenty-four accounts that share the opening, each with items of its own, and forty that have nothing in common."""
    rng = np.random.default_rng(provider)
    lines: list[dict[str, Any]] = []
    for number in range(900):
        words = " ".join(rng.choice(WORDS, 40).tolist())
        if number < 600:
            who, prompt = f"p{provider}-{number % 24}", f"{opening} {words}"
        else:
            who, prompt = f"p{provider}-x{number % 40}", " ".join(rng.permutation(words.split()).tolist())
        minute = int(rng.integers(0, 24 * 60))
        time = f"2026-03-01T{minute // 60:02}:{minute % 60:02}:{number % 60:02}Z"
        lines.append({"time": time, "account_id": who, "prompt": prompt})
    path = folder / f"log-{provider}.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in lines) + "\n", "utf-8")
    return path


def _runs(folder: Path, provider: int, **options: Any) -> tuple[set[str], set[str]]:
    """Skeleton of the candidate with the template, and its sample of prompts."""
    out = folder / f"out-{provider}"
    pipeline.scan([_log(folder, provider, **options)], out, settings=Settings())
    found = json.loads((out / "candidates.json").read_text("utf-8"))["candidates"]
    (one,) = [one for one in found if one["kind"] == "template" and one["parties"] >= 24 and one["tested"]]
    lines = [json.loads(line) for line in (out / "identifiers.jsonl").read_text("utf-8").splitlines()]
    runs = {run for part in one["skeletons"] for run in part["runs"]}
    named = {line["value"] for line in lines if line["candidate_id"] == one["candidate_id"]}
    assert named == {f"fp1:{run}" for run in runs | set(one["sample"])}
    return runs, set(one["sample"])


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], set[str]]:
    return _runs(tmp_path_factory.mktemp("here"), 1)


def test_two_providers_find_the_same_skeleton_and_no_common_prompt(
    here: tuple[set[str], set[str]], tmp_path: Path
):
    there = _runs(tmp_path, 2)
    assert len(here[0]) >= 5
    assert there[0] == here[0]
    assert len(here[1]) == len(there[1]) == 32
    assert not here[1] & there[1]


def test_another_template_has_another_skeleton(here: tuple[set[str], set[str]], tmp_path: Path):
    words = OPENING.split()
    other, _ = _runs(tmp_path, 3, opening=" ".join(words[::-1]))
    assert not other & here[0]


def test_skeletons_are_the_same_however_few_prompts_are_looked_at_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each template in a bucket of its own, by way of a file, against all in one in memory."""
    openings = [
        OPENING,
        "List each claim of the passage in a line, and behind it whether the passage itself gives a reason for it or none.",
        "Turn the following words into a question that a careful reader could answer from them alone, and answer it.",
    ]
    rng = np.random.default_rng(5)
    lines: list[str] = []
    for number in range(900):
        words = " ".join(rng.choice(WORDS, 40).tolist())
        time = f"2026-03-01T{number * 17 % 1440 // 60:02}:{number * 17 % 60:02}:00Z"
        prompt = f"{openings[number % 3]} {words}"
        lines.append(json.dumps({"time": time, "account_id": f"a{number % 72}", "prompt": prompt}))
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(lines) + "\n", "utf-8")
    pipeline.scan([log], tmp_path / "one", settings=Settings())
    monkeypatch.setattr(skeletons, "_PROMPTS", 1)
    monkeypatch.setattr(_buckets, "_ROOM", 0)
    pipeline.scan([log], tmp_path / "many", settings=Settings())
    told = [(tmp_path / name / "candidates.json").read_text("utf-8") for name in ("one", "many")]
    assert told[0] == told[1]
    runs = {
        run["template"]: run["runs"] for one in json.loads(told[0])["candidates"] for run in one["skeletons"]
    }
    assert len(runs) == 3
    assert all(len(one) >= 5 for one in runs.values())


@pytest.mark.parametrize("piece", [7, 64, 1 << 20])
def test_a_sample_is_spread_over_a_template_wherever_pieces_are_cut(
    make_log: Callable[..., Log], monkeypatch: pytest.MonkeyPatch, piece: int
):
    rng = np.random.default_rng(3)
    size = 4_000
    template = rng.choice([-1, 0, 1, 2], size, p=[0.3, 0.4, 0.29, 0.01])
    log = make_log(rng.integers(0, 30, size), template=template, live=rng.random(size) < 0.9)
    monkeypatch.setattr(_passes, "PIECE", piece)
    monkeypatch.setattr(skeletons, "_SAMPLE", 100)
    found = skeletons._sample(log, np.array([0, 2]))
    assert (np.diff(found) > 0).all()
    for number in (0, 1, 2):
        every = np.flatnonzero(log.live & (template == number) & log.screening(np.arange(size)))
        step = -(-every.size // 100)
        expected = [] if number == 1 else every[:: max(step, 1)].tolist()
        assert found[template[found] == number].tolist() == expected
    assert not (template[found] == -1).any()
