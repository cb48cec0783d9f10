"""A notice tells nothing of others; an appeal freezes severe measures, a second person decides, and it teaches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from spiritsafe import pipeline
from spiritsafe.attest import keys
from spiritsafe.campaigns import intent
from spiritsafe.cases import appeals, folder, measures, notice, opinion, seal
from spiritsafe.casework import gather, labels
from spiritsafe.cli import app
from spiritsafe.errors import UsageError
from spiritsafe.ledger import entries
from spiritsafe.model import Caller, Order
from spiritsafe.orders import approvals, snapshot
from spiritsafe.orders.book import Book
from spiritsafe.orders.policy import Appeals, Policy
from spiritsafe.orders.policy import read as read_policy
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = 1_800_000_000_000_000
DAY = 86_400_000_000
RULES = Appeals(contact="appeals@provider.example")
POLICY = """
[orders]
file = "orders.json"
signer = "{signer}"
[approvers]
dora = "{dora}"
emil = "{emil}"
[appeals]
keep = "budget"
freeze = "20d"
answer = "10d"
contact = "appeals@provider.example"
"""

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=4, max_size=30)


def entry(names: list[str], *, layers: list[str], by: str, word: str = "") -> dict[str, Any]:
    return {
        "campaign_id": "c-1", "label": "campaign", "headline": f"{len(names)} accounts {word}", "exchanges": 900 + len(word),
        "accounts": [{"account_id": name, "membership": 0.9} for name in names], "independent_layers": layers,
        "intent": {"by": by, "score": 0.5}, "coordination": {"tests": [{"name": "even_load", "bits": 3.0, "note": word}]},
        "exhibits": [{"kind": "skeleton", "text": word}], "clears": [word], "layers": [{"top": [{"value": word}]}],
    }  # fmt: skip


def case_of(where: Path, names: list[str], secret: bytes, **how: Any) -> folder.Case:
    """A case with one campaign of ``names``; its key is set, so that only what goes into a notice can differ."""
    folder.create(where, case_id="case-1", title="T", claim="C", by="anna", why="w", now=NOW)
    (where / "secret.key").write_bytes(secret)
    row = {"account_id": "mine", "first": NOW - 3 * DAY, "last": NOW - DAY, "exchanges": 7}
    more = [{**row, "account_id": name, "last": NOW} for name in names if name != "mine"]
    folder.add(
        where, "campaign", by="anna", why="w", now=NOW, about={"campaigns": [{"id": "c-1"}], "records": 1},
        files={
            "campaigns.json": json.dumps({"campaigns": [entry(names, **how)]}).encode(),
            "usage.json": json.dumps({"rows": [row, *more]}).encode(),
        },
    )  # fmt: skip
    return folder.open_case(where)


def suspended(accounts: frozenset[str], campaign: str = "c-1") -> Order:
    return Order(
        "o-secret", campaign, "suspend", "accounts", accounts, "campaign", "evidence", NOW, NOW + 30 * DAY
    )


@settings(max_examples=20)
@given(
    others=st.sets(WORDS.filter(lambda name: name != "mine"), max_size=6),
    word=WORDS,
    layers=st.sampled_from([["load", "content"], ["timing", "load"], ["content"]]),
)
def test_with_other_people_behind_it_the_notice_is_the_same(
    others: set[str], word: str, layers: list[str], tmp_path_factory: pytest.TempPathFactory
):
    where = tmp_path_factory.mktemp("notices")
    told: list[str] = []
    for number, (names, text) in enumerate(
        [(["mine", "one", "two"], "plain"), (["mine", *sorted(others)], word)]
    ):
        case = case_of(where / str(number), names, b"k" * 32, layers=layers, by="role", word=text)
        made = notice.notice(case, "mine", [suspended(frozenset(names))], RULES, now=NOW)
        told.append(notice.text(made) + json.dumps(notice.told(made)))
    assert told[0] == told[1]


def test_a_notice_of_a_real_campaign_holds_nothing_of_others_and_no_text(world: Any, tmp_path: Path):
    case_path = world.open(tmp_path)
    world.add(case_path)
    case = folder.open_case(case_path)
    members = sorted(appeals.members(case))
    mine = members[3]
    order = suspended(frozenset(members), world.campaign)
    made = notice.notice(case, mine, [order], RULES, now=NOW)
    text = notice.text(made) + json.dumps(notice.told(made))
    log = pq.read_table(world.log)
    for column in (
        "account_id",
        "organization_id",
        "payment_id",
        "device_id",
        "client_ip",
        "api_key_id",
        "exchange_id",
        "model",
    ):
        values = {str(one) for one in log.column(column).to_pylist() if one}
        assert not [one for one in values if one in text], column
    # No five words in a row of any prompt or of any exhibit.
    runs = {" ".join(words[at : at + 5]) for words in [text.lower().split()] for at in range(len(words))}
    exhibits = next(one for one in world.record["campaigns"] if one["campaign_id"] == world.campaign)[
        "exhibits"
    ]
    for written in [*log.column("prompt").to_pylist(), *(one.get("text", "") for one in exhibits)]:
        words = written.lower().split()
        assert not runs & {" ".join(words[at : at + 5]) for at in range(len(words) - 4)}
    assert world.campaign not in text
    assert order.order_id not in text
    assert str(len(members)) not in text
    assert "The account is suspended." in text
    assert made.reference in text
    assert {"training_data", "shared_work"} <= set(made.reasons)
    # The dates are the account's own.
    times = [
        t
        for a, t in zip(log.column("account_id").to_pylist(), log.column("time").to_pylist(), strict=True)
        if a == mine
    ]
    assert made.first <= made.last
    assert len(times) > 0
    other = notice.notice(case, members[4], [order], RULES, now=NOW)
    assert other.reference != made.reference
    with pytest.raises(UsageError, match="in no campaign"):
        notice.notice(case, "nobody", [], RULES, now=NOW)


def test_every_reason_and_way_out_has_its_words():
    kinds = ["load", "payment", "retry"]
    both = [entry(["a"], layers=kinds, by="role"), entry(["a"], layers=[], by="elimination")]
    reasons = notice.categories(both)
    assert reasons == tuple(notice.REASONS)
    made = notice.made(notice.Own("AP-1", 0, 0, ()), reasons, Appeals(), now=NOW)
    assert set(made.clears) == set(notice.CLEARS)
    text = notice.text(made)
    for words in (*notice.REASONS.values(), *notice.CLEARS.values()):
        assert words in text
    assert "Nothing so far. We ask before we decide." in text
    assert "the address that sent you this notice" in text
    assert "severe measures are then frozen" in text
    unfrozen = notice.made(notice.Own("AP-1", 0, 0, ()), reasons, Appeals(freeze=0), now=NOW)
    assert "frozen" not in notice.text(unfrozen)
    from spiritsafe.model import RUNGS  # noqa: PLC0415

    assert set(notice.MEASURES) == set(RUNGS)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    case_of(tmp_path / "case", ["mine", "other"], b"k" * 32, layers=["load"], by="role")
    return tmp_path / "case"


def filed(case: Path, account: str = "mine", **how: Any) -> folder.Item:
    told: dict[str, Any] = {
        "statement": b"We are a school.",
        "grounds": ["independent", "purpose"],
        "by": "desk",
        "why": "letter",
    }
    return appeals.file(case, account=account, now=NOW + DAY, **(told | how))


def test_an_appeal_reopens_the_case_and_a_second_person_decides(plain: Path):
    opinion.add(plain, about="c-1", judgement="agree", text="Yes.", by="Ben", why="asked", now=NOW)
    item = filed(plain)
    case = folder.open_case(plain)
    assert case.status == "appealed"
    assert "mine" not in (plain / "ledger.jsonl").read_text()
    assert "school" not in (plain / "ledger.jsonl").read_text()
    with pytest.raises(UsageError, match="open already"):
        filed(plain)
    name = item.about["reference"]
    for who in ("anna", " Anna", "BEN"):
        with pytest.raises(UsageError, match="took part in the first decision"):
            appeals.review(plain, name, by=who, why="w", now=NOW)
    with pytest.raises(UsageError, match="nobody reviews"):
        appeals.decide(plain, name, "overturned", by="chiara", why="w", now=NOW)
    appeals.review(plain, name, by="Chiara", why="second review", now=NOW + 2 * DAY)
    with pytest.raises(UsageError, match="'Chiara' reviews"):
        appeals.decide(plain, name, "overturned", by="dora", why="w", now=NOW)
    with pytest.raises(UsageError, match="no outcome"):
        appeals.decide(plain, name, "upheld", by="chiara", why="w", now=NOW)
    appeals.decide(
        plain, name, "overturned", by="chiara", why="a school, with a letter of its head", now=NOW + 3 * DAY
    )
    case = folder.open_case(plain)
    assert case.status == "overturned"
    assert appeals.cleared(case) == ({"mine"}, set())
    with pytest.raises(UsageError, match="no open appeal"):
        appeals.decide(plain, name, "confirmed", by="chiara", why="w", now=NOW)
    # A later appeal of somebody else does not change the first one's outcome.
    filed(plain, "other")
    assert folder.open_case(plain).status == "appealed"


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"account": "nobody"}, "in no campaign"),
        ({"account": None}, "one account or one organization"),
        ({"organization": "o"}, "one account or one organization"),
        ({"grounds": ["mood"]}, "no grounds 'mood'"),
        ({"grounds": []}, "grounds and a statement"),
        ({"statement": b" "}, "grounds and a statement"),
    ],
)
def test_an_appeal_that_makes_no_sense_is_refused(plain: Path, how: dict[str, Any], says: str):
    with pytest.raises(UsageError, match=says):
        filed(plain, **how)
    assert folder.open_case(plain).appeals == ()


@pytest.fixture
def desk(tmp_path: Path) -> tuple[Policy, dict[str, Path]]:
    """A policy, its keys, and a signed file with a suspension (two persons), a refusal and a budget."""
    paths = {name: tmp_path / f"{name}.key" for name in ("signer", "dora", "emil")}
    public = {name: keys.make(path) for name, path in paths.items()}
    (tmp_path / "policy.toml").write_text(POLICY.format(**public))
    policy = read_policy(tmp_path / "policy.toml")
    assert policy.appeals == Appeals("budget", 20 * DAY, 10 * DAY, "appeals@provider.example")
    strict = suspended(frozenset({"mine", "other"}))
    for name in ("dora", "emil"):
        strict = approvals.approve(strict, name, keys.load(paths[name]), now=NOW)
    more = [
        Order("o-refuse", "c-1", "refuse", "streams", frozenset(), "campaign", "e", NOW, NOW + 30 * DAY),
        Order("o-budget", "c-1", "budget", "streams", frozenset(), "campaign", "e", NOW, NOW + 30 * DAY,
              parameters={"exchanges": 5}),
        Order("o-else", "c-2", "suspend", "accounts", frozenset({"x"}), "campaign", "e", NOW, NOW + 30 * DAY),
    ]  # fmt: skip
    more[0] = approvals.approve(more[0], "dora", keys.load(paths["dora"]), now=NOW)
    snapshot.write(
        policy.file, keys.load(paths["signer"]), version=1, issuer="desk", orders=[strict, *more], exempt=[], now=NOW,
        expires=NOW + 3650 * DAY,
    )  # fmt: skip
    return policy, paths


def touched(policy: Policy, account: str, now: int) -> list[str]:
    found = snapshot.read(policy.file, policy.signer, now=now, rules=policy.rules)
    book = Book(found.orders, found.exempt, expires=found.expires)
    return [one.response for one in book.applying(["c-1"], Caller(account), now)]


def test_severe_measures_freeze_for_the_appellant_alone_and_orders_stay_signed(
    plain: Path, desk: tuple[Policy, dict[str, Path]], clock: Callable[[int], None], tmp_path: Path
):
    policy, paths = desk
    assert touched(policy, "mine", NOW) == ["budget", "refuse", "suspend"]
    (tmp_path / "letter.txt").write_text("We are a school.")
    orders = (
        "--policy",
        str(tmp_path / "policy.toml"),
        "--key",
        str(paths["signer"]),
        "--ledger",
        str(tmp_path / "house.jsonl"),
    )
    clock(NOW + DAY)
    told = json.loads(
        run("case", "appeal", "file", plain, "--account", "mine", "--statement", tmp_path / "letter.txt", "--grounds", "purpose",
            "--by", "desk", *orders, "--json")
    )  # fmt: skip
    assert told["frozen"] == ["o-refuse", "o-secret"]
    assert touched(policy, "mine", NOW + DAY) == ["budget"]
    assert touched(policy, "other", NOW + DAY) == ["budget", "refuse", "suspend"]
    assert touched(policy, "mine", NOW + 22 * DAY) == [
        "budget",
        "refuse",
        "suspend",
    ]  # a freeze ends by itself
    (one,) = folder.open_case(plain).appeals
    assert one.frozen == NOW + 21 * DAY
    exempted = [each for each in entries(tmp_path / "house.jsonl") if each.kind == "exemption"]
    assert [each.body["above"] for each in exempted] == ["budget"]
    # Dora approved the suspension: once the orders are in the case, she cannot review it.
    measures.add(plain, policy, None, by="desk", why="w", now=NOW + DAY)
    with pytest.raises(UsageError, match="first decision"):
        appeals.review(plain, told["reference"], by="dora", why="w", now=NOW)
    run("case", "appeal", "review", plain, told["reference"], "--by", "fay")
    clock(NOW + 2 * DAY)
    decide = ("--by", "fay", "--why", "the letter shows it")
    run("case", "appeal", "decide", plain, told["reference"], "--outcome", "overturned", *decide, *orders)
    assert touched(policy, "mine", NOW + 2 * DAY) == []
    assert touched(policy, "other", NOW + 2 * DAY) == ["budget", "refuse", "suspend"]
    found = snapshot.read(policy.file, policy.signer, now=NOW + 2 * DAY, rules=policy.rules)
    assert [each.reason for each in found.exempt] == [f"cleared by appeal {told['reference']}"]
    assert found.exempt[0].expires == NOW + 30 * DAY
    assert (found.version, len(found.all_orders)) == (3, 4)


def test_a_confirmed_decision_ends_the_freeze(
    plain: Path, desk: tuple[Policy, dict[str, Path]], clock: Callable[[int], None], tmp_path: Path
):
    policy, paths = desk
    (tmp_path / "letter.txt").write_text("It was not me.")
    orders = ("--policy", str(tmp_path / "policy.toml"), "--key", str(paths["signer"]))
    clock(NOW + DAY)
    run("case", "appeal", "file", plain, "--account", "mine", "--statement", tmp_path / "letter.txt", "--grounds", "stolen",
        "--by", "desk", *orders)  # fmt: skip
    name = folder.open_case(plain).appeals[0].item.about["reference"]
    run("case", "appeal", "review", plain, name, "--by", "fay")
    run(
        "case",
        "appeal",
        "decide",
        plain,
        name,
        "--outcome",
        "confirmed",
        "--by",
        "fay",
        "--why",
        "the key was used from the same desk",
        *orders,
    )
    assert touched(policy, "mine", NOW + DAY) == ["budget", "refuse", "suspend"]
    assert folder.open_case(plain).status == "confirmed"
    half = [
        "--account",
        "other",
        "--statement",
        str(tmp_path / "letter.txt"),
        "--grounds",
        "other",
        "--by",
        "desk",
    ]
    words = ["case", "appeal", "file", str(plain), *half, "--policy", str(tmp_path / "policy.toml")]
    alone = CliRunner().invoke(app, words)
    assert isinstance(alone.exception, UsageError)
    assert folder.open_case(plain).status == "confirmed"


def test_a_policy_may_freeze_nothing(plain: Path, desk: tuple[Policy, dict[str, Path]], tmp_path: Path):
    policy, _ = desk
    filed(plain)
    case = folder.open_case(plain)
    found = snapshot.read(policy.file, policy.signer, now=NOW, rules=policy.rules).orders
    none = Appeals(freeze=0)
    assert appeals.frozen(case, case.appeals[0], found, none, by="desk", now=NOW) == (None, [])
    mild = Appeals(keep="suspend")
    assert appeals.frozen(case, case.appeals[0], found, mild, by="desk", now=NOW) == (None, [])
    text = (tmp_path / "policy.toml").read_text()
    lines = text.splitlines(keepends=True)
    bad = (
        ("keep", '"frown"', "no response 'frown'"),
        ("freeze", '"soon"', "length of time"),
        ("colour", '"red"', "no key"),
    )
    for key, value, says in bad:
        kept = "".join(line for line in lines if not line.startswith(key))
        (tmp_path / "policy.toml").write_text(f"{kept}{key} = {value}\n")
        with pytest.raises(UsageError, match=says) as caught:
            read_policy(tmp_path / "policy.toml")
        assert "policy.toml:" in str(caught.value)


def run(*words: Any) -> str:
    ended = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the time that commands take for now."""
    from spiritsafe._cases_cli import appealing  # noqa: PLC0415

    return lambda moment: monkeypatch.setattr(appealing, "now", lambda: moment)


