"""Opaque identifiers and addresses as text, made a column at a time."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spiritsafe.simulate._timing import DAY, SECOND
from spiritsafe.simulate._world import mix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_HEX = np.array([f"{byte:02x}".encode() for byte in range(256)], dtype="S2").view(np.uint16)

_DIGITS = np.array([f"{number:02}".encode() for number in range(100)], dtype="S2").view(np.uint16)


@cache
def _pairs() -> Any:
    """Both halves of an address as text: entry ``n`` is "a.b." and entry ``65536 + n`` is "c.d"."""
    halves = [f"{pair >> 8}.{pair & 255}" for pair in range(65_536)]
    return pa.array([f"{half}." for half in halves] + halves)


def identifiers(prefix: str, codes: Ints, salt: int) -> Any:
    """Opaque identifiers of codes (-1 is null): ``prefix`` and 16 hexadecimal digits."""
    valid = codes >= 0
    known = codes if valid.all() else codes[valid]
    head = len(prefix)
    text = np.empty((len(known), head + 16), dtype=np.uint8)
    text[:, :head] = np.frombuffer(prefix.encode(), np.uint8)
    mixed = mix(known.astype(np.uint64), salt).astype(">u8").view(np.uint8)
    text[:, head:] = _HEX[mixed].view(np.uint8).reshape(-1, 16)
    offsets = np.zeros(len(codes) + 1, dtype=np.int32)
    np.cumsum(valid, out=offsets[1:])
    return strings(offsets * np.int32(head + 16), text, valid=valid)


def dotted(addresses: Ints) -> Any:
    """IPv4 addresses as text (-1 is null)."""
    known = np.maximum(addresses, 0)
    halves = np.stack([known >> 16, (known & 65_535) + 65_536], axis=1)
    text = _pairs().take(pa.array(halves.ravel()))
    ends = np.frombuffer(text.buffers()[1], np.int32)[: 2 * len(addresses) + 1 : 2]
    return strings(np.ascontiguousarray(ends), text.buffers()[2], valid=addresses >= 0)


def stamps(microseconds: Ints) -> Any:
    """Times since the epoch (UTC) as RFC 3339 text with microseconds."""
    day, within = np.divmod(microseconds, DAY)
    days, place = np.unique(day, return_inverse=True)
    dates = np.datetime_as_string(days.astype("datetime64[D]")).astype("S10")
    text = np.empty((len(microseconds), 27), dtype=np.uint8)
    text[:, :10] = dates.view(np.uint8).reshape(-1, 10)[place]
    second, fraction = np.divmod(within, SECOND)
    for at, number in (
        (11, second // 3_600), (14, second // 60 % 60), (17, second % 60),
        (20, fraction // 10_000), (22, fraction // 100 % 100), (24, fraction % 100),
    ):  # fmt: skip
        text[:, at : at + 2] = _DIGITS[number].view(np.uint8).reshape(-1, 2)
    for at, mark in ((10, "T"), (13, ":"), (16, ":"), (19, "."), (26, "Z")):
        text[:, at] = ord(mark)
    return strings(np.arange(len(microseconds) + 1, dtype=np.int32) * np.int32(27), text)


def strings(offsets: NDArray[np.int32], text: Any, *, valid: NDArray[np.bool_] | None = None) -> Any:
    """A string array over bytes that are there already; rows that are not valid are null."""
    size = len(offsets) - 1
    bits = None
    if valid is not None and not valid.all():
        bits = pa.py_buffer(np.packbits(valid, bitorder="little"))
    data = text if isinstance(text, pa.Buffer) else pa.py_buffer(text)
    return pa.StringArray.from_buffers(size, pa.py_buffer(offsets), data, bits)
