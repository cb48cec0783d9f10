"""What goes back to the caller, and the watch over one who leaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from spiritsafe.gateway.headers import first
from spiritsafe.gateway.upstream import Broken
from spiritsafe.responses import Refusal, refuse_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spiritsafe.gateway.headers import Pairs
    from spiritsafe.gateway.line import Line
    from spiritsafe.gateway.mounted import Scope

    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]

#: Seconds after which a caller who waits is watched, so that one who leaves cancels the work. Most answers of a quick
#: upstream are over before, and need no task of their own.
WATCH = 0.05
HELD = 64 << 20
"""Bytes of an answer that are held for a caller of HTTP/1.0."""


class Watch:
    """Cancels the running task when its caller leaves; begins to look when it stood long enough in ``line``."""

    def __init__(self, receive: Receive, line: Line) -> None:
        self._receive = receive
        self._line = line
        self._task: asyncio.Task[None] | None = None
        self._work: asyncio.Task[Any] | None = None
        self._left = False

    def begin(self) -> None:
        """Begin to look, for the running task."""
        self._work = asyncio.current_task()
        self._line.enter(self)

    def gone(self) -> bool:
        """Whether the caller left; the cancellation is then ours, and taken back."""
        if self._left and self._work is not None:
            self._work.uncancel()
        return self._left

    def end(self) -> None:
        """Look no more."""
        self._line.leave(self)
        if self._task is not None:
            self._task.cancel()

    def late(self) -> None:
        """The answer takes a while: look."""
        self._task = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left = True
        if self._work is not None:
            self._work.cancel()


class Reply:
    """What goes back. A caller of HTTP/1.0 cannot read pieces without a length: it gets the answer whole."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self._old = scope.get("http_version") == "1.0"
        self._held: list[bytes] | None = None
        self._head: dict[str, Any] = {}
        self.begun = False

    async def start(self, status: int, headers: Pairs, method: str) -> None:
        """The head."""
        self._head = {"type": "http.response.start", "status": status, "headers": headers}
        bare = method == "HEAD" or status in {204, 304}
        if self._old and not bare and first(headers, b"content-length") is None:
            self._held = []
        else:
            self.begun = True
            await self._send(self._head)

    async def piece(self, data: bytes) -> None:
        """A piece of the body."""
        if self._held is not None:
            self._held.append(data)
            if sum(map(len, self._held)) > HELD:
                raise Broken("answer_too_large")
        else:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """The end of the body."""
        data = b""
        if self._held is not None:
            data = b"".join(self._held)
            self._head["headers"] = [*self._head["headers"], (b"content-length", b"%d" % len(data))]
            self.begun = True
            await self._send(self._head)
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def whole(self, status: int, headers: Pairs, data: bytes) -> None:
        """Head and body at once."""
        self.begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def refuse(
        self,
        refusal: Refusal,
        dialect: Any,
        *,
        streamed: bool = False,
        rest: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """A refusal, as the provider of that API would send it.

        ``rest`` takes what the caller is still sending. A connection that is closed on unread bytes is reset, and a
        reset takes the answer away from a caller who has not read it yet (RFC 9112, section 9.6): it ends after them.
        """
        status, headers, body = refuse_body(dialect, refusal, streamed=streamed)
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        pairs.append((b"content-length", b"%d" % len(body)))
        if status in {408, 413}:
            pairs.append((b"connection", b"close"))  # nothing after this body can be told from it
        self.begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})
        await self._send({"type": "http.response.body", "body": body, "more_body": rest is not None})
        if rest is not None:
            await rest()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
