"""Header fields that go on and those that end here (RFC 9110, section 7.6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Pairs = list[tuple[bytes, bytes]]

#: Fields about one connection; `expect` is answered here, `content-length` and `transfer-encoding` are made anew.
HOP = frozenset(
    (
        b"connection",
        b"expect",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)


def end_to_end(pairs: Iterable[tuple[bytes, bytes]]) -> Pairs:
    """The fields that travel the whole way, in order, duplicates included; names are lower case already."""
    kept: Pairs = []
    named: list[bytes] = []
    for pair in pairs:
        if pair[0] in HOP:
            if pair[0] == b"connection":
                named += [token.strip().lower() for token in pair[1].split(b",")]
        else:
            kept.append(pair)
    # What `connection` names ends here, too; but nobody may name away what frames or routes a message.
    gone = {name for name in named if name not in {b"", b"close", b"keep-alive", b"host", b"content-length"}}
    return [pair for pair in kept if pair[0] not in gone] if gone else kept


def first(pairs: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of the first field called ``name``."""
    for key, value in pairs:
        if key == name:
            return value
    return None
