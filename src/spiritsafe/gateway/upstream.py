"""What is behind the gateway: something that takes a request and gives a head and pieces of a body.

Two of them: another server over HTTP (here), and an ASGI app in the same process (``mounted``).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from spiritsafe.gateway.headers import end_to_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from spiritsafe.gateway.headers import Pairs
    from spiritsafe.gateway.policy import Limits

BUFFER = 65_536  # bytes held of an answer before its sender is asked to wait; aiohttp stops at twice that


class Unreachable(Exception):  # noqa: N818 - reads as the fact it states
    """The upstream gave no head: nothing of an answer exists. ``slow`` when it was too late."""

    def __init__(self, reason: str, *, slow: bool = False) -> None:
        super().__init__(reason)
        self.slow = slow


class Broken(Exception):  # noqa: N818 - reads as the fact it states
    """The answer ended before its end."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it goes on: ``target`` is the raw path and query; ``body`` whole, or as it arrives."""

    method: str
    target: str
    headers: Pairs
    body: bytes | AsyncIterator[bytes] | None


class Answer(Protocol):
    """The head of an answer; ``read`` gives its next piece, ``b""`` at the end, and raises Broken."""

    status: int
    headers: Pairs

    async def read(self) -> bytes: ...  # noqa: D102

    def close(self) -> None:
        """Let go of it; a body that is not at its end is cancelled."""
        ...


class Upstream(Protocol):
    """Takes requests; raises Unreachable. ``host``: what its header field is to say; empty: as it came."""

    host: bytes

    async def send(self, outgoing: Outgoing) -> Answer: ...  # noqa: D102

    async def close(self) -> None: ...  # noqa: D102


class Remote:
    """Another server, over a pool of kept connections. Must be made inside the running loop."""

    def __init__(self, url: str, limits: Limits) -> None:
        self._base = url.rstrip("/")
        self._limits = limits
        self.host = urlsplit(url).netloc.encode()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limits.connections, keepalive_timeout=4.0, ttl_dns_cache=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            read_bufsize=BUFFER,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=limits.connect_timeout, sock_read=limits.answer_timeout
            ),
            max_line_size=65_536,
            max_field_size=65_536,
            requote_redirect_url=False,
            trust_env=False,
        )

    async def send(self, outgoing: Outgoing) -> Answer:
        """Send it; the answer's head. Raises Unreachable."""
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in outgoing.headers]
        try:
            response = await self._session.request(
                outgoing.method,
                URL(self._base + outgoing.target, encoded=True),
                headers=headers,
                data=outgoing.body,
                allow_redirects=False,
            )
        except TimeoutError as error:  # aiohttp's time-outs are ones, too
            raise Unreachable("upstream_timeout", slow=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable("upstream_unreachable") from error
        return _Remote(response, self._limits.idle_timeout)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


class _Remote:
    __slots__ = ("_idle", "_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, idle: float) -> None:
        self._response = response
        self._idle = idle
        self.status = response.status
        self.headers = end_to_end((name.lower(), value) for name, value in response.raw_headers)

    async def read(self) -> bytes:
        content = self._response.content
        try:
            async with asyncio.timeout(self._idle):
                return await content.readany()
        except TimeoutError as error:
            raise Broken("upstream_timeout") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Broken("upstream_died") from error

    def close(self) -> None:
        if self._response.content.is_eof():
            self._response.release()
        else:
            self._response.close()
