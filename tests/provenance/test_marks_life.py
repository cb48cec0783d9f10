"""Marks are planned, committed before use, shown without secrets; the escrow's coins are older than its answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import stats

from spiritsafe.errors import InputError, StorageError, UsageError
from spiritsafe.ledger import Ledger, entries
from spiritsafe.marking.keyring import read_keyring
from spiritsafe.provenance import _canary, _escrow, _escrowed, _marks, _seal
from spiritsafe.provenance._endpoint import Budget, Endpoint
from spiritsafe.provenance._ghosts import draw_ghosts
from spiritsafe.provenance._lines import Lines
from spiritsafe.provenance._lines import read as read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

NOW = 1_800_000_000_000_000
HOUR = 3_600_000_000
SNAPSHOT = _escrow.snapshot("m", {"temperature": 1.0, "max_tokens": 20}, "fp-1")


def planned(folder: Path, **more: Any) -> _marks.Plan:
    how: dict[str, Any] = {
        "epochs": 2,
        "lasts": "30d",
        "scheme": "green",
        "canaries": 3,
        "variants": 16,
        "decoys": 5,
        "suspected": ["c-2"],
    }
    return _marks.write(folder, ["c-1"], now=NOW, share=0.005, **(how | more))


@pytest.fixture
def teacher() -> Generator[Callable[[str], Endpoint]]:
    """Endpoints that are closed in the end."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(Endpoint("openai", url, "m", key_env=None, budget=Budget()))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 33])
def test_each_leaf_is_shown_alone_and_no_other_passes_for_it(count: int):
    leaves = [_seal.digest(bytes([at])) for at in range(count)]
    top = _seal.root(leaves)
    for at in range(count):
        path = _seal.path(leaves, at)
        assert _seal.fits(leaves[at], at, count, path, top)
        assert not _seal.fits(_seal.digest(b"other"), at, count, path, top)
        assert not any(
            _seal.fits(leaves[at], other, count, path, top) for other in range(count) if other != at
        )


def test_the_root_key_is_made_once_for_its_owners_eyes_and_a_plan_is_not_overwritten(tmp_path: Path):
    planned(tmp_path / "m")
    key = tmp_path / "m" / "root.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    was = key.read_bytes()
    with pytest.raises(UsageError, match="plan already"):
        planned(tmp_path / "m")
    (tmp_path / "m" / "plan.toml").unlink()
    planned(tmp_path / "m")
    assert key.read_bytes() == was
    key.chmod(0o644)
    with pytest.raises(UsageError, match="others can read"):
        _marks.root_key(tmp_path / "m")


@pytest.mark.parametrize(
    ("suspected", "word", "kept"),
    [
        ([], '"all"', None),
        (["c-2"], '"suspected"', frozenset({"c-2"})),
        (["c-2"], '"none"', frozenset[str]()),
        (["c-2"], '"all"', None),
        (["c-2"], "", frozenset({"c-2"})),
    ],
)
def test_the_plan_says_whose_exchanges_are_kept(
    tmp_path: Path, suspected: list[str], word: str, kept: frozenset[str] | None
):
    plan = planned(tmp_path / "m", suspected=suspected)
    assert plan.kept == (frozenset(suspected) if suspected else None)
    path = tmp_path / "m" / "plan.toml"
    line = f"campaigns = {word}" if word else ""
    path.write_text(re.sub("(?m)^campaigns = .*$", line, path.read_text()))
    assert _marks.read(tmp_path / "m").kept == kept


