"""The reverse proxy, pure ASGI: names the caller, takes the request within limits, passes the answer byte for byte."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson

from spiritsafe.gateway import body as bodies
from spiritsafe.gateway.headers import end_to_end, first
from spiritsafe.gateway.identity import Identity, Unknown
from spiritsafe.gateway.mounted import Mounted
from spiritsafe.gateway.upstream import Broken, Outgoing, Remote, Unreachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from spiritsafe.gateway.headers import Pairs
    from spiritsafe.gateway.mounted import App, Scope
    from spiritsafe.gateway.policy import Policy
    from spiritsafe.gateway.tokens import Key
    from spiritsafe.gateway.upstream import Answer, Upstream

    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]

#: Paths whose bodies are read and judged, by POST only; all others pass as they are, or not at all.
GUARDED = frozenset(
    (
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/embeddings",
        "/v1/messages",
        "/v1/messages/count_tokens",
    )
)
PASSED = ("/v1/models", "/v1/responses/")
#: Seconds after which a caller who waits is watched, so that one who leaves cancels the work. Most answers of a quick
#: upstream are over before, and need no task of their own.
WATCH = 0.05
_SEPARATORS = str.maketrans("_", "-")


class Gateway:
    """An ASGI app. ``upstream`` takes what is let through; None: the policy's server is asked, made at the start."""

    def __init__(
        self, policy: Policy, upstream: Upstream | None = None, keys: Mapping[str, Key] | None = None
    ) -> None:
        self.policy = policy
        self.identity = Identity(policy.trust, keys)
        self.upstream = upstream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self.upstream is not None:
            await self.serve(self.upstream, scope, receive, send)
        else:
            raise RuntimeError("the gateway was not started: serve it with lifespan on")

    async def _live(self, receive: Receive, send: Send) -> None:
        """The server's start and stop: connections to the upstream are kept in between."""
        await receive()
        if self.upstream is None:
            if self.policy.upstream is None:
                await send({"type": "lifespan.startup.failed", "message": "the policy names no upstream"})
                return
            self.upstream = Remote(self.policy.upstream, self.policy.limits)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.upstream.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def serve(self, upstream: Upstream, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request, sent on to ``upstream`` unless it is refused."""
        reply = _Reply(scope, send)
        try:
            outgoing = await self._taken(upstream, scope, receive)
            await self._passed(upstream, outgoing, receive, reply)
        except bodies.Refused as refused:
            await reply.error(refused.status, refused.category, refused.message)
        except Unreachable as error:
            await reply.error(504 if error.slow else 502, str(error), "the model server gave no answer")
        except (Broken, bodies.Gone):
            # No end is sent: the server cuts the connection, and the caller sees a broken transfer.
            return

    async def _taken(self, upstream: Upstream, scope: Scope, receive: Receive) -> Outgoing:
        method: str = scope["method"]
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        path = raw.decode("latin-1")
        headers: Pairs = list(scope["headers"])
        if first(headers, b"upgrade") is not None and b"websocket" in (first(headers, b"upgrade") or b""):
            raise bodies.Refused(426, "websocket", "websockets are not served here")
        guarded = self._route(method, path)
        client = scope.get("client")
        try:
            self.identity.name(client[0] if client else None, headers, time.time_ns() // 1_000)
        except Unknown as error:
            raise bodies.Refused(401, error.reason, error.message) from error
        content: Any = None
        if guarded:
            content = await bodies.whole(receive, headers, self.policy.limits)
            bodies.document(bodies.plain(content, headers, self.policy.limits), self.policy.limits)
        elif bodies.has_body(headers):
            content = bodies.pieces(receive, self.policy.limits)
        query: bytes = scope.get("query_string", b"")
        target = f"{path}?{query.decode('latin-1')}" if query else path
        return Outgoing(method, target, self._onward(headers, upstream.host, content), content)

    def _route(self, method: str, path: str) -> bool:
        """Whether the path is guarded. Raises Refused for what has no way through."""
        if path in GUARDED:
            if method not in {"POST", "OPTIONS"}:
                raise bodies.Refused(405, "method", f"{path} takes POST")
            return method == "POST"
        # A server behind may read these as a guarded path; we must not read them as another.
        plain = "/" + "/".join(part for part in unquote(path).split("/") if part not in {"", "."})
        if plain != path.rstrip("/") and (".." in plain or plain.lower() in GUARDED):
            raise bodies.Refused(
                400, "path_not_canonical", "write the path without escapes, dots and doubled slashes"
            )
        if plain.lower() in GUARDED:
            raise bodies.Refused(404, "path_unknown", "there is nothing at this path")
        if self.policy.paths == "known" and not path.startswith(PASSED):
            raise bodies.Refused(404, "path_unknown", "there is nothing at this path")
        return False

    def _onward(self, headers: Pairs, host: bytes, content: object) -> Pairs:
        """The header that goes on: nothing of identity, of this connection, or of how the body was framed."""
        stripped = self.identity.stripped
        kept = [
            (name, value)
            for name, value in end_to_end(headers)
            if name not in stripped
            and name.replace(b"_", b"-") not in stripped
            and name not in {b"accept-encoding", b"content-length"}
            and not (host and name == b"host")
        ]
        if host:
            kept.append((b"host", host))
        kept.append((b"accept-encoding", b"identity"))
        if isinstance(content, bytes):
            kept.append((b"content-length", b"%d" % len(content)))
        elif content is not None and (length := first(headers, b"content-length")) is not None:
            kept.append((b"content-length", length))
        return kept

    async def _passed(self, upstream: Upstream, outgoing: Outgoing, receive: Receive, reply: _Reply) -> None:
        """Ask, and pass the answer on; a caller who leaves ends both."""
        watch = _Watch(receive)
        if outgoing.body is None or isinstance(outgoing.body, bytes):
            watch.begin()
        answer: Answer | None = None
        try:
            answer = await upstream.send(outgoing)
            await reply.start(answer, outgoing.method)
            while piece := await answer.read():
                await reply.piece(piece)
            await reply.end()
        except asyncio.CancelledError:
            if watch.gone():
                raise bodies.Gone from None
            raise
        finally:
            watch.end()
            if answer is not None:
                answer.close()


class _Watch:
    """Cancels the running task when its caller leaves; begins to look after ``WATCH`` seconds."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._work: asyncio.Task[Any] | None = None
        self._left = False

    def begin(self) -> None:
        self._work = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(WATCH, self._start)

    def gone(self) -> bool:
        """Whether the caller left; the cancellation is then ours, and taken back."""
        if self._left and self._work is not None:
            self._work.uncancel()
        return self._left

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left = True
        if self._work is not None:
            self._work.cancel()


class SpiritsafeMiddleware:
    """The gateway mounted in an ASGI server: ``SpiritsafeMiddleware(app, policy=...)``; upstream is ``app`` itself."""

    def __init__(self, app: App, *, policy: Policy, keys: Mapping[str, Key] | None = None) -> None:
        self._app = app
        self._gateway = Gateway(policy, keys=keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge HTTP requests; the server's own start and stop go to the app."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            upstream = Mounted(self._app, scope, self._gateway.policy.limits)
            await self._gateway.serve(upstream, scope, receive, send)
        else:
            await self._gateway(scope, receive, send)


class _Reply:
    """What goes back. A caller of HTTP/1.0 cannot read pieces without a length: it gets the answer whole."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self._old = scope.get("http_version") == "1.0"
        self._held: list[bytes] | None = None
        self._head: dict[str, Any] = {}

    async def start(self, answer: Answer, method: str) -> None:
        self._head = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
        bare = method == "HEAD" or answer.status in {204, 304}
        if self._old and not bare and first(answer.headers, b"content-length") is None:
            self._held = []
        else:
            await self._send(self._head)

    async def piece(self, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
        else:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        data = b""
        if self._held is not None:
            data = b"".join(self._held)
            self._head["headers"] = [*self._head["headers"], (b"content-length", b"%d" % len(data))]
            await self._send(self._head)
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def error(self, status: int, category: str, message: str) -> None:
        body = orjson.dumps(
            {"error": {"message": message, "type": "spiritsafe", "code": category, "category": category}}
        )
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-spiritsafe-category", category.encode()),
        ]
        if status in {408, 413}:
            headers.append((b"connection", b"close"))  # the rest of the body is not read
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
