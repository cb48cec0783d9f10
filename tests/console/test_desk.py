"""The desk on both databases: one transaction, one entry in the ledger, whatever happens in between."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from consoles import CAMPAIGN, House, furnish, proposed, served
from postgres import databases

from spiritsafe import ledger
from spiritsafe.console import triage
from spiritsafe.console.desk import Desk, Repeated, Stale, Write, history
from spiritsafe.errors import StorageError, UsageError
from spiritsafe.sharing.hub import store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from pathlib import Path

    from spiritsafe.sharing.hub.store import Tx


@pytest.fixture(scope="module")
def postgresql() -> Generator[Callable[[], str]]:
    with databases() as make:
        yield make


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "console.db")
    return request.getfixturevalue("postgresql")()


def run(database: str, book: Path | None, job: Callable[[Desk], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        desk = Desk(store.opened(database), book)
        try:
            await desk.open()
            return await job(desk)
        finally:
            await desk.close()

    return asyncio.run(whole())


def judge(
    desk: Desk, who: str, to: str, version: int, *, id: str = "", reason: str = "because"
) -> Awaitable[int]:
    return desk.write(
        Write(who, triage.KIND, triage.subject("c-1"), reason, id), {"state": to},
        lambda tx: triage.judge(tx, "c-1", to, reason, who, version=version, now=1), now=1, more=lambda made: {"version": made},
    )  # fmt: skip


async def opened(_desk: Desk) -> None:
    """Opening it makes good what was left."""


def kept(book: Path) -> list[tuple[str, str]]:
    return [(one.body["by"], one.body["state"]) for one in ledger.entries(book)]


def test_a_write_is_in_the_store_and_in_the_ledger_once_with_its_reason(database: str, tmp_path: Path):
    book = tmp_path / "ledger.jsonl"

    async def job(desk: Desk) -> None:
        assert await judge(desk, "ana", "looking", 0, id="w-1") == 1
        with pytest.raises(Repeated):
            await judge(desk, "ana", "looking", 0, id="w-1")
        with pytest.raises(Stale) as stale:
            await judge(desk, "bo", "dismissed", 0)
        assert [one["by"] for one in stale.value.changes] == ["ana"]
        for reason in ("", "  ", "ok", "x" * 3_000):
            with pytest.raises(UsageError, match="reason"):
                await judge(desk, "bo", "dismissed", 1, reason=reason)
        assert await judge(desk, "bo", "dismissed", 1) == 2

    run(database, book, job)
    assert kept(book) == [("ana", "looking"), ("bo", "dismissed")]
    (first, _) = ledger.entries(book)
    assert (first.body["why"], first.body["write"], first.body["version"]) == ("because", "w-1", 1)
    told = run(database, book, lambda desk: desk.read(lambda tx: history(tx, triage.subject("c-1"))))
    assert [one["by"] for one in told] == ["ana", "bo"]


def test_of_many_at_the_same_time_exactly_one_changes_a_version(database: str, tmp_path: Path):
    book = tmp_path / "ledger.jsonl"

    async def job(desk: Desk) -> list[Any]:
        return await asyncio.gather(
            *(judge(desk, f"p{n}", "looking", 0) for n in range(12)), return_exceptions=True
        )

    answers = run(database, book, job)
    assert sorted(map(type, answers), key=str) == sorted([int, *[Stale] * 11], key=str)
    assert len(kept(book)) == 1


def test_what_was_killed_between_the_store_and_the_ledger_is_made_good_once(database: str, tmp_path: Path):
    book = tmp_path / "ledger.jsonl"
    run(database, book, lambda desk: judge(desk, "ana", "looking", 0))
    # Killed before the ledger: as by a process that does not hold it.
    run(database, None, lambda desk: judge(desk, "bo", "confirmed", 1))
    assert kept(book) == [("ana", "looking")]
    run(database, book, opened)
    assert kept(book) == [("ana", "looking"), ("bo", "confirmed")]

    # Killed after the ledger and before the store was told where it stands there.
    async def forget(desk: Desk) -> None:
        async def job(tx: Tx) -> None:
            await tx.run("UPDATE writes SET seq = NULL")

        await desk.quietly(job)

    run(database, None, forget)
    run(database, book, opened)
    assert kept(book) == [("ana", "looking"), ("bo", "confirmed")]
    run(database, book, lambda desk: judge(desk, "cy", "dismissed", 2))
    assert len(kept(book)) == 3


def test_without_a_ledger_nothing_more_is_done_and_nothing_is_lost(tmp_path: Path):
    book, database = tmp_path / "ledger.jsonl", str(tmp_path / "console.db")

    async def job(desk: Desk) -> None:
        await judge(desk, "ana", "looking", 0)
        desk._ledger.close()  # pyright: ignore[reportOptionalMemberAccess]
        desk._ledger.path = tmp_path / "gone" / "ledger.jsonl"  # pyright: ignore[reportOptionalMemberAccess]
        with pytest.raises(StorageError, match="it was done, but the ledger"):
            await judge(desk, "bo", "confirmed", 1)
        with pytest.raises(StorageError, match="ledger"):
            await judge(desk, "cy", "dismissed", 2)

    run(database, book, job)
    run(database, book, opened)
    assert kept(book) == [("ana", "looking"), ("bo", "confirmed")]


def test_a_failing_job_leaves_nothing(database: str, tmp_path: Path):
    book = tmp_path / "ledger.jsonl"

    async def fail(tx: Tx) -> None:
        await triage.judge(tx, "c-1", "looking", "x", "ana", version=0, now=1)
        raise UsageError("half-way")

    async def job(desk: Desk) -> None:
        with pytest.raises(UsageError, match="half-way"):
            await desk.write(Write("ana", "opinion", "campaign c-1", "because"), {}, fail, now=1)
        assert (await desk.read(lambda tx: triage.state(tx, "c-1")))["version"] == 0

    run(database, book, job)
    assert kept(book) == []


def test_any_order_of_kills_keeps_each_write_once(tmp_path: Path):
    """The same as above, many times: each write ends at a random point of its way."""
    book, database, draw = tmp_path / "ledger.jsonl", str(tmp_path / "console.db"), random.Random(7)
    for n in range(12):
        to = draw.choice([book, None])
        run(database, to, lambda desk, n=n: judge(desk, f"p{n}", "looking", n, id=f"w-{n}"))
    run(database, book, opened)
    assert [who for who, _ in kept(book)] == [f"p{n}" for n in range(12)]
    ledger.verify(book)


def test_a_console_serves_on_postgresql(postgresql: Callable[[], str], tmp_path: Path, password_hash: str):
    data, database = tmp_path / "data", postgresql()
    known, house = furnish(data, password_hash, database=database), House(data)
    with served(data, known, house.clock) as (house.base, _):
        ana = house.someone("ana")
        form = {
            "csrf": ana.forms("/orders")["/logout"]["csrf"],
            "version": "0",
            "state": "looking",
            "reason": "I take it",
        }
        assert ana.post(f"/campaigns/out/{CAMPAIGN}/opinion", form).status_code == 303
        assert ana.json("/campaigns.json?state=looking")["rows"][0]["by"] == "ana"
        assert ana.json("/ledger.json")["rows"][0]["subject"] == f"campaign {CAMPAIGN}"
        assert ana.json("/index.json")["done"][0]["reason"] == "I take it"
        name = proposed(house)
        assert (
            house.someone("bo")
            .send(f"/orders/{name}", f"/orders/{name}/reject", reason="too much")
            .status_code
            == 303
        )
        house.leave()
    assert not (data / "console.db").exists()