@pytest.mark.parametrize(
    ("change", "needle"),
    [
        ('scheme = "green"', 'scheme = "gren"'),
        ("variants = 16", "variants = 1"),
        ("share = 0.005", "share = 2"),
        ("epochs = 2", "epochs = 1.5"),
        ('id = "c-2"', 'id = "c-1"'),
        ("canaries = 3", "canary = 3"),
        ('campaigns = "suspected"', 'campaigns = "some"'),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_with_its_line(tmp_path: Path, change: str, needle: str):
    planned(tmp_path / "m")
    path = tmp_path / "m" / "plan.toml"
    path.write_text(path.read_text().replace(change, needle))
    with pytest.raises(UsageError, match=re.escape(str(path)) + r":\d+"):
        _marks.read(tmp_path / "m")


def test_a_commitment_is_made_once_and_grows_with_the_plan(tmp_path: Path):
    plan, book = planned(tmp_path / "m"), tmp_path / "ledger.jsonl"
    with Ledger(book) as ledger:
        first = _marks.commit(plan, ledger, now=NOW)
        assert _marks.commit(plan, ledger, now=NOW + 1) == first
        assert first["counts"] == {"canary": 6, "decoy": 5, "grammar": 1, "key": 4, "plan": 1}
    path = tmp_path / "m" / "plan.toml"
    path.write_text(path.read_text() + '[[campaign]]\nid = "c-3"\nbegins = 2026-01-01T00:00:00Z\n')
    grown = _marks.read(tmp_path / "m")
    told = _marks.status(grown, book, now=NOW)
    assert [row["state"] for row in told["keys"]] == ["to come"] * 4 + ["not committed"]
    assert not told["plan_committed"]
    with Ledger(book) as ledger:
        _marks.commit(grown, ledger, now=NOW + 2 * HOUR)
    told = _marks.status(grown, book, now=NOW + 2 * HOUR)
    assert [row["committed"] for row in told["keys"]] == [NOW] * 4 + [NOW + 2 * HOUR]
    assert told["keys"][0]["state"] == "in use"
    assert told["keys"][-1]["state"] == "expired, committed late"
    assert len([one for one in entries(book) if one.kind == _marks.KIND]) == 2


def test_a_model_server_has_the_keys_that_were_committed_and_no_other(tmp_path: Path):
    plan = planned(tmp_path / "m", scheme="gumbel")
    path = tmp_path / "m" / "keyring.toml"
    assert not path.exists()
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        _marks.commit(plan, ledger, now=NOW)
    assert list(read_keyring(path)) == plan.keys(_marks.root_key(tmp_path / "m"))


def test_a_root_over_other_leaves_is_refused(tmp_path: Path):
    plan, book = planned(tmp_path / "m"), tmp_path / "ledger.jsonl"
    with Ledger(book) as ledger:
        top = _marks.commit(plan, ledger, now=NOW)["root"]
    path = tmp_path / "m" / "commitments" / f"{top}.json"
    leaves = json.loads(path.read_bytes())
    path.write_text(json.dumps({**leaves, "leaves": leaves["leaves"][:-1]}))
    with pytest.raises(InputError, match="do not give the root"):
        _marks.status(plan, book, now=NOW)


def test_nothing_that_may_be_shown_holds_a_secret(tmp_path: Path):
    plan, book = planned(tmp_path / "m"), tmp_path / "ledger.jsonl"
    with Ledger(book) as ledger:
        _marks.commit(plan, ledger, now=NOW)
    root = _marks.root_key(tmp_path / "m")
    secrets = [root, *(key.secret for key in plan.keys(root)), *(leaf.salt for leaf in plan.leaves(root))]
    shown = [path.read_text() for path in (tmp_path / "m").rglob("*.*") if path.name != "root.key"]
    shown += [
        book.read_text(),
        json.dumps(_marks.status(plan, book, now=NOW)),
        repr(plan.leaves(root)),
        repr(plan),
    ]
    assert not [one for one in secrets for text in shown if one.hex() in text]
    served = [one.answers[one.served] for one in plan.canaries(root)]
    assert not [one for one in served for text in shown if one in text]


def test_a_time_stamp_of_a_committed_root_is_attached_and_another_is_refused(tmp_path: Path):
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the time-stamp")
    plan, book = planned(tmp_path / "m"), tmp_path / "ledger.jsonl"
    with Ledger(book) as ledger:
        top = _marks.commit(plan, ledger, now=NOW)["root"]
        right, wrong = (stamp_of(tmp_path, digest) for digest in (top, "ab" * 32))
        with pytest.raises(UsageError, match="no time-stamp of a committed root"):
            _marks.stamp(plan, ledger, wrong, now=NOW)
        body = _marks.stamp(plan, ledger, right, now=NOW)
    assert body["sha256"] == _seal.file_digest(right)
    assert _marks.status(plan, book, now=NOW)["timestamps"] == [body]


def stamp_of(folder: Path, digest: str) -> Path:
    """An RFC 3161 response from an authority of our own."""
    (folder / "tsa.cnf").write_text(
        "[tsa]\ndefault_tsa = a\n[a]\nserial = serial\nsigner_cert = tsa.pem\nsigner_key = tsa.key\n"
        "signer_digest = sha256\ndefault_policy = 1.2.3.4.1\ndigests = sha256\n"
        "[req]\ndistinguished_name = dn\n[dn]\n[ts]\nextendedKeyUsage = critical,timeStamping\n"
    )
    (folder / "serial").write_text("01\n")
    out = folder / f"{digest[:6]}.tsr"
    for words in (
        "req -x509 -config tsa.cnf -extensions ts -newkey rsa:2048 -nodes -keyout tsa.key -out tsa.pem -subj /CN=t -days 9",
        f"ts -query -sha256 -digest {digest} -out q.tsq",
        f"ts -reply -config tsa.cnf -section a -queryfile q.tsq -out {out}",
    ):
        subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)  # noqa: S607 - from the path
    return out


def test_canaries_keep_off_topics_on_which_somebody_acts():
    table, _ = _canary.grammar()
    text = json.dumps(table).lower()
    for word in (
        "medic", "drug", "dose", "pill", "doctor", "disease", "cure", "poison", "law", "court", "legal", "lawyer", "police",
        "safety", "fire", "weapon", "gun", "knife", "bomb", "bank", "invest", "loan", "tax", "vote", "god", "suicid", "alcohol",
    ):  # fmt: skip
        assert not re.search(rf"\b{word}", text), word


def test_a_canarys_variants_differ_and_the_served_one_is_drawn_evenly():
    drawn = [_canary.draw(_seal.secret(bytes(32), str(at)), f"k-{at}", "c", 8) for at in range(800)]
    assert all(len(set(one.answers)) == 8 for one in drawn)
    assert all(one.answers[one.served] in one.says(one.served) for one in drawn)
    assert all("{" not in one.prompt + one.says(0) for one in drawn)
    assert stats.chisquare(np.bincount([one.served for one in drawn], minlength=8)).pvalue > 1e-4
    assert len({one.prompt for one in drawn}) > 700
    again = _canary.draw(_seal.secret(bytes(32), "0"), "k-0", "c", 8)
    assert again == drawn[0]
    assert again.content != _canary.draw(_seal.secret(bytes(32), "1"), "k-0", "c", 8).content


def kept(
    folder: Path, book: Path, texts: list[str], *, campaign: str = "c-2", **more: Any
) -> list[_escrow.Ticket]:
    tickets: list[_escrow.Ticket] = []
    with _escrow.Escrow(
        folder, book, root=bytes(32), share=0.01, campaigns=frozenset({"c-2"}), batch=4
    ) as escrow:
        for text in texts:
            ticket = escrow.ticket()
            messages = [{"role": "user", "content": f"say {text}"}]
            escrow.keep(
                ticket, messages=messages, snapshot=SNAPSHOT, served=text, campaign_id=campaign, **more
            )
            tickets.append(ticket)
    return tickets


def test_coins_are_in_the_ledger_before_the_first_answer_and_are_even(tmp_path: Path):
    folder, book = tmp_path / "escrow", tmp_path / "ledger.jsonl"
    kept(folder, book, [f"t{at}" for at in range(10)])
    opened = [one for one in entries(book) if one.kind == _escrow.OPENED]
    assert [one.body["coins"] for one in opened] == [4, 4, 4]
    for one in opened:
        path = folder / f"{one.body['batch']}.jsonl"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert all(row["time"] >= one.time for row in read_lines(path))
        assert one.body["commitment"] == _escrow.commitment(
            one.body["batch"], _escrow.batch_secret(bytes(32), one.body["batch"])
        )
    coins = [_escrow.coin(bytes(32), f"b-{at}") for at in range(4_000)]
    assert stats.binomtest(sum(coins), 4_000).pvalue > 1e-4


def test_a_share_of_all_and_everything_of_a_suspected_campaign_is_wanted(tmp_path: Path):
    escrow = _escrow.Escrow(
        tmp_path, tmp_path / "l", root=bytes(32), share=0.01, campaigns=frozenset({"c-2"})
    )
    assert all(escrow.wants(f"x-{at}", "c-2") for at in range(50))
    every = _escrow.Escrow(tmp_path, tmp_path / "l", root=bytes(32), share=0.0, campaigns=None)
    assert all(every.wants(f"x-{at}", f"c-{at}") for at in range(50))
    assert not any(every.wants(f"x-{at}", None) for at in range(50))
    chosen = sum(escrow.wants(f"x-{at}", None) for at in range(50_000))
    assert stats.binomtest(chosen, 50_000, 0.01).pvalue > 1e-4
    assert not list(tmp_path.iterdir())


def test_a_killed_writer_loses_nothing_that_it_kept(tmp_path: Path):
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom spiritsafe.provenance import _escrow\n"
        "e = _escrow.Escrow(Path(sys.argv[1]), Path(sys.argv[2]), root=bytes(32), share=1.0)\n"
        "for i in range(100):\n"
        "    t = e.ticket()\n"
        "    e.keep(t, messages=[{'role': 'user', 'content': 'q'}], snapshot='{}', served=f'answer {i}')\n"
        "    print(t.pair_id, flush=True)\n"
        "    if i == 20: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    folder, book = tmp_path / "escrow", tmp_path / "ledger.jsonl"
    ended = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(book)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    told = ended.stdout.split()
    (path,) = _escrowed.batches(folder)
    with path.open("ab") as file:
        file.write(b'{"pair_id":"torn')
    assert [row["pair_id"] for row in read_lines(path)] == told
    assert len(told) == 21
    assert _escrow.seal(folder, book, now=NOW) == [path.stem]
    assert path.with_name(path.name + ".torn").exists()
    assert _escrow.seal(folder, book, now=NOW) == []


def test_a_ledger_that_another_process_holds_gives_no_ticket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_escrow, "_PATIENCE", 1)
    with (
        Ledger(tmp_path / "l"),
        _escrow.Escrow(tmp_path / "e", tmp_path / "l", root=bytes(32), share=1.0) as escrow,
        pytest.raises(StorageError, match="another process"),
    ):
        escrow.ticket()


