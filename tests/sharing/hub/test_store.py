from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from spiritsafe.errors import SharingError, StorageError
from spiritsafe.sharing.hub.store import TooLong, migrate, opened, parts, tables

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from pathlib import Path

    from spiritsafe.sharing.hub.store import Store, Tx

STEPS = (
    "CREATE TABLE things (name {int} PRIMARY KEY, body {bytes} NOT NULL){strict};",
    "ALTER TABLE things ADD COLUMN word TEXT; CREATE INDEX things_word ON things (word);",
)


def work(database: str, job: Callable[[Store], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        store = opened(database, **options)
        try:
            return await job(store)
        finally:
            await store.close()

    return asyncio.run(run())


async def _put(tx: Tx, name: int, body: bytes = b"x") -> int:
    return await tx.run("INSERT INTO things (name, body) VALUES ($1, $2)", name, body)


async def _names(store: Store) -> list[int]:
    return [row[0] for row in await store.read(lambda tx: tx.all("SELECT name FROM things ORDER BY name"))]


def test_migrations_are_done_in_order_and_once(database: str):
    async def job(store: Store) -> None:
        await migrate(store, "things", STEPS[:1])
        await store.write(lambda tx: _put(tx, 1))
        for _ in range(2):
            await migrate(store, "things", STEPS)
        assert await store.read(lambda tx: tx.all("SELECT name, body, word FROM things")) == [(1, b"x", None)]
        assert ("things", list(STEPS)) in await store.read(parts)
        assert tables(STEPS) == ["things"]
        with pytest.raises(
            StorageError, match="has version 2 of the tables of 'things', this program knows 1"
        ):
            await migrate(store, "things", STEPS[:1])
        with pytest.raises(StorageError, match="database fails"):
            await migrate(store, "broken", ("CREATE TABLE fine (a {int});", "CREATE TABLE this is not SQL;"))
        with pytest.raises(StorageError):  # nothing of a migration that fails is left
            await store.read(lambda tx: tx.all("SELECT * FROM fine"))

    work(database, job)


def test_what_a_transaction_can_do(database: str):
    async def job(store: Store) -> None:
        await store.write(lambda tx: tx.run("DELETE FROM things"))

        async def fill(tx: Tx) -> None:
            await tx.many(
                "INSERT INTO things (name, body) VALUES ($1, $2)", [(n, b"%d" % n) for n in range(50)]
            )

        await store.write(fill)

        async def look(tx: Tx) -> None:
            assert await tx.one("SELECT name, body FROM things WHERE name = $2 AND body = $1", b"7", 7) == (
                7,
                b"7",
            )
            assert await tx.one("SELECT 1 FROM things WHERE name = $1", 99) is None
            rows = await tx.until("SELECT name FROM things ORDER BY name", enough=lambda row: row[0] == 20)
            assert [row[0] for row in rows] == list(range(21))
            chunks = [len(chunk) async for chunk in tx.chunks("SELECT * FROM things", size=20)]
            assert chunks == [20, 20, 10]

        await store.read(look)
        assert (
            await store.write(lambda tx: tx.run("UPDATE things SET word = $1 WHERE name < $2", "w", 3)) == 3
        )
        insert = "INSERT INTO things (name, body) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
        assert await store.write(lambda tx: tx.run(insert, 3, b"")) == 0
        with pytest.raises(StorageError, match="database fails"):
            await store.read(lambda tx: tx.run("DELETE FROM things"))

    work(database, job)


def test_a_write_that_fails_undoes_itself_and_no_other(database: str):
    async def job(store: Store) -> None:
        await store.write(lambda tx: tx.run("DELETE FROM things"))

        async def put(tx: Tx, name: int) -> int:
            await _put(tx, name)
            if name % 3 == 0:
                raise SharingError(str(name))
            if name % 3 == 1:
                await _put(tx, name)  # twice: the database itself refuses
            return name

        outcomes = await asyncio.gather(
            *(store.write(lambda tx, n=n: put(tx, n)) for n in range(30)), return_exceptions=True
        )
        kinds = [type(one) for one in outcomes]
        assert kinds == [SharingError, StorageError, int] * 10
        assert await _names(store) == list(range(2, 30, 3))

    work(database, job)


def test_writers_come_one_after_another(database: str):
    async def job(store: Store) -> None:
        await store.write(lambda tx: tx.run("DELETE FROM things"))

        async def next_one(tx: Tx) -> int:
            row = await tx.one("SELECT COALESCE(MAX(name), -1) + 1 FROM things")
            assert row is not None
            await _put(tx, row[0])
            return row[0]

        other = opened(database)
        try:
            made = await asyncio.gather(*(one.write(next_one) for one in (store, other) for _ in range(40)))
        finally:
            await other.close()
        assert sorted(made) == await _names(store) == list(range(80))

    work(database, job)


def test_a_reader_sees_one_moment(database: str):
    async def job(store: Store) -> None:
        await store.write(lambda tx: tx.run("DELETE FROM things"))
        other = opened(database)
        begun, go = asyncio.Event(), asyncio.Event()

        async def slow(tx: Tx) -> tuple[int, int]:
            first = len(await tx.all("SELECT 1 FROM things"))
            begun.set()
            await go.wait()
            return first, len(await tx.all("SELECT 1 FROM things"))

        if store.dialect == "sqlite":  # its jobs wait for nothing, so the other writes from inside
            writer = sqlite3.connect(database, check_same_thread=False)

            async def both(tx: Tx) -> tuple[int, int]:
                first = len(await tx.all("SELECT 1 FROM things"))
                writer.execute("INSERT INTO things (name, body) VALUES (1, x'00')")
                writer.commit()
                return first, len(await tx.all("SELECT 1 FROM things"))

            seen = await store.read(both)
            writer.close()
        else:
            reading = asyncio.create_task(store.read(slow))
            await begun.wait()
            await other.write(lambda tx: _put(tx, 1))
            go.set()
            seen = await reading
        await other.close()
        assert seen == (0, 0)
        assert await _names(store) == [1]

    work(database, job)


def test_a_question_that_takes_too_long_is_ended(database: str):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) SELECT COUNT(*) FROM n"

    async def job(store: Store) -> None:
        with pytest.raises(TooLong, match="takes too long"):
            await store.read(lambda tx: tx.one(endless))
        assert await store.read(lambda tx: tx.one("SELECT 1")) == (1,)

    work(database, job, patience=0.2)


def test_what_cannot_be_a_database_is_told(tmp_path: Path):
    (tmp_path / "text").write_text("this is no database, but long enough to be taken for one" * 40)
    for name in (str(tmp_path / "no" / "hub.db"), str(tmp_path / "text"), str(tmp_path)):
        with pytest.raises(StorageError, match="database"):
            work(name, lambda store: store.read(lambda tx: tx.one("SELECT 1")))
    with pytest.raises(StorageError, match="database") as told:
        work(
            "postgresql://hub:secret-word@127.0.0.1:1/none",
            lambda store: store.read(lambda tx: tx.one("SELECT 1")),
        )
    assert "secret-word" not in str(told.value)


def test_a_new_file_is_its_owners_and_what_is_deleted_is_overwritten(tmp_path: Path):
    path = tmp_path / "hub.db"

    async def job(store: Store) -> None:
        await migrate(store, "things", STEPS)
        await store.write(lambda tx: _put(tx, 1, b"a secret of four words" * 50))
        await store.write(lambda tx: tx.run("DELETE FROM things"))

    work(str(path), job)
    assert path.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.close()
    assert b"a secret of four words" not in path.read_bytes()


def test_a_job_waits_for_nothing_else(tmp_path: Path):
    async def job(store: Store) -> None:
        class Never:
            def __await__(self) -> Generator[None]:
                yield

        async def sleeping(tx: Tx) -> None:
            await Never()

        with pytest.raises(RuntimeError, match="waited for something"):
            await store.read(sleeping)

    work(str(tmp_path / "hub.db"), job)
