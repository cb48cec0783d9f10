"""The parent: binds the socket, keeps the workers alive, reloads, drains, and answers on the admin address.

A reload starts new workers on the same socket and drains the old ones once the new ones serve: no connection is refused, and a
policy that cannot start changes nothing. Workers report over a socket pair, so that a full disk hides nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from spiritsafe.errors import SpiritsafeError, UsageError
from spiritsafe.gateway import worker
from spiritsafe.gateway.addresses import address
from spiritsafe.gateway.admin import Admin, Health, Worker
from spiritsafe.gateway.events import Handler, tell
from spiritsafe.gateway.metrics import Gathered
from spiritsafe.gateway.protocol import Bounded

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import SpawnProcess

    from spiritsafe.gateway.policy import Policy

BACKLOG = 2_048
GRACE = 5.0
"""Seconds beyond the policy's ``drain`` after which a worker is killed."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 30.0
"""Seconds before a worker that died is started again: doubled at each death that follows within ``STEADY`` seconds."""
STEADY = 60.0
_SPAWN = multiprocessing.get_context("spawn")


def run(read: Callable[[], Policy], *, workers: int) -> int:
    """Serve the policy that ``read`` gives, now and at each reload, until SIGTERM or SIGINT. Returns the exit status.

    Raises SpiritsafeError when the policy is bad, an address cannot be bound, or the workers do not start.
    """
    return asyncio.run(Parent(read, workers).run())


def bound(text: str) -> socket.socket:
    """A listening socket at ``host:port`` or ``unix:/path``. Raises UsageError when that is taken or refused."""
    at = address(text)
    try:
        if isinstance(at, tuple):
            family = socket.AF_INET6 if ":" in at[0] else socket.AF_INET
            return socket.create_server(at, family=family, backlog=BACKLOG)
        return _bound_unix(at)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {text}: {error.strerror or error}", hint="is another gateway running?"
        ) from error


