"""One file for a small team: checked as a whole, started, kept running, ended together."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from consoles import answering
from test_kill import free
from typer.testing import CliRunner

from spiritsafe.attest import keys
from spiritsafe.cli import app as cli
from spiritsafe.errors import UsageError

COMMAND = (sys.executable, "-c", "from spiritsafe.cli import main; main()", "up")


def team(folder: Path, port: int = 0) -> Path:
    """A team of a console and a watch."""
    signer = keys.make(folder / "signer.key")
    (folder / "policy.toml").write_text(f'[orders]\nfile = "orders.json"\nsigner = "{signer}"\n')
    path = folder / "team.toml"
    path.write_text(
        f'data = "data"\n[console]\ntitle = "Team"\nlisten = {{ address = "127.0.0.1:{port}" }}\n'
        'orders = { policy = "policy.toml", signer = "signer.key" }\n'
        '[watch]\nfolder = "log"\nout = "now"\npoll = "1s"\n'
    )
    return path


def test_what_would_be_started_is_told_and_nothing_is(tmp_path: Path):
    path = team(tmp_path, 8600)
    with path.open("a") as more:
        more.write('[gateway]\npolicy = "policy.toml"\nworkers = 2\n')
    told = CliRunner().invoke(cli, ["up", str(path), "--check"])
    assert told.exit_code == 0
    lines = dict(line.split(": ", 1) for line in told.stdout.replace(f"{tmp_path}/", "").splitlines())
    assert lines == {
        "gateway": "spiritsafe gateway --policy policy.toml --workers 2",
        "watch": "spiritsafe watch log --out now --poll 1s",
        "console": "spiritsafe console serve now --data data --team team.toml",
    }
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("[watch]", "[wacht]", 6, "has no key 'wacht'"),
        ('title = "Team"', "titel = 1", 3, "has no key 'titel'"),
        ('poll = "1s"', 'poll = "soon"', 9, "makes no sense"),
        ('folder = "log"', "", 6, "needs folder"),
        ('"127.0.0.1:8600"', '"8600"', 4, "is no address"),
        ('policy = "policy.toml"', 'policy = "none.toml"', None, "cannot be read"),
        ("[console]", "[console", 2, "not TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_line(
    old: str, new: str, line: int | None, told: str, tmp_path: Path
):
    path = team(tmp_path, 8600)
    path.write_text(path.read_text().replace(old, new, 1))
    ended = CliRunner().invoke(cli, ["up", str(path)])
    assert isinstance(ended.exception, UsageError)
    assert told in str(ended.exception)
    assert line is None or f"team.toml:{line}" in str(ended.exception)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_part_that_ends_starts_again_and_all_end_together(tmp_path: Path):
    port = free()
    path, log = team(tmp_path, port), tmp_path / "up.log"
    path.write_text(path.read_text().partition("[watch]")[0])

    def pids(name: str) -> list[int]:
        return [int(one) for one in re.findall(rf"{name} *\| started, process (\d+)", log.read_text())]

    with log.open("wb") as out:
        process = subprocess.Popen([*COMMAND, str(path)], stdout=out, stderr=out)
    try:
        answering(port, process)
        (first,) = pids("console")
        os.kill(first, signal.SIGKILL)
        end = time.monotonic() + 30
        while len(pids("console")) < 2:
            assert time.monotonic() < end
            time.sleep(0.1)
        answering(port, process)
        assert "console | ended with -9; starts again in 1 s" in log.read_text()
        last = pids("console")[-1]
        process.terminate()
        assert process.wait(60) == 0
        assert not alive(last)
    finally:
        process.kill()
        process.wait(10)


def test_parts_end_when_their_parent_is_killed(tmp_path: Path):
    path, log = team(tmp_path), tmp_path / "up.log"
    whole = path.read_text()
    path.write_text(whole[whole.index("[watch]") :])
    with log.open("wb") as out:
        process = subprocess.Popen([*COMMAND, str(path)], stdout=out, stderr=out)
    end = time.monotonic() + 60
    while not (found := re.findall(r"started, process (\d+)", log.read_text())):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.kill()
    process.wait(10)
    while alive(int(found[0])):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_part_that_cannot_start_ends_all_with_2(tmp_path: Path):
    path = team(tmp_path, free())
    policy = tmp_path / "gateway.toml"
    policy.write_text('[gateway]\nupstream = "nowhere"\n')
    path.write_text(f'[gateway]\npolicy = "{policy.name}"\n')
    ended = subprocess.run([*COMMAND, str(path)], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, "does not start" in ended.stderr, "gateway.toml" in ended.stdout) == (
        2,
        True,
        True,
    )
