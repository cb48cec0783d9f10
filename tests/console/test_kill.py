"""A real console that is killed in the middle of writes, and started again: nothing lost, nothing twice."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pytest
from consoles import CAMPAIGN, PASSWORD, Browser, answering, furnish
from typer.testing import CliRunner

from spiritsafe import ledger
from spiritsafe.cli import app as cli
from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = (sys.executable, "-c", "from spiritsafe.cli import main; main()", "console")


def free() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as held:
        return held.getsockname()[1]


def begun(data: Path, port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [*COMMAND, "--data", str(data), "--listen", f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL
    )
    answering(port, process)
    return process


def test_a_console_killed_in_mid_write_has_lost_nothing_and_does_nothing_twice(
    tmp_path: Path, password_hash: str
):
    data, port = tmp_path / "data", free()
    furnish(data, password_hash)
    done: dict[str, int] = {}
    sent = 0
    process = begun(data, port)
    for turn in range(2):
        who = Browser(f"http://127.0.0.1:{port}")
        assert who.enter("ana").status_code == 303
        csrf = who.forms("/orders")["/logout"]["csrf"]
        timer = threading.Timer(
            0.25 + 0.1 * turn, lambda process=process: os.kill(process.pid, signal.SIGKILL)
        )
        timer.start()
        version = max(
            [
                0,
                *(
                    one.body["version"]
                    for one in ledger.entries(data / "ledger.jsonl")
                    if one.kind == "opinion"
                ),
            ]
        )
        name, form = "", dict[str, str]()
        try:
            while True:
                sent, name = sent + 1, f"w-{sent + 1}"
                form = {
                    "csrf": csrf, "version": str(version), "state": "looking", "reason": f"number {sent}", "write": name,
                }  # fmt: skip
                answer = who.post(f"/campaigns/out/{CAMPAIGN}/opinion", form)
                assert answer.status_code == 303, answer.text
                done[name] = version = version + 1
        except httpx.HTTPError:
            process.wait(20)
        timer.cancel()
        # The person whose answer never came sends the same form again: it is done now, or was done then; never twice.
        # Their session is in the store, and so outlived the console.
        process = begun(data, port)
        form["csrf"] = who.forms("/orders")["/logout"]["csrf"]
        answer = who.post(f"/campaigns/out/{CAMPAIGN}/opinion", form)
        assert answer.status_code in {303, 409}
        assert answer.status_code == 303 or "done already" in answer.text
        done[name] = version + 1
        who.line.close()
    process.terminate()
    assert process.wait(20) == 0
    kept = [
        (one.body["write"], one.body["version"])
        for one in ledger.entries(data / "ledger.jsonl")
        if one.kind == "opinion"
    ]
    assert kept == list(done.items())
    assert len(kept) >= 4
    assert [version for _, version in kept] == list(range(1, len(kept) + 1))


def test_the_first_start_makes_an_admin_and_people_are_added_beside_a_running_console(tmp_path: Path):
    data, port = tmp_path / "data", free()
    process = begun(data, port)
    try:
        file = data / "first-admin.txt"
        assert file.stat().st_mode & 0o077 == 0
        password = file.read_text().split()[-1]
        assert password not in (data / "ledger.jsonl").read_text()

        def user(*arguments: str, word: str = "") -> BaseException | None:
            return (
                CliRunner()
                .invoke(cli, ["console", "user", *arguments, "--data", str(data)], input=f"{word}\n")
                .exception
            )

        assert user("add", "eva", "--role", "analyst", "--by", "op", word=PASSWORD) is None
        assert isinstance(user("add", "kim", "--role", "analyst", word="short"), UsageError)
        assert isinstance(user("add", "kim", "--role", "boss", word=PASSWORD), UsageError)
        assert isinstance(user("add", "eva", "--role", "admin", word=PASSWORD), UsageError)
        assert isinstance(user("disable", "admin"), UsageError)
        listed = CliRunner().invoke(cli, ["console", "user", "list", "--data", str(data), "--json"]).stdout
        assert {one["name"]: one["role"] for one in json.loads(listed)["people"]} == {
            "admin": "admin",
            "eva": "analyst",
        }
        eva, admin = Browser(f"http://127.0.0.1:{port}"), Browser(f"http://127.0.0.1:{port}")
        assert eva.enter("eva").status_code == 303
        assert admin.enter("admin", password).status_code == 303
        new = {"new": "another horse 77", "again": "another horse 77"}
        assert admin.send("/me", "/me/password", password=password, **new).status_code == 303
        assert not file.exists()
        assert user("disable", "eva", "--reason", "left the team") is None
        assert eva.get("/").status_code == 303
        # The running console takes the command's entries into its ledger.
        end = time.monotonic() + 20
        while (kinds := [one.kind for one in ledger.entries(data / "ledger.jsonl")])[-1] != "person-disabled":
            assert time.monotonic() < end
            time.sleep(0.1)
        assert kinds == ["person-added", "person-added", "password-set", "person-disabled"]
        for one in (eva, admin):
            one.line.close()
        # A second console, on the same folder or the same address, says why it does not start.
        same = CliRunner().invoke(cli, ["console", "--data", str(data), "--listen", f"127.0.0.1:{free()}"])
        assert "another process" in str(same.exception)
        other = CliRunner().invoke(
            cli, ["console", "--data", str(tmp_path / "b"), "--listen", f"127.0.0.1:{port}"]
        )
        assert "cannot listen here" in str(other.exception)
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nowhere",), "there is no such folder"),
        (("--listen", "8600"), "is no address"),
        (("--listen", "127.0.0.1:99999"), "is no address"),
        (("--listen", "0.0.0.0:8600"), "by which browsers come"),
    ],
)
def test_a_console_that_cannot_start_says_why_and_ends_with_2(
    arguments: tuple[str, ...], told: str, tmp_path: Path
):
    ended = CliRunner().invoke(cli, ["console", *arguments, "--data", str(tmp_path / "data")])
    assert isinstance(ended.exception, UsageError)
    assert told in str(ended.exception)
    assert "hint" in str(ended.exception)
    assert ended.exception.exit_code == 2
