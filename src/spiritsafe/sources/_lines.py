"""Blocks of bytes -> arrays of lines with their numbers: numpy and Arrow only, never a loop over lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.sources._blocks import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spiritsafe.engine.duckdb import DuckDB
    from spiritsafe.sources._blocks import Span

#: One record may be this long; a longer one is set aside, so that a file without line ends cannot fill memory.
LONGEST = 256 << 20

_NEWLINE = 10
BOM = b"\xef\xbb\xbf"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()
_ESCAPE = re.compile(
    rb"\\(?:(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Lines:
    """Neighbouring lines of one file: ``raw`` ends each with its newline; the first has number ``first``, from 1.

    ``reason`` is set when this is one line that cannot be a record at all (and ``raw`` only its beginning).
    ``position`` is how far the file itself has been read, in bytes.
    """

    first: int
    raw: pa.BinaryArray
    position: int
    reason: str | None = None


def lines(path: str, rows: int, span: Span | None = None, first: int = 1) -> Iterator[Lines]:
    """The lines of a file in pieces of at most ``rows`` lines and about a block of bytes. Same errors as ``blocks``.

    With ``span`` only the lines that begin in it; ``first`` is then the number of the first of them.
    """
    number, position, carried, overlong = first, 0, 0, False
    carry: list[bytes] = []  # the line that the last block ended in
    for index, (whole, position) in enumerate(blocks(path, span=span)):
        marked = index == 0 and not (span and span[0]) and bytes(memoryview(whole)[:3]) == BOM
        block = whole.slice(len(BOM)) if marked else whole
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE).astype(np.int32) + np.int32(1)
        if len(ends):
            overlong = overlong or carried + int(ends[0]) > LONGEST
            carry.append(block.slice(0, int(ends[0])).to_pybytes())
            yield (
                _overlong(number, carry, position)
                if overlong
                else Lines(number, split(b"".join(carry)), position)
            )
            for start in range(0, len(ends) - 1, rows):
                offsets = ends[start : start + rows + 1]
                yield Lines(number + 1 + start, _array(offsets, block), position)
            number, carried, overlong = number + len(ends), 0, False
            carry.clear()
            block = block.slice(int(ends[-1]))
        carried += block.size
        if carried <= LONGEST:
            carry.append(block.to_pybytes())
        overlong = carried > LONGEST
    if carried:
        carry.append(b"\n")
        yield (
            _overlong(number, carry, position)
            if overlong
            else Lines(number, split(b"".join(carry)), position)
        )


def _overlong(number: int, carry: list[bytes], position: int) -> Lines:
    reason = f"the record is longer than {LONGEST >> 20} MB"
    return Lines(number, pa.array([b"".join(carry)[:8000]], pa.binary()), position, reason)


def _array(offsets: np.ndarray, data: object) -> pa.BinaryArray:
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)


def split(body: bytes) -> pa.BinaryArray:
    """Bytes that end with a newline -> one element a line, newline included, without a copy."""
    ends = np.flatnonzero(np.frombuffer(body, np.uint8) == _NEWLINE).astype(np.int32) + np.int32(1)
    return _array(np.concatenate((np.zeros(1, np.int32), ends)), body)


def text(raw: pa.BinaryArray) -> tuple[pa.StringArray, np.ndarray]:
    """Lines as valid text, and which of them were repaired (bool, one a line).

    Invalid UTF-8 and raw NUL bytes become U+FFFD. Each line must end with its newline.
    """
    untouched = np.zeros(len(raw), bool)
    if not len(raw):
        return raw.cast(pa.string()), untouched
    offsets = np.frombuffer(raw.buffers()[1], np.int32)[raw.offset : raw.offset + len(raw) + 1]
    body = raw.buffers()[2].slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
    if np.frombuffer(body, np.uint8).all():
        try:
            return raw.cast(pa.string()), untouched
        except pa.ArrowInvalid:
            pass
    # Python replaces an ill-formed sequence without touching the ASCII bytes after it, so newlines stay in place.
    plain = body.to_pybytes().replace(b"\0", _REPLACEMENT).decode("utf-8", "replace").encode()
    fixed = split(plain)
    changed = pc.not_equal(fixed, raw).to_numpy(zero_copy_only=False)
    return fixed.cast(pa.string()), changed


def mend_surrogates(raw: pa.StringArray, engine: DuckDB) -> tuple[pa.StringArray, np.ndarray]:
    r"""Replace halves of UTF-16 pairs (``\ud83d`` alone), which JSON cannot mean, by ``\ufffd``; say which lines.

    Loggers that cut text by UTF-16 units write them. Only lines that are not valid JSON for that are touched.
    """
    changed = np.zeros(len(raw), bool)
    suspect = pc.match_substring_regex(raw, r"\\u[dD][89a-fA-F]").to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(suspect)
    if not len(rows):
        return raw, changed
    engine.register("suspects", pa.table({"row": rows, "raw": raw.take(pa.array(rows))}))
    broken = engine.table("SELECT row, raw FROM suspects WHERE NOT json_valid(raw) ORDER BY row")
    engine.unregister("suspects")
    if not len(broken):
        return raw, changed
    rows = broken["row"].to_numpy()
    joined = b"".join(value.encode() for value in broken["raw"].to_pylist())
    mended = split(_ESCAPE.sub(_replace, joined)).cast(pa.string())
    changed[rows] = pc.not_equal(mended, broken["raw"].combine_chunks()).to_numpy(zero_copy_only=False)
    mask = np.zeros(len(raw), bool)
    mask[rows] = True
    return pc.replace_with_mask(raw, pa.array(mask), mended), changed


def _replace(match: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if match[2] else match[0]


def blank(raw: pa.StringArray) -> np.ndarray:
    """Which lines hold white space only."""
    lengths: Any = pc.binary_length(raw)
    starts = pc.utf8_slice_codeunits(raw, 0, 1)
    doubtful = pc.or_(pc.less(lengths, 3), pc.utf8_is_space(starts)).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(doubtful)
    result = np.zeros(len(raw), bool)
    if len(rows):
        trimmed = pc.utf8_trim_whitespace(raw.take(pa.array(rows)))
        result[rows] = pc.equal(trimmed, "").to_numpy(zero_copy_only=False)
    return result