def _bound_unix(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if Path(path).is_socket():
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                try:
                    probe.connect(path)
                except ConnectionRefusedError:
                    Path(path).unlink()  # left behind by a process that was killed
        made.bind(path)
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


@dataclass(eq=False, slots=True)
class Member:
    """One worker process, as the parent knows it. ``started`` fails with the reason when it never serves."""

    number: int
    process: SpawnProcess
    started: asyncio.Future[None]
    closed: asyncio.Event = field(default_factory=asyncio.Event)  # takes no more connections
    deaths: int = 0  # of its seat, one soon after the other
    since: float = 0.0
    heard: float = 0.0
    ending: bool = False
    failed: str = ""
    report: dict[str, Any] = field(default_factory=dict[str, Any])

    def serves(self) -> bool:
        """Whether it began to serve."""
        return self.since > 0

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to drain, or kill it."""
        self.ending = True
        if self.process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)


class Parent:
    """See the module. Made and run once."""

    def __init__(self, read: Callable[[], Policy], workers: int) -> None:
        self._read = read
        self._policy = read()
        self._workers = workers
        self._crew: list[Member] = []
        self._tasks: dict[Member, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._leave = asyncio.Event()
        self._alone = asyncio.Lock()
        self.gathered = Gathered(
            lambda: [*(one.report.get("figures", {}) for one in self._tasks), self._own()]
        )

    async def run(self) -> int:
        """Until a signal says stop."""
        loop = asyncio.get_running_loop()
        logging.basicConfig(handlers=[Handler()], level=logging.ERROR, force=True)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._later(self._reload()))
        policy = self._policy
        self._listener = bound(policy.listen)
        try:
            admin = await self._serve_admin(policy.admin)
            try:
                self._crew = await self._engage(policy)
                tell(
                    "start",
                    listen=_name(self._listener),
                    admin=admin.name,
                    workers=self._workers,
                    shadow=policy.shadow,
                )
                await self._leave.wait()
            finally:
                await self._drain()
                await admin.close()
        finally:
            self._listener.close()
            _let_go(policy.listen)
        tell("stopped")
        return 0

    def health(self) -> Health:
        """For the admin address."""
        now = asyncio.get_running_loop().time()
        return Health(
            self._leave.is_set(),
            tuple(
                Worker(
                    one.number,
                    one.process.pid or 0,
                    one.serves(),
                    bool(one.report.get("ready")),
                    now - one.heard,
                    tuple(one.report.get("complaints", ())),
                )
                for one in self._tasks
                if not one.ending
            ),
        )

    def _own(self) -> dict[str, float]:
        return {"workers": sum(one.serves() and not one.ending for one in self._tasks)}

    async def _serve_admin(self, at: str | None) -> _AdminServer:
        held = bound(at) if at else None
        server = _AdminServer(Admin(self.health, self.gathered), held, at)
        await server.start()
        return server

    async def _engage(self, policy: Policy) -> list[Member]:
        """A crew that serves. Raises UsageError, and leaves none of it, when one member does not start."""
        crew = [self._spawn(number, policy) for number in range(self._workers)]
        leave = asyncio.ensure_future(self._leave.wait())
        started = asyncio.gather(*(one.started for one in crew))
        try:
            await asyncio.wait({leave, started}, return_when=asyncio.FIRST_COMPLETED)
            if started.done():
                await started
        except BaseException:
            for one in crew:
                one.end()
            raise
        finally:
            leave.cancel()
            started.cancel()
            await asyncio.gather(started, return_exceptions=True)
        return crew

    def _spawn(self, number: int, policy: Policy, deaths: int = 0) -> Member:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        seat = worker.Seat(number, policy, self._listener, theirs, self._workers)
        process = _SPAWN.Process(target=worker.main, args=(seat,), name=f"gateway-{number}", daemon=True)
        process.start()
        theirs.close()
        member = Member(number, process, loop.create_future(), deaths=deaths)
        member.started.add_done_callback(
            lambda done: done.cancelled() or done.exception()
        )  # looked at, or not
        self._tasks[member] = loop.create_task(self._attend(member, ours, policy))
        return member

    async def _attend(self, member: Member, channel: socket.socket, policy: Policy) -> None:
        """Hear one worker until it ends, and see to what follows."""
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection(sock=channel, limit=1 << 22)
        try:
            while (line := await reader.readline()).endswith(b"\n"):
                report = json.loads(line)
                member.heard = loop.time()
                if "leaving" in report:
                    member.closed.set()
                    continue
                if "failed" in report:
                    member.failed = report["failed"]
                    continue
                member.report = report
                if not member.started.done():
                    member.since = member.heard
                    member.started.set_result(None)
        except OSError:
            pass
        finally:
            writer.close()
        # Its end of the channel is closed: it is gone, or about to be.
        if not await loop.run_in_executor(None, _gone, member.process):
            member.end(signal.SIGKILL)
            await loop.run_in_executor(None, member.process.join)
        self.gathered.add(member.report.get("figures", {}))
        del self._tasks[member]
        member.closed.set()
        if not member.started.done():
            member.started.set_exception(
                UsageError(member.failed or f"a worker ended with {_status(member.process)} before it served")
            )
        if not member.ending and member in self._crew:
            self._later(self._revive(member, policy))

    async def _revive(self, member: Member, policy: Policy) -> None:
        """Start a worker in the seat of one that died."""
        now = asyncio.get_running_loop().time()
        deaths = 0 if member.serves() and now - member.since > STEADY else member.deaths
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2**deaths)
        self.gathered.add({"worker_deaths": 1})
        tell(
            "worker_died",
            worker=member.number,
            worker_pid=member.process.pid,
            status=_status(member.process),
            why=member.failed or None,
            again_in=wait,
        )
        await asyncio.sleep(wait)
        if member in self._crew and not self._leave.is_set():  # else a reload filled the seat
            self._crew[self._crew.index(member)] = self._spawn(member.number, policy, min(deaths + 1, 16))

    async def _reload(self) -> None:
        async with self._alone:
            if self._leave.is_set():
                return
            try:
                policy = self._read()
                if (policy.listen, policy.admin) != (self._policy.listen, self._policy.admin):
                    raise UsageError("listen and admin change with a restart only", where=str(policy.path))
                crew = await self._engage(policy)
            except SpiritsafeError as error:
                self.gathered.add({"reloads.failed": 1})
                tell("reload_failed", why=str(error), kept=str(self._policy.path))
                return
            old, self._crew, self._policy = self._crew, crew, policy
            self.gathered.add({"reloads.done": 1})
            for one in old:
                one.end()
                self._later(self._kill(one, policy.limits.drain))
            await asyncio.gather(*(one.closed.wait() for one in old))
            tell("reload", workers=len(crew), shadow=policy.shadow)

    async def _kill(self, member: Member, drain: float) -> None:
        """Kill a worker that does not end in time."""
        task = self._tasks.get(member)
        if task is not None:
            await asyncio.wait({task}, timeout=drain + GRACE)
            if not task.done():
                tell("worker_killed", worker=member.number, worker_pid=member.process.pid)
                member.end(signal.SIGKILL)

    def _stop(self) -> None:
        if self._leave.is_set():  # asked twice: at once. The log is whole all the same.
            for one in [*self._tasks]:
                one.end(signal.SIGKILL)
        self._leave.set()

    async def _drain(self) -> None:
        """New callers are refused, those in work are answered, the workers end."""
        self._leave.set()
        self._listener.close()
        left = dict(self._tasks)
        tell("drain", workers=len(left), seconds=self._policy.limits.drain)
        for one in left:
            one.end()
        await asyncio.gather(*(self._kill(one, self._policy.limits.drain) for one in left))
        await asyncio.gather(*left.values())
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


class _AdminServer:
    """The admin address, in the parent's own loop; nothing where the policy has none."""

    def __init__(self, app: Admin, held: socket.socket | None, at: str | None) -> None:
        self._held, self._at = held, at
        self.name = _name(held) if held else None
        config = uvicorn.Config(
            app, http=Bounded, ws="none", lifespan="off", access_log=False, log_config=None,
            server_header=False, proxy_headers=False, timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = worker.Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._held is not None:
            self._task = asyncio.create_task(self._server.serve(sockets=[self._held]))

    async def close(self) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        _let_go(self._at or "")


def _let_go(at: str) -> None:
    if at.startswith("unix:"):
        Path(at.removeprefix("unix:")).unlink(missing_ok=True)


def _gone(process: SpawnProcess) -> bool:
    process.join(GRACE)
    return process.exitcode is not None


def _status(process: SpawnProcess) -> str:
    code = process.exitcode or 0
    return f"signal {-code}" if code < 0 else f"status {code}"


def _name(held: socket.socket) -> str:
    at = held.getsockname()
    return f"unix:{at}" if isinstance(at, str) else f"{at[0]}:{at[1]}"
