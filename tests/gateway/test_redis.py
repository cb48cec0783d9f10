"""A real server, started by the test on a free port."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from spiritsafe.gateway.redis import Shared

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

SERVER = shutil.which("redis-server")
pytestmark = pytest.mark.skipif(SERVER is None, reason="redis-server is not installed")
NOW = 1_772_366_400_000_000

GATEWAY = """
import asyncio, json, sys, time
from spiritsafe.gateway.redis import Shared
async def main(url, requests):
    state = Shared(url, on_failure="closed", gateways=4)
    asked = [state.take("campaign", 1e-6, 1000, int(time.time() * 1e6)) for _ in range(requests)]
    taken = await asyncio.gather(*asked)
    print(json.dumps([sum(one.allowed for one in taken), state.failures]))
    await state.close()
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""

SLOW_GATEWAY = """
import asyncio, json, sys, time
from spiritsafe.gateway.redis import Shared
async def main(url, requests):
    state = Shared(url, on_failure="local", gateways=4)
    taken = []
    for _ in range(requests // 50):
        taken += await asyncio.gather(*[state.take("campaign", 1e-6, 1000, int(time.time() * 1e6)) for _ in range(50)])
        await asyncio.sleep(0.03)
    print(json.dumps([sum(one.allowed for one in taken), state.failures]))
    await state.close()
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


class Server:
    """One redis-server that can be killed and started again on its port."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.folder = folder
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen([str(SERVER), *options], stdout=subprocess.DEVNULL)
        client = Redis(port=self.port)
        for _ in range(200):
            try:
                client.ping()
            except Exception:  # noqa: BLE001 - still starting, whatever it says
                time.sleep(0.02)
            else:
                break
        client.close()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Generator[Server]:
    running = Server(tmp_path)
    yield running
    running.kill()


def test_four_gateways_never_give_more_than_the_budget(server: Server):
    gateways = [
        subprocess.Popen(
            [sys.executable, "-c", GATEWAY, server.url, "2500"], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    told = [json.loads(gateway.communicate(timeout=60)[0]) for gateway in gateways]
    allowed, failures = sum(entry[0] for entry in told), sum(entry[1] for entry in told)
    assert allowed <= 1000
    assert failures or allowed == 1000


def test_gateways_that_count_by_themselves_now_and_then_give_at_most_twice_the_budget(server: Server):
    # The server answers, then sleeps, then answers: the four fail at different moments, with different last sights.
    gateways = [
        subprocess.Popen(
            [sys.executable, "-c", SLOW_GATEWAY, server.url, "2500"], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    try:
        while any(gateway.poll() is None for gateway in gateways):
            time.sleep(0.1)
            server.process.send_signal(signal.SIGSTOP)
            time.sleep(0.2)
            server.process.send_signal(signal.SIGCONT)
    finally:
        server.process.send_signal(signal.SIGCONT)
    told = [json.loads(gateway.communicate(timeout=60)[0]) for gateway in gateways]
    assert sum(entry[1] for entry in told) > 0, "nobody ever counted alone"
    assert 0 < sum(entry[0] for entry in told) <= 2000, told


@pytest.mark.parametrize("on_failure", ["local", "open", "closed"])
def test_killed_and_started_again(server: Server, on_failure: str):
    async def run() -> None:
        state = Shared(server.url, on_failure=on_failure, gateways=4)
        assert (await state.take("c", 1e-6, 100, NOW)).allowed
        assert state.complaint() is None
        server.kill()
        down = [await state.take("c", 1e-6, 100, NOW) for _ in range(60)]
        assert "does not answer" in (state.complaint() or "")
        assert sum(one.allowed for one in down) == {"local": 24, "open": 60, "closed": 0}[on_failure]
        server.start()
        last = down[-1]
        for _ in range(100):
            await asyncio.sleep(0.05)
            last = await state.take("c", 1e-6, 100, NOW)
            if state.complaint() is None:
                break
        assert state.complaint() is None
        assert last.allowed
        await state.close()

    asyncio.run(run())


def test_scripts_flushed_names_hashed_and_replays_seen_by_all(server: Server):
    async def run() -> None:
        one, two = (Shared(server.url, on_failure="closed") for _ in range(2))
        await one.take("c", 1, 10, NOW)
        Redis(port=server.port).script_flush()
        assert (await one.take("c", 1, 10, NOW)).allowed
        for name in ("\r\nFLUSHALL\r\n", "a" * 100_000, "\ud800", "{x}", "", "\x00"):
            assert (await one.take(name, 1, 10, NOW)).allowed
        assert one.failures == 0
        keys = [str(key) for key in Redis(port=server.port, decode_responses=True).keys("*")]
        assert all(key.startswith("{spiritsafe}:") and len(key) < 60 for key in keys)
        later = int(time.time() * 1e6)
        assert await one.once("t", later + 10_000_000, later)
        assert not await two.once("t", later + 10_000_000, later)
        assert await one.floor("orders", 7) == 7
        assert await two.floor("orders", 5) == 7
        await one.close()
        await two.close()

    asyncio.run(run())


def test_versions_seen_outlive_a_server_that_forgets(server: Server, tmp_path: Path):
    async def run(version: int) -> int:
        state = Shared(server.url, on_failure="local", floors=tmp_path / "floors.json")
        high = await state.floor("orders", version)
        await state.close()
        return high

    assert asyncio.run(run(9)) == 9
    server.kill()
    server.start()
    assert asyncio.run(run(3)) == 9
