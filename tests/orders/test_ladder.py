"""From a real scan of the demo log to a signed file, by the commands that the docs show."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spiritsafe import ledger, pipeline
from spiritsafe.errors import OrderError, UsageError
from spiritsafe.model import Caller
from spiritsafe.orders import policy, snapshot
from spiritsafe.orders.book import Book
from spiritsafe.orders.ladder import propose
from spiritsafe.orders.policy import Ladder, Step
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent.parent
NOW = 1_790_000_000_000_000
DAY = 86_400_000_000
PROGRAM = (sys.executable, "-c", "from spiritsafe.cli import main; main()", "orders")
STEPS = (
    Step("budget", "streams", 10, 14 * DAY, {"exchanges": 60}),
    Step("suspend", "accounts", 20, 30 * DAY, {}),
)


@pytest.fixture(scope="session")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scan") / "out"
    pipeline.scan([str(ROOT / "demo" / "logs")], out, settings=Settings())
    return out


def entries(scanned: Path) -> tuple[bytes, list[dict[str, Any]]]:
    data = (scanned / "campaigns.json").read_bytes()
    return data, json.loads(data)["campaigns"]


def test_a_campaign_meets_the_steps_that_its_evidence_carries_and_a_pool_none(scanned: Path):
    data, told = entries(scanned)
    campaigns = {one["campaign_id"]: one for one in told if one["label"] == "campaign"}
    assert campaigns
    orders = propose(data, Ladder(STEPS), NOW)
    assert {one.campaign_id for one in orders if one.response == "budget"} == set(campaigns)
    strong = {name for name, one in campaigns.items() if one["proposed_order"]["response"] == "suspend"}
    assert {one.campaign_id for one in orders if one.response == "suspend"} == strong
    for one in orders:
        assert one.evidence == f"{one.campaign_id}@sha256:{hashlib.sha256(data).hexdigest()}"
        assert (one.start, one.approvals) == (NOW, ())
        listed = {
            row["account_id"]
            for row in campaigns[one.campaign_id]["accounts"]
            if row["membership"] >= Ladder().membership
        }
        assert one.accounts == (listed if one.scope == "accounts" else set())
    most = max(one["coordination"]["bits"] for one in campaigns.values())
    assert propose(data, Ladder((replace(STEPS[0], bits=most + 1),)), NOW) == []
    assert propose(data, Ladder(STEPS), NOW) == orders


def test_a_pool_is_at_most_observed_and_only_where_the_policy_says_so(scanned: Path):
    data, told = entries(scanned)
    result = json.loads(data)
    for label in ("pool", "reseller", "insufficient"):
        result["campaigns"] = [{**one, "label": label} for one in told]
        changed = json.dumps(result).encode()
        assert propose(changed, Ladder(STEPS), NOW) == []
        watched = propose(changed, Ladder(STEPS, pools=True), NOW)
        assert {one.response for one in watched} == ({"observe"} if label != "insufficient" else set())


def test_no_suspension_and_no_list_without_the_scans_own_proposal(scanned: Path):
    data, _ = entries(scanned)
    result = json.loads(data)
    for one in result["campaigns"]:
        one["proposed_order"] = {"response": "budget"}
    steps = (*STEPS, Step("budget", "accounts", 0, DAY, {}), Step("suspend", "streams", 0, DAY, {}))
    orders = propose(json.dumps(result).encode(), Ladder(steps), NOW)
    assert {(one.response, one.scope) for one in orders} == {("budget", "streams")}


def test_what_is_no_result_is_refused():
    for data in (b"", b"[]", b"{}", b'{"campaigns": [{"label": "campaign"}]}', b'{"campaigns": 3}'):
        with pytest.raises(OrderError):
            propose(data, Ladder(STEPS), NOW)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: Any) -> Callable[..., str]:
    """``spiritsafe orders`` in a folder: what it says."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, status: int = 0) -> str:
        ended = ran("orders", *words)
        assert ended.returncode == status, ended.stderr
        return ended.stderr if status else ended.stdout

    return run


def page_policy() -> str:
    text = (ROOT / "docs" / "orders.md").read_text("utf-8")
    return text.partition("```toml\n")[2].partition("```")[0]


