"""The hub as an ASGI app: TAXII 2.1, the forum's routes, and apps of other parts of the forum mounted below ``/forum/``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from spiritsafe.errors import SharingError, SpiritsafeError, UsageError
from spiritsafe.sharing.hub import forum, housekeeping, schema, taxii
from spiritsafe.sharing.hub.members import Member, Quota
from spiritsafe.sharing.hub.reception import (
    Answer,
    Call,
    Credentials,
    Hub,
    Limits,
    Meter,
    Problem,
    answer_to,
    body_of,
    credentials,
    fitting,
    overloaded,
    problem,
    recognised,
    recorded,
)
from spiritsafe.sharing.hub.routes import Route, routed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from spiritsafe.sharing.hub.books import Books
    from spiritsafe.sharing.hub.intake import Gate
    from spiritsafe.sharing.hub.reception import Receive, Scope, Send
    from spiritsafe.sharing.hub.store import Store, Tx

    App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOG = logging.getLogger("spiritsafe.hub")
_PAUSE: Final = 30.0  # seconds between two rounds of housekeeping
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,255}(:\d{1,5})?|\[[0-9A-Fa-f:]{2,45}\](:\d{1,5})?")


def app(
    store: Store,
    *,
    origin: str,
    key: Ed25519PrivateKey,
    clock: Callable[[], int],
    gate: Gate | None = None,
    mounts: Mapping[str, App] | None = None,
    limits: Limits | None = None,
    quota: Quota | None = None,
    url: str = "",
    title: str = "Spiritsafe forum",
    contact: str = "",
) -> HubApp:
    """The hub on ``store``, whose log is named ``origin`` and signed with ``key``.

    ``clock`` gives microseconds since the epoch. ``gate`` is what objects of signed collections must pass (it raises
    ScopeError); without one the hub does not start when it has such a collection. ``mounts`` are ASGI apps by name, found
    below ``/forum/NAME/``: they see only members, as ``scope["member"]`` (`members.Member`), with the body read, bounded and
    checked against the token, and ``scope["store"]``. ``url`` is how the hub is reached from outside; the request says it
    when empty. ``quota`` is that of new members.
    """
    hub = Hub(store, key, clock, gate, url.rstrip("/"), title, contact, limits or Limits(), quota or Quota())
    return HubApp(hub, origin, dict(mounts or {}))


class HubApp:
    """See `app`."""

    def __init__(self, hub: Hub, origin: str, mounts: Mapping[str, App]) -> None:
        self.hub = hub
        self._origin = origin
        self._mounts = mounts
        self._meter = Meter()
        self._intake = ThreadPoolExecutor(1, "hub-intake")
        self._waiting = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the server's start and stop."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._serve(scope, receive, send)

    async def start(self) -> None:
        """Make the tables ready and begin housekeeping. Raises SpiritsafeError."""
        hub = self.hub
        await schema.prepare(hub.store, self._origin)

        async def job(tx: Tx) -> tuple[str, bytes, int]:
            row = await tx.one(
                "SELECT origin, secret, (SELECT COUNT(*) FROM collections WHERE signed = 1) FROM state"
            )
            assert row is not None  # noqa: S101 - written by `prepare`
            return row[0], row[1], row[2]

        hub.origin, hub.secret, signed = await hub.store.read(job)
        if hub.origin != self._origin:
            raise UsageError(
                f"this database is the log of {hub.origin!r}, not of {self._origin!r}",
                hint="mend the origin in the settings",
            )
        if signed and hub.gate is None:
            raise UsageError("a signed collection needs the scope gate", hint="give the app a gate")
        self._tasks.append(asyncio.create_task(self._keep_house()))

    async def stop(self) -> None:
        """End housekeeping and close the store."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._intake.shutdown(wait=False)
        await self.hub.store.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except SpiritsafeError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _keep_house(self) -> None:
        while True:
            more = False
            try:
                more = await housekeeping.round_(self.hub.store, self.hub.clock())
            except SpiritsafeError as error:
                _LOG.error("housekeeping failed: %s", error.message)
            await asyncio.sleep(0 if more else _PAUSE)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sent(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            answer = await self._answer(scope, receive, sent)
        except Exception as error:  # noqa: BLE001 - each has its answer, and none takes the server down
            answer = problem(error)
        if answer is not None and not begun:
            with contextlib.suppress(TimeoutError, OSError):
                await answer_to(send, answer, self.hub.limits)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Answer | None:
        headers = _headers(scope)
        bare = scope["path"].rstrip("/")
        if bare == "/forum" and scope["method"] == "GET":
            return forum.about(self.hub, self.hub.clock())
        if bare == "/forum/enrol" and scope["method"] == "POST":
            return await self._enrol(scope, receive, headers)
        shown = credentials(scope, headers)
        mounted = self._mounts.get(bare.split("/")[2]) if bare.startswith("/forum/") else None
        if mounted is not None:
            await self._mounted(mounted, scope, receive, send, headers, shown)
            return None
        found = routed(bare, scope["method"], headers)
        if isinstance(found, Problem):
            await self.hub.store.read(lambda tx: self._let_in(tx, scope, shown))
            raise found
        route, names = found
        if route.reading is not None:
            return await self._read(route, names, scope, shown)
        return await self._change(route, names, scope, receive, headers, shown)

    async def _let_in(self, tx: Tx, scope: Scope, shown: Credentials) -> Call:
        """The call of a member, which counts as one of its requests. Raises Problem 401, 429."""
        now = self.hub.clock()
        member = await recognised(tx, shown, now)
        self._meter.take(member, now)
        return Call(
            self.hub, scope["method"], _path(scope), _query(scope), _base(self.hub, scope), now, member
        )

    async def _read(self, route: Route, names: tuple[str, ...], scope: Scope, shown: Credentials) -> Answer:
        async def job(tx: Tx) -> tuple[Call, Answer]:
            call = await self._let_in(tx, scope, shown)
            fitting(shown, call)
            assert route.reading is not None  # noqa: S101 - the caller looked
            try:
                return call, await route.reading(call, tx, *names)
            except (Problem, SharingError) as error:
                return call, problem(error)

        call, answer = await self.hub.store.read(job)
        return await self._noted(call, shown, route, answer)

    async def _change(
        self,
        route: Route,
        names: tuple[str, ...],
        scope: Scope,
        receive: Receive,
        headers: dict[bytes, bytes],
        shown: Credentials,
    ) -> Answer:
        call = await self.hub.store.read(lambda tx: self._let_in(tx, scope, shown))
        call.body = await body_of(receive, headers, self.hub.limits)
        fitting(shown, call)
        try:
            if route.prepare == "objects":
                found, author = await self.hub.store.read(lambda tx: taxii.writable(call, tx, *names))
                items = await self._in_thread(lambda: taxii.take(call, found, author))
                call.prepared = found, items
            elif route.prepare:
                call.prepared = forum.content(call.body)

            async def effect(tx: Tx, books: Books) -> Answer:
                assert route.change is not None  # noqa: S101 - the caller looked
                return await route.change(call, tx, books, *names)

            return await recorded(call, shown, route.action, effect, durable=True)
        except (Problem, SharingError) as error:
            answer = problem(error)
            if answer.status == 401:
                return answer
        return await self._noted(call, shown, route, answer)

    async def _noted(self, call: Call, shown: Credentials, route: Route, answer: Answer) -> Answer:
        """The answer, once it is in the audit."""

        async def effect(tx: Tx, books: Books) -> Answer:
            del tx, books
            return answer

        return await recorded(call, shown, route.action, effect, durable=False)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        """Long work, one after another in a thread of its own; the loop goes on. Raises Problem 503."""
        if self._waiting >= self.hub.limits.intakes:
            raise overloaded()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._intake, work)
        finally:
            self._waiting -= 1

    async def _enrol(self, scope: Scope, receive: Receive, headers: dict[bytes, bytes]) -> Answer:
        now = self.hub.clock()
        self._meter.take(_STRANGER, now)
        call = Call(self.hub, scope["method"], _path(scope), "", "", now, _STRANGER)
        call.body = await body_of(receive, headers, replace(self.hub.limits, body=_ENROLMENT))
        call.prepared = forum.content(call.body)
        return await recorded(
            call, Credentials(), "enrol", lambda tx, books: forum.enrol(call, tx, books), durable=True
        )

    async def _mounted(
        self,
        mounted: App,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: dict[bytes, bytes],
        shown: Credentials,
    ) -> None:
        """Hand a member's request on to another part of the forum: all of its body is here, and it is in the audit."""
        call = await self.hub.store.read(lambda tx: self._let_in(tx, scope, shown))
        call.body = await body_of(receive, headers, self.hub.limits)
        fitting(shown, call)
        name = scope["path"].split("/")[2]
        begun = Answer(
            b"", 100, detail={"method": call.method, "path": call.path[:256], "bytes": len(call.body)}
        )
        await self._noted(call, shown, Route(f"mount.{name}"), begun)
        given = False

        async def again() -> MutableMapping[str, Any]:
            nonlocal given
            if given:
                return await receive()  # nothing more than that the peer went away
            given = True
            return {"type": "http.request", "body": call.body, "more_body": False}

        inner = {
            **scope,
            "root_path": f"{scope.get('root_path', '')}/forum/{name}",
            "member": call.member,
            "store": self.hub.store,
        }
        await mounted(inner, again, send)


_STRANGER: Final = Member(0, "", "", frozenset(), Quota(requests_per_minute=60))
_ENROLMENT: Final = 16_384  # bytes


def _headers(scope: Scope) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in found and name in _SINGLE:
            raise Problem(400, "ProcessingError", "a header stands twice, so that it has two readings")
        found[name] = value
    return found


_SINGLE: Final = frozenset({b"authorization", b"content-type", b"content-length", b"host"})


def _path(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.decode("latin-1").partition("?")[0]


def _query(scope: Scope) -> str:
    return scope["query_string"].decode("latin-1")


def _base(hub: Hub, scope: Scope) -> str:
    """The address under which the hub is reached, without a slash at the end."""
    if hub.url:
        return hub.url
    host = _headers(scope).get(b"host", b"").decode("latin-1")
    return f"{scope.get('scheme', 'http')}://{host}" if _HOST.fullmatch(host) else ""
