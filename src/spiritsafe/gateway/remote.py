"""Another server as upstream: HTTP/1.1 over a pool of kept connections, parsed by httptools (llhttp).

A general client costs a proxy more than all that the gateway does itself (``bench/gateway.py``; decision 11). This one sends
the header as it is given, follows nothing, decodes nothing and keeps no cookies.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httptools

from spiritsafe.gateway.headers import end_to_end
from spiritsafe.gateway.line import Line
from spiritsafe.gateway.upstream import Answer, Broken, Outgoing, Unreachable

if TYPE_CHECKING:
    from spiritsafe.gateway.headers import Pairs
    from spiritsafe.gateway.policy import Limits

BUFFER = 65_536
"""Bytes held of an answer before its sender is asked to wait."""
KEPT = 4.0
"""Seconds an idle connection is used again; servers close theirs after five and more."""
LONGEST_HEAD = 262_144


class Remote:
    """Another server. Must be made inside the running loop."""

    def __init__(self, url: str, limits: Limits) -> None:
        parts = urlsplit(url)
        self.host = parts.netloc.encode()
        self._name = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._base = parts.path.rstrip("/")
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._idle: deque[_Connection] = deque()
        self._all: set[_Connection] = set()
        self._room = asyncio.Semaphore(limits.connections)
        self._heads = Line(limits.answer_timeout, self._loop)
        self._pieces = Line(limits.idle_timeout, self._loop)
        self._closed = False

    async def send(self, outgoing: Outgoing) -> Answer:
        """Send it; the answer's head. Raises Unreachable."""
        if self._closed:
            raise Unreachable("upstream_unreachable")
        await self._room.acquire()
        connection: _Connection | None = None
        try:
            connection = self._kept() or await self._opened()
            answer = _Answer(connection, self._heads, self._pieces, bare=outgoing.method == "HEAD")
            connection.begin(answer)
            await self._written(connection, outgoing)
            await answer.head()
        except BaseException as error:
            if connection is None:
                self._room.release()
            else:
                connection.drop()
            if isinstance(error, Broken):
                late = str(error) == "upstream_timeout"
                raise Unreachable(
                    "upstream_timeout" if late else "upstream_unreachable", slow=late
                ) from error
            raise
        return answer

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        for connection in list(self._all):
            connection.drop()
        await asyncio.sleep(0)

    def _kept(self) -> _Connection | None:
        now = self._loop.time()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and now - connection.since < KEPT:
                return connection
            connection.drop(held=False)
        return None

    async def _opened(self) -> _Connection:
        try:
            async with asyncio.timeout(self._limits.connect_timeout):
                _, connection = await self._loop.create_connection(
                    lambda: _Connection(self), self._name, self._port, ssl=self._tls
                )
        except TimeoutError as error:
            raise Unreachable("upstream_timeout", slow=True) from error
        except OSError as error:
            raise Unreachable("upstream_unreachable") from error
        self._all.add(connection)
        return connection

    async def _written(self, connection: _Connection, outgoing: Outgoing) -> None:
        body = outgoing.body
        lines = [f"{outgoing.method} {self._base}{outgoing.target} HTTP/1.1\r\n".encode("latin-1")]
        framed = False
        for name, value in outgoing.headers:
            framed = framed or name == b"content-length"
            lines += (name, b": ", value, b"\r\n")
        if body is not None and not framed:
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        if isinstance(body, bytes):
            lines.append(body)
        connection.write(b"".join(lines))
        if body is None or isinstance(body, bytes):
            return
        connection.writing = (
            True  # an answer that comes before the end of the body ends the connection with it
        )
        async for piece in body:
            connection.write(piece if framed else b"%x\r\n%b\r\n" % (len(piece), piece))
            await connection.writable.wait()
            if not connection.busy:
                return
        if not framed:
            connection.write(b"0\r\n\r\n")
        connection.writing = False

    def give_back(self, connection: _Connection, *, whole: bool) -> None:
        """The connection is done with one answer; ``whole``: it may be used for another."""
        self._room.release()
        if whole and connection.usable and not self._closed:
            connection.since = self._loop.time()
            self._idle.append(connection)
        else:
            connection.drop(held=False)

    def gone(self, connection: _Connection) -> None:
        """The connection is no more."""
        self._all.discard(connection)


