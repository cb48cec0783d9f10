"""What cannot be done is refused before anything is written: disk, memory, names, seeds."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest

from spiritsafe.errors import UsageError
from spiritsafe.simulate import Corpus, Plan, Population, read_plan, simulate
from spiritsafe.simulate._needs import needs, refuse

if TYPE_CHECKING:
    from pathlib import Path


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def refusal(plan: Plan, out: Path, *, seed: int = 1, memory: str = "3GB") -> UsageError:
    with pytest.raises(UsageError) as found:
        simulate(plan, out, seed=seed, memory=memory)
    return found.value


def test_a_plan_that_does_not_fit_the_disk_is_refused_with_what_it_needs(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    free = 500_000_000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free * 3, free * 2, free))
    plan = Plan(
        (
            Population("chat_users", {"accounts": 2_000}),
            Population("A1", {"accounts": 5_000, "rate": 2_000.0}, name="big"),
        ),
        corpus,
    )
    error = refusal(plan, tmp_path / "out")
    assert " MB of disk while it is written" in error.message
    assert "500.0 MB are free" in error.message
    assert "big is the largest, with 10,000,000 exchanges" in error.message
    assert error.hint
    assert error.where == str(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_measured_size_is_about_what_is_written(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plan = Plan((Population("A9", {"accounts": 500, "rate": 200.0, "text": "template"}),), corpus)
    found = simulate(plan, tmp_path / "out", seed=1)
    written = found.log.stat().st_size + found.truth.stat().st_size
    for free, fits in ((written * 4, True), (written // 2, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: Usage(free, 0, free))
        if fits:
            refuse(plan, tmp_path / "other", memory=1 << 40)
        else:
            with pytest.raises(UsageError, match="disk"):
                refuse(plan, tmp_path / "other", memory=1 << 40)


def test_a_plan_that_needs_more_memory_than_it_may_is_refused(corpus: Corpus, tmp_path: Path):
    path = tmp_path / "plan.toml"
    path.write_text('days = 100\n[[population]]\nfamily = "chat_users"\n[[population]]\nfamily = "A1"\naccounts = 1\n'
                    'rate = 1_000_000\nname = "one"\n')  # fmt: skip
    error = refusal(read_plan(path, corpus), tmp_path / "out")
    assert "one is the largest, with 100,000,000 exchanges made in one go" in error.message
    assert error.where == f"{path}:4"
    assert "--memory 18GB" in str(error.hint)
    many = Plan((Population("chat_users", {"accounts": 40_000_000, "rate": 1.0}),), corpus)
    assert "40,000,000 accounts" in refusal(many, tmp_path / "out").message
    assert not (tmp_path / "out").exists()
    small = Plan((Population("chat_users", {"accounts": 5}),), corpus)
    assert "for the program and the texts" in refusal(small, tmp_path / "out", memory="100MB").message
    assert "no amount of memory" in refusal(many, tmp_path / "out", memory="lots").message


def test_needs_count_what_a_population_makes(corpus: Corpus, tmp_path: Path):
    for name, options in (
        ("evaluation_harness", {"accounts": 40, "rate": 1.0, "items": 50}),
        ("university_class", {"accounts": 300}),
        ("A1", {"accounts": 60, "rate": 20.0, "refused": 0.5, "share": 0.5}),
        ("stolen_key_owner", {"accounts": 200}),
    ):
        plan = Plan((Population(name, options),), corpus, days=2.0)
        made = simulate(plan, tmp_path / name, seed=1).exchanges
        assert needs(plan)[0].exchanges == pytest.approx(made, rel=0.4), name


def test_an_output_that_cannot_be_is_refused_at_once(corpus: Corpus, tmp_path: Path):
    plan = Plan((Population("chat_users", {"accounts": 5}),), corpus)
    (tmp_path / "file").write_text("a file")
    error = refusal(plan, tmp_path / "file" / "below" / "out")
    assert error.message == "a file stands where a folder is needed"
    assert error.where == str(tmp_path / "file")
    for name in ("x" * 250, "ü" * 130, "x" * 5_000, "/".join(["deep"] * 900)):
        error = refusal(plan, tmp_path / name)
        assert "name is too long" in error.message
        assert error.hint == "name another folder with --out"
        assert len(str(error)) < 300
    error = refusal(plan, tmp_path / "file")
    assert error.message == "the output folder is there already"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("seed", [-1, 1 << 64, 10**400])
def test_a_seed_that_would_be_another_is_refused(seed: int, corpus: Corpus, tmp_path: Path):
    error = refusal(Plan((Population("chat_users", {"accounts": 5}),), corpus), tmp_path / "out", seed=seed)
    assert error.where == "--seed"
    assert "a whole number from 0 to 18,446,744,073,709,551,615 is needed" in error.message
    assert len(error.message) < 200


def test_the_largest_seed_is_one(corpus: Corpus, tmp_path: Path):
    plan = Plan((Population("chat_users", {"accounts": 5}),), corpus)
    assert simulate(plan, tmp_path / "out", seed=(1 << 64) - 1).exchanges > 0
