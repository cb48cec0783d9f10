"""The ledger: an append-only, hash-chained record of evidence, orders and opinions.

A ledger is one file of JSON Lines. Each line is one entry in canonical JSON (keys sorted, no spaces, ASCII):

``{"body":{…},"hash":"…","kind":"…","prev":"…","seq":0,"time":1764000000000000}``

``hash`` is the SHA-256 of the rest of the line, ``prev`` the hash of the entry before, so each entry commits to all
earlier ones. ``append`` returns when the entry is on disk (fsync): from then on it is *acknowledged* and survives
``kill -9`` and power loss. A line torn by such an end was never acknowledged; the next writer sets it aside.

The chain shows every change of a byte and every line removed, moved or inserted, except a cut at the very end
or a chain made anew from some entry on. For these, keep a head hash elsewhere and hand it to ``verify``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Self, cast

from spiritsafe.errors import LedgerError, StorageError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

#: ``prev`` of the first entry, and the head of an empty ledger.
GENESIS = "0" * 64
_DOMAIN = b"spiritsafe ledger 1\n"
_FIELDS = ("seq", "prev", "time", "kind", "body")


@dataclass(frozen=True, slots=True)
class Entry:
    """One acknowledged entry. ``time`` is microseconds since the epoch, UTC, as the caller gave it."""

    seq: int
    prev: str
    time: int
    kind: str
    body: Mapping[str, Any]
    hash: str


def entries(path: Path) -> Iterator[Entry]:
    """Yield the entries of the ledger at ``path`` in order, each checked against the chain.

    Raises LedgerError at the first line that does not fit, with ``where`` = file:line, and at a torn last line;
    StorageError when the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield from _chain(file, path)
    except OSError as error:
        raise StorageError(f"the ledger cannot be read: {error.strerror}", where=str(path)) from error


def verify(path: Path, *, head: str | None = None) -> str:
    """Check every line of the ledger at ``path`` and return its head: the hash of the last entry, or GENESIS.

    ``head`` is a hash kept from earlier: the ledger must still contain the entry that it names.
    Raises LedgerError with ``where``.
    """
    last, known = GENESIS, head in (None, GENESIS)
    for entry in entries(path):
        last = entry.hash
        known = known or entry.hash == head
    if not known:
        raise LedgerError(
            f"no entry has the hash {head}: the end was cut off, or the chain was made anew",
            where=str(path),
            hint="compare with the copy that the hash was taken from",
        )
    return last


def alone(line: bytes) -> Entry:
    """One entry, checked by its own hash only: what is shown of a ledger whose other entries are nobody else's business.

    Raises ValueError when it is not canonical or does not fit its hash.
    """
    try:
        fields: Any = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(fields, dict):
        raise ValueError("not a ledger entry")  # noqa: TRY004 - one kind of error, as for the rest
    record = cast("dict[str, Any]", fields)
    return _entry(line.rstrip(b"\n") + b"\n", cast("int", record.get("seq")), str(record.get("prev")))


def line_of(entry: Entry) -> bytes:
    """The line of an entry, its newline included."""
    return _canonical({**{name: getattr(entry, name) for name in _FIELDS}, "hash": entry.hash}) + b"\n"


