"""The commands against a real hub; the holder that goes on is a real process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from typer.testing import CliRunner

from matchforum import pseudonym, signer
from matchhub import RealClock, serving
from spiritsafe._match_cli import app
from spiritsafe.attest import keys
from spiritsafe.errors import SpiritsafeError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from matchhub import Hub

COMMAND = [sys.executable, "-c", "from spiritsafe.cli import main; main()", "share", "match"]


@pytest.fixture
def live(tmp_path: Path) -> Generator[Hub]:
    """A hub at the real time, for the commands have no other."""
    with serving(tmp_path, "abcd", "abc", clock=RealClock()) as running:
        yield running


@pytest.fixture
def labs(live: Hub) -> dict[str, Path]:
    """A folder for each member: its key and settings."""
    return {name: _lab(live, name) for name in "abcd"}


def _lab(hub: Hub, name: str) -> Path:
    """The folder of a laboratory: key, settings."""
    folder = hub.folder / f"lab-{name}"
    folder.mkdir()
    pem = signer(name).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "member.key").touch(0o600)
    (folder / "member.key").write_bytes(pem)
    (folder / "share.toml").write_text(
        f'[member]\nkey = "member.key"\n[hub]\nurl = "{hub.url}"\nroot = "api"\ncollection = "signals"\n'
        f'log_key = "{keys.public(signer("hub"))}"\n'
    )
    return folder


def _run(lab: Path, *words: str, good: bool = True) -> Any:
    """One command of a laboratory; in this process, for starting one takes seconds."""
    where = ["--settings", str(lab / "share.toml")] + (
        ["--state", str(lab / "match")] if words[0] != "classes" else []
    )
    done = CliRunner().invoke(app, [*words, *where])
    if not good:
        assert isinstance(done.exception, SpiritsafeError)
        return str(done.exception)
    assert done.exit_code == 0, done.exception or done.output
    return json.loads(done.stdout) if "--json" in words else done.stdout


@contextmanager
def _holding(lab: Path) -> Generator[None]:
    """The command that a key holder leaves running."""
    running = subprocess.Popen(
        [*COMMAND, "hold", "--every", "0.2"], cwd=lab, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        running.send_signal(signal.SIGINT)
        try:
            assert running.wait(60) == 0
        finally:
            running.kill()
            running.wait()


def test_the_way_of_a_laboratory(live: Hub, labs: dict[str, Path]):
    a, b = labs["a"], labs["b"]
    (a / "identifiers.jsonl").write_text(
        "\n".join(
            json.dumps({"candidate_id": one, "class": kind, "value": value})
            for one, kind, value in (
                ("c-1", "ipv4", "9.9.9.9"),
                ("c-1", "skeleton", "fp1:0123456789abcdef"),
                ("c-2", "ipv4", "8.8.8.8"),
                ("c-2", "ipv4", "10.0.0.1"),
                ("c-2", "asn", "64500"),
            )
        )
    )
    (b / "identifiers.jsonl").write_text(
        '{"candidate_id": "x", "class": "ipv4", "value": "::ffff:9.9.9.9"}\n'
        '{"candidate_id": "x", "class": "skeleton", "value": "fp1:0123456789abcdef"}\n'
    )
    (b / "facts.json").write_text(json.dumps({"x": {"exchanges": 6, "commitment": "ab" * 32}}))
    assert "roster cannot be read" in _run(a, "epoch", good=False)
    for lab in labs.values():
        assert "new     " in _run(lab, "trust")
        assert _run(lab, "trust", "--accept", "--json")["accepted"]
        assert _run(lab, "trust").startswith("the roster is the directory")
    assert "no epoch is in force" in _run(a, "run", str(a), "--out", str(a / "matched"), good=False)
    opened = _run(a, "propose", "--least", "2", "--quota", "payment=0", "--json")
    assert opened["threshold"] == 2
    assert "payment" not in opened["classes"]
    assert opened["classes"]["ipv4"]["quota"] == 50_000
    with _holding(a), live.holding(live.worker("b"), live.worker("c")):
        until = time.monotonic() + 60
        while not live.remote("d").epochs():
            assert time.monotonic() < until
            time.sleep(0.1)
        assert _run(a, "run", str(a), "--out", str(a / "matched"), "--json")["groups"] == []
        _run(
            b,
            "run",
            str(b / "identifiers.jsonl"),
            "--out",
            str(b / "matched"),
            "--facts",
            str(b / "facts.json"),
        )
        _run(a, "run", str(a), "--out", str(a / "matched"))
        found = _run(
            b,
            "run",
            str(b / "identifiers.jsonl"),
            "--out",
            str(b / "matched"),
            "--facts",
            str(b / "facts.json"),
            "--json",
        )
        assert found["groups"][0]["counterparts"][0]["disclosed"]
        last = _run(a, "run", str(a), "--out", str(a / "matched"), "--json")
    (group,) = last["groups"]
    assert group["candidates"] == ["c-1"]
    assert group["counterparts"][0]["pseudonym"] == pseudonym("b")
    assert group["counterparts"][0]["shared"] == {"ipv4": 1, "skeleton": 1}
    assert group["counterparts"][0]["disclosed"][0]["facts"] == {"exchanges": 6, "commitment": "ab" * 32}
    assert json.loads((a / "matched" / "matches.json").read_text()) == last
    met = [json.loads(line) for line in (a / "matched" / "matched.jsonl").read_text().splitlines()]
    assert [one["met"][0]["name"] for one in met] == ["ab" * 32, "ab" * 32]
    tags = {json.loads(line)["tag"] for line in (a / "matched" / "tags.jsonl").read_text().splitlines()}
    assert {one["tag"] for one in met} < tags
    assert len(tags) == 3
    told = _run(labs["d"], "epoch")
    assert f"asked   {pseudonym('a'):16} ipv4" in told
    assert "withdrawn" in _run(a, "withdraw")
    assert _run(b, "run", str(b / "identifiers.jsonl"), "--out", str(b / "matched"), "--json")["groups"] == []
    assert _run(a, "compare", str(a), "--ask", pseudonym("b"), "--json")["offered"] == [pseudonym("b")]
    assert "no epoch is over" in _run(a, "end")


def test_bad_usage_is_told(labs: dict[str, Path]):
    a = labs["a"]
    _run(a, "trust", "--accept")
    assert "not all of these are key holders" in _run(
        a, "propose", "--least", "2", "--holder", "nobody", good=False
    )
    assert "is no quota" in _run(a, "propose", "--least", "2", "--quota", "shoes=1", good=False)
    assert "has not its shape" in _run(a, "propose", "--least", "2", "--threshold", "1", good=False)
    (a / "empty.jsonl").write_text("")
    (a / "facts.json").write_text('{"c-1": {"note": "our customer"}}')
    told = _run(
        a,
        "run",
        str(a / "empty.jsonl"),
        "--out",
        str(a / "matched"),
        "--facts",
        str(a / "facts.json"),
        good=False,
    )
    assert "this may not be disclosed" in told
    assert "our customer" not in told
