"""The log: proofs that a member checks itself, and a check of the whole store that finds what was tampered with."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from hubs import ORIGIN, PLAIN, SIGNED, Running, Someone, log_key, made, running

from spiritsafe.attest import heads, merkle
from spiritsafe.errors import AttestError
from spiritsafe.sharing.hub import proofs
from spiritsafe.sharing.hub.store import opened
from spiritsafe.sharing.hub.verify import Report, verify

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

OBJECTS = f"/api/collections/{SIGNED}/objects/"
KEY = log_key().public_key()


@pytest.fixture(scope="module")
def served(database: str) -> Generator[Running]:
    with running(database) as found:
        yield found


@pytest.fixture(scope="module")
def member(served: Running) -> Someone:
    return served.enrol("member")


def _head(who: Someone) -> heads.Head:
    return proofs.signed_head(who.ask("GET", "/forum/log/head").json(), KEY, ORIGIN)


def test_a_client_checks_what_it_pulled_against_a_log_that_only_grows(served: Running, member: Someone):
    other = served.enrol("member")
    old: heads.Head | None = None
    for turn in range(4):
        member.add(*(member.indicator(f"{turn} {number}") for number in range(1 + 90 * turn)))
        member.add(member.indicator(f"plain {turn}"), collection=PLAIN)
        head = _head(other)
        for stix in other.ask("GET", f"{OBJECTS}?limit=5").json()["objects"]:
            leaf = proofs.leaf_of(stix).hex()
            answer = other.ask("GET", f"/forum/log/proof?hash={leaf}&size={head.size}").json()
            index = proofs.included(stix, answer, head)
            assert other.ask("GET", f"/forum/log/proof?index={index}&size={head.size}").json() == answer
            assert other.ask("GET", f"/forum/log/leaf?index={index}").json() == {"index": index, "hash": leaf}
            assert other.ask("GET", f"/forum/log/leaf?hash={leaf}").json() == {"indexes": [index]}
            with pytest.raises(AttestError):
                proofs.included(stix | {"labels": ["changed"]}, answer, head)
        if old is not None:
            grown = other.ask("GET", f"/forum/log/consistency?first={old.size}&second={head.size}").json()
            proofs.grown(old, head, grown)
            with pytest.raises(AttestError):
                proofs.grown(heads.Head(old.origin, old.size, merkle.EMPTY, 0), head, grown)
            with pytest.raises(AttestError, match=rf"had {head.size} leaves and now has {old.size}"):
                proofs.grown(head, old, grown)
        old = head
    assert old is not None
    leaves = other.ask("GET", "/forum/log/leaves?start=0").json()["hashes"]
    proofs.whole(leaves, old)
    parts = [
        other.ask("GET", f"/forum/log/leaves?start={at}&count=100").json()["hashes"]
        for at in range(0, old.size, 100)
    ]
    assert [leaf for part in parts for leaf in part] == leaves
    for wrong in (leaves[:-1], [*leaves, leaves[0]], leaves[::-1]):
        with pytest.raises(AttestError, match="not those of the head"):
            proofs.whole(wrong, old)


def test_the_same_object_in_two_collections_is_two_leaves(member: Someone):
    mine = member.indicator("twice")
    member.add(mine)
    member.add(mine, collection=PLAIN)
    found = member.ask("GET", f"/forum/log/leaf?hash={proofs.leaf_of(mine).hex()}").json()["indexes"]
    assert len(found) == 2


def test_a_head_is_kept_for_each_hour(served: Running, member: Someone):
    before = served.clock()
    try:
        for hours in (0, 0, 1, 2):
            served.clock.now = before + hours * 3_600_000_000
            member.add(
                member.indicator(
                    f"hour {hours} {served.clock.now} {member.ask('GET', '/forum/').json()['time']}"
                )
            )
            assert _head(member).time == served.clock.now
    finally:
        served.clock.now = None


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("proof", 400),
        ("proof?index=-1", 400),
        ("proof?index=x", 400),
        ("proof?index=99999999", 404),
        ("proof?index=0&size=99999999", 404),
        ("proof?index=1&size=1", 404),
        ("proof?index=0&size=0", 404),
        ("proof?index=0&index=1", 400),
        ("proof?index=0&other=1", 400),
        ("proof?index=0001", 400),
        ("proof?index=9999999999999999999999", 400),
        ("proof?hash=" + "0" * 64, 404),
        ("proof?hash=" + "0" * 63, 400),
        ("proof?hash=" + "G" * 64, 400),
        ("consistency", 400),
        ("consistency?first=5&second=4", 404),
        ("consistency?first=99999999", 404),
        ("leaf", 400),
        ("leaf?index=99999999", 404),
        ("leaves?start=-1", 400),
        ("leaves?count=1e3", 400),
        ("head?x", 200),
        ("leaves?start=99999999", 200),
        ("consistency?first=0", 200),
    ],
)
def test_questions_to_the_log(member: Someone, path: str, status: int):
    member.add(member.indicator("asked about"))
    answer = member.ask("GET", f"/forum/log/{path}")
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    "answer",
    [None, [], {}, {"index": 0, "size": 3}, {"index": "0", "size": 3, "proof": []}, {"index": True, "size": 3, "proof": []},
     {"index": 0, "size": 3, "proof": ["x"]}, {"index": 0, "size": 3, "proof": [1]}, {"index": 0, "size": 2, "proof": []},
     {"index": 0, "size": 3, "proof": [], "x": 1}],
)  # fmt: skip
def test_answers_that_prove_nothing(answer: Any):
    head = heads.Head(ORIGIN, 3, merkle.EMPTY, 0)
    for check in (
        lambda: proofs.included({"id": "x"}, answer, head),
        lambda: proofs.grown(head, heads.Head(ORIGIN, 4, merkle.EMPTY, 0), answer),
        lambda: proofs.signed_head(answer, KEY, ORIGIN),
    ):
        with pytest.raises(AttestError):
            check()


def test_heads_of_two_logs_are_not_one():
    with pytest.raises(AttestError, match="two logs"):
        proofs.grown(heads.Head("a", 1, merkle.EMPTY, 0), heads.Head("b", 1, merkle.EMPTY, 0), {})
    with pytest.raises(AttestError, match="no leaf hash"):
        proofs.whole(["zz"], heads.Head("a", 1, merkle.EMPTY, 0))


def _verified(database: str, seen: str | None = None) -> Report:
    async def run() -> Report:
        store = opened(database)
        try:
            return await verify(store, KEY, seen=seen)
        finally:
            await store.close()

    return asyncio.run(run())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A hub's file with a story, and a signed head from the middle of it."""
    database = str(tmp_path_factory.mktemp("whole") / "hub.db")
    with running(database) as hub:
        one, two = hub.enrol("member"), hub.enrol("member")
        for turn in range(3):
            one.add(*(one.indicator(number, version=turn) for number in range(100)))
            two.add(*(two.indicator(f"{turn} {number}") for number in range(50)))
        seen = one.ask("GET", "/forum/log/head").json()["head"]
        one.add(one.indicator("late"))
        gone = one.indicator(5)
        assert one.ask("DELETE", f"{OBJECTS}{gone['id']}/?match[version]=all").status_code == 200
        two.ask("GET", OBJECTS)
    return database, seen


