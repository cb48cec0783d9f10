"""Servers on loopback that speak S3, and this process pointed at them for as long as a test takes."""

from __future__ import annotations

from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from spiritsafe.sources import _buckets

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator

SECRET = "s3cr3t-of-the-store"  # noqa: S105 - of a server that lives as long as a test


@contextmanager
def pointed(patch: pytest.MonkeyPatch, server: str) -> Generator[None]:
    """Ask ``server`` for all that is in object storage."""
    patch.setenv("AWS_ENDPOINT_URL", server)
    patch.setenv("AWS_ACCESS_KEY_ID", "key-of-the-store")
    patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    patch.setenv("AWS_REGION", "eu-central-1")
    _buckets._store.cache_clear()
    try:
        yield
    finally:
        _buckets._store.cache_clear()


@contextmanager
def running(patch: pytest.MonkeyPatch) -> Generator[tuple[Any, Any]]:
    """A whole store: the server, and a client that puts things into it."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        with pointed(patch, f"http://{host}:{port}"):
            yield server, boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    finally:
        server.stop()


@contextmanager
def answering(
    patch: pytest.MonkeyPatch, handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None
) -> Generator[None]:
    """A server that answers as ``handler`` does."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            with pointed(patch, f"{'https' if tls else 'http'}://localhost:{server.server_port}"):
                yield
        finally:
            server.shutdown()


def create(client: Any, name: str) -> None:
    """Make a bucket."""
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})


class Quiet(BaseHTTPRequestHandler):
    """Writes no line for each request."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: ARG002 - the base class's signature
        return
