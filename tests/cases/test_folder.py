"""A case only grows: who added what is in its ledger, what was added is committed to, and a kill leaves nothing half done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from spiritsafe.attest import dsse, keys, merkle
from spiritsafe.cases import folder, opinion
from spiritsafe.errors import LedgerError, StorageError, UsageError
from spiritsafe.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000_000_000


@pytest.fixture
def case(tmp_path: Path) -> Path:
    where = tmp_path / "case"
    folder.create(where, case_id="case-1", title="A title", claim="A claim", by="anna", why="a scan", now=NOW)
    return where


def add(case: Path, **how: object) -> folder.Item:
    told: dict[str, object] = {"by": "anna", "why": "why not", "now": NOW + 1, "about": {}}
    return folder.add(case, "note", **(told | how))  # pyright: ignore[reportArgumentType]


def test_what_is_added_is_there_and_committed_to(case: Path):
    item = add(case, files={"a/letter.txt": b"hello"}, lines={"rows.jsonl": [b"one", b"two", b""]})
    found = folder.open_case(case)
    assert found.items == (item,)
    assert (found.status, found.title, found.by) == ("open", "A title", "anna")
    assert item.name == "0001-note"
    assert list(found.lines("0001-note/rows.jsonl")) == [b"one", b"two", b""]
    raw = found.path("0001-note/rows.jsonl").read_bytes().splitlines()
    leaves = [merkle.leaf_hash(bytes.fromhex(row[1:33].decode()) + row[34:]) for row in raw]
    assert item.parts["0001-note/rows.jsonl"] == {
        "kind": "lines", "leaves": 3, "root": merkle.root(leaves).hex(),
    }  # fmt: skip
    salt = folder.salts(found, item)["0001-note/a/letter.txt"]
    assert item.parts["0001-note/a/letter.txt"]["root"] == merkle.leaf_hash(salt + b"hello").hex()
    again = add(case, files={"a/letter.txt": b"hello"})
    # The same content twice has two hashes: who sees one cannot tell that it is the other.
    assert again.parts["0002-note/a/letter.txt"]["root"] != item.parts["0001-note/a/letter.txt"]["root"]
    assert found.path("0001-note/a/letter.txt").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["../up", "/root", ".hidden", "a//b", "a b", "ä", "x" * 90, "a/.b", ""])
def test_names_that_a_bundle_cannot_hold_are_refused_and_nothing_is_added(case: Path, name: str):
    with pytest.raises(UsageError, match="cannot be sealed"):
        add(case, files={name: b"x"})
    assert folder.open_case(case).items == ()
    assert list((case / "parts").iterdir()) == []


def test_who_and_why_are_asked_for(case: Path):
    for how in ({"by": " "}, {"why": ""}):
        with pytest.raises(UsageError, match="empty"):
            add(case, **how)
    with pytest.raises(UsageError, match="no kind"):
        folder.add(case, "gossip", by="anna", why="x", now=NOW, about={})
    with pytest.raises(UsageError, match="line end"):
        add(case, lines={"x": [b"a\nb"]})
    with pytest.raises(UsageError, match="not empty"):
        folder.create(case, case_id="x", title="x", claim="", by="b", why="c", now=NOW)
    with pytest.raises(UsageError, match="no case here"):
        folder.open_case(case.parent)


def test_times_never_go_back(case: Path):
    assert add(case, now=NOW + 100).time == NOW + 100
    assert add(case, now=NOW - 100).time == NOW + 100
    assert folder.record(case, folder.SEALED, {"by": "b", "why": "w"}, now=NOW).time == NOW + 100
    assert folder.open_case(case).status == "sealed"


def test_what_a_killed_run_left_is_not_part_of_the_case(case: Path):
    left = case / "parts" / "0001-note"
    left.mkdir()
    (left / "half").write_text("x")
    (case / "parts" / ".making").mkdir()
    assert folder.open_case(case).items == ()
    add(case, files={"whole": b"y"})
    assert sorted(p.name for p in left.iterdir()) == [".salts.txt", "whole"]
    assert not (case / "parts" / ".making").exists()


def test_two_at_once_do_not_mix(case: Path):
    with Ledger(case / "ledger.jsonl"), pytest.raises(StorageError, match="another process"):
        add(case, files={"a": b"x"})
    add(case, files={"a": b"x"})


def test_a_list_tells_what_cannot_be_opened(case: Path, tmp_path: Path):
    other = tmp_path / "other"
    folder.create(other, case_id="case-2", title="B", claim="", by="b", why="w", now=NOW + 5)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "ledger.jsonl").write_text("{}\n")
    told = {one.folder.name: one for one in folder.listed(tmp_path)}
    assert [one.folder.name for one in folder.listed(tmp_path)] == ["other", "case", "broken"]
    assert (told["case"].case_id, told["case"].status, told["case"].fault) == ("case-1", "open", "")
    assert "chain breaks" in told["broken"].fault
    text = (case / "ledger.jsonl").read_text().replace("a scan", "a hunch")
    (case / "ledger.jsonl").write_text(text)
    with pytest.raises(LedgerError, match=r"ledger\.jsonl:1"):
        folder.open_case(case)


def test_an_opinion_is_signed_and_its_words_can_be_withheld(case: Path, tmp_path: Path):
    keys.make(tmp_path / "key")
    own = keys.load(tmp_path / "key")
    item = opinion.add(
        case, about="c-1", judgement="agree", text="It is Example Ltd.", by="anna", why="asked", now=NOW, key=own
    )  # fmt: skip
    assert item.about == {"about": "c-1", "judgement": "agree", "signed": True}
    envelope = json.loads((case / "parts" / item.name / opinion.FILE).read_bytes())
    public = {keys.keyid(own.public_key()): own.public_key()}
    said = json.loads(dsse.verify(envelope, public, opinion.PAYLOAD))
    assert said["text"] == "It is Example Ltd."
    assert "Example Ltd" not in (case / "ledger.jsonl").read_text()
    with pytest.raises(UsageError, match="no judgement"):
        opinion.add(case, about="c-1", judgement="yes", text="x", by="anna", why="x", now=NOW)
    with pytest.raises(UsageError, match="needs words"):
        opinion.add(case, about="c-1", judgement="agree", text=" ", by="anna", why="x", now=NOW)