class Ledger:
    """The one writer of a ledger file; made if absent, locked until ``close``, checked in full when opened.

    A torn last line is moved to ``<name>.torn`` and cut off; ``set_aside`` then tells how many bytes it had.
    Not for use by several threads at once. Raises StorageError when the file cannot be written or another
    process writes to it, LedgerError when the chain does not fit.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head = GENESIS
        self.count = 0
        self.set_aside = 0
        with _storage(path):
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            with _storage(path):
                self._lock()
                self._recover()
                _sync_folder(path)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back. Closing twice is allowed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def append(self, kind: str, body: Mapping[str, Any], *, time: int) -> Entry:
        """Write one entry and return it once it is on disk.

        ``body`` must be JSON: mappings with string keys, lists, strings, finite numbers, booleans, None.
        Raises LedgerError when it is not; StorageError when the disk refuses, and then nothing was added.
        """
        if self._fd < 0:
            raise StorageError("the ledger is closed", where=str(self.path))
        payload = {"seq": self.count, "prev": self.head, "time": time, "kind": kind, "body": body}
        try:
            digest = _digest(payload)
            line = _canonical({**payload, "hash": digest}) + b"\n"
            entry = _entry(line, self.count, self.head)
        except (TypeError, ValueError, RecursionError) as error:
            raise LedgerError(f"this entry is not JSON: {error}", where=str(self.path)) from error
        if dict(entry.body) != body:
            raise LedgerError(
                "the body does not survive JSON unchanged",
                where=str(self.path),
                hint="use string keys and lists, not tuples",
            )
        self._write(line)
        self.head, self.count = digest, self.count + 1
        return entry

    def _write(self, line: bytes) -> None:
        size = os.fstat(self._fd).st_size
        try:
            done = 0
            while done < len(line):
                done += os.write(self._fd, line[done:])
            os.fsync(self._fd)
        except OSError as error:
            # After a failed fsync the kernel may have dropped the page: only reading the file again tells what
            # is there. So this writer ends here, and the next one looks.
            try:
                os.ftruncate(self._fd, size)
            finally:
                self.close()
            raise StorageError(
                f"the entry was not written: {error.strerror}",
                where=str(self.path),
                hint="make room, then open the ledger again",
            ) from error

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageError(
                "another process is writing to this ledger",
                where=str(self.path),
                hint="wait for it to end; readers need no lock",
            ) from error

    def _recover(self) -> None:
        end = 0
        with self.path.open("rb") as file:
            try:
                for entry in _chain(file, self.path):
                    self.head, self.count, end = entry.hash, entry.seq + 1, file.tell()
            except _TornLineError as torn:
                tail = torn.tail
            else:
                return
        try:
            entry = _entry(tail + b"\n", self.count, self.head)
        except ValueError:
            self._cut(tail, end)
        else:
            # Only its newline is missing. It may have been acknowledged and then lost a byte: keep it.
            self._write(b"\n")
            self.head, self.count = entry.hash, entry.seq + 1

    def _cut(self, tail: bytes, end: int) -> None:
        aside = self.path.with_name(self.path.name + ".torn")
        with aside.open("ab") as file:
            file.write(tail + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.ftruncate(self._fd, end)
        os.fsync(self._fd)
        self.set_aside = len(tail)


class _TornLineError(LedgerError):
    """The last line has no end: the writer was killed while writing it."""

    def __init__(self, tail: bytes, where: str) -> None:
        super().__init__(
            f"the last line is torn ({len(tail)} bytes, never acknowledged)",
            where=where,
            hint="the next writer sets it aside; nothing acknowledged is lost",
        )
        self.tail = tail


@contextmanager
def _storage(path: Path) -> Generator[None]:
    """Turn an OSError inside the block into a StorageError that names the file."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the ledger cannot be opened for writing: {error.strerror}", where=str(path)
        ) from error


def _chain(lines: IO[bytes], path: Path) -> Iterator[Entry]:
    seq, prev = 0, GENESIS
    # readline, not iteration: the caller asks the file for its position.
    while line := lines.readline():
        where = f"{path}:{seq + 1}"
        if not line.endswith(b"\n"):
            _refuse_longer_than_one(line, where)
            raise _TornLineError(line, where)
        try:
            entry = _entry(line, seq, prev)
        except ValueError as error:
            raise LedgerError(
                f"the chain breaks here: {error}",
                where=where,
                hint="restore the ledger from a copy; do not repair it by hand",
            ) from error
        yield entry
        seq, prev = seq + 1, entry.hash


def _refuse_longer_than_one(tail: bytes, where: str) -> None:
    """A torn line is a beginning of an entry. A whole entry with more behind it was altered, not torn."""
    try:
        _, end = json.JSONDecoder().raw_decode(tail.decode("ascii", "replace"))
    except ValueError:
        return
    if end < len(tail):
        raise LedgerError("the chain breaks here: the end of the line was altered", where=where)


def _entry(line: bytes, seq: int, prev: str) -> Entry:
    """Parse one line; ValueError when it is not canonical or does not fit behind ``prev``."""
    try:
        fields: Any = json.loads(line)
        canonical = _canonical(fields) + b"\n"
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if canonical != line:
        raise ValueError("the line is not in canonical form")
    if not isinstance(fields, dict) or set(cast("dict[str, Any]", fields)) != {*_FIELDS, "hash"}:
        raise ValueError("not a ledger entry")
    record = cast("dict[str, Any]", fields)
    if record["seq"] != seq or record["prev"] != prev:
        raise ValueError("it does not follow the line before")
    if record["hash"] != _digest({name: record[name] for name in _FIELDS}):
        raise ValueError("the content does not fit its hash")
    if (type(record["kind"]), type(record["time"]), type(record["body"])) != (str, int, dict):
        raise ValueError("kind must be a string, time an integer and body a mapping")
    return Entry(**record)


def _canonical(value: Mapping[str, Any]) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def _digest(payload: Mapping[str, Any]) -> str:
    return hashlib.sha256(_DOMAIN + _canonical(payload)).hexdigest()


def _sync_folder(path: Path) -> None:
    """Make the file's name itself durable."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
