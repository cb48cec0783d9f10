"""The exchange log: append-only JSON Lines segments that ``scan`` and ``watch`` read.

A segment is ``<UTC start>-<writer>-<sequence>.jsonl.open`` while it is written, and loses ``.open`` once it is on disk.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from spiritsafe.errors import StorageError
from spiritsafe.gateway.recovery import NEW, OPEN, Recovered, recover, sync_folder
from spiritsafe.gateway.room import reserve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Figures", "Recovered", "Segments", "recover", "writer"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EVERY = 0.5  # seconds between two background syncs
_TRIES = 3
_PATIENCE = (0.5, 30.0)  # seconds until the next try after a failure: first, longest


def writer(number: int = 0) -> str:
    """An id for a process that writes to a log folder: pids repeat among containers that share one, 64 random bits do not."""
    return f"w{os.getpid()}_{number}_{os.urandom(8).hex()}"


@dataclass(slots=True)
class Figures:
    """Counts since the start. ``failure``: what is wrong now, None when all is well."""

    records: int = 0
    bytes: int = 0
    lost: int = 0
    published: int = 0
    failures: int = 0
    failure: str | None = None


@dataclass(slots=True)
class _Segment:
    name: str
    handle: int
    folder: int
    began: float
    size: int = 0
    records: int = 0
    reserved: int = 0


class Segments:
    """Writes one process's segments. ``append``, ``ready`` and ``tick`` belong to one thread (the event loop's).

    ``writer``: unique among all processes that share the folder. ``rotate``: bytes; ``rotate_every``: microseconds;
    ``room``: bytes taken ahead. ``clock`` gives microseconds since the epoch and is used for names only.
    """

    def __init__(
        self, folder: Path, writer: str, *, on_failure: Literal["open", "closed"], rotate: int = 64_000_000,
        rotate_every: int = 60_000_000, sync: Literal["written", "disk"] = "written", room: int = 4 << 20,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:  # fmt: skip
        if not writer or not writer.replace("_", "").isalnum():
            raise ValueError(f"a writer's id is made of letters, digits and _: {writer!r}")
        self.folder, self.writer, self.on_failure, self.sync = folder, writer, on_failure, sync
        self.figures = Figures()
        self._rotate, self._age, self._room, self._clock = rotate, rotate_every / 1e6, room, clock
        self._start = self._sequence = 0
        self._now: _Segment | None = None
        self._short = False  # no room could be taken ahead; what was taken before may still be written
        self._sick: OSError | None = None  # set by the thread when a sync fails
        self._wait, self._again = _PATIENCE[0], 0.0
        self._thread = ThreadPoolExecutor(1, "segments")
        self._publishing: list[Future[None]] = []
        self._next: asyncio.Future[None] | None = None
        self._committing: asyncio.Task[None] | None = None
        with suppress(OSError):  # what is wrong shows when the first segment is begun
            folder.mkdir(parents=True, exist_ok=True)
        self._mend()

    def append(self, line: bytes) -> bool:
        """Write one line, its newline included. True: the kernel has it, and a kill -9 cannot take it away.

        When it cannot be written: False and counted as lost with ``on_failure = "open"``, else StorageError.
        """
        if line.find(b"\n") != len(line) - 1 or not line:
            raise ValueError("a record is one line with one line end")
        try:
            self._write(line)
        except OSError as problem:
            self._fail(problem)
            self.figures.lost += 1
            if self.on_failure == "open":
                return False
            raise StorageError(
                f"the exchange log cannot be written: {problem}",
                where=str(self.folder), hint="make room or mend the folder; the gateway tries again by itself",
            ) from problem  # fmt: skip
        self.figures.records += 1
        self.figures.bytes += len(line)
        return True

    def ready(self) -> bool:
        """Whether a request may be taken: with ``on_failure = "closed"``, only when there is room for its record."""
        self._mend()
        return self.on_failure == "open" or (self._now is not None and not self._short and not self._sick)

    def tick(self) -> None:
        """Rotate by age, notice a folder that is gone, try again after a failure. Call it about twice a second."""
        self._mend()
        if (now := self._now) is None:
            return
        try:
            if not os.path.samestat(os.fstat(now.folder), self.folder.stat()):
                raise FileNotFoundError(errno.ENOENT, "the folder was replaced")
        except OSError as problem:
            self._fail(problem)
            return
        if now.records and time.monotonic() - now.began >= self._age:
            self._turn(now)

    async def run(self) -> None:
        """Tick and sync in the background until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            self.tick()
            with suppress(StorageError):  # told in ``figures`` by then
                await self.durable()

    async def durable(self) -> None:
        """Wait until all lines appended so far are on disk; all who wait share one fsync. Raises StorageError."""
        loop = asyncio.get_running_loop()
        if self._next is None:
            self._next = loop.create_future()
        waiting = self._next
        if self._committing is None or self._committing.done():
            self._committing = loop.create_task(self._commit())
        await asyncio.shield(waiting)

    def close(self) -> None:
        """Publish what is written. Blocks until it is on disk. Nothing can be appended afterwards."""
        if self._now is not None:
            self._retire(self._now)
            self._now = None
        self._again = float("inf")
        self._thread.shutdown(wait=True)

    def _write(self, line: bytes) -> None:
        self._mend()
        now, length = self._now, len(line)
        if now is None:
            raise OSError(errno.EIO, self.figures.failure or "closed")
        if now.records and now.size + length > self._rotate:
            now = self._turn(now)
        if now.reserved - now.size < length + self._room // 2 and not self._short:
            self._ahead(now, length)
        if os.fstat(now.handle).st_nlink == 0:  # written to a removed file, it would be lost in silence
            raise FileNotFoundError(errno.ENOENT, "the segment was removed")
        written = os.write(now.handle, line)
        if written != length:
            os.ftruncate(now.handle, now.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        now.size += length
        now.records += 1

    def _ahead(self, segment: _Segment, length: int) -> None:
        try:
            reserve(segment.handle, segment.size, length + self._room)
            segment.reserved = segment.size + length + self._room
            self._short, self.figures.failure, self._wait = False, None, _PATIENCE[0]
        except OSError as problem:
            self._short = True
            self._note(problem)

    def _mend(self) -> None:
        """After a failure and once the wait is over, try again."""
        if self._sick is not None:
            self._fail(self._sick)
            self._sick = None
        if (self._now is not None and not self._short) or time.monotonic() < self._again:
            return
        if self._now is not None:
            self._ahead(self._now, 0)
            return
        try:
            self._now = self._begin()
        except OSError as problem:
            self._note(problem)
        else:
            self._short, self.figures.failure, self._wait = False, None, _PATIENCE[0]

    def _begin(self) -> _Segment:
        # Another gateway that starts may take the file for a dead writer's before it is locked: then make another.
        for _ in range(_TRIES):
            with suppress(FileNotFoundError, BlockingIOError):
                return self._make()
        return self._make()

    def _make(self) -> _Segment:
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        handle, made = -1, ""
        try:
            # A clock set back must not bring names out of order: the start never falls, the sequence always grows.
            self._start = max(self._start, self._clock())
            self._sequence += 1
            start = _EPOCH + timedelta(microseconds=self._start)
            name = f"{start:%Y%m%dT%H%M%S.%fZ}-{self.writer}-{self._sequence:06d}.jsonl"
            made = f".{name}{NEW}"
            # Locked before it has its name, so that nobody takes it for one whose writer is gone.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            handle = os.open(made, flags, 0o640, dir_fd=folder)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            reserve(handle, 0, self._room)
            for taken in (name, name + OPEN):
                with suppress(FileNotFoundError):
                    os.stat(taken, dir_fd=folder)
                    raise FileExistsError(errno.EEXIST, "two writers have one id", taken)
            os.rename(made, name + OPEN, src_dir_fd=folder, dst_dir_fd=folder)
            return _Segment(name, handle, folder, time.monotonic(), reserved=self._room)
        except OSError:
            if handle >= 0:
                with suppress(OSError):
                    os.unlink(made, dir_fd=folder)
                os.close(handle)
            os.close(folder)
            raise

    def _turn(self, old: _Segment) -> _Segment:
        """Begin a new segment, then publish the old one; with no room for a new one the old one goes on."""
        try:
            self._now = self._begin()
        except OSError as problem:
            self._short = True
            self._note(problem)
            return old
        self._short = False
        self._retire(old)
        return self._now

    def _retire(self, segment: _Segment) -> None:
        self._publishing = [one for one in self._publishing if not one.done() or one.exception()]
        self._publishing.append(self._thread.submit(self._publish, segment))

    def _publish(self, segment: _Segment) -> None:
        # Only this thread closes handles: it never closes one that it is syncing.
        try:
            if os.fstat(segment.handle).st_nlink == 0:
                return
            os.ftruncate(segment.handle, segment.size)  # gives back the room taken ahead
            os.fsync(segment.handle)
            was, where = segment.name + OPEN, segment.folder
            if segment.records:
                os.rename(was, segment.name, src_dir_fd=where, dst_dir_fd=where)
                self.figures.published += 1
            else:
                os.unlink(was, dir_fd=where)
            sync_folder(where)
        except OSError as problem:
            self._sick = problem
            raise
        finally:
            os.close(segment.handle)
            os.close(segment.folder)

    def _fail(self, problem: OSError) -> None:
        """Leave the segment as it is (what is whole in it gets published) and begin another after a while."""
        if self._now is not None:
            segment, self._now = self._now, None
            with suppress(OSError):
                if os.fstat(segment.handle).st_nlink == 0:  # somebody removed it with all that was in it
                    self.figures.lost += segment.records
            self._retire(segment)
            self._note(problem)

    def _note(self, problem: OSError) -> None:
        self.figures.failures += 1
        self.figures.failure = f"{problem.strerror or problem}"
        self._again = time.monotonic() + self._wait
        self._wait = min(self._wait * 2, _PATIENCE[1])

    async def _commit(self) -> None:
        loop = asyncio.get_running_loop()
        while self._next is not None:
            waiting, self._next = self._next, None
            earlier, self._publishing = self._publishing, []
            segment = self._now
            try:
                await loop.run_in_executor(self._thread, _sync, segment, earlier)
            except OSError as problem:
                self._sick = problem
                waiting.set_exception(StorageError(f"the exchange log cannot be synced: {problem}"))
                waiting.exception()  # who went away need not ask
            else:
                waiting.set_result(None)


def _sync(segment: _Segment | None, earlier: list[Future[None]]) -> None:
    for one in earlier:  # of the same thread, before this: they are done
        one.result()
    if segment is not None:
        os.fsync(segment.handle)
