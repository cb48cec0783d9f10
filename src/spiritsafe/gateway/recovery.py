"""Segments whose writer is gone are brought to their last whole line and published."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OPEN, TORN, NEW = ".open", ".torn", ".new"
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Recovered:
    """One segment of a writer that is gone: bytes kept and bytes torn off. ``problem``: why it was left as it is."""

    name: str
    kept: int = 0
    torn: int = 0
    problem: str | None = None


def recover(folder: Path) -> list[Recovered]:
    """Publish what writers left behind; those that live hold a lock and are passed over.

    A tail without a line end goes to ``<name>.torn``; a segment without a whole line is removed. A segment that
    cannot be brought in order (disk full) stays, and the next call tries again. Safe beside other gateways and
    beside itself. Raises OSError when the folder cannot be listed.
    """
    found: list[Recovered] = []
    for path in sorted(folder.glob(f".*.jsonl{NEW}")):  # the writer died between making and naming it: empty
        _locked(path, lambda path, _: path.unlink())
    for path in sorted(folder.glob(f"*.jsonl{OPEN}")):
        name = path.name.removesuffix(OPEN)
        try:
            _locked(path, lambda path, handle: found.append(_mend(path, handle)))
        except OSError as problem:
            found.append(Recovered(name, problem=str(problem)))
    return found


def _locked(path: Path, work: Callable[[Path, int], object]) -> None:
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return  # published or taken by another meanwhile
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held the lock before may have renamed the file: then this name is no longer ours to touch.
        if os.path.samestat(os.fstat(handle), path.stat()):
            work(path, handle)
    except (BlockingIOError, FileNotFoundError):
        pass
    finally:
        os.close(handle)


def _mend(path: Path, handle: int) -> Recovered:
    size = os.fstat(handle).st_size
    whole = _whole(handle, size)
    name = path.name.removesuffix(OPEN)
    if whole < size:
        _keep(path.with_name(name + TORN), handle, whole)
    os.ftruncate(handle, whole)  # also gives back the room taken ahead
    os.fsync(handle)
    if whole == 0:
        path.unlink()
    else:
        path.rename(path.with_name(name))
    sync_folder(path.parent)
    return Recovered(name, whole, size - whole)


def _whole(handle: int, size: int) -> int:
    end = size
    while end > 0:
        start = max(0, end - _BLOCK)
        at = os.pread(handle, end - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


def _keep(path: Path, handle: int, start: int) -> None:
    with path.open("wb") as file:
        while block := os.pread(handle, _BLOCK, start):
            file.write(block)
            start += len(block)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path | int) -> None:
    """Make names in a folder (path or open handle) outlive a power cut."""
    if isinstance(folder, int):
        os.fsync(folder)
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        with suppress(OSError):
            os.close(handle)
