"""One request to the relay: who asks, what it brought, and how an error is answered."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from spiritsafe.errors import MisconductError, SharingError, StorageError
from spiritsafe.sharing.hub import members
from spiritsafe.sharing.hub.store import migrate
from spiritsafe.sharing.matching import frames
from spiritsafe.sharing.matching.epoch import Epoch, described
from spiritsafe.sharing.matching.relay.schema import PART, STEPS
from spiritsafe.sharing.matching.roster import Roster, parse
from spiritsafe.sharing.matching.statements import Statement, opened

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from starlette.requests import Request

    from spiritsafe.sharing.hub.store import Store, Tx

_LOG = logging.getLogger("spiritsafe.hub")
_MINUTE = 60_000_000


class Refusal(SharingError):  # noqa: N818 - reads as the fact it states
    """An answer that is an error; the text is written for the one who asked."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Desk:
    """What all requests share. ``key`` signs the hub's log; without one nothing is logged."""

    clock: Callable[[], int]
    key: Ed25519PrivateKey | None = None
    epochs: dict[str, Epoch] = field(default_factory=dict[str, Epoch])
    comparing: asyncio.Lock = field(default_factory=asyncio.Lock)
    compared: dict[Any, Any] = field(default_factory=dict[Any, Any])
    _ready: set[int] = field(default_factory=set[int])
    _cleaned: int = 0

    def route(
        self, handler: Callable[[Call], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint that answers errors."""

        async def endpoint(request: Request) -> Response:
            try:
                call = Call(self, request, request.scope["store"], request.scope["member"], self.clock())
                await self._prepared(call.store, call.now)
                return await handler(call)
            except Refusal as error:
                return problem(error.status, error.message)
            except MisconductError as error:
                return problem(409, error.message)
            except SharingError as error:
                return problem(400, error.message)
            except StorageError:
                _LOG.exception("the relay's store failed")
                return problem(503, "the store does not answer")

        return endpoint

    async def _prepared(self, store: Store, now: int) -> None:
        """Tables are made at the first request; what is over is removed once a minute."""
        if id(store) not in self._ready:
            await migrate(store, PART, STEPS)
            self._ready.add(id(store))
        if now - self._cleaned >= _MINUTE:
            self._cleaned = now
            await store.write(lambda tx: _cleaned(tx, now), durable=False)


@dataclass
class Call:
    """A member's request. The hub has checked who it is, and bounded the body."""

    desk: Desk
    request: Request
    store: Store
    member: Any
    now: int

    @property
    def me(self) -> str:
        """The identity of who asks."""
        return self.member.identity

    def name(self, part: str) -> str:
        """A part of the path."""
        return self.request.path_params[part]

    async def frame(self, parts: int) -> tuple[dict[str, Any], list[bytes]]:
        """The header and exactly so many parts of the body. Raises Refusal."""
        header, found = frames.unpack(await self.request.body())
        if len(found) != parts:
            raise Refusal(400, f"this takes {parts} parts beside the header")
        return header, found

    async def statement(self, kind: str, envelope: object) -> tuple[Statement, Roster]:
        """A statement of the member who asks, and the directory. Raises Refusal when another signed it."""
        self.writing()
        roster = await self.roster()
        found = opened(kind, envelope, roster)
        if found.by != self.me:
            raise Refusal(403, "members send their own statements")
        return found, roster

    def writing(self) -> None:
        """Raise Refusal for who may only read, or came with a token that others hold."""
        if self.member.scope != "write" or self.member.by == "api":
            raise Refusal(403, "an API token does not do this; sign the request")

    async def roster(self) -> Roster:
        """The directory of the hub."""
        return parse({"members": await self.store.read(members.directory)}, "directory")

    async def epoch(self, name: str) -> Epoch:
        """An epoch in force. Raises Refusal."""
        if name not in self.desk.epochs:
            row = await self.store.read(
                lambda tx: tx.one("SELECT certificate FROM match_epochs WHERE id = $1", name)
            )
            if row is None:
                raise Refusal(404, "there is no such epoch")
            self.desk.epochs[name] = described(orjson.loads(row[0])["epoch"])
        found = self.desk.epochs[name]
        found.live(self.now)
        return found


def answer(header: dict[str, Any], *parts: bytes, status: int = 200) -> Response:
    """A frame as an answer."""
    return Response(frames.pack(header, *parts), status, media_type=frames.MEDIA)


def problem(status: int, text: str) -> Response:
    """An error in the form of TAXII's."""
    body = {"title": "Matching", "description": text, "http_status": str(status)}
    return Response(orjson.dumps(body), status, media_type="application/taxii+json;version=2.1")


async def _cleaned(tx: Tx, now: int) -> None:
    """Remove what is over; the database overwrites it. Of an epoch that is over nothing but certificate and counts stays."""
    await tx.run("DELETE FROM match_requests WHERE expires <= $1", now)
    await tx.run("DELETE FROM match_sets WHERE until <= $1", now)
    over = "epoch IN (SELECT id FROM match_epochs WHERE valid_until <= $1)"
    await tx.run(f"DELETE FROM match_sets WHERE {over}", now)
    await tx.run(f"DELETE FROM match_messages WHERE {over}", now)
    await tx.run(
        "DELETE FROM match_statements WHERE ceremony IN (SELECT ceremony FROM match_epochs WHERE valid_until <= $1)",
        now,
    )
