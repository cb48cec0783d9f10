"""kill -9 at any moment: no exchange is lost, none counts twice, and the result is that of a scan."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

HOUR = 3_600_000_000

# A process that takes the segments and does a campaign step, and kills itself at the n-th change of a folder or opening
# of a file for writing. One process for all n: each child is forked before anything has started a thread.
DRIVER = """
import os, signal, sys
from pathlib import Path
from spiritsafe.settings import Settings
from spiritsafe.watch.follow import Rhythm, Watch

folder, now, first, last, every = Path(sys.argv[1]), *map(int, sys.argv[2:])
events = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "sqlite3.connect"}

def child(limit):
    count = 0
    def hook(event, args):
        nonlocal count
        if event in events or (event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax")):
            count += 1
            if count == limit:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    with Watch(folder / "in", folder / "out", folder / "state", settings=Settings(threads=1),
               rhythm=Rhythm(window=20 * 3_600_000_000), tell=lambda event, **facts: None) as watch:
        watch.look()
        watch.take(watch.look(), now=now)
        watch.campaigns(now=now)
    os._exit(0)

for limit in range(first, last, every):
    pid = os.fork()
    if pid == 0:
        child(limit)
    status = os.waitpid(pid, 0)[1]
    print("killed" if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status), flush=True)
    if not os.WIFSIGNALED(status):
        break
"""


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "campaigns.json").read_text("utf-8"))


def same_store(field: Any) -> bool:
    """Whether the decayed counts are those that come from counting every partition once."""

    def rows() -> list[tuple[Any, ...]]:
        db = sqlite3.connect(field.folder / "state" / "growth.db")
        found = db.execute(
            "SELECT layer, value, holders, exchanges, parties FROM grown ORDER BY 1, 2"
        ).fetchall()
        db.close()
        return found

    before = rows()
    for path in (field.folder / "state").glob("growth.db*"):
        path.unlink()
    field.watch(window=20 * HOUR).close()
    after = rows()
    same = [one[:3] for one in before] == [one[:3] for one in after]
    left, right = (np.array([one[3:] for one in both]) for both in (before, after))
    return same and np.allclose(left, right)


def test_killed_at_every_sixth_change_of_the_disk(parts: list[pa.Table], field: Any):
    small = [part.slice(0, 20) for part in parts[:4]]
    for number, part in enumerate(small):
        field.write(part, f"{number}.parquet")
    now = (
        int(np.datetime64(small[3].column("time").to_pylist()[-1].replace(tzinfo=None), "us").astype(int)) + 1
    )
    command = [sys.executable, "-c", DRIVER, str(field.folder), *map(str, (now, 1, 400, 6))]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = ended.stdout.split()
    assert (lines[-1], ended.stderr) == ("0", "")
    assert lines.count("killed") >= 8
    assert result(field.out)["scanned"]["accepted"] == 80
    assert field.differ(since=now - 20 * HOUR, until=now) == []
    assert [path.name for path in field.folder.iterdir() if path.name.startswith(".")] == []
    assert same_store(field)


@pytest.mark.long
def test_killed_again_and_again_while_segments_come(
    parts: list[pa.Table], field: Any, start: Callable[..., subprocess.Popen[str]]
):
    command = [
        *(sys.executable, "-c", "from spiritsafe.cli import main; main()", "watch", str(field.segments)),
        *(
            "--out",
            str(field.out),
            "--state",
            str(field.folder / "state"),
            "--window",
            "30h",
            "--clock",
            "log",
        ),
        *("--poll", "0.02s", "--campaigns-every", "4h", "--json"),
    ]
    rng = np.random.default_rng(5)
    written = 0
    for _ in range(4):
        victim = start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert victim.stdout is not None
        assert '"started"' in victim.stdout.readline()
        begin, life = time.monotonic(), rng.uniform(0.1, 1.2)
        while (passed := time.monotonic() - begin) < life:
            if written < 24 and passed > life * (written % 8) / 8:
                half = field.write(parts[written], f"{written:02}.jsonl.partial")
                half.rename(field.segments / f"{written:02}.jsonl")
                written += 1
            time.sleep(0.01)
        victim.kill()
        victim.wait()
    for number in range(written, 30):
        field.write(parts[number], f"{number:02}.jsonl")
    done = subprocess.run([*command, "--once", "--exit-code"], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    window = json.loads((field.out / "watch.json").read_text("utf-8"))["window"]
    since, until = (
        round(datetime.fromisoformat(window[name]).timestamp() * 1e6) for name in ("since", "until")
    )
    assert field.differ(since=since, until=until) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_watch_cleanly_and_the_next_goes_on(
    parts: list[pa.Table],
    field: Any,
    number: signal.Signals,
    start: Callable[..., subprocess.Popen[str]],
    ran: Any,
):
    for index in range(3):
        field.write(parts[index], f"{index}.parquet")
    words = (
        *("watch", str(field.segments), "--out", str(field.out), "--state", str(field.folder / "state")),
        *("--clock", "log", "--poll", "0.02s", "--json"),
    )
    command = [sys.executable, "-c", "from spiritsafe.cli import main; main()", *words]
    watch = start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert watch.stdout is not None
    for line in watch.stdout:
        if json.loads(line)["event"] == "segment":
            break
    # In the middle of taking, or of the first campaign step.
    os.kill(watch.pid, number)
    rest = [json.loads(line)["event"] for line in watch.stdout]
    assert watch.stderr is not None
    assert (watch.wait(), watch.stderr.read()) == (0, "")
    assert rest[-1] == "stopped"
    assert not list(field.folder.glob(".*"))
    events = [json.loads(line) for line in ran(*words, "--once").stdout.splitlines()]
    assert events[-1]["event"] == "ended"
    assert result(field.out)["scanned"]["accepted"] == sum(len(part) for part in parts[:3])
