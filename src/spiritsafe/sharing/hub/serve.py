"""Serves the hub: uvicorn, with what it lacks. Client certificates reach the app, and a connection that says nothing ends.

uvicorn bounds the number of connections and the pause between two requests of one, but neither the time a request's head
may take (slow loris) nor hands it on the certificate of the other side; both are done here, in a subclass of its protocol.
"""

from __future__ import annotations

import signal
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Generator
    from pathlib import Path

    from spiritsafe.sharing.hub.app import HubApp

HEAD_SECONDS: Final = 10.0
"""Seconds from a connection's begin, or an answer's end, to the whole head of a request. Also for the TLS handshake."""
SWITCH: Final = 0.0005
"""Seconds until a thread that computes lets another go on: with Python's five milliseconds, a request that needs the loop and two
threads would wait for each of them while somebody's large batch is checked."""
HEAD_BYTES: Final = 65_536
"""Bytes of a request's head."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen, and with which certificate; without one only other machines' proxies should see it.

    ``clients`` is a file of certificate authorities whose certificates members may show (mTLS).
    """

    host: str = "127.0.0.1"
    port: int = 8443
    certificate: Path | None = None
    key: Path | None = None
    clients: Path | None = None
    connections: int = 512


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with the other side's certificate and an end to patience."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as its base
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._chain = _chain(transport)
        self._head = 0
        self._deadline: asyncio.TimerHandle | None = self.loop.call_later(HEAD_SECONDS, self._silent)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._heard()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bound the head of a request."""
        waiting = self._deadline is not None
        super().data_received(data)
        if waiting and self._deadline is not None:
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self._silent()

    def on_message_begin(self) -> None:
        """A request begins, perhaps with its first letter only."""
        super().on_message_begin()
        if self._chain:
            self.scope["extensions"] = {"tls": {"client_cert_chain": self._chain}}
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._silent)

    def on_headers_complete(self) -> None:
        """Its head is here."""
        self._heard()
        super().on_headers_complete()

    def _heard(self) -> None:
        self._head = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _silent(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.abort()


class Server(uvicorn.Server):
    """uvicorn's server; a signal to end is an end as wanted, and is not raised again."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """End on SIGTERM and SIGINT, in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {one: signal.signal(one, self.handle_exit) for one in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


def server(app: HubApp, address: Address) -> Server:
    """A server that is ready to run. Raises UsageError for certificates that cannot be used."""
    return Server(
        uvicorn.Config(
            app,
            host=address.host,
            port=address.port,
            http=Protocol,
            ws="none",
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=address.connections,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=20,
            backlog=256,
            ssl_context_factory=_context(address),
        )
    )


def _context(address: Address) -> Any:
    if address.certificate is None:
        if address.clients is not None:
            raise UsageError("client certificates need a certificate of the hub", where="certificate")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(address.certificate, address.key)
        if address.clients is not None:
            # Asked for, not demanded: a member may also show who it is with a token. What is shown must verify.
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(address.clients)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(
            f"the certificates cannot be used: {error.strerror or error}", where=str(address.certificate)
        ) from error
    return lambda config, default: context  # noqa: ARG005 - as uvicorn calls it


def _chain(transport: asyncio.Transport) -> list[str]:
    """The verified certificate of the other side, PEM; nothing without TLS or without one."""
    connection = transport.get_extra_info("ssl_object")
    der = connection.getpeercert(binary_form=True) if connection is not None else None
    return [ssl.DER_cert_to_PEM_cert(der)] if der else []