def test_ghosts_are_drawn_once_and_make_pairs(
    tmp_path: Path, model_server: Callable[..., Any], teacher: Callable[[str], Endpoint]
):
    folder, book = tmp_path / "escrow", tmp_path / "ledger.jsonl"
    tickets = kept(folder, book, [f"t{at}" for at in range(6)])
    model = model_server()
    endpoint = teacher(model.url)
    counts = draw_ghosts(folder, bytes(32), endpoint, limit=2, progress=quiet)
    assert counts["drawn"] == 2
    counts = draw_ghosts(folder, bytes(32), endpoint, progress=quiet)
    assert counts == {"drawn": 4, "changed_snapshot": 0, "failed": 0, "there_already": 2}
    assert len(model.seen) == 6
    assert {body["temperature"] for _, body in model.seen} == {1.0}
    assert len({body["seed"] for _, body in model.seen}) == 6
    table, told, secrets = _escrowed.pairs(folder, book, bytes(32))
    assert told == {
        "pairs": 6,
        "changed_snapshot": 0,
        "no_ghost": 0,
        "ghost_failed": 0,
        "no_text": 0,
        "elsewhere": 0,
    }
    assert table["pair_id"].to_pylist() == [one.pair_id for one in tickets]
    assert all(table["committed"].to_pylist())
    for row in table.to_pylist():
        served = row["first"] if row["coin"] == 0 else row["second"]
        assert re.fullmatch(r"t\d", served)
    assert len(secrets) == 2
    assert _escrowed.pairs(folder, book, bytes(32), campaigns=["c-9"])[1]["elsewhere"] == 6


