"""``spiritsafe watch`` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

WATCH = (sys.executable, "-c", "from spiritsafe.cli import main; main()", "watch")


def words(field: Any, *options: str) -> list[str]:
    return [str(field.segments), "--out", str(field.out), "--poll", "0.05s", *options]


def test_once_takes_what_is_there_tells_it_as_json_and_exits_with_3(
    parts: list[pa.Table], field: Any, ran: Any
):
    for number in range(0, 24, 3):
        field.write(pa.concat_tables(parts[number : number + 3]), f"{number:02}.jsonl.zst")
    (field.segments / "broken.parquet").write_bytes(b"PAR1 not really")
    command = [*WATCH, *words(field, "--once", "--json", "--exit-code")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["event"] for one in events] == [
        "started",
        *["segment"] * 8,
        "set_aside",
        "campaigns",
        *["case"] * sum(one["event"] == "case" for one in events),
        "ended",
    ]
    (step,) = [one for one in events if one["event"] == "campaigns"]
    assert step["exchanges"] == sum(len(parts[number]) for number in range(24))
    # For people: the same again, with nothing new to take.
    done = ran("watch", *words(field, "--once"))
    assert (done.returncode, done.stdout) == (0, "")
    assert "campaign step (once): 1 campaigns" in done.stderr
    assert "taken: " not in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--window", "soon"), "--window: 'soon' is not a length of time"),
        (("--clock", "sun"), "no clock 'sun'"),
        (("--exit-code",), "--exit-code needs --once"),
        (("--format", "morse", "--once"), "set aside"),
    ],
)
def test_bad_usage_is_told(parts: list[pa.Table], field: Any, ran: Any, options: tuple[str, ...], said: str):
    field.write(parts[0], "a.jsonl")
    done = ran("watch", *words(field, *options))
    assert (done.returncode, said in done.stderr) == ((0 if "set aside" in said else 2), True), done.stderr


def test_a_running_watch_takes_what_comes_by_the_wall_clock(
    parts: list[pa.Table], field: Any, start: Callable[..., subprocess.Popen[str]]
):
    command = [
        *WATCH,
        str(field.segments),
        "--out",
        str(field.out),
        "--poll",
        "0.05s",
        "--links-every",
        "0.1s",
        "--json",
    ]
    watch = start(command, stdout=subprocess.PIPE, text=True)
    assert watch.stdout is not None
    lines = (json.loads(line) for line in watch.stdout)
    assert next(lines)["event"] == "started"
    # The result is there from the first moment on, if only to say that nothing was seen yet.
    assert next(lines)["exchanges"] == 0
    assert json.loads((field.out / "campaigns.json").read_text("utf-8"))["campaigns"] == []
    now = int(time.time() * 1000)
    half = field.segments / "a.jsonl.open"
    half.write_text(
        "".join(
            json.dumps(
                {"time": now - 60_000 + index, "account_id": f"a{index}", "prompt": "How do I cook rice?"}
            )
            + "\n"
            for index in range(100)
        )
    )
    half.rename(field.segments / "a.jsonl")
    assert next(lines)["exchanges"] == 100
    # A hundred new accounts with one text: links are told, and a campaign step follows at once.
    assert [next(lines)["event"] for _ in range(2)] == ["links", "campaigns"]
    watch.terminate()
    assert [one["event"] for one in lines][-1] == "stopped"
    assert watch.wait() == 0
    assert json.loads((field.out / "campaigns.json").read_text("utf-8"))["scanned"]["accepted"] == 100
