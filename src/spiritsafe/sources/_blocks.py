"""A file -> blocks of its decompressed bytes; compression told from the first bytes, not from the name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spiritsafe.errors import InputChanged, InputError
from spiritsafe.sources import _buckets

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes of text handed on at a time: large enough to keep the engine busy, small enough for several in flight.
BLOCK = 16 << 20

Span = tuple[int, int]
"""From the first number up to but without the second: bytes of a file of lines, or row groups of a Parquet file."""

_NEWLINE, _NEAR = 10, 1 << 16
_COMPRESSION = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


def compression(path: str) -> str | None:
    """``gzip``, ``zstd`` or None, from the file's first bytes. Raises InputError or InputChanged."""
    start = _start(path)
    return next((name for magic, name in _COMPRESSION.items() if start.startswith(magic)), None)


def _start(path: str) -> bytes:
    try:
        if _buckets.remote(path):
            with _buckets.opened(path) as file:
                return file.read(4)
        with Path(path).open("rb") as file:
            return file.read(4)
    except FileNotFoundError as error:
        raise InputChanged("the file vanished before it was read", where=path) from error
    except OSError as error:
        _buckets.blame(path, error)
        raise InputError(f"cannot read: {error.strerror}", where=path) from error


def blocks(path: str, size: int = BLOCK, span: Span | None = None) -> Iterator[tuple[pa.Buffer, int]]:
    """Pairs of decompressed bytes (at most ``size``, never empty) and the position reached in the file itself.

    Compressed files may have several members. With ``span`` only the lines that begin in it, of a file that is not
    compressed. Raises InputError that names the file when the compressed data are damaged or end early, or the file
    cannot be read.
    """
    packed = None if span else compression(path)
    try:
        with _buckets.opened(path) if _buckets.remote(path) else pa.OSFile(path, "rb") as file:
            if span:
                yield from _stretch(file, span, size)
                return
            stream: Any = pa.CompressedInputStream(_ahead(path, file), packed) if packed else file
            while True:
                block = stream.read_buffer(size)
                if not block.size:
                    return
                yield block, file.tell()
    except FileNotFoundError as error:
        raise InputChanged("the file vanished before it was read", where=path) from error
    except OSError as error:
        _buckets.blame(path, error)
        ends_early = "runcated" in str(error)
        raise InputError(
            f"the {packed} data end early" if ends_early else f"cannot read the {packed or ''} data: {error}",
            where=path,
            hint="the file is cut short or damaged: copy it again"
            if packed
            else os.strerror(error.errno or 5),
        ) from error


def _ahead(path: str, file: Any) -> Any:
    """A file that is read in small pieces: each would be a request of its own to object storage."""
    return pa.BufferedInputStream(file, BLOCK >> 1) if _buckets.remote(path) else file


def _stretch(file: Any, span: Span, size: int) -> Iterator[tuple[pa.Buffer, int]]:
    """The bytes of the lines that begin in ``span``; the last one may end behind it."""
    begin, end = span
    at = max(begin - 1, 0)
    inside = begin == 0
    file.seek(at)
    while True:
        block = file.read_buffer(size)
        if not block.size:
            return
        data, start = memoryview(block), 0
        if not inside:
            start = _newline(data, 0) + 1
            if start and at + start >= end:
                return
            inside = start > 0
        stop = _newline(data, max(end - 1 - at, start)) + 1 if inside and at + block.size >= end else 0
        at += block.size
        if inside and (stop or block.size) > start:
            yield block.slice(start, (stop or block.size) - start), at
        if stop:
            return


def _newline(data: memoryview, start: int) -> int:
    """Where the first newline from ``start`` on stands; -1 for nowhere."""
    found = np.flatnonzero(np.frombuffer(data[start : start + _NEAR], np.uint8) == _NEWLINE)[:1]
    if found.size:
        return start + int(found[0])
    rest = np.flatnonzero(np.frombuffer(data[start:], np.uint8) == _NEWLINE)[:1]
    return start + int(rest[0]) if rest.size else -1


def of_lines(path: str) -> bool:
    """Whether a file is no Parquet, by its first bytes. Raises InputError or InputChanged."""
    return _start(path) != b"PAR1"


def ends(path: str, span: Span) -> int:
    """How many lines that begin in ``span`` end with a newline. Same errors as ``blocks``."""
    return sum(
        int(np.count_nonzero(np.frombuffer(block, np.uint8) == _NEWLINE))
        for block, _ in blocks(path, span=span)
    )
