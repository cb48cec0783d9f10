"""One exchange at a time: the sketch that the gateway takes of a request, and its text form for the log.

Bit-equal to ``features.sketch`` on a batch with that row. No Arrow: arrays of an ``Inline`` are used again for each call.
"""

from __future__ import annotations

import base64
import struct
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spiritsafe.features import _mask, _match, _print, _rules, _scan, characters, kernel
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
_ABOUT = struct.Struct("=4Q4i2i")
"""What the kernel tells of a text: exact, skeleton, item and marks, the counts in the order of ``_scan``, anchors' ends."""
assert _LAYOUT.size + _print.DIMENSIONS == FIXED  # noqa: S101 - two files describe one layout


class Sketch(NamedTuple):
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
        self._room = _Room(_ROOM, self._rules)
        self._systems: OrderedDict[str, tuple[int, int, NDArray[np.uint64]]] = OrderedDict()
        self._system_bytes = 0

    def warm(self) -> None:
        """Load what the first request would otherwise wait for."""
        self.sketch("Say 1 to warm up.", "Be brief.", minhash=True)

    def sketch(self, prompt: str, system: str | None = None, *, minhash: bool = False) -> Sketch:
        """The sketch of a request's last user message and its system text."""
        room, size = self._read(prompt)
        exact, skeleton, item, marks, lines, chars, tokens, script, anchors = self._fingerprints(room, 0)
        _print.project(room.tokens.masked, room.heads, room.projection)
        bands = None
        if minhash:
            _print.minhash(room.tokens.masked, room.heads, *kernel.lanes(), room.signature)
            bands = kernel.bands(room.signature)[0] if size else np.zeros(_print.BANDS, np.uint64)
        projection = room.projection.tobytes()
        system_marks, system_skeleton, system_anchors = self._system(system) if system else (0, 0, _NOTHING)
        return Sketch(
            exact, skeleton, item, marks, anchors, projection, chars, tokens, lines, script,
            system_marks, system_skeleton, system_anchors, bands,
        )  # fmt: skip

    def _read(self, text: str) -> tuple[_Room, int]:
        """Scan and mask one text; its hashes and counts are left in the room that is returned."""
        data = text.encode("utf-8", "replace")
        size = min(len(data), LIMIT)
        room = self._room if size <= _ROOM else _Room(size, self._rules)
        room.reach[1] = size
        room.counts.fill(0)
        room.about.fill(0)
        _scan.scan(np.frombuffer(data or b"\0", np.uint8), *room.scan)
        _match.match(*room.match)
        _mask.mask(*room.mask)
        return room, size

    @staticmethod
    def _fingerprints(room: _Room, most: int) -> tuple[Any, ...]:
        """What the kernel told of the text in the room, its anchors (at most ``most``, 0: all) the last."""
        tokens = room.tokens
        _print.anchors(tokens.masked, tokens.dense, room.heads, most, tokens.prints, room.found, room.ends)
        told = _ABOUT.unpack_from(room.told)
        return *told[:8], room.found[: told[9]].copy()

    def _system(self, text: str) -> tuple[int, int, NDArray[np.uint64]]:
        known = self._systems.get(text)
        if known is not None:
            self._systems.move_to_end(text)
            return known
        room, _ = self._read(text)
        _, skeleton, _, marks, *_, found = self._fingerprints(room, kernel.SYSTEM_ANCHORS)
        told = (marks, skeleton, found)
        if len(text) <= _ROOM:
            self._systems[text] = told
            self._system_bytes += len(text)
        while len(self._systems) > _SYSTEMS or self._system_bytes > _SYSTEM_BYTES:
            self._system_bytes -= len(self._systems.popitem(last=False)[0])
        return told


class _Room:
    """Arrays for one text of at most ``size`` bytes, and the kernel's calls with them: slices are made once."""

    def __init__(self, size: int, rules: _rules.Tables) -> None:
        whole = Text(np.zeros(1, np.uint8), np.zeros(1, np.int64), np.full(1, size, np.int64))
        tokens = self.tokens = kernel.Tokens.room([whole])
        self.reach = np.zeros(2, np.int64)
        self.told = bytearray(_ABOUT.size)
        about = self.about = np.frombuffer(self.told, np.uint64, 4)
        self.counts = np.frombuffer(self.told, np.int32, 4, 32).reshape(1, 4)
        self.ends = np.frombuffer(self.told, np.int32, 2, 48)
        self.found = np.empty(kernel.SLACK, np.uint64)
        self.projection: Any = np.zeros((1, _print.DIMENSIONS), np.int8)
        self.signature = np.empty((1, _print.LANES), np.uint32)
        self.heads = tokens.heads[:2]
        firsts, exact, skeleton, item, marks = (
            tokens.firsts[:2],
            about[:1],
            about[1:2],
            about[2:3],
            about[3:4],
        )
        self.scan = (
            self.reach[:1], self.reach[1:], characters.table(), rules.stems, tokens.text, tokens.hashes, tokens.kinds,
            tokens.spans, tokens.stems, firsts, self.counts, exact, marks,
        )  # fmt: skip
        self.match = (
            tokens.hashes, tokens.kinds, firsts, tokens.stems, rules.stems[3], rules.links, rules.trie, marks,
        )  # fmt: skip
        self.mask = (
            tokens.hashes, tokens.kinds, firsts, tokens.partners, tokens.slots, tokens.masked, tokens.dense,
            self.heads, skeleton, item,
        )  # fmt: skip
