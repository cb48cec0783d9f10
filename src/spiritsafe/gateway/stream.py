"""A stream of server-sent events with its artefacts wrapped; every event without one goes through byte for byte.

Events end at an empty line, whatever the line ends are (WHATWG HTML, section 9.2). Bytes may be cut anywhere.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from spiritsafe.gateway.walker import Issuer

_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")
#: The longest event: a whole response of the largest models is far below.
MOST = 64 << 20


class Stream:
    """Feed it what arrives; it gives what may go on. ``broken``: an event had no end within ``MOST`` bytes."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._buffer = bytearray()
        #: What a line feed becomes that follows at once: the second half of the last event's end.
        self._half: bytes | None = None
        self.broken = False

    def feed(self, chunk: bytes) -> bytes:
        """The events that are complete with ``chunk``, as they go to the caller."""
        if self.broken:
            return b""
        out: list[bytes] = []
        if chunk and self._half is not None:
            if chunk.startswith(b"\n"):
                out.append(self._half)
                chunk = chunk[1:]
            self._half = None
        look = max(0, len(self._buffer) - 3)
        self._buffer += chunk
        start = 0
        while end := _END.search(self._buffer, max(start, look)):
            raw = bytes(self._buffer[start : end.end()])
            out.append(self._event(raw))
            start = end.end()
            if start == len(self._buffer) and raw.endswith(b"\r"):
                self._half = b"\n" if out[-1].endswith(raw) else b""
        del self._buffer[:start]
        if len(self._buffer) > MOST:
            self.broken = True
            self._buffer.clear()
        return b"".join(out)

    def end(self) -> bytes:
        """What is left when the upstream is done.

        An event that was cut short is dropped, as every client would: half an artefact must not go out unbound.
        """
        rest = bytes(self._buffer)
        self._buffer.clear()
        data = _data(rest)
        if self.broken or (
            rest[-1:] not in b"\r\n" and data not in {b"", b"[DONE]"} and _parsed(data) is None
        ):
            return b""
        return self._event(rest)

    def _event(self, raw: bytes) -> bytes:
        if not self._issuer.needs(raw):
            return raw
        document = _parsed(_data(raw))
        changed = None if document is None else self._issuer.event(document)
        if changed is None or (len(changed) == 1 and changed[0] is document):
            return raw
        lines = [line for line in _LINE.split(raw) if line]
        kept = b"".join(line + b"\n" for line in lines if not line.startswith((b"data:", b"event:")))
        named = any(line.startswith(b"event:") for line in lines)
        return b"".join(
            raw if one is document else _framed(one, kept, named=named, last=one is changed[-1])
            for one in changed
        )


def _parsed(data: bytes) -> Any:
    """The document, or None. Strict first; what only a lenient server writes (NaN, lone surrogates) is read too."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            return None


def _written(document: Any) -> bytes:
    try:
        return orjson.dumps(document)
    except TypeError:
        return json.dumps(document, separators=(",", ":")).encode()


def _framed(document: Any, kept: bytes, *, named: bool, last: bool) -> bytes:
    head = b"event: " + str(document.get("type")).encode() + b"\n" if named else b""
    return head + (kept if last else b"") + b"data: " + _written(document) + b"\n\n"


def _data(raw: bytes) -> bytes:
    lines = [line[5:] for line in _LINE.split(raw) if line.startswith(b"data:")]
    return b"\n".join(line.removeprefix(b" ") for line in lines)
