"""One exchange at a time: the sketch that the gateway takes of a request, and its text form for the log.

Bit-equal to ``features.sketch`` on a batch with that row. No Arrow: arrays of an ``Inline`` are used again for each call.
"""

from __future__ import annotations

import base64
import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.features import _print, _rules, _scan, kernel
from spiritsafe.features._packed import FIXED, HEAD, padded
from spiritsafe.features._span import LIMIT, Text

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROOM = 1 << 16
"""Bytes of text that the lasting arrays hold; a longer text gets arrays of its own."""
_SYSTEMS, _SYSTEM_BYTES = 1024, 4 << 20
"""System texts whose fingerprints are kept: how many, and how many bytes of text at most."""
_NOTHING = np.zeros(0, np.uint64)
_LAYOUT = struct.Struct("<6Q4iB")
assert _LAYOUT.size + _print.DIMENSIONS == FIXED  # noqa: S101 - two files describe one layout


@dataclass(frozen=True, slots=True)
class Sketch:
    """What is kept of one exchange's text. Hashes are ints, anchors sorted uint64 arrays, 0 means "nothing".

    ``bands`` uint64 (32,) where they were asked for, else None.
    """

    exact: int
    skeleton: int
    item: int
    marks: int
    anchors: NDArray[np.uint64]
    projection: bytes
    prompt_chars: int
    tokens: int
    lines: int
    script: int
    system_marks: int
    system_skeleton: int
    system_anchors: NDArray[np.uint64]
    bands: NDArray[np.uint64] | None = None

    def pack(self, response_chars: int | None = None) -> str:
        """The value of the canonical column ``sketch``: see ``_packed``. ``response_chars``: None without an answer."""
        many, system = self.anchors.size, self.system_anchors.size
        fixed = _LAYOUT.pack(
            self.exact,
            self.skeleton,
            self.item,
            self.marks,
            self.system_marks,
            self.system_skeleton,
            self.prompt_chars,
            self.tokens,
            self.lines,
            -1 if response_chars is None else response_chars,
            self.script,
        )
        whole = fixed + self.projection + self.anchors.tobytes() + self.system_anchors.tobytes()
        body = base64.b64encode(whole.ljust(padded(many + system), b"\0"))
        return HEAD.format(many=many, system=system) + body.decode("ascii")


class Inline:
    """Takes sketches, one at a time. Not for use by several threads at once.

    The first call loads the compiled kernel; ``warm`` does so ahead of any request.
    """

    def __init__(self) -> None:
        self._rules = _rules.shipped()
        self._room = _Room(_ROOM)
        self._systems: OrderedDict[str, tuple[int, int, NDArray[np.uint64]]] = OrderedDict()
        self._system_bytes = 0

    def warm(self) -> None:
        """Load what the first request would otherwise wait for."""
        self.sketch("Say 1 to warm up.", "Be brief.", minhash=True)

    def sketch(self, prompt: str, system: str | None = None, *, minhash: bool = False) -> Sketch:
        """The sketch of a request's last user message and its system text."""
        room, size = self._read(prompt)
        heads = room.tokens.heads[:2]
        _print.anchors(
            room.tokens.masked, room.tokens.dense, heads, 0, room.tokens.prints, room.found, room.ends
        )
        anchors = room.found[: room.ends[1]].copy()
        _print.project(room.tokens.masked, heads, room.projection)
        bands = None
        if minhash:
            _print.minhash(room.tokens.masked, heads, *kernel.lanes(), room.signature)
            bands = kernel.bands(room.signature)[0] if size else np.zeros(_print.BANDS, np.uint64)
        about, counts, projection = room.about.tolist(), room.counts[0].tolist(), room.projection.tobytes()
        system_marks, system_skeleton, system_anchors = self._system(system) if system else (0, 0, _NOTHING)
        return Sketch(
            exact=about[0],
            skeleton=about[1],
            item=about[2],
            marks=about[3],
            anchors=anchors,
            projection=projection,
            prompt_chars=counts[_scan.CHARS],
            tokens=counts[_scan.TOKENS],
            lines=counts[_scan.LINES],
            script=counts[_scan.SCRIPT],
            system_marks=system_marks,
            system_skeleton=system_skeleton,
            system_anchors=system_anchors,
            bands=bands,
        )

    def _read(self, text: str) -> tuple[_Room, int]:
        """Scan and mask one text; its hashes and counts are left in the room that is returned."""
        data = text.encode("utf-8", "replace")
        size = min(len(data), LIMIT)
        room = self._room if size <= _ROOM else _Room(size)
        room.reach[1] = size
        piece = Text(np.frombuffer(data or b"\0", np.uint8), room.reach[:1], room.reach[1:])
        room.counts[:] = 0
        room.about[:] = 0
        about = room.about
        kernel.read(piece, room.tokens, self._rules, room.counts, about[0:1], about[3:4])
        kernel.mask(piece, room.tokens, about[1:2], about[2:3])
        return room, size

    def _system(self, text: str) -> tuple[int, int, NDArray[np.uint64]]:
        known = self._systems.get(text)
        if known is not None:
            self._systems.move_to_end(text)
            return known
        room, _ = self._read(text)
        tokens = room.tokens
        _print.anchors(
            tokens.masked,
            tokens.dense,
            tokens.heads[:2],
            kernel.SYSTEM_ANCHORS,
            tokens.prints,
            room.found,
            room.ends,
        )
        _, skeleton, _, marks = room.about.tolist()
        told = (marks, skeleton, room.found[: room.ends[1]].copy())
        if len(text) <= _ROOM:
            self._systems[text] = told
            self._system_bytes += len(text)
        while len(self._systems) > _SYSTEMS or self._system_bytes > _SYSTEM_BYTES:
            self._system_bytes -= len(self._systems.popitem(last=False)[0])
        return told


class _Room:
    """Arrays for one text of at most ``size`` bytes."""

    def __init__(self, size: int) -> None:
        whole = Text(np.zeros(1, np.uint8), np.zeros(1, np.int64), np.full(1, size, np.int64))
        self.tokens = kernel.Tokens.room([whole])
        self.reach = np.zeros(2, np.int64)
        self.counts = np.zeros((1, 4), np.int32)
        self.about = np.zeros(4, np.uint64)
        self.found = np.empty(kernel.SLACK, np.uint64)
        self.ends = np.zeros(2, np.int32)
        self.projection: Any = np.zeros((1, _print.DIMENSIONS), np.int8)
        self.signature = np.empty((1, _print.LANES), np.uint32)
