"""What is behind the gateway: something that takes a request and gives a head and pieces of a body.

Two of them: another server over HTTP (``remote``), and an ASGI app in the same process (``mounted``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from spiritsafe.gateway.headers import Pairs


class Unreachable(Exception):  # noqa: N818 - reads as the fact it states
    """The upstream gave no head: nothing of an answer exists. ``slow`` when it was too late."""

    def __init__(self, reason: str, *, slow: bool = False) -> None:
        super().__init__(reason)
        self.slow = slow


class Broken(Exception):  # noqa: N818 - reads as the fact it states
    """The answer ended before its end."""


class Outgoing(NamedTuple):
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