class _Connection(asyncio.Protocol):
    """One connection; ``answer`` is what is being read on it."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._transport: Any = None
        self._answer: _Answer | None = None
        self._parser = httptools.HttpResponseParser(self)
        self.writable = asyncio.Event()
        self.writable.set()
        self.lost = self.writing = False
        self.since = 0.0
        self._status = 0
        self._head: Pairs = []
        self._size = 0

    @property
    def usable(self) -> bool:
        """Whether another request may be sent on it."""
        return not self.lost and self._answer is None and not self._transport.is_closing()

    @property
    def busy(self) -> bool:
        """Whether an answer is awaited or read on it."""
        return self._answer is not None and not self.lost

    def begin(self, answer: _Answer) -> None:
        self._answer = answer
        self._head, self._size = [], 0

    def write(self, data: bytes) -> None:
        if not self.lost:
            self._transport.write(data)

    def drop(self, *, held: bool = True) -> None:
        """Close it at once. ``held``: it was given out, and its place in the pool is free again."""
        if self._answer is not None:
            answer, self._answer = self._answer, None
            answer.fail("upstream_died")
            if held:
                self._remote.give_back(self, whole=False)
                return
        if self._transport is not None:
            self._transport.abort()

    def flow(self, *, on: bool) -> None:
        if self.lost or self._transport.is_closing():
            return
        if on:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if (
            self._answer is None
        ):  # nothing was asked: whatever it is, it must not be taken for the next answer
            self._transport.abort()
            return
        if self._answer.status == 0:
            self._size += len(data)
            if self._size > LONGEST_HEAD + BUFFER:
                self._broken("upstream_garbled")
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._broken("upstream_garbled")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.lost = True
        self.writable.set()
        self._remote.gone(self)
        answer = self._answer
        if answer is None:
            return
        self._answer = None
        if answer.status and answer.until_closed:
            answer.finish()
        else:
            answer.fail("upstream_died")
        self._remote.give_back(self, whole=False)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def on_message_begin(self) -> None:
        if self._answer is None:  # an answer that nobody asked for: the connection is not to be trusted
            self._transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 or self._answer is None:
            self._head = []
            return
        framed = any(name in {b"content-length", b"transfer-encoding"} for name, _ in self._head)
        self._answer.begin(status, end_to_end(self._head), until_closed=not framed)
        if self._answer.bare:  # no body follows, whatever its length says: the parser cannot know
            self._done(whole=False)

    def on_body(self, data: bytes) -> None:
        if self._answer is not None:
            self._answer.take(data)

    def on_message_complete(self) -> None:
        if self._answer is None or self._answer.status == 0:
            return  # an interim answer
        self._done(whole=self._parser.should_keep_alive())

    def _done(self, *, whole: bool) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.finish()
            self._remote.give_back(self, whole=whole and not self.writing)

    def _broken(self, reason: str) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.fail(reason)
            self._remote.give_back(self, whole=False)


class _Answer:
    """An answer being read; see ``upstream.Answer``."""

    __slots__ = (
        "_connection", "_ended", "_error", "_heads", "_idle", "_paused", "_pieces", "_size", "_waiter",
        "bare", "headers", "status", "until_closed",
    )  # fmt: skip

    def __init__(self, connection: _Connection, heads: Line, idle: Line, *, bare: bool) -> None:
        self._connection = connection
        self._heads, self._idle = heads, idle
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._paused = self._ended = self.until_closed = False
        self._error: str | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.bare = bare
        self.status = 0
        self.headers: Pairs = []

    def begin(self, status: int, headers: Pairs, *, until_closed: bool) -> None:
        self.status, self.headers, self.until_closed = status, headers, until_closed
        self._wake()

    def take(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > BUFFER and not self._paused:
            self._paused = True
            self._connection.flow(on=False)
        self._wake()

    def finish(self) -> None:
        self._ended = True
        self._wake()

    def fail(self, reason: str) -> None:
        self._error = self._error or reason
        self._wake()

    async def head(self) -> None:
        """Wait for the head. Raises Broken."""
        while self.status == 0:
            if self._error:
                raise Broken(self._error)
            await self._wait(self._heads)

    async def read(self) -> bytes:
        """The next piece, b"" at the end. Raises Broken."""
        while True:
            if self._pieces:
                data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
                self._pieces.clear()
                self._size = 0
                if self._paused:
                    self._paused = False
                    self._connection.flow(on=True)
                return data
            if self._error:
                raise Broken(self._error)
            if self._ended:
                return b""
            await self._wait(self._idle)

    def close(self) -> None:
        """Let go; what is not at its end is cancelled."""
        if not self._ended and not self._error:
            self._connection.drop()

    def late(self) -> None:
        """The upstream said nothing for too long."""
        self.fail("upstream_timeout")

    async def _wait(self, line: Line) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        line.enter(self)
        try:
            await waiter
        finally:
            line.leave(self)
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
