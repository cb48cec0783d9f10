"""``spiritsafe simulate``: what it writes, that it is the same each time, and that a killed run leaves nothing finished."""

from __future__ import annotations

import gzip
import inspect
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import zstandard

from spiritsafe import schema
from spiritsafe.registry import extensions
from spiritsafe.simulate import Corpus, Plan, Population, read_plan, simulate
from spiritsafe.simulate._knobs import LIMITS
from spiritsafe.simulate._write import behind

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "plan.toml"
PLAN = '[[population]]\nfamily = "chat_users"\naccounts = 50\n[[population]]\nfamily = "A1"\naccounts = 30\nname = "one"\n'


def command(*arguments: Any, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run ``spiritsafe simulate`` in a process of its own."""
    words = [
        sys.executable,
        "-c",
        "from spiritsafe.cli import main; main()",
        "simulate",
        *map(str, arguments),
    ]
    return subprocess.run(words, capture_output=True, text=True, check=False, **more)


def test_it_writes_a_log_a_truth_and_a_record_and_the_same_bytes_again(tmp_path: Path, ran: Any):
    (tmp_path / "plan.toml").write_text(PLAN)
    # Once in this process and once in another: nothing may hang on what differs between two.
    words = ("--plan", tmp_path / "plan.toml", "--seed", 3, "--json", "--out")
    assert ran("simulate", *words, tmp_path / "a").returncode == 0
    ended = command(*words, tmp_path / "b")
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["log.parquet", "simulation.json", "truth.parquet"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
    record = json.loads((tmp_path / "a" / "simulation.json").read_text())
    assert told["campaigns"] == record["campaigns"] == {"one": 30}
    assert record["seed"] == 3
    assert "composed" in record["claim"]
    log = pq.read_table(told["log"])
    assert log.num_rows == told["exchanges"]
    assert log.schema.names == list(schema.NAMES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "plan.toml"]


def test_a_fault_in_the_plan_is_one_message_and_status_2(tmp_path: Path, ran: Any):
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN + "acounts = 3\n")
    ended = ran("simulate", "--plan", plan, "--out", tmp_path / "out")
    assert ended.returncode == 2
    assert ended.stderr == (
        f"spiritsafe: {plan}:8: reasoning_harvest has no knob 'acounts'\n  hint: did you mean 'accounts'?\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["parquet", "jsonl.gz", "jsonl.zst"])
def test_a_run_that_is_killed_leaves_nothing_that_looks_finished(form: str, tmp_path: Path, ran: Any):
    (tmp_path / "plan.toml").write_text(
        f'format = "{form}"\n[[population]]\nfamily = "chat_users"\naccounts = 120_000\nrate = 10\n'
    )
    words = [
        sys.executable, "-c", "from spiritsafe.cli import main; main()", "simulate",
        "--plan", str(tmp_path / "plan.toml"), "--out", str(tmp_path / "out"), "--json",
    ]  # fmt: skip
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not [path for path in tmp_path.glob(".out.partial-*/final/log.*") if path.stat().st_size > 100_000]:
        assert child.poll() is None, "it was over before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "out").exists()
    left = [path.name for path in tmp_path.iterdir() if path.name != "plan.toml"]
    assert len(left) == 1
    assert left[0].startswith(".out.partial-")
    (tmp_path / "plan.toml").write_text(PLAN)
    assert ran("simulate", "--plan", tmp_path / "plan.toml", "--out", tmp_path / "out").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "plan.toml"]


@pytest.mark.long
def test_a_run_that_is_killed_at_random_leaves_nothing_and_the_next_gives_the_same_bytes(tmp_path: Path):
    """``SPIRITSAFE_KILLS`` says how often (2)."""
    plan = tmp_path / "plan.toml"
    plan.write_text(
        '[[population]]\nfamily = "chat_users"\naccounts = 15_000\n[[population]]\nfamily = "A1"\naccounts = 300\n'
    )
    whole = command("--plan", plan, "--out", tmp_path / "whole", "--json")
    assert whole.returncode == 0, whole.stderr
    begin = time.monotonic()
    assert command("--plan", plan, "--out", tmp_path / "second", "--json").returncode == 0
    lasts = time.monotonic() - begin
    rng = random.Random(4)
    out = tmp_path / "out"
    words = [
        sys.executable, "-c", "from spiritsafe.cli import main; main()", "simulate",
        "--plan", str(plan), "--out", str(out), "--json",
    ]  # fmt: skip
    for _ in range(int(os.environ.get("SPIRITSAFE_KILLS", "2"))):
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        try:
            child.wait(rng.uniform(0.0, 1.1 * lasts))
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
        left = {path.name for path in tmp_path.iterdir()} - {"plan.toml", "whole", "second"}
        assert all(name == "out" or name.startswith(".out.partial-") for name in left)
        if out.exists():  # it was killed after its last step, or was faster
            shutil.move(out, tmp_path / "done")
        else:
            ended = command("--plan", plan, "--out", tmp_path / "done", "--json")
            assert ended.returncode == 0, ended.stderr
        for name in ("log.parquet", "truth.parquet", "simulation.json"):
            assert (tmp_path / "done" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
        shutil.rmtree(tmp_path / "done")
    ended = command("--plan", plan, "--out", out, "--json")
    assert ended.returncode == 0, ended.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"plan.toml", "whole", "second", "out"}


def test_the_example_plan_does_what_its_comments_say(corpus: Corpus, tmp_path: Path):
    plan = read_plan(EXAMPLE, corpus)
    made = simulate(plan, tmp_path / "out", seed=0)
    log, truth = pq.read_table(made.log), pq.read_table(made.truth)
    assert set(made.campaigns) == {"harvest", "quiet"}
    assert made.campaigns["harvest"] > 200  # replaced after the ban
    quiet = truth.filter(pc.equal(truth["account_campaign"], "quiet"))
    assert quiet["campaign"].null_count / quiet.num_rows == pytest.approx(0.9, abs=0.03)
    assert 403 in log["status"].to_pylist()


def test_everything_written_in_the_docs_as_a_plan_is_one(corpus: Corpus, tmp_path: Path):
    blocks = (ROOT / "docs" / "simulate.md").read_text("utf-8").split("```toml\n")[1:]
    assert blocks
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.toml"
        path.write_text(block.partition("```")[0])
        assert read_plan(path, corpus).populations


def test_every_knob_is_in_the_docs():
    text = (ROOT / "docs" / "simulate.md").read_text("utf-8")
    assert [name for name in LIMITS if f"| `{name}` |" not in text] == []


@pytest.mark.parametrize("name", sorted(extensions("simulate")))
def test_a_familys_own_knobs_and_defaults_are_on_its_page(name: str):
    one = extensions("simulate")[name]
    page = (ROOT / "docs" / "simulate" / f"{name}.md").read_text("utf-8")
    own = {
        key: parameter.default
        for key, parameter in inspect.signature(one.function).parameters.items()
        if key not in {"world", "knobs"}
    }
    for key, value in {**own, **getattr(one.module, "DEFAULTS", {})}.items():
        shown = json.dumps(value) if isinstance(value, str) else str(value)
        assert f"`{key} = {shown}`" in page, f"{key} = {shown}"


def test_zstandard_lines_say_the_same_as_gzip_lines(corpus: Corpus, tmp_path: Path):
    texts: list[bytes] = []
    for form, opener in (("jsonl.gz", gzip.open), ("jsonl.zst", zstandard.open)):
        plan = Plan((Population("chat_users", {"accounts": 40}),), corpus, format=form)  # type: ignore[arg-type]
        with opener(simulate(plan, tmp_path / form, seed=1).log, "rb") as lines:
            texts.append(lines.read())
    assert texts[0] == texts[1]
    assert texts[0]


def test_an_error_of_the_writer_comes_up_where_the_writing_was_asked_for():
    def fails(item: int) -> None:
        if item == 3:
            raise OSError(28, "No space left on device")

    def sends() -> None:
        with behind(fails) as send:
            for item in range(100):
                send(item)

    with pytest.raises(OSError, match="No space left"):
        sends()


def test_a_family_of_strangers_is_made_in_several_goes_when_it_is_large(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plan = Plan(
        (
            Population("chat_users", {"accounts": 501, "rate": 9.0}),
            Population("A1", {"accounts": 40}, name="one"),
        ),
        corpus,
    )
    whole = simulate(plan, tmp_path / "a", seed=1)
    monkeypatch.setattr("spiritsafe.simulate._parts.CELL", 1_000)
    parts = simulate(plan, tmp_path / "b", seed=1)
    assert parts.campaigns == whole.campaigns
    assert parts.exchanges == pytest.approx(whole.exchanges, rel=0.2)
    log, truth = pq.read_table(parts.log), pq.read_table(parts.truth)
    assert log["account_id"].equals(truth["account_id"])
    assert len(log["exchange_id"].unique()) == log.num_rows
    owners = log.group_by(["account_id", "organization_id"]).aggregate([]).num_rows
    assert owners == len(log["account_id"].unique()) == len(log["organization_id"].unique())
