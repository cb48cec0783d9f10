"""The exchange log beside a plain file and the standard library's logging: appends a second, microseconds an append.

    python bench/segments.py [LINES] [BYTES]

All write the same lines to the same file system, in turn, five times; the median is printed. `file.write` holds lines
back in the process (a kill -9 loses them), `file.write + flush` and `logging` do not.
"""

from __future__ import annotations

import asyncio
import json
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from spiritsafe.gateway.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = 5


def plain(folder: Path, line: bytes, lines: int, *, flush: bool) -> None:
    """file.write, with or without a flush after each line."""
    with (folder / "plain").open("ab") as file:
        for _ in range(lines):
            file.write(line)
            if flush:
                file.flush()


def logged(folder: Path, line: bytes, lines: int) -> None:
    """logging.FileHandler with a bare format."""
    handler, text = logging.FileHandler(folder / "logging"), line.decode().rstrip()
    log = logging.getLogger("bench")
    log.propagate, log.handlers = False, [handler]
    log.setLevel(logging.INFO)
    for _ in range(lines):
        log.info(text)
    handler.close()


def segments(folder: Path, line: bytes, lines: int) -> None:
    """Segments.append; publishing the last segment is counted."""
    log = Segments(folder, "bench", on_failure="closed")
    for _ in range(lines):
        log.append(line)
    log.close()


def synced(folder: Path, line: bytes, lines: int) -> None:
    """64 at a time append and wait for the disk."""

    async def one() -> None:
        log.append(line)
        await log.durable()

    async def all_of_them() -> None:
        for _ in range(lines // 64):
            await asyncio.gather(*(one() for _ in range(64)))

    log = Segments(folder, "bench", on_failure="closed", sync="disk")
    asyncio.run(all_of_them())
    log.close()


def main() -> None:
    """Measure and print."""
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    size = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000
    line = json.dumps({"text": "x" * (size - 13)}).encode() + b"\n"
    ways: dict[str, tuple[Callable[[Path], None], int]] = {
        "file.write": (lambda folder: plain(folder, line, lines, flush=False), lines),
        "file.write + flush": (lambda folder: plain(folder, line, lines, flush=True), lines),
        "logging": (lambda folder: logged(folder, line, lines), lines),
        "segments": (lambda folder: segments(folder, line, lines), lines),
        "segments, disk, 64 wait": (lambda folder: synced(folder, line, lines // 10), lines // 640 * 64),
    }
    took: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(RUNS):
        for way, (write, count) in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                write(Path(folder))
                took[way].append((time.perf_counter() - start) / count)
    for way, each in took.items():
        middle = statistics.median(each)
        print(f"{way:24} {1 / middle:10,.0f} appends/s {middle * 1e6:8.2f} µs")


if __name__ == "__main__":
    main()