def _copy(database: str, folder: Path) -> str:
    """A copy of a SQLite file that nobody writes to."""
    target = str(folder / "copy.db")
    source, copy = sqlite3.connect(database), sqlite3.connect(target)
    source.backup(copy)
    source.close()
    copy.close()
    return target


def test_a_store_that_agrees(whole: tuple[str, str]):
    report = _verified(*whole)
    assert (report.leaves, report.objects, report.retired) == (451, 448, 3)
    assert report.head is not None
    assert heads.verify(report.head, KEY, ORIGIN).size == 451
    assert _verified(whole[0], report.head) == report


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "UPDATE objects SET body = CAST(replace(CAST(body AS TEXT), '= 7]', '= 8]') AS BLOB) WHERE seq = 7",
            "not the one that was logged",
        ),
        ("UPDATE objects SET body = CAST('x' AS BLOB) WHERE seq = 9", "not the one that was logged"),
        ("DELETE FROM objects WHERE seq = 11", "neither here nor retired"),
        (
            "INSERT INTO retired (seq, owner, time, why) VALUES (12, 1, 1, 'x')",
            "neither here nor retired, or both",
        ),
        ("DELETE FROM retired", "neither here nor retired"),
        ("UPDATE objects SET seq = 9999 WHERE seq = 13", "neither here nor retired"),
        ("DELETE FROM leaves WHERE seq = 450", "the tree of the leaves"),
        ("DELETE FROM leaves WHERE seq = 20", "a leaf is missing"),
        ("UPDATE leaves SET hash = zeroblob(32), mark = 0 WHERE seq = 20", "the tree of the leaves"),
        ("UPDATE leaves SET mark = 0 WHERE seq = 20", "a leaf is missing or in the wrong place"),
        ("UPDATE nodes SET hash = zeroblob(32)", "inner nodes"),
        ("DELETE FROM nodes", "inner nodes"),
        ("DELETE FROM heads", "no signed head"),
        ("UPDATE heads SET text = replace(text, 'forum', 'forun')", "not signed"),
        ("UPDATE state SET size = 450", "the tree of the leaves"),
        ("UPDATE state SET peaks = zeroblob(32 * 5)", "the tree of the leaves"),
        ("UPDATE audit SET action = 'nothing' WHERE seq = 3", "chain of the audit breaks"),
        ("UPDATE audit SET time = time + 1 WHERE seq = 3", "chain of the audit breaks"),
        ("DELETE FROM audit WHERE seq = 4", "chain of the audit breaks"),
        ("DELETE FROM audit WHERE seq = (SELECT MAX(seq) FROM audit)", "the end of the audit is missing"),
        ("UPDATE audit SET detail = '{}' WHERE action = 'objects.add'", "chain of the audit breaks"),
        ("UPDATE objects SET current = 1 WHERE seq = 0", "which version of an object is current"),
        ("UPDATE objects SET current = 0 WHERE seq = 301", "which version of an object is current"),
        ("UPDATE objects SET standing = 0 WHERE seq = 0", "which version of an object is current"),
        ("DELETE FROM state", "no hub's database"),
    ],
)
def test_tampering_is_found(whole: tuple[str, str], tmp_path: Path, change: str, told: str):
    database = _copy(whole[0], tmp_path)
    file = sqlite3.connect(database)
    assert file.execute(change).rowcount > 0
    file.commit()
    file.close()
    with pytest.raises(AttestError, match=told):
        _verified(database)


def test_a_log_made_anew_does_not_go_on_from_the_head_that_was_seen(whole: tuple[str, str], tmp_path: Path):
    """The operator, who has the key, can write another log that agrees with itself; who kept a head sees it."""
    other = str(tmp_path / "other.db")
    with running(other) as hub:
        one = hub.enrol("member")
        one.add(*(one.indicator(number) for number in range(500)))
    assert _verified(other).leaves == 500
    with pytest.raises(AttestError, match="does not go on from the head"):
        _verified(other, whole[1])
    short = str(tmp_path / "short.db")
    asyncio.run(made(short))
    with pytest.raises(AttestError, match="the log had 450 leaves and now has 0"):
        _verified(short, whole[1])
    with pytest.raises(AttestError, match="not signed"):
        _verified(whole[0], whole[1].replace("450", "449"))