def test_the_way_in_the_docs_from_a_scan_to_measures_and_back(
    scanned: Path, tmp_path: Path, command: Callable[..., str]
):
    public = {name: command("key", f"{name}.key").strip() for name in ("signer", "anna", "ben")}
    text = page_policy()
    for name, shown in public.items():
        text = text.replace(f'{name} = "ed25519:…"', f'{name} = "{shown}"')
    (tmp_path / "policy.toml").write_text(text, "utf-8")
    signing = ("--policy", "policy.toml", "--key", "signer.key", "--ledger", "ledger.jsonl")
    command("propose", "--results", str(scanned), "--policy", "policy.toml", "--out", "proposed.json")
    command("approve", "proposed.json", "--by", "anna", "--key", "anna.key")
    told = json.loads(command("sign", "proposed.json", *signing, "--json"))
    assert {one["response"] for one in told["in_force"]} == {"budget"}
    suspended = [one["order"] for one in told["withheld"]]
    assert {one["response"] for one in suspended} == {"suspend"}
    assert all("needs 2 approvals, 1 of them valid" in one["why"] for one in told["withheld"])
    again = command("approve", "proposed.json", "--by", "anna", "--key", "anna.key", status=2)
    assert "approval already" in again
    command("approve", "proposed.json", "--by", "ben", "--key", "ben.key")
    told = json.loads(command("sign", "proposed.json", *signing, "--json"))
    assert (told["version"], told["withheld"]) == (2, [])
    bad = suspended[0]["accounts"][0]

    def touched() -> int:
        wanted = policy.read(tmp_path / "policy.toml")
        found = snapshot.read(wanted.file, wanted.signer, now=None, rules=wanted.rules)
        now = found.issued + 1
        book = Book(found.orders, found.exempt, expires=found.expires)
        return len(book.applying([suspended[0]["campaign_id"]], Caller(bad, organization_id="o"), now))

    assert touched() == 2
    why = ("--reason", "cleared", "--by", "anna")
    command("exempt", "--account", bad, *why, *signing)
    assert touched() == 0
    assert "exempt" in command("show", "--policy", "policy.toml")
    assert "no order 'o-x'" in command("lift", "--order", "o-x", *why, *signing, status=2)
    told = json.loads(command("lift", *why, *signing, "--json"))
    assert (told["in_force"], told["version"], len(told["exempt"])) == ([], 4, 1)
    wrong = command("lift", *why, "--policy", "policy.toml", "--key", "anna.key", status=2)
    assert "not the policy's signer" in wrong
    kinds = [one.kind for one in ledger.entries(tmp_path / "ledger.jsonl")]
    assert set(kinds) == {"order", "exemption", "lift"}
    assert kinds[-1] == "lift"


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path, command: Callable[..., str]):
    shown = command("key", "signer.key").strip()
    (tmp_path / "policy.toml").write_text(f'[orders]\nsigner = "{shown}"\n', "utf-8")
    words = ("--reason", "r", "--by", "anna", "--policy", "policy.toml", "--key", "signer.key")
    running = [
        subprocess.Popen(
            [*PROGRAM, "exempt", "--account", f"a-{n}", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            stdout=subprocess.DEVNULL,
        )
        for n in range(5)
    ]
    assert [one.wait() for one in running] == [0] * 5
    told = json.loads(command("show", "--policy", "policy.toml", "--json"))
    assert ({one["account_id"] for one in told["exempt"]}, told["version"]) == (
        {f"a-{n}" for n in range(5)},
        5,
    )


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            'response = "budget"',
            'response = "budge"',
            r"policy\.toml:\d+: there is no response 'budge'\n.*'budget'",
        ),
        ("bits = 10", "bit = 10", r"a step has no key 'bit'\n.*'bits'"),
        ('lifetime = "14d"', 'lifetime = "14"', r"policy\.toml:\d+: '14' is not a length"),
        ("membership = 0.95", "membership = 5", r"policy\.toml:\d+: membership"),
        ('pools = "none"', 'pools = "refuse"', r"policy\.toml:\d+: pools"),
        ("suspend = 2 }", "suspend = 1 }", r"policy\.toml:\d+: suspend = 1"),
        ("refuse = 1,", "refuses = 1,", r"no key 'refuses'\n.*'refuse'"),
    ],
)
def test_a_slip_in_the_policy_is_named_with_its_line(tmp_path: Path, old: str, new: str, text: str):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    from spiritsafe.attest import keys  # noqa: PLC0415

    whole = page_policy()
    for name in ("signer", "anna", "ben"):
        key = keys.public(Ed25519PrivateKey.generate())
        whole = whole.replace(f'{name} = "ed25519:…"', f'{name} = "{key}"')
    path = tmp_path / "policy.toml"
    path.write_text(whole, "utf-8")
    policy.read(path)
    assert old in whole
    path.write_text(whole.replace(old, new, 1), "utf-8")
    with pytest.raises(UsageError, match=text):
        policy.read(path)
