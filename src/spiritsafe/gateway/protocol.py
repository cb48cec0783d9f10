"""uvicorn's protocol with bounds on a request's head, which it lacks: how large it may be, and how long it may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from spiritsafe.gateway.joined import Joined

if TYPE_CHECKING:
    import asyncio

LARGEST = 65_536
"""Bytes of a head, beyond the piece it begins in."""


class Bounded(HttpToolsProtocol):
    """``head_since``: the loop's time when a head was begun to be waited for; None while none is."""

    head_since: float | None = None
    _head_bytes = 0
    _begun = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new connection owes its first head."""
        super().connection_made(cast("asyncio.Transport", Joined(transport, self.loop)))
        self.head_since = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Read a piece, and count it when it ended inside a head."""
        self._begun = False
        super().data_received(data)
        if self.head_since is not None and not self._begun:
            self._head_bytes += len(data)
            if self._head_bytes > LARGEST:
                self.refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self.head_since, self._head_bytes, self._begun = self.loop.time(), 0, True

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self.head_since = None
        super().on_headers_complete()

    def refuse(self, status: bytes) -> None:
        """Answer and close, unless an answer is under way on this connection: then only close."""
        if self.transport.is_closing():
            return
        if not self.cycle or self.cycle.response_complete:
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            )
        self.transport.close()
