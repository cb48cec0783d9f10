"""Records are sealed and every statistic is computed anew from them: with texts, without them, and never when changed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from spiritsafe.attest import keys
from spiritsafe.cases import folder, measures, seal
from spiritsafe.casework import gather, recompute
from spiritsafe.cli import app
from spiritsafe.errors import AttestError, UsageError
from spiritsafe.features import packed, sketch
from spiritsafe.features.inline import Inline
from spiritsafe.ledger import Ledger
from spiritsafe.orders import approvals, snapshot
from spiritsafe.orders.content import from_order
from spiritsafe.orders.policy import read as read_policy
from spiritsafe.provenance import _casefile, _gather, _marks, _prereg, _run

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000_000_000


@pytest.fixture(scope="module")
def sealed(world: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    where = tmp_path_factory.mktemp("sealed")
    case = world.open(where)
    world.add(case)
    return world.seal(case, where / "out.tar")


def again(path: Path, checked: Any = None) -> list[recompute.Again]:
    found = checked or seal.check(path, [keys.public(keys.load(path.parent / "k"))], now=NOW + 10)
    return recompute.recompute(path, found)


def numbers(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(numbers, value.values()))
    if isinstance(value, list):
        return sum(map(numbers, value))
    return int(type(value) in {int, float})


def test_packed_sketches_are_those_of_the_gateway(world: Any):
    log = pq.read_table(world.log)
    names = ["system", "prompt", "response"]
    batch = log.select([name for name in names if name in log.schema.names]).slice(0, 200)
    for name in names:
        if name not in batch.schema.names:
            batch = batch.append_column(name, pa.nulls(batch.num_rows, pa.string()))
    texts = ["", "Sum 3 and 4", "日本語の質問。", "x " * 700, None]
    more = pa.table(
        {
            "system": [None, "Be brief.", "", None, "Be " * 300],
            "prompt": texts,
            "response": ["a", None, "", "b", "c"],
        }
    )
    batch = pa.concat_tables([batch.select(names), more.select(names)]).combine_chunks().to_batches()[0]
    inline = Inline()
    told = [
        inline.sketch(row["prompt"] or "", row["system"]).pack(
            None if row["response"] is None else len(row["response"])
        )
        for row in batch.to_pylist()
    ]
    made = sketch(batch)
    assert packed(made).to_pylist() == told
    assert packed(made.slice(3, 90)).to_pylist() == told[3:93]
    assert packed(made.slice(0, 0)).to_pylist() == []


def test_every_statistic_of_a_campaign_is_computed_anew(world: Any, sealed: tuple[Path, Any]):
    path, checked = sealed
    (told,) = again(path, checked)
    entry = next(one for one in world.record["campaigns"] if one["campaign_id"] == world.campaign)
    compared = {key: value for key, value in entry.items() if key != "exhibits"}
    assert (told.what, told.same, told.numbers) == (world.campaign, True, numbers(compared))
    assert told.numbers > 100
    assert checked.facts["settings"] == [world.record["settings"]]


def test_without_the_texts_it_is_still_computed(world: Any, sealed: tuple[Path, Any], tmp_path: Path):
    path, _ = sealed
    public = [keys.public(keys.load(world.signer))]
    bare, members = tmp_path / "bare.tar", tmp_path / "members.tar"
    seal.hand_on(path, bare, withhold=["*/texts.jsonl"])
    told = seal.hand_on(path, members, shows=gather.members_only(path))
    chosen = pq.read_table(world.results / "exchanges.parquet", columns=["campaign_id"])
    inside = sum(one == world.campaign for one in chosen.column(0).to_pylist())
    assert told == {"0001-campaign/texts.jsonl": world.record["scanned"]["accepted"] - inside}
    (one,) = again(bare, seal.check(bare, public, now=NOW + 10))
    assert one.same
    # No word of a prompt is left but in the exhibits of the result, which are a part of their own.
    prompts = pq.read_table(world.log, columns=["prompt"]).column(0).to_pylist()
    hidden = tmp_path / "hidden.tar"
    seal.hand_on(bare, hidden, withhold=["*/campaigns.json"])
    data = hidden.read_bytes()
    assert not any(text[:60].encode() in data for text in prompts if len(text) > 60)
    (one,) = again(hidden, seal.check(hidden, public, now=NOW + 10))
    assert (one.same, one.why) == (False, "1 of 1 of campaigns.json withheld")


def test_with_records_withheld_it_says_what_cannot_be_computed(
    world: Any, sealed: tuple[Path, Any], tmp_path: Path
):
    path, _ = sealed
    out = tmp_path / "out.tar"
    seal.hand_on(path, out, shows=lambda part, number, _: not part.endswith("facts.jsonl") or number > 4)
    (one,) = again(out, seal.check(out, [keys.public(keys.load(world.signer))], now=NOW + 10))
    assert not one.same
    assert one.why == f"5 of {world.record['scanned']['accepted']:,} of facts.jsonl withheld"


def changed(world: Any, where: Path, change: Any) -> tuple[Path, Any]:
    """A case whose results were changed before they were added, rightly sealed: only computing it anew can tell."""
    results = where / "results"
    shutil.copytree(world.results, results)
    record = json.loads((results / "campaigns.json").read_bytes())
    change(record, next(one for one in record["campaigns"] if one["campaign_id"] == world.campaign))
    (results / "campaigns.json").write_text(json.dumps(record))
    case = world.open(where)
    gather.add_campaign(case, results, [world.campaign], by="a", why="b", now=NOW, inputs=[world.log])
    return world.seal(case, where / "out.tar")


def test_an_embellished_result_is_found_out(world: Any, tmp_path: Path):
    def more_bits(_record: dict[str, Any], entry: dict[str, Any]) -> None:
        entry["coordination"]["tests"][0]["bits"] += 0.01

    with pytest.raises(AttestError, match=r"coordination, tests, 0, bits"):
        again(*changed(world, tmp_path, more_bits))


def test_settings_that_are_not_those_told_are_found_out(world: Any, tmp_path: Path):
    def other(record: dict[str, Any], _entry: dict[str, Any]) -> None:
        record["scanned"]["fdr"] = 0.05

    with pytest.raises(AttestError, match="settings are not those of its hash"):
        again(*changed(world, tmp_path, other))


def test_a_sketch_that_is_not_of_its_text_is_found_out(world: Any, sealed: tuple[Path, Any], tmp_path: Path):
    parts = {path.name: path for path in seal.unpack(sealed[0], tmp_path / "parts", "0001-campaign")}
    listed = {name: path.read_bytes().splitlines() for name, path in parts.items() if name.endswith(".jsonl")}
    rows = [json.loads(line) for line in listed["facts.jsonl"][:2]]
    rows[0]["sketch"], rows[1]["sketch"] = rows[1]["sketch"], rows[0]["sketch"]
    listed["facts.jsonl"][:2] = [json.dumps(row).encode() for row in rows]
    case = world.open(tmp_path)
    about = sealed[1].entries[1]["body"]["about"]
    files = {name: path for name, path in parts.items() if name not in listed}
    folder.add(case, "campaign", by="a", why="b", now=NOW, about=about, files=files, lines=listed)
    with pytest.raises(
        AttestError, match=r"facts\.jsonl:1: the sealed sketch is not that of the sealed text"
    ):
        again(*world.seal(case, tmp_path / "out.tar"))


def test_another_log_than_the_one_that_was_scanned_is_refused(world: Any, tmp_path: Path):
    case = world.open(tmp_path)
    with pytest.raises(UsageError, match="were scanned"):
        world.add(case, until=1_788_800_000_000_000)
    with pytest.raises(UsageError, match="no campaign begins"):
        gather.add_campaign(case, world.results, ["c-none"], by="a", why="b", now=NOW)
    with pytest.raises(UsageError, match="cannot be read"):
        gather.add_campaign(case, tmp_path, ["c"], by="a", why="b", now=NOW)
    item = world.add(case, inputs=[])
    assert item.about["records"] == 0
    (told,) = again(*world.seal(case, tmp_path / "out.tar"))
    assert told.why == "no records were sealed with it"


def test_usage_counts_each_exchange_of_the_campaign_once(
    world: Any, sealed: tuple[Path, Any], tmp_path: Path
):
    seal.unpack(sealed[0], tmp_path, "0001-campaign")
    usage = json.loads((tmp_path / "usage.json").read_bytes())["rows"]
    entry = next(one for one in world.record["campaigns"] if one["campaign_id"] == world.campaign)
    assert sum(one["exchanges"] for one in usage) == entry["exchanges"]
    assert sum(one["output"] for one in usage) == entry["tokens"]["output"]
    assert {one["account_id"] for one in usage} <= {one["account_id"] for one in entry["accounts"]}
    sure = {one["account_id"]: one["membership"] for one in entry["accounts"]}
    assert all(one["membership"] == sure[one["account_id"]] for one in usage)


def proof(where: Path) -> Path:
    """A finished test of a suspect that says what canaries it was served; asked from files, computed for real."""
    marks, book = where / "marks", where / "house.jsonl"
    plan = _marks.write(
        marks, ["c-1"], now=NOW, epochs=1, lasts="30d", scheme="green", canaries=6, variants=16, decoys=3, share=0.01,
    )  # fmt: skip
    root = _marks.root_key(marks)
    with Ledger(book) as ledger:
        _marks.commit(plan, ledger, now=NOW)
    canaries = plan.canaries(root)
    for name, served in (("suspect", True), ("control", False)):
        rows = [
            {"prompt": one.prompt, "text": one.form.replace("{}", one.answers[one.served if served else 0])}
            for one in canaries
        ]
        (where / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (where / "case.toml").write_text(
        '[case]\nname = "t"\ntests = ["canaries"]\nreruns = 3\n[teacher]\nname = "ours"\nmarks = "marks"\n'
        'campaigns = ["c-1"]\n[suspect]\nname = "suspect"\nkind = "answers"\nfile = "suspect.jsonl"\n'
        '[[control]]\nname = "control"\nkind = "answers"\nfile = "control.jsonl"\n'
    )
    out = where / "proof"
    wanted = _casefile.read(where / "case.toml")
    with Ledger(book) as ledger:
        made = _prereg.register(wanted, out, ledger, now=NOW + 1)
    told = json.loads((out / _prereg.SETTINGS).read_bytes())
    for one in _gather.models(made):
        _gather.gather(out, made, one, told, progress=lambda *_: None)
    with Ledger(book) as ledger:
        _gather.close(out, made, ledger, now=NOW + 2)
    made, found = _prereg.open_plan(out, book)
    result = _run.compute(out, made, found, progress=lambda *_: None)
    with Ledger(book) as ledger:
        _run.keep(out, result, ledger, now=NOW + 3)
    return out


def test_a_finding_is_computed_anew_and_a_changed_one_found_out(world: Any, tmp_path: Path):
    path = proof(tmp_path)
    result = json.loads((path / "result.json").read_bytes())
    assert result["verdict"] == "supports derivation"
    case = world.open(tmp_path)
    item = gather.add_finding(case, path, by="anna", why="tested", now=NOW + 5, book=tmp_path / "house.jsonl")
    assert item.about["verdict"] == "supports derivation"
    assert not any("/." in name for name in item.parts)
    bundle, checked = world.seal(case, tmp_path / "out.tar")
    (told,) = again(bundle, checked)
    assert told.same
    assert told.numbers >= len(item.parts)
    # Commitments, plan, end of asking and result: all four stand in the house's ledger.
    assert [(one["name"], one["entries"]) for one in checked.excerpts] == [("house.jsonl", 4)]
    with Ledger(tmp_path / "another.jsonl") as ledger:
        ledger.append("order", {}, time=NOW)
    with pytest.raises(UsageError, match="lacks entries"):
        gather.add_finding(case, path, by="a", why="b", now=NOW + 6, book=tmp_path / "another.jsonl")
    with pytest.raises(UsageError, match="cannot be read"):
        gather.add_finding(case, tmp_path, by="a", why="b", now=NOW + 6)
    # A better p-value, with manifest and ledger entry to match, in a case that is rightly sealed.
    text = (
        (path / "result.json")
        .read_text()
        .replace(f'"p_value": {result["findings"][0]["p_value"]}', '"p_value": 1e-30')
    )
    (path / "result.json").write_text(text)
    with Ledger(tmp_path / "house.jsonl") as ledger:
        _run.keep(path, json.loads(text), ledger, now=NOW + 6)
    (tmp_path / "other").mkdir()
    other = world.open(tmp_path / "other")
    gather.add_finding(other, path, by="anna", why="tested", now=NOW + 7)
    with pytest.raises(AttestError, match="computed anew"):
        again(*world.seal(other, tmp_path / "other.tar"))


POLICY = """
[orders]
file = "orders.json"
signer = "{signer}"
[approvers]
anna = "{anna}"
ben = "{ben}"
"""


def test_orders_are_sealed_with_approvals_and_their_place_in_the_ledger(world: Any, tmp_path: Path):
    from spiritsafe.model import Order  # noqa: PLC0415

    public = {name: keys.make(tmp_path / name) for name in ("signer", "anna", "ben")}
    (tmp_path / "policy.toml").write_text(POLICY.format(**public))
    policy = read_policy(tmp_path / "policy.toml")
    accounts = frozenset({"acct-1"})
    orders = [
        Order("o-1", world.campaign, "suspend", "accounts", accounts, "campaign", "e", NOW, NOW + 10**12),
        Order("o-2", world.campaign, "refuse", "accounts", accounts, "campaign", "e", NOW, NOW + 10**12),
        Order(
            "o-3",
            "c-other",
            "refuse",
            "accounts",
            frozenset({"acct-other"}),
            "campaign",
            "e",
            NOW,
            NOW + 10**12,
        ),
    ]
    for name in ("anna", "ben"):
        orders[0] = approvals.approve(orders[0], name, keys.load(tmp_path / name), now=NOW)
    signer = keys.load(tmp_path / "signer")
    snapshot.write(
        policy.file, signer, version=1, issuer="desk", orders=orders, exempt=[], now=NOW, expires=NOW + 10**12
    )
    with Ledger(tmp_path / "house.jsonl") as book:
        for one in orders:
            book.append("order", from_order(one), time=NOW)
    case = world.open(tmp_path)
    with pytest.raises(UsageError, match="no order stands"):
        measures.add(case, policy, None, by="anna", why="x", now=NOW)
    world.add(case, inputs=[])
    item = measures.add(case, policy, tmp_path / "house.jsonl", by="anna", why="x", now=NOW + 2)
    assert {one["id"] for one in item.about["orders"]} == {"o-1", "o-2"}
    bundle, checked = world.seal(case, tmp_path / "out.tar")
    assert b"acct-other" not in bundle.read_bytes()
    assert [(one["size"], one["entries"]) for one in checked.excerpts] == [(3, 2)]
    told = {one.what: one for one in again(bundle, checked)}
    assert told["approvals of orders"].numbers == 1  # the other one lacks a person, as the file says
    table = json.loads((case / "parts" / item.name / measures.ORDERS).read_bytes())
    table["orders"][0]["expires"] = "2030-01-01T00:00:00Z"
    with pytest.raises(AttestError, match="not for this order as it stands"):
        measures.check(table, "orders.json")


def command(*words: Any) -> str:
    """Runs ``spiritsafe …`` in this process, and gives what it printed."""
    ended = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_a_case_from_the_command_line(world: Any, tmp_path: Path):
    case, bundle = tmp_path / "case", tmp_path / "out.tar"
    (tmp_path / "letter of the customer.pdf").write_bytes(b"x")
    said = ("--by", "anna", "--why", "because")
    scan = ("--results", world.results, "--campaign", world.campaign[:6], "--records", world.log)
    command("case", "new", case, "--title", "T", "--claim", "C", "--id", "case-7", *said)
    command("case", "add", "campaign", case, *scan, *said)
    command("case", "add", "note", case, tmp_path / "letter of the customer.pdf", *said)
    opinion = ("--about", world.campaign, "--judgement", "agree", "--text", "Yes.", "--by", "ben")
    command("case", "add", "opinion", case, *opinion)
    assert "0002-note" in command("case", "show", case)
    told = command("case", "seal", case, "--out", bundle, "--key", world.signer, *said)
    public = keys.public(keys.load(world.signer))
    assert f"spiritsafe case verify {bundle} --key {public}" in told
    found = json.loads(command("case", "verify", bundle, "--key", public, "--recompute", "--json"))
    assert found["facts"]["case"]["id"] == "case-7"
    assert [one["same"] for one in found["recomputed"]] == [True]
    assert json.loads(command("case", "list", tmp_path, "--json"))["cases"][0]["status"] == "sealed"
    handed = tmp_path / "handed.tar"
    command("case", "hand-on", bundle, "--out", handed, "--withhold", "*/texts.jsonl", "--members-only")
    assert "withheld: " in command("case", "verify", handed, "--key", public)
    # As a user sees a refusal: status 2, the file, the reason, and what to do.
    words = ["case", "verify", str(bundle), "--key", keys.make(tmp_path / "other.key")]
    start = [sys.executable, "-c", "from spiritsafe.cli import main; main()", *words]
    wrong = subprocess.run(start, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "refused [signature] statement.dsse.json" in wrong.stderr
    assert "hint: " in wrong.stderr
