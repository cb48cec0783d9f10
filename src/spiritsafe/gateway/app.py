"""The reverse proxy, pure ASGI: names the caller, takes the request within limits, passes the answer byte for byte."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson

from spiritsafe.errors import SpiritsafeError, StorageError
from spiritsafe.gateway import body as bodies
from spiritsafe.gateway import drafts
from spiritsafe.gateway.exchange import Exchange, Refusing
from spiritsafe.gateway.headers import Onward, fields, first
from spiritsafe.gateway.identity import Identity, Unknown
from spiritsafe.gateway.line import Line
from spiritsafe.gateway.mounted import Mounted
from spiritsafe.gateway.remote import Remote
from spiritsafe.gateway.reply import WATCH, Reply, Watch
from spiritsafe.gateway.upstream import Broken, Outgoing, Unreachable
from spiritsafe.gateway.works import LONG, Works
from spiritsafe.responses import Refusal, find

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from spiritsafe.gateway.headers import Fields, Pairs
    from spiritsafe.gateway.mounted import App, Scope
    from spiritsafe.gateway.policy import Policy
    from spiritsafe.gateway.tokens import Key
    from spiritsafe.gateway.upstream import Answer, Upstream
    from spiritsafe.model import Caller

    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]

PASSED = ("/v1/models",)


class Gateway:
    """An ASGI app. ``upstream`` takes what is let through; None: the policy's server is asked, made at the start.

    ``works`` is what it decides with and writes to; None: made from the policy.
    """

    def __init__(
        self,
        policy: Policy,
        upstream: Upstream | None = None,
        keys: Mapping[str, Key] | None = None,
        works: Works | None = None,
    ) -> None:
        self.policy = policy
        self.identity = Identity(policy.trust, keys)
        self.upstream = upstream
        self.works = works or Works(policy)
        self._onward = Onward((*self.identity.stripped, b"accept-encoding", b"content-length"))
        self._started = False
        self._watched: Line

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
        try:
            await self.start()
        except SpiritsafeError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.upstream.close()
        await self.works.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def start(self) -> None:
        """Make ready what requests need, once; in the loop that serves them."""
        if not self._started:
            self._started = True
            self._watched = Line(WATCH, asyncio.get_running_loop())
            await self.works.start()

    async def serve(self, upstream: Upstream, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request, sent on to ``upstream`` unless it is refused."""
        reply = Reply(scope, send)
        exchange: Exchange | None = None
        self.works.counts.add("requests")
        try:
            outgoing, exchange = await self._taken(upstream, scope, receive)
            await self._passed(upstream, outgoing, receive, reply, exchange)
        except bodies.Refused as refused:
            self.works.counts.add(f"refused.{refused.category}")
            refusal = Refusal(refused.status, refused.category, refused.message)
            await reply.refuse(refusal, self._dialect(scope), rest=self._rest(refused, scope, receive))
        except Refusing as refusing:
            await reply.refuse(refusing.refusal, refusing.dialect, streamed=refusing.streamed)
        except Unreachable as error:
            status = 504 if error.slow else 502
            if exchange is not None:
                exchange.status, exchange.finish = status, str(error)
            self.works.counts.add(f"upstream.{error}")
            refusal = Refusal(status, str(error), "the model server gave no answer")
            await reply.refuse(refusal, self._dialect(scope))
        except StorageError:
            # With `on_failure = "closed"` an answer without a record is not given.
            if reply.begun:
                return
            if exchange is not None:
                exchange.status, exchange.finish = 503, "log_unavailable"
            await reply.refuse(Refusal(503, "log_unavailable", "this service cannot take requests now"), None)
        except (Broken, bodies.Gone):
            # No end is sent: the server cuts the connection, and the caller sees a broken transfer.
            return
        finally:
            if exchange is not None:
                await exchange.close()

    def _rest(
        self, refused: bodies.Refused, scope: Scope, receive: Receive
    ) -> Callable[[], Awaitable[None]] | None:
        """Takes what is still coming of a refused request's body; None where nothing is, or nobody would send it."""
        if not refused.unread or any(name == b"expect" for name, _ in scope["headers"]):
            return None
        return lambda: bodies.rest(receive, self.policy.limits)

    @staticmethod
    def _dialect(scope: Scope) -> Any:
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        return find(scope["method"], raw.decode("latin-1"))

    async def _taken(
        self, upstream: Upstream, scope: Scope, receive: Receive
    ) -> tuple[Outgoing, Exchange | None]:
        method: str = scope["method"]
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        path = raw.decode("latin-1")
        headers: Pairs = list(scope["headers"])
        known = fields(headers)
        now = time.time_ns() // 1_000
        try:
            dialect, caller = await self._admitted(path, scope, headers, known, now)
        except bodies.Refused as refused:
            refused.unread = bodies.has_body(known)
            raise
        content: Any = None
        exchange: Exchange | None = None
        extra: tuple[tuple[bytes, bytes], ...] = ()
        if dialect is not None:
            content = await bodies.whole(receive, known, self.policy.limits)
            document: Any = None
            if content or dialect.makes:
                held, limits = content, self.policy.limits
                if len(held) > LONG or b"content-encoding" in known:  # few bytes may unfold to many
                    document = await self.works.apart(lambda: bodies.read(held, known, headers, limits))
                else:
                    document = bodies.read(held, known, headers, limits)
            exchange = Exchange(self.works, dialect, caller, document, now)
            try:
                away = await exchange.decide(path)
            except BaseException:
                await exchange.close()
                raise
            path, extra = away.target, away.headers
            if away.document is not None:
                content = orjson.dumps(away.document)
                headers = [pair for pair in headers if pair[0] != b"content-encoding"]
            elif not content and method in {"GET", "DELETE"}:
                content = None
        elif bodies.has_body(known):
            content = bodies.pieces(receive, self.policy.limits)
        query: bytes = scope.get("query_string", b"")
        target = f"{path}?{query.decode('latin-1')}" if query else path
        onward = self._goes(headers, known, upstream.host, content)
        return Outgoing(method, target, [*onward, *extra], content), exchange

    async def _admitted(
        self, path: str, scope: Scope, headers: Pairs, known: Fields, now: int
    ) -> tuple[Any, Caller]:
        """What is asked for, and by whom: all that is judged by a request's head."""
        if b"websocket" in known.get(b"upgrade", b""):
            raise bodies.Refused(426, "websocket", "websockets are not served here")
        dialect = self._route(scope["method"], path)
        caller = await self._named(scope, headers, now)
        if dialect is not None and dialect.makes and not self.works.ready():
            raise bodies.Refused(503, "log_unavailable", "this service cannot take requests now")
        return dialect, caller

    async def _named(self, scope: Scope, headers: Pairs, now: int) -> Caller:
        client = scope.get("client")
        try:
            named = self.identity.name(client[0] if client else None, headers, now)
        except Unknown as error:
            raise bodies.Refused(401, error.reason, error.message) from error
        if named.token_id and not await self.works.state.once(named.token_id, named.expires * 1_000_000, now):
            raise bodies.Refused(401, "token_used", "this token was used before")
        return named.caller

    def _route(self, method: str, path: str) -> Any:
        """The dialect of a guarded call, or None for what passes as it is. Raises Refused for what has no way through."""
        dialect = find(method, path) if path[-1:] != "/" else None
        if dialect is not None:
            return dialect
        if find("POST", path) is not None and path[-1:] != "/":
            if method == "OPTIONS":
                return None
            raise bodies.Refused(405, "method", f"{path} takes POST")
        # A server behind may read these as a guarded path; we must not read them as another.
        plain = "/" + "/".join(part for part in unquote(path).split("/") if part not in {"", "."})
        if plain != path.rstrip("/") and (".." in plain or find("POST", plain.lower()) is not None):
            raise bodies.Refused(
                400, "path_not_canonical", "write the path without escapes, dots and doubled slashes"
            )
        if find("POST", plain.lower()) is not None or plain.lower().startswith("/v1/responses/"):
            raise bodies.Refused(404, "path_unknown", "there is nothing at this path")
        if self.policy.paths == "known" and not path.startswith(PASSED):
            raise bodies.Refused(404, "path_unknown", "there is nothing at this path")
        return None

    def _goes(self, headers: Pairs, known: Fields, host: bytes, content: object) -> Pairs:
        """The header that goes on: nothing of identity, of this connection, or of how the body was framed."""
        kept = self._onward.of(headers, known)
        if host:
            kept = [pair for pair in kept if pair[0] != b"host"]
            kept.append((b"host", host))
        kept.append((b"accept-encoding", b"identity"))
        if isinstance(content, bytes):
            kept.append((b"content-length", b"%d" % len(content)))
        elif content is not None and (length := known.get(b"content-length")) is not None:
            kept.append((b"content-length", length))
        return kept

    async def _passed(
        self,
        upstream: Upstream,
        outgoing: Outgoing,
        receive: Receive,
        reply: Reply,
        exchange: Exchange | None,
    ) -> None:
        """Ask, and pass the answer on; a caller who leaves ends both, unless the answer is to be kept."""
        watch = Watch(receive, self._watched)
        whole = outgoing.body is None or isinstance(outgoing.body, bytes)
        if whole and (exchange is None or not exchange.to_its_end):
            watch.begin()
        answer: Answer | None = None
        try:
            if exchange is not None and exchange.drafts is not None:
                answer = await drafts.draw(upstream, outgoing, exchange.drafts, exchange.dialect, self.works)
            else:
                answer = await upstream.send(outgoing)
            if exchange is None:
                await self._through(answer, outgoing.method, reply)
            else:
                exchange.status = answer.status
                await self._answered(answer, outgoing.method, reply, exchange)
        except asyncio.CancelledError:
            if watch.gone():
                if exchange is not None:
                    exchange.finish = "cancelled"
                raise bodies.Gone from None
            raise
        except Broken as broken:
            if exchange is not None:
                exchange.finish = str(broken)
            raise
        finally:
            watch.end()
            if answer is not None:
                answer.close()

    @staticmethod
    async def _through(answer: Answer, method: str, reply: Reply) -> None:
        await reply.start(answer.status, answer.headers, method)
        while piece := await answer.read():
            await reply.piece(piece)
        await reply.end()

    async def _answered(self, answer: Answer, method: str, reply: Reply, exchange: Exchange) -> None:
        """An answer that is read for the record, and changed where a measure or a binding says so."""
        coding = first(answer.headers, b"content-encoding") or b"identity"
        if coding.strip().lower() != b"identity":  # asked for plain, answered otherwise: it cannot be read
            if exchange.touches:
                raise Unreachable("answer_coded")
            await exchange.write()
            await self._through(answer, method, reply)
            return
        kind = (first(answer.headers, b"content-type") or b"").partition(b";")[0].strip().lower()
        if kind == b"text/event-stream":
            await self._streamed(answer, method, reply, exchange)
        elif kind == b"application/json" or kind.endswith(b"+json"):
            await self._whole(answer, method, reply, exchange)
        else:
            await exchange.write()
            await self._through(answer, method, reply)

    async def _streamed(self, answer: Answer, method: str, reply: Reply, exchange: Exchange) -> None:
        events = exchange.events()
        headers = answer.headers
        if exchange.touches:
            headers = [pair for pair in headers if pair[0] != b"content-length"]
        await reply.start(answer.status, headers, method)
        while piece := await answer.read():
            made = events.feed(piece)
            if events.broken:
                raise Broken("event_too_long")
            if events.finished:
                await exchange.write()
            if made:
                await reply.piece(made)
        made = events.end()
        await exchange.write()
        if made:
            await reply.piece(made)
        await reply.end()

    async def _whole(self, answer: Answer, method: str, reply: Reply, exchange: Exchange) -> None:
        """Held until it is complete: its record comes before it. One that is too long to hold is not changed."""
        pieces: list[bytes] = []
        size, most = 0, self.policy.limits.answer
        while piece := await answer.read():
            pieces.append(piece)
            size += len(piece)
            if size > most:
                break
        if size > most:
            if exchange.touches:
                raise Unreachable("answer_too_large")
            await exchange.write()
            await reply.start(answer.status, answer.headers, method)
            for one in pieces:
                await reply.piece(one)
            while piece := await answer.read():
                await reply.piece(piece)
            await reply.end()
            return
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        made = exchange.answer(data) if data else data
        await exchange.write()
        headers = answer.headers
        if made is not data or (method != "HEAD" and first(headers, b"content-length") is None):
            headers = [pair for pair in headers if pair[0] != b"content-length"]
            headers.append((b"content-length", b"%d" % len(made)))
        await reply.whole(answer.status, headers, made)


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
            await self._gateway.start()
            upstream = Mounted(self._app, scope, self._gateway.policy.limits)
            await self._gateway.serve(upstream, scope, receive, send)
        else:
            await self._gateway(scope, receive, send)
