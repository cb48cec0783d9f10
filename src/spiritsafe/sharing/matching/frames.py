"""How statements and long byte strings travel together: one line of JSON, then the bytes, as long as the line says.

Base64 inside JSON would make a member's tags a third longer.
"""

from __future__ import annotations

from typing import Any, cast

import orjson

from spiritsafe.attest.canonical import read
from spiritsafe.errors import AttestError, SharingError

MEDIA = "application/vnd.spiritsafe.match"
_LINE = 4 * 2**20
_PARTS = 4_096


def pack(header: dict[str, Any], *parts: bytes) -> bytes:
    """A header and the parts that follow it."""
    return b"".join((orjson.dumps({**header, "parts": [len(one) for one in parts]}), b"\n", *parts))


def unpack(data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The header and its parts. Raises SharingError."""
    end = data.find(b"\n", 0, _LINE)
    if end < 0:
        raise SharingError("a message begins with one line of JSON")
    try:
        header = read(data[:end], depth=16)
    except AttestError as error:
        raise SharingError(f"the header is malformed: {error.message}") from None
    fields = cast("dict[str, Any]", header) if isinstance(header, dict) else {}
    sizes = fields.pop("parts", None)
    if not isinstance(sizes, list) or len(cast("list[Any]", sizes)) > _PARTS:
        raise SharingError("the header says how long its parts are")
    parts: list[bytes] = []
    at = end + 1
    for size in cast("list[Any]", sizes):
        if type(size) is not int or not 0 <= size <= len(data) - at:
            raise SharingError("the header does not fit its parts")
        parts.append(data[at : at + size])
        at += size
    if at != len(data):
        raise SharingError("the header does not fit its parts")
    return fields, parts
