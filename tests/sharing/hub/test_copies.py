"""Backup while the hub serves, and restore, within and between the two kinds of database."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hubs import SIGNED, log_key, running

from spiritsafe.errors import AttestError, StorageError, UsageError
from spiritsafe.sharing.hub import copies
from spiritsafe.sharing.hub.store import migrate, opened

if TYPE_CHECKING:
    from pathlib import Path

OBJECTS = f"/api/collections/{SIGNED}/objects/"
KEY = log_key().public_key()


async def _nothing(_: str) -> None:
    return


def _rows(database: str, sql: str) -> list[tuple[Any, ...]]:
    async def run() -> list[tuple[Any, ...]]:
        store = opened(database)
        try:
            return await store.read(lambda tx: tx.all(sql))
        finally:
            await store.close()

    return asyncio.run(run())


def test_a_backup_made_while_members_write_is_whole(database: str, tmp_path: Path):
    with running(database) as hub:
        member = hub.enrol("member")
        member.add(member.indicator("first"))
        ended = threading.Event()
        acknowledged: list[str] = []

        def write() -> None:
            turn = 0
            while not ended.is_set():
                content = [member.indicator(f"{turn} {number}") for number in range(20)]
                acknowledged.extend(one["id"] for one in member.add(*content)["successes"])
                turn += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for number in range(3):
                known = list(acknowledged)
                target = tmp_path / f"copy{number}.db"
                report = copies.backup(database, target, KEY)
                held = {row[0] for row in _rows(str(target), "SELECT id FROM objects")}
                assert set(known) <= held
                assert report.objects == len(held) == report.leaves
                assert target.stat().st_mode & 0o777 == 0o600
        finally:
            ended.set()
            writer.join()
        assert sorted(path.name for path in tmp_path.iterdir()) == [f"copy{number}.db" for number in range(3)]


def test_a_restored_hub_goes_on_where_the_backup_was_made(database: str, postgresql: Any, tmp_path: Path):
    """From each kind of database into each kind, other parts' tables with it."""
    source = postgresql() if "://" in database else str(tmp_path / "source.db")
    with running(source) as hub:
        member = hub.enrol("member")
        member.add(*(member.indicator(number) for number in range(300)))
        member.add(member.indicator(3, version=1))
        secret = member.api_token()
        seen = member.ask("GET", "/forum/log/head").json()["head"]

    async def more() -> None:
        store = opened(source)
        try:
            await migrate(
                store, "matching", ("CREATE TABLE epochs (name {int} PRIMARY KEY, share {bytes});",)
            )
            await store.write(lambda tx: tx.run("INSERT INTO epochs VALUES (7, $1)", b"\x00\xff"))
        finally:
            await store.close()

    asyncio.run(more())
    report = copies.backup(source, tmp_path / "copy.db", KEY, seen=seen)
    for target in (str(tmp_path / "restored.db"), postgresql()):
        assert copies.restore(tmp_path / "copy.db", target, KEY, seen=seen) == report
        assert _rows(target, "SELECT name, share FROM epochs") == [(7, b"\x00\xff")]
        with pytest.raises(UsageError, match="is kept"):
            copies.restore(tmp_path / "copy.db", target, KEY)
        with running(target, made=_nothing) as hub:
            member.hub = hub
            ids = [one["id"] for one in member.ask("GET", OBJECTS).json()["objects"]]
            assert len(ids) == 300
            headers = {"authorization": f"Bearer {secret}", "accept": "*/*"}
            assert hub.http.get("/taxii2/", headers=headers).status_code == 200
            assert member.add(member.indicator("later"))["success_count"] == 1
        again = copies.backup(target, tmp_path / f"again{'://' in target}.db", KEY, seen=seen)
        assert again.leaves == report.leaves + 1


def test_an_older_backup_a_damaged_one_and_one_of_another_hub_are_refused(tmp_path: Path):
    source = str(tmp_path / "hub.db")
    with running(source) as hub:
        member = hub.enrol("member")
        member.add(*(member.indicator(number) for number in range(200)))
        copies.backup(source, tmp_path / "old.db", KEY)
        member.add(member.indicator("more"))
        seen = member.ask("GET", "/forum/log/head").json()["head"]
    with pytest.raises(AttestError, match="the log had 201 leaves and now has 200"):
        copies.restore(tmp_path / "old.db", str(tmp_path / "new.db"), KEY, seen=seen)
    data = bytearray((tmp_path / "old.db").read_bytes())
    at = data.index(b"autonomous-system:number = 77]")
    data[at] ^= 1
    (tmp_path / "bad.db").write_bytes(data)
    with pytest.raises(AttestError, match="not the one that was logged"):
        copies.restore(tmp_path / "bad.db", str(tmp_path / "new.db"), KEY)
    (tmp_path / "torn.db").write_bytes(data[: len(data) // 2])
    with pytest.raises((StorageError, AttestError)):
        copies.restore(tmp_path / "torn.db", str(tmp_path / "new.db"), KEY)
    with pytest.raises(AttestError, match="not signed"):
        copies.restore(tmp_path / "old.db", str(tmp_path / "new.db"), member.key.public_key())
    with pytest.raises(UsageError, match="no such backup"):
        copies.restore(tmp_path / "none.db", str(tmp_path / "new.db"), KEY)
    with pytest.raises(UsageError, match="is kept"):
        copies.backup(source, tmp_path / "old.db", KEY)
    with pytest.raises((StorageError, AttestError)):
        copies.backup(str(tmp_path / "none.db"), tmp_path / "x.db", KEY)
    assert not (tmp_path / "new.db").exists()
    assert not (tmp_path / "x.db").exists()
