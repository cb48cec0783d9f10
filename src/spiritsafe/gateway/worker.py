"""One worker process: serves the shared socket, reports to its parent once a second, and ends when told or orphaned."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import signal
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from spiritsafe.errors import SpiritsafeError
from spiritsafe.gateway.events import Handler
from spiritsafe.gateway.protocol import Bounded

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator

    from spiritsafe.gateway.policy import Policy
    from spiritsafe.gateway.works import Works

REPORT = 1.0
"""Seconds between two reports."""
KEPT_ALIVE = 75
"""Seconds that an idle connection of a caller stays open: longer than front proxies keep theirs."""
LATE = 0.2
"""Seconds between the last connection that is taken and the end of those that are idle."""
_MOST_UNSENT = 1 << 20


@dataclass(frozen=True, slots=True)
class Seat:
    """What a worker is given. ``listener``: the shared socket; ``channel``: to the parent; ``workers``: how many."""

    number: int
    policy: Policy
    listener: socket.socket
    channel: socket.socket
    workers: int


class Server(uvicorn.Server):
    """uvicorn's server, without its hands on the process's signals. ``serving`` is set once it takes connections.

    A head of a request that takes longer than ``patience`` seconds ends its connection.
    """

    def __init__(self, config: uvicorn.Config, patience: float = 30.0) -> None:
        super().__init__(config)
        self._patience = patience
        self.serving = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.serving.set()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; once a second, callers that keep a connection waiting are let go."""
        if counter % 10 == 0:
            latest = asyncio.get_running_loop().time() - self._patience
            for one in list(self.server_state.connections):
                if isinstance(one, Bounded) and one.head_since is not None and one.head_since < latest:
                    one.refuse(b"408 Request Timeout")
        return await super().on_tick(counter)

    def leave(self) -> None:
        """Take no more connections; ``shutdown`` follows within a tick of uvicorn's."""
        self.should_exit = True
        for one in self.servers if self.started else ():
            one.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain. Connections just taken, whose request is under way, are first given time to be busy ones."""
        await asyncio.sleep(LATE)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Nothing: signals belong to the process that runs it."""
        yield


def main(seat: Seat) -> None:
    """Run until the parent says so or is gone. Exit status 3: it never served; the reason was reported."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a terminal's Ctrl-C reaches all; the parent says what it means
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    told = Handler()
    logging.basicConfig(handlers=[told], level=logging.ERROR, force=True)
    config = uvicorn.Config(
        "",
        loop="uvloop",
        http=Bounded,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,  # who asks is for [identity] to say
        timeout_keep_alive=KEPT_ALIVE,
        timeout_graceful_shutdown=math.ceil(seat.policy.limits.drain),
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        code = runner.run(_serve(seat, config, told))
    raise SystemExit(code)


async def _serve(seat: Seat, config: uvicorn.Config, told: Handler) -> int:
    # Only here: the parent, which imports this file, stays small.
    from spiritsafe.gateway import tokens  # noqa: PLC0415
    from spiritsafe.gateway.app import Gateway  # noqa: PLC0415
    from spiritsafe.gateway.segments import writer as writer_id  # noqa: PLC0415
    from spiritsafe.gateway.works import Works  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection(sock=seat.channel)
    server = Server(config, seat.policy.limits.body_timeout)

    def leave() -> None:
        server.leave()
        _send(writer, {"leaving": True})

    loop.add_signal_handler(signal.SIGTERM, leave)
    orphaned = asyncio.ensure_future(reader.read())  # ends when the parent's end does
    orphaned.add_done_callback(lambda _: leave())
    reports: asyncio.Task[None] | None = None
    works: Works | None = None
    try:
        policy = seat.policy
        keys = tokens.read(policy.trust.token_keys) if policy.trust.token_keys else None
        works = Works(policy, writer=writer_id(seat.number), processes=seat.workers)
        config.app = Gateway(policy, works=works, keys=keys)
        reports = asyncio.create_task(_report(server, works, writer))
        await server.serve(sockets=[seat.listener])
    except SpiritsafeError as error:
        _send(writer, {"failed": str(error)})
        return 3
    except SystemExit:  # uvicorn, when the app did not start
        _send(writer, {"failed": told.last or "the worker could not start"})
        return 3
    finally:
        if reports is not None:
            reports.cancel()
        if works is not None and server.started:
            _send(writer, {"ready": False, "figures": works.figures(), "complaints": []})
        orphaned.cancel()
        with suppress(OSError):
            writer.close()
            await writer.wait_closed()
    return 0


async def _report(server: Server, works: Works, writer: asyncio.StreamWriter) -> None:
    await server.serving.wait()
    while True:
        _send(
            writer,
            {
                "ready": works.ready() and not server.should_exit,
                "complaints": works.complaints(),
                "figures": {**works.figures(), "connections": len(server.server_state.connections)},
            },
        )
        await asyncio.sleep(REPORT)


def _send(writer: asyncio.StreamWriter, report: dict[str, object]) -> None:
    # Never waits: a parent that does not read gets fewer reports.
    if not writer.is_closing() and writer.transport.get_write_buffer_size() < _MOST_UNSENT:
        writer.write(json.dumps(report).encode() + b"\n")
