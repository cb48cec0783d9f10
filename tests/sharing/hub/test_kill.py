"""Kill -9 at any moment: what was acknowledged is there, and log, store, audit and head agree."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hubs import log_key
from hubs import made as make_hub

from spiritsafe.sharing.hub.store import opened
from spiritsafe.sharing.hub.verify import verify

if TYPE_CHECKING:
    from spiritsafe.sharing.hub.store import Store
    from spiritsafe.sharing.hub.verify import Report

HERE = Path(__file__).parent
ENDS = {"sqlite": 10, "postgresql": 3}


def _killed(database: str, seed: int, after: float) -> list[dict[str, list[str]]]:
    """What a hub acknowledged until it was killed, ``after`` seconds behind its first acknowledgement."""
    paths = os.pathsep.join([str(HERE.parent), *sys.path])
    hub = subprocess.Popen(
        [sys.executable, str(HERE / "killed.py"), database, str(seed)],
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert hub.stdout is not None
    with hub:
        first = hub.stdout.readline()
        time.sleep(after)
        hub.send_signal(signal.SIGKILL)
        lines = [first, *hub.stdout]
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


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


def test_whatever_was_acknowledged_survives_kill_and_all_books_agree(database: str):
    asyncio.run(make_hub(database))
    chance = random.Random(20_26)
    seen: str | None = None
    acknowledged: list[dict[str, list[str]]] = []
    leaves = 0
    kind = "postgresql" if "://" in database else "sqlite"
    for seed in range(1, 1 + ENDS[kind]):
        new = _killed(database, seed, chance.random() * 0.4)
        assert new
        acknowledged += new
        report = _checked(database, seen, acknowledged)
        assert report.leaves == report.objects >= sum(len(one["ids"]) for one in acknowledged)
        assert report.leaves > leaves
        seen, leaves = report.head, report.leaves