def test_a_model_that_changed_voids_the_pair_and_what_fails_is_counted(
    tmp_path: Path, model_server: Callable[..., Any], teacher: Callable[[str], Endpoint]
):
    folder, book = tmp_path / "escrow", tmp_path / "ledger.jsonl"
    kept(folder, book, ["t0", "t1"])
    model = model_server(fingerprint="fp-2")
    endpoint = teacher(model.url)
    assert draw_ghosts(folder, bytes(32), endpoint, limit=1, progress=quiet)["changed_snapshot"] == 1
    model.answer = lambda _: None
    assert draw_ghosts(folder, bytes(32), endpoint, progress=quiet)["failed"] == 1
    table, told, _ = _escrowed.pairs(folder, book, bytes(32))
    assert (told["changed_snapshot"], told["ghost_failed"], told["pairs"]) == (1, 1, 0)
    assert table["snapshot"].to_pylist() != table["ghost_snapshot"].to_pylist()


def test_answers_kept_by_digest_only_come_from_the_log(
    tmp_path: Path, model_server: Callable[..., Any], teacher: Callable[[str], Endpoint]
):
    folder, book = tmp_path / "escrow", tmp_path / "ledger.jsonl"
    kept(folder, book, ["t0", "t1"], with_text=False)
    assert b"t0" not in b"".join(re.sub(rb"say t\d", b"", p.read_bytes()) for p in folder.iterdir())
    endpoint = teacher(model_server().url)
    draw_ghosts(folder, bytes(32), endpoint, progress=quiet)
    _, told, _ = _escrowed.pairs(folder, book, bytes(32), texts=["t1", "something else"])
    assert (told["pairs"], told["no_text"]) == (1, 1)


