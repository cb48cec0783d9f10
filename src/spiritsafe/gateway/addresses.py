"""Addresses in a policy or on the command line: of servers, and to listen on."""

from __future__ import annotations

from urllib.parse import urlsplit

from spiritsafe.errors import UsageError


def checked_url(text: str, where: str) -> str:
    """The address of a server. Raises UsageError with ``where``."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
        raise UsageError(
            f"{text!r} makes no sense: an address such as http://127.0.0.1:8000 is needed", where=where
        )
    return text.rstrip("/")


def checked_address(text: str, where: str) -> str:
    """Where to listen. Raises UsageError with ``where``."""
    try:
        address(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} makes no sense: host:port or unix:/path is needed", where=where
        ) from error
    return text


def address(text: str) -> tuple[str, int] | str:
    """``host:port`` as a pair, ``unix:/path`` as the path. Raises ValueError."""
    if text.startswith("unix:/"):
        return text.removeprefix("unix:")
    host, colon, port = text.rpartition(":")
    if not colon or not host or not 0 <= int(port) < 65_536:
        raise ValueError(text)
    return host.strip("[]"), int(port)
