"""A request's body: read within limits of size and time, decompressed within the same, parsed strictly.

What a guarded endpoint cannot read in exactly one way is refused: a second reading is where attacks hide.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import orjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from spiritsafe.gateway.headers import Fields, Pairs
    from spiritsafe.gateway.policy import Limits

    Receive = Callable[[], Awaitable[Any]]

_WINDOW = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}


class Refused(Exception):  # noqa: N818 - reads as the fact it states
    """The request cannot be taken; ``status`` and a machine-readable ``category`` say why.

    ``unread``: some of its body may be still to come.
    """

    def __init__(self, status: int, category: str, message: str, *, unread: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.category = category
        self.message = message
        self.unread = unread


class Gone(Exception):  # noqa: N818 - reads as the fact it states
    """The caller has left."""


async def whole(receive: Receive, fields: Fields, limits: Limits) -> bytes:
    """All of the body. Raises Refused (413 too large, 408 too slow) or Gone."""
    _announced(fields, limits)
    message = await receive() if not has_body(fields) else await _within(receive, limits.body_timeout)
    if message["type"] == "http.disconnect":
        raise Gone
    body = message.get("body", b"")
    if message.get("more_body", False):
        try:
            async with asyncio.timeout(limits.body_timeout):
                body = await _rest(receive, body, limits)
        except TimeoutError as error:
            raise Refused(408, "body_too_slow", "the body did not arrive in time") from error
    if len(body) > limits.body:
        raise _large(limits)
    return body


async def pieces(receive: Receive, limits: Limits) -> AsyncIterator[bytes]:
    """The body as it arrives, for paths that are not guarded: of any length, each piece in time. Raises Gone."""
    more = True
    while more:
        message = await _within(receive, limits.body_timeout)
        if message["type"] == "http.disconnect":
            raise Gone
        if message.get("body"):
            yield message["body"]
        more = message.get("more_body", False)


async def rest(receive: Receive, limits: Limits) -> None:
    """Take what is left of a refused body, and forget it, as long as a body may take."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limits.body_timeout):
            while (message := await receive())["type"] != "http.disconnect" and message.get(
                "more_body", False
            ):
                pass


def read(body: bytes, fields: Fields, headers: Pairs, limits: Limits) -> dict[str, Any]:
    """The one JSON object that a body is, once plain. Raises Refused."""
    return document(plain(body, fields, headers, limits), limits)


def plain(body: bytes, fields: Fields, headers: Pairs, limits: Limits) -> bytes:
    """The body without its content coding. Raises Refused (415 unknown coding, 413 a bomb, 400 broken)."""
    coding = fields.get(b"content-encoding", b"").strip().lower()
    if coding in {b"", b"identity"}:
        return body
    if coding not in _WINDOW or sum(name == b"content-encoding" for name, _ in headers) > 1:
        raise Refused(415, "content_encoding", "bodies are read plain, or coded once as gzip or deflate")
    reader = zlib.decompressobj(_WINDOW[coding])
    try:
        made = reader.decompress(body, limits.body + 1)
    except zlib.error as error:
        raise Refused(400, "content_encoding", "the body is not coded as it says") from error
    if len(made) > limits.body:
        raise _large(limits)
    if not reader.eof or reader.unused_data:
        raise Refused(400, "content_encoding", "the coded body has no clean end")
    return made


def document(body: bytes, limits: Limits) -> dict[str, Any]:
    """The one JSON object that the body is. Raises Refused (400)."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "not_json", f"the body is not JSON in UTF-8: {error.msg}"[:200]) from error
    if not isinstance(parsed, dict):
        raise Refused(400, "not_json", "the body is no JSON object")
    found = cast("dict[str, Any]", parsed)
    if body.count(b"{") + body.count(b"[") > limits.depth and not _shallow(found, limits.depth):
        raise Refused(400, "too_deep", f"the body is nested deeper than {limits.depth}")
    # Of two equal keys readers take the first, the last or neither. A body that is written as we would write it has
    # none; any other is looked at.
    if orjson.dumps(found) != body:
        json.loads(body, object_pairs_hook=_once)
    return found


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len({key for key, _ in pairs}) != len(pairs):
        raise Refused(400, "key_twice", "a JSON object holds a key twice")


def _shallow(parsed: dict[str, Any], depth: int) -> bool:
    level: list[Any] = [parsed]
    for _ in range(depth):
        below: list[Any] = []
        for one in level:
            below += one.values() if isinstance(one, dict) else one
        level = [one for one in below if isinstance(one, (dict, list))]
        if not level:
            return True
    return False


def _announced(fields: Fields, limits: Limits) -> None:
    length = fields.get(b"content-length")
    if length is not None and (not length.isdigit() or int(length[:20]) > limits.body):
        raise _large(limits, unread=True)


def has_body(fields: Fields) -> bool:
    """Whether a body is announced."""
    return fields.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in fields


async def _within(receive: Receive, seconds: float) -> Any:
    # Most bodies came with their heads: what is there at the first step needs no timer.
    coming = receive().__await__()
    try:
        waited = next(coming)
    except StopIteration as done:
        return done.value
    try:
        async with asyncio.timeout(seconds):
            return await _Begun(waited, coming)
    except TimeoutError as error:
        raise Refused(408, "body_too_slow", "the body did not arrive in time") from error


class _Begun(Generator[Any, Any, Any]):
    """What is left to await of ``coming``, whose first step is done and waits for ``waited``."""

    def __init__(self, waited: Any, coming: Generator[Any, Any, Any]) -> None:
        self._waited: list[Any] = [waited]
        self._coming = coming

    def __await__(self) -> _Begun:
        return self

    def send(self, value: Any) -> Any:
        return self._waited.pop() if self._waited else self._coming.send(value)

    def throw(self, *error: Any) -> Any:
        return self._coming.throw(*error)


async def _rest(receive: Receive, begun: bytes, limits: Limits) -> bytes:
    parts, size, more = [begun], len(begun), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
        if size > limits.body:
            raise _large(limits, unread=more)
    return b"".join(parts)


def _large(limits: Limits, *, unread: bool = False) -> Refused:
    return Refused(413, "body_too_large", f"the body is larger than {limits.body:,} bytes", unread=unread)