def test_a_coin_turned_afterwards_is_refused_and_an_uncommitted_batch_is_told(
    tmp_path: Path, model_server: Callable[..., Any], teacher: Callable[[str], Endpoint]
):
    folder, book = tmp_path / "escrow", tmp_path / "ledger.jsonl"
    kept(folder, book, ["t0", "t1"])
    endpoint = teacher(model_server().url)
    draw_ghosts(folder, bytes(32), endpoint, progress=quiet)
    table, _, _ = _escrowed.pairs(folder, tmp_path / "none.jsonl", bytes(32))
    assert table["committed"].to_pylist() == [False, False]
    (path,) = _escrowed.batches(folder)
    rows = read_lines(path)
    path.unlink()
    with Lines(path) as out:
        out.append([{**row, "coin": 1 - row["coin"]} for row in rows])
    with pytest.raises(InputError, match=r"coin is not the one .* committed"):
        _escrowed.pairs(folder, book, bytes(32))


def test_the_command_says_what_it_did_and_refuses_with_status_2(
    tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
):
    folder, book = tmp_path / "m", tmp_path / "ledger.jsonl"
    assert command("marks", "plan", folder).returncode == 2
    assert command("marks", "plan", folder, "--campaign", "c-1", "--decoys", 3).returncode == 0
    made = command("marks", "commit", folder, "--ledger", book, "--json")
    assert made.returncode == 0, made.stderr
    told = json.loads(command("marks", "status", folder, "--ledger", book, "--json").stdout)
    assert told["roots"] == [json.loads(made.stdout)["root"]]
    assert {row["state"] for row in told["keys"]} == {"to come"}
    assert command("marks", "status", folder, "--ledger", book).stdout.count("to come") == 12
    os.chmod(folder / "root.key", 0o640)  # noqa: PTH101 - the plainest way to say it
    ended = command("marks", "status", folder, "--ledger", book)
    assert ended.returncode == 2
    assert "others can read the root key" in ended.stderr


def quiet(_stage: str, _done: int, _total: int) -> None:
    return