def test_cleared_customers_become_a_log_that_the_calibration_takes(world: Any, tmp_path: Path):
    case_path = world.open(tmp_path)
    world.add(case_path)
    accounts = sorted(appeals.members(folder.open_case(case_path)))
    right = accounts[: len(accounts) - 2]
    for account in accounts[: len(accounts) - 1]:
        item = filed(case_path, account)
        name = item.about["reference"]
        appeals.review(case_path, name, by="fay", why="w", now=NOW)
        outcome = "overturned" if account in right else "confirmed"
        appeals.decide(case_path, name, outcome, by="fay", why="w", now=NOW)
    told = labels.write([case_path], tmp_path / "out")
    log = pq.read_table(world.log, columns=["account_id"]).column(0).to_pylist()
    assert told == {"exchanges": sum(one in right for one in log), "overturned": len(right), "confirmed": 1}
    text = (tmp_path / "out" / labels.INNOCENT).read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert {row["account_id"] for row in rows} == set(right)
    assert not any({"prompt", "system", "response"} & row.keys() for row in rows)
    lines = [json.loads(line) for line in (tmp_path / "out" / labels.LABELS).read_text().splitlines()]
    assert [one["outcome"] for one in lines].count("confirmed") == 1
    assert not any(account in json.dumps(lines) for account in accounts)
    made = pipeline.calibrate(
        [tmp_path / "out" / labels.INNOCENT], tmp_path / "calibration.json", settings=Settings()
    )
    # What a scan took for a campaign is now an innocent cluster with a high score, and the calibration loads.
    assert made["clusters"] >= 1
    assert max(made["scores"]) > 0.5
    learnt = intent.load(tmp_path / "calibration.json")
    assert learnt.scores.size == len(made["scores"])


