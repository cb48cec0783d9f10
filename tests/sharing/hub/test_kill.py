"""Kill -9 at any moment: what was acknowledged is there, and log, store, audit and head agree."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hubs import log_key
from hubs import made as make_hub
from nursery import nursery

from spiritsafe.sharing.hub.store import opened
from spiritsafe.sharing.hub.verify import verify

if TYPE_CHECKING:
    from nursery import Nursery

    from spiritsafe.sharing.hub.store import Store
    from spiritsafe.sharing.hub.verify import Report

HERE = Path(__file__).parent
ENDS = {"sqlite": 10, "postgresql": 3}


def _killed(hubs: Nursery, out: Path, database: str, seed: int, after: float) -> list[dict[str, list[str]]]:
    """What a hub acknowledged until it was killed, ``after`` seconds behind its first acknowledgement."""
    hubs.begin(out, database, str(seed))
    while not out.exists() or b"\n" not in out.read_bytes():
        assert hubs.alive()
        time.sleep(0.005)
    time.sleep(after)
    assert hubs.kill() == -signal.SIGKILL
    return [json.loads(line) for line in out.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def _checked(database: str, seen: str | None, acknowledged: list[dict[str, list[str]]]) -> Report:
    async def job() -> Report:
        store: Store = opened(database)
        try:
            report = await verify(store, log_key().public_key(), seen=seen)
            held = {row[0] for row in await store.read(lambda tx: tx.all("SELECT id FROM objects"))}
            statuses = {row[0] for row in await store.read(lambda tx: tx.all("SELECT id FROM statuses"))}
        finally:
            await store.close()
        for one in acknowledged:
            assert one["status"] in statuses
            assert set(one["ids"]) <= held
        return report

    return asyncio.run(job())


def test_whatever_was_acknowledged_survives_kill_and_all_books_agree(database: str, tmp_path: Path):
    asyncio.run(make_hub(database))
    chance = random.Random(20_26)
    seen: str | None = None
    acknowledged: list[dict[str, list[str]]] = []
    leaves = 0
    kind = "postgresql" if "://" in database else "sqlite"
    with nursery(f"import sys; sys.path.insert(0, {str(HERE)!r}); from killed import begin") as hubs:
        for seed in range(1, 1 + ENDS[kind]):
            new = _killed(hubs, tmp_path / f"told-{seed}", database, seed, chance.random() * 0.4)
            assert new
            acknowledged += new
            report = _checked(database, seen, acknowledged)
            assert report.leaves == report.objects >= sum(len(one["ids"]) for one in acknowledged)
            assert report.leaves > leaves
            seen, leaves = report.head, report.leaves
