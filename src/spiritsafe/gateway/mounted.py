"""An ASGI app in the same process as upstream: what ``SpiritsafeMiddleware`` wraps."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from spiritsafe.gateway.headers import end_to_end
from spiritsafe.gateway.upstream import Broken, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping

    from spiritsafe.gateway.headers import Pairs
    from spiritsafe.gateway.policy import Limits
    from spiritsafe.gateway.upstream import Outgoing

    Scope = MutableMapping[str, Any]
    App = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]

GRACE = 1.0  # seconds
HELD = 2  # pieces that wait for a slow caller before the app waits, too


class Mounted:
    """Calls ``app`` with the request's own scope, changed as the gateway decided."""

    def __init__(self, app: App, scope: Scope, limits: Limits) -> None:
        self.host = b""
        self._app = app
        self._scope = scope
        self._limits = limits

    async def send(self, outgoing: Outgoing) -> _Mounted:
        """Start the app; its answer's head. Raises Unreachable when it fails before that."""
        path, _, query = outgoing.target.partition("?")
        scope = {
            **self._scope,
            "headers": outgoing.headers,
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
        }
        if path != self._scope["raw_path"].decode("latin-1"):
            scope["path"] = path  # only ids of stored responses are ever changed: no escapes in them
        body = b"" if outgoing.body is None else outgoing.body
        answer = _Mounted(self._limits.idle_timeout, body)
        answer.task = asyncio.create_task(answer.run(self._app, scope))
        try:
            async with asyncio.timeout(self._limits.answer_timeout):
                head = await answer.pieces.get()
        except TimeoutError as error:
            answer.close()
            raise Unreachable("upstream_timeout", slow=True) from error
        except asyncio.CancelledError:
            answer.close()
            raise
        if head is None or head["type"] != "http.response.start":
            answer.close()
            raise Unreachable("upstream_failed")
        answer.status = head["status"]
        answer.headers = end_to_end((name.lower(), value) for name, value in head.get("headers", ()))
        return answer

    async def close(self) -> None:
        """Nothing is held between requests."""


class _Mounted:
    def __init__(self, idle: float, body: bytes | AsyncIterator[bytes] | None) -> None:
        self.status = 0
        self.headers: Pairs = []
        self.pieces: asyncio.Queue[Any] = asyncio.Queue(HELD)
        self.task: asyncio.Task[None]
        self._idle = idle
        self._body = body
        self._left = asyncio.Event()
        self._ended = False

    async def run(self, app: App, scope: Scope) -> None:
        """Run the app to its end; None in the queue says that it ended."""
        with suppress(Exception):  # the app's own server reports its errors; here it is a broken answer
            await app(scope, self._receive, self.pieces.put)
        await self.pieces.put(None)

    async def read(self) -> bytes:
        while not self._ended:
            try:
                async with asyncio.timeout(self._idle):
                    message = await self.pieces.get()
            except TimeoutError as error:
                raise Broken("upstream_timeout") from error
            if message is None:
                raise Broken("upstream_died")
            if message["type"] != "http.response.body":
                continue
            self._ended = not message.get("more_body", False)
            if message.get("body"):
                return message["body"]
        return b""

    def close(self) -> None:
        self._left.set()
        if not self._ended:  # the app hears that its caller left; one that goes on regardless is stopped
            asyncio.get_running_loop().call_later(GRACE, self.task.cancel)

    async def _receive(self) -> Any:
        body, self._body = self._body, None
        if isinstance(body, bytes):
            return {"type": "http.request", "body": body, "more_body": False}
        if body is not None:
            async for piece in body:
                self._body = body
                return {"type": "http.request", "body": piece, "more_body": True}
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}
