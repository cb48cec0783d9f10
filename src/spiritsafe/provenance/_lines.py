"""Append-only JSON Lines: what ``append`` has returned for is on disk, and survives ``kill -9``.

A line torn by such an end was never acknowledged: readers pass over it, the next writer sets it aside.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, cast

from spiritsafe.errors import InputError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, none when there is no file. Raises InputError with file and line for a broken one."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    rows: list[dict[str, Any]] = []
    # What stands behind the last line end was never acknowledged.
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError("this line is not JSON", where=f"{path}:{number}") from error
        if not isinstance(row, dict):
            raise InputError("this line is not a JSON object", where=f"{path}:{number}")
        rows.append(cast("dict[str, Any]", row))
    return rows


class Lines:
    """The one writer of a file of JSON Lines; made if absent (mode 0600), locked until ``close``.

    Raises StorageError when another process writes to it or the disk refuses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(f"cannot be written: {error.strerror}", where=str(path)) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._recover()
        except BlockingIOError as error:
            self.close()
            raise StorageError(
                "another process is writing here", where=str(path), hint="wait for it to end"
            ) from error
        except OSError as error:
            self.close()
            raise StorageError(f"cannot be written: {error.strerror}", where=str(path)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back. Closing twice is allowed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows and return once they are on disk. Raises StorageError, and then none of them was added."""
        data = b"".join(
            json.dumps(row, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"
            for row in rows
        )
        size = os.fstat(self._fd).st_size
        try:
            done = 0
            while done < len(data):
                done += os.write(self._fd, data[done:])
            os.fsync(self._fd)
        except OSError as error:
            with suppress(
                OSError
            ):  # a disk that refuses this, too, leaves a torn line, which the next writer sets aside
                os.ftruncate(self._fd, size)
            self.close()
            raise StorageError(f"not written: {error.strerror}", where=str(self.path)) from error

    def _recover(self) -> None:
        data = self.path.read_bytes()
        end = data.rfind(b"\n") + 1
        if end < len(data):
            with self.path.with_name(self.path.name + ".torn").open("ab") as aside:
                aside.write(data[end:] + b"\n")
            os.ftruncate(self._fd, end)
            os.fsync(self._fd)