def test_an_appealed_case_is_sealed_with_its_appeal(world: Any, plain: Path, tmp_path: Path):
    filed(plain)
    own = keys.load(world.signer)
    done = seal.seal(
        plain, tmp_path / "out.tar", [own], by="a", why="b", now=NOW + 5 * DAY, code=gather.code()
    )
    names = {one.name for one in done.checked.parts}
    assert {"0002-appeal/statement", "0002-appeal/who.json"} <= names
    assert seal.hand_on(done.path, tmp_path / "h.tar", withhold=["*/who.json"]) == {"0002-appeal/who.json": 1}
    nonce = json.loads((plain / "parts" / "0002-appeal" / "who.json").read_bytes())["nonce"].encode()
    assert nonce in done.path.read_bytes()
    assert nonce not in (tmp_path / "h.tar").read_bytes()


def test_a_reference_is_of_one_account_in_one_case(plain: Path, tmp_path: Path):
    case = folder.open_case(plain)
    folder.create(tmp_path / "two", case_id="case-2", title="T", claim="", by="a", why="b", now=NOW)
    other = folder.open_case(tmp_path / "two")
    names = [f"account-{number}" for number in range(200)]
    told = {notice.reference(one, name) for one in (case, other) for name in names}
    assert len(told) == 400
    assert notice.reference(case, "mine") == notice.reference(folder.open_case(plain), "mine")
