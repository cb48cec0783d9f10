"""A file -> blocks of its decompressed bytes; compression told from the first bytes, not from the name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from spiritsafe.errors import InputChanged, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes of text handed on at a time: large enough to keep the engine busy, small enough for several in flight.
BLOCK = 16 << 20

_COMPRESSION = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


def compression(path: str) -> str | None:
    """``gzip``, ``zstd`` or None, from the file's first bytes. Raises InputError or InputChanged."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(4)
    except FileNotFoundError as error:
        raise InputChanged("the file vanished before it was read", where=path) from error
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", where=path) from error
    return next((name for magic, name in _COMPRESSION.items() if start.startswith(magic)), None)


def blocks(path: str, size: int = BLOCK) -> Iterator[tuple[pa.Buffer, int]]:
    """Pairs of decompressed bytes (at most ``size``, never empty) and the position reached in the file itself.

    Compressed files may have several members. Raises InputError that names the file when the compressed data
    are damaged or end early, or the file cannot be read.
    """
    packed = compression(path)
    try:
        with pa.OSFile(path, "rb") as file:
            stream: Any = pa.CompressedInputStream(file, packed) if packed else file
            while True:
                block = stream.read_buffer(size)
                if not block.size:
                    return
                yield block, file.tell()
    except FileNotFoundError as error:
        raise InputChanged("the file vanished before it was read", where=path) from error
    except OSError as error:
        ends_early = "runcated" in str(error)
        raise InputError(
            f"the {packed} data end early" if ends_early else f"cannot read the {packed or ''} data: {error}",
            where=path,
            hint="the file is cut short or damaged: copy it again"
            if packed
            else os.strerror(error.errno or 5),
        ) from error
