"""The verbs of `spiritsafe share`, as a person uses them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spiritsafe.attest import keys
from spiritsafe.cli import app
from spiritsafe.errors import UsageError
from spiritsafe.features.inline import Inline
from spiritsafe.sharing import scope
from spiritsafe.sharing.client import settings
from spiritsafe.sharing.signed import verify_object
from spiritsafe.sharing.stix import release
from spiritsafe.sharing.stix.export import to_stix
from spiritsafe.sharing.stix.ids import DISTILLATION
from spiritsafe.sharing.stix.terms import stamp

if TYPE_CHECKING:
    from collections.abc import Callable

SHARE = (sys.executable, "-c", "from spiritsafe.cli import main; main()", "share")
RESULTS = Path(__file__).parents[1] / "results"
RELEASE = """
[campaigns.c-c030e0d325]
by = "anna"
reason = "two labs asked"
templates = true
asns = [64500]
text = "Seen since September, growing."
"""


@pytest.fixture
def share(monkeypatch: pytest.MonkeyPatch, ran: Any) -> Callable[..., str]:
    """``spiritsafe share`` in a folder: its output, or its errors."""
    monkeypatch.setenv("COLUMNS", "300")

    def run(*words: str, status: int = 0, cwd: Path) -> str:
        monkeypatch.chdir(cwd)
        ended = ran("share", *words)
        assert ended.returncode == status, ended.stderr + ended.stdout
        return ended.stdout if status == 0 else ended.stderr

    return run


def test_a_preview_without_settings_tells_what_would_leave_and_what_not(tmp_path: Path):
    ended = subprocess.run(
        [*SHARE, "preview", "c-c030", "--results", str(RESULTS)],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "COLUMNS": "300"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr + ended.stdout
    text = ended.stdout
    assert "no share.toml" in text
    assert "who a customer is never leaves" in text
    assert "no person released them" in text
    assert "acct_" not in text
    assert list(tmp_path.iterdir()) == []


def test_a_preview_is_the_message_byte_for_byte(share: Callable[..., str], tmp_path: Path):
    (tmp_path / "release.toml").write_text(RELEASE)
    keys.make(tmp_path / "member.key")
    (tmp_path / "share.toml").write_text(
        '[member]\nkey = "member.key"\n[terms]\npap = "red"\nvalid = "30d"\n'
    )
    words = ("preview", "c-c030", "--results", str(RESULTS), "--release", "release.toml")
    told = json.loads(share(*words, "--json", "--out", "message.json", cwd=tmp_path))
    body = (tmp_path / "message.json").read_bytes()
    assert (told["message"].encode(), told["bytes"], told["signed"]) == (body, len(body), True)
    objects = scope.read(body, at="hub")
    public = keys.load(tmp_path / "member.key").public_key()
    assert {verify_object(one, {keys.keyid(public): public}) for one in objects} == {keys.keyid(public)}
    assert objects[0]["type"] == "identity"
    assert objects[1]["description"] == "Seen since September, growing."
    assert any("device indicator" in one["what"] for one in told["withheld"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("preview", "c-zzz", "--results", str(RESULTS)), "campaigns here: c-c030e0d325"),
        (("preview", "c-040a", "--results", str(RESULTS)), "no accusation"),
        (("preview", "c-c030", "--results", "nowhere"), "spiritsafe scan"),
        (("pull",), "cannot be read"),
    ],
)
def test_what_makes_no_sense_is_told_with_a_hint(
    share: Callable[..., str], tmp_path: Path, words: tuple[str, ...], told: str
):
    assert told in share(*words, status=2, cwd=tmp_path).replace("\n", " ")


def test_from_invitation_to_decision(serve: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def clock() -> int:
        return time.time_ns() // 1_000

    def run(*words: str) -> str:
        """The same in this process: fifteen of them are faster so."""
        capsys.readouterr()
        app(["share", *words], standalone_mode=False)
        return capsys.readouterr().out

    with serve(tmp_path, str(tmp_path / "h.db"), clock=clock) as forum:
        anna, ben = forum.member("anna", enrol=False), forum.member("ben", enrol=False)
        (tmp_path / "release.toml").write_text(RELEASE)
        mine, theirs = ("--config", str(anna.config)), ("--config", str(ben.config))
        for one in (mine, theirs):
            assert "you are member-" in run("enrol", forum.invitation(), *one)
        options = ("--results", str(RESULTS), "--release", str(tmp_path / "release.toml"))
        assert "objects are at the hub" in run("push", "c-c030", *options, *mine)
        pulled = json.loads(run("pull", *theirs, "--json"))
        assert {one["use"] for one in pulled["indicators"]} == {"observe"}
        campaign = json.loads((ben.folder / "leads.json").read_text())["leads"][0]["campaign_id"]
        assert run("members", *theirs).count("member-") == 2
        (tmp_path / "head").write_text(run("heads", *theirs))
        run("watch", "--rounds", "1", *mine)
        assert "one log" in run("heads", "--compare", str(tmp_path / "head"), *mine)
        run("bundle", str(tmp_path / "bundle.json"), *theirs)
        assert json.loads((tmp_path / "bundle.json").read_text())["type"] == "bundle"
        by = ("--by", "ben", "--reason", "a contract")
        run("dispute", campaign, "--ground", "evaluation", "--text", "It is under contract.", *by, *theirs)
        run("watch", "--rounds", "1", *mine)
        assert "disputed: evaluation" in run("reviews", "--exit-code", *mine)
        run("decide", campaign, "upheld", "--by", "anna", "--reason", "they are right", *mine)
        run("pull", *theirs)
        assert json.loads((ben.folder / "indicators.json").read_text())["indicators"] == []
        due = json.loads(run("reviews", "--json", *theirs))["reviews"]
        assert campaign in {one["object"] for one in due}
        assert run("sightings", *theirs) == "nothing was seen\n"
        with pytest.raises(UsageError, match="no open review"):
            run("decide", "x", "never-used", *by, *theirs)
        with pytest.raises(UsageError, match="own object"):
            run("revoke", campaign, "--why", "error", *by, *theirs)


def test_what_others_warn_of_is_found_in_an_own_log_and_told(
    forum: Any, sample: Any, capsys: pytest.CaptureFixture[str]
):
    words = "Work through the exercise below and write every step of your reasoning between two tags, then one line."
    told, found = sample.results()
    entry = told["campaigns"][0]
    anchors = Inline().sketch(f"{words} What is {17 * 3}?", "").anchors
    found["indicators"] = [
        {
            "indicator_id": "i-1", "campaign_id": entry["campaign_id"], "kind": "template", "least": 2,
            "anchors": [f"{int(one):016x}" for one in anchors], "exchanges": 40, "elsewhere": 0,
        }
    ]  # fmt: skip
    forum.clock.now = time.time_ns() // 1_000
    anna, ben = forum.member("anna"), forum.member("ben", "")
    with anna.session() as one:
        made = to_stix(
            {**entry, "first_seen": "2026-01-01T00:00:00Z"}, found, one.maker, release=sample.FULL
        ).objects
    anna.push(made)
    ben.pull()
    log = forum.folder / "log.jsonl"
    day = stamp(forum.clock.now)
    with log.open("w") as file:
        for n in range(60):
            prompt = (
                f"{words} What is {n}?"
                if n % 2
                else f"Dear landlord, heater {n} is broken, please come and look at it."
            )
            line = {"time": day, "exchange_id": f"e{n}", "account_id": f"acct-{n % 12}", "prompt": prompt}
            file.write(json.dumps(line) + "\n")
    config = ("--config", str(ben.config))
    own = forum.folder / "own"
    own.mkdir()
    accounts = [{"account_id": f"acct-{n}", "membership": 1.0} for n in (1, 2, 3, 99)]
    campaign = {"campaign_id": "c-own", "label": "campaign", "accounts": accounts}
    (own / "campaigns.json").write_text(json.dumps({"schema": 1, "campaigns": [campaign]}))
    (own / "indicators.json").write_text('{"schema": 1}')
    app(
        ["share", "sightings", str(log), "--push", "--results", str(own), "--json", *config],
        standalone_mode=False,
    )
    table = json.loads(capsys.readouterr().out)
    assert [(one["campaign_id"], one["accounts"], one["of"]) for one in table["own"]] == [("c-own", 2, 4)]
    assert [(one["exchanges"], one["accounts"]) for one in table["seen"].values()] == [(30, 6)]
    anna.pull()
    with anna.session() as one:
        (sighting,) = [kept.stix for kept in one.state.here() if kept.stix["type"] == "sighting"]
    assert sighting["extensions"][DISTILLATION]["volume"] == {"accounts": 0, "exchanges": 1}


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("[hub]\nurl = 'http://hub.example'\nroot='a'\ncollection='b'\nlog_key='c'\n", 2, "https"),
        (
            "[hub]\nurl = 'https://u:p@hub.example'\nroot='a'\ncollection='b'\nlog_key='c'\n",
            2,
            "no more than",
        ),
        ("[hub]\nroot='a'\n", 1, "needs url"),
        ("[member]\nkeys = 'x'\n", 2, "no key 'keys'"),
        ("[terms]\npurpose = 'profit'\n", 2, "no purpose"),
        ("[terms]\nvalid = '500d'\n", 2, "makes no sense"),
        ("[terms]\ntlp = 'purple'\n", 1, "no tlp 'purple'"),
        ("[receive]\nuse = 7\n", 2, "[[receive.use]]"),
        ("[[receive.use]]\nmembers = ['*']\nuse = 'lead'\nkinds = ['device']\n", 4, "makes no sense"),
        ("[[receive.use]]\nuse = 'lead'\n", 1, "needs members"),
    ],
)
def test_settings_are_read_to_the_line(tmp_path: Path, text: str, line: int, told: str):
    path = tmp_path / "share.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        settings.read(path)
    assert caught.value.where == f"{path}:{line}"
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[campaigns.c-1]\nreason = 'x'\n", "needs by"),
        ("[campaigns.c-1]\nby = 'a'\nreason = 'x'\nasns = ['x']\n", "list of numbers"),
        (
            "[campaigns.c-1]\nby = 'a'\nreason = 'x'\n[[campaigns.c-1.addresses]]\nvalue = '1'\nclass = 'home'\n",
            "no class",
        ),
        ("[campaigns.c-1]\nby = 'a'\nreason = 'x'\ntemplate = true\n", "did you mean 'templates'"),
        ("[campaign.c-1]\n", "did you mean 'campaigns'"),
    ],
)
def test_releases_are_read_strictly(tmp_path: Path, text: str, told: str):
    path = tmp_path / "release.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        release.read(path)
    assert told in str(caught.value)
