"""Serves the console: uvicorn, bounded."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import uvicorn

from spiritsafe.console import app
from spiritsafe.errors import UsageError
from spiritsafe.sharing.hub.serve import Server

if TYPE_CHECKING:
    from spiritsafe.console.settings import Settings


def listening(settings: Settings) -> socket.socket:
    """The socket to serve on. Raises UsageError when the address is taken or is not this machine's."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise UsageError(
            f"cannot listen here: {error.strerror or error}",
            where=f"{settings.host}:{settings.port}",
            hint="is another console running? --listen names another address",
        ) from error


def server(settings: Settings) -> uvicorn.Server:
    """A server that is ready to run. Raises UsageError for certificates that cannot be used."""
    if settings.certificate is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.certificate, settings.key)
        except (ssl.SSLError, OSError) as error:
            raise UsageError(
                f"the certificate cannot be used: {error.strerror or error}", where=str(settings.certificate)
            ) from error
    return Server(
        uvicorn.Config(
            app.made(settings),
            host=settings.host,
            port=settings.port,
            ws="none",
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=256,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=10,
            h11_max_incomplete_event_size=65_536,
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.key,
        )
    )
