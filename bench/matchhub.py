"""A real hub on loopback with the relay mounted, members enrolled, holders run in a thread. For tests and measurements."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn

from matchforum import NOW, identity, signer
from spiritsafe.errors import SharingError
from spiritsafe.sharing.hub import members
from spiritsafe.sharing.hub.app import app
from spiritsafe.sharing.hub.members import DAY, Quota
from spiritsafe.sharing.hub.store import opened
from spiritsafe.sharing.matching import relay
from spiritsafe.sharing.matching.remote import Remote
from spiritsafe.sharing.matching.roster import HOLDER, Roster
from spiritsafe.sharing.matching.session import Session
from spiritsafe.sharing.matching.state import State
from spiritsafe.sharing.matching.worker import Terms, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path


ORIGIN = "forum.example/log"


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        """Later than at the last call."""
        self.now += 1
        return self.now


class RealClock(Clock):
    """The real time, for processes that read it themselves."""

    def __call__(self) -> int:
        """Microseconds since the epoch."""
        self.now = time.time_ns() // 1_000
        return self.now


@dataclass
class Hub:
    """A real hub on loopback with the relay mounted, its members, and what runs beside it."""

    url: str
    clock: Clock
    folder: Path
    roster: Roster = field(default_factory=lambda: Roster([]))
    lines: list[str] = field(default_factory=list[str])
    _closing: list[Callable[[], None]] = field(default_factory=list["Callable[[], None]"])

    def remote(self, name: str) -> Remote:
        """A member's connection."""
        made = Remote(self.url, signer(name), self.clock)
        self._closing.append(made.close)
        return made

    def worker(self, name: str, **more: Any) -> Worker:
        """A holder, as it is when it starts."""
        more.setdefault("terms", Terms(purposes=frozenset({"distillation", "detect-distillation"})))
        state = State(self.folder / f"holder-{name}")
        one = Worker(
            self.remote(name), identity(name), signer(name), self.roster, state, ORIGIN, self.clock,
            told=self.lines.append, **more,
        )  # fmt: skip
        self._closing.append(one.close)
        return one

    def session(self, name: str, **more: Any) -> Session:
        """A member's run."""
        return Session(
            self.remote(name), identity(name), signer(name), self.roster, State(self.folder / f"member-{name}"), ORIGIN,
            "distillation", self.clock, lambda _: time.sleep(0.01), told=self.lines.append, patience=20.0, **more,
        )  # fmt: skip

    @contextmanager
    def holding(self, *workers: Worker) -> Generator[None]:
        """The workers' rounds, in a thread, while the block runs."""
        ended = threading.Event()

        def rounds() -> None:
            while not ended.is_set():
                if not sum(one.round() for one in workers):
                    ended.wait(0.01)

        thread = threading.Thread(target=rounds)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(20)

    def close(self) -> None:
        """Close all connections."""
        for one in self._closing:
            with suppress(SharingError):
                one()


@contextmanager
def serving(
    folder: Path, names: str, holders: str, *, url: str | None = None, clock: Clock | None = None
) -> Generator[Hub]:
    """A hub with members ``names``, of whom ``holders`` have the role."""
    clock = clock or Clock()
    key = signer("hub")
    database = url or str(folder / "hub.sqlite")
    hub = app(
        opened(database), origin=ORIGIN, key=key, clock=clock, quota=Quota(requests_per_minute=1_000_000),
        mounts={"match": relay.app(clock=clock, key=key)},
    )  # fmt: skip
    held = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(hub, log_level="critical", loop="uvloop", http="httptools", ws="none", lifespan="on")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [held]})
    thread.start()
    running = Hub(f"http://127.0.0.1:{held.getsockname()[1]}", clock, folder)
    try:
        while not server.started:
            time.sleep(0.01)
        for name in names:
            _enrol(running, database, name, ["member", *([HOLDER] if name in holders else [])])
        running.roster = running.remote(names[0]).directory()
        yield running
    finally:
        running.close()
        server.should_exit = True
        thread.join(15)
        held.close()


def _enrol(hub: Hub, database: str, name: str, roles: list[str]) -> None:
    async def invited() -> str:
        store = opened(database)  # one of its own, as the operator's command has
        try:
            return await store.write(lambda tx: members.invite(tx, roles, now=hub.clock(), lasts=DAY))
        finally:
            await store.close()

    envelope = members.enrolment(signer(name), asyncio.run(invited()), audience=ORIGIN, now=hub.clock())
    httpx.post(f"{hub.url}/forum/enrol", json=envelope).raise_for_status()
