"""What the user named -> the sorted list of files to read."""

from __future__ import annotations

import glob
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spiritsafe.errors import InputChanged, InputError
from spiritsafe.sources import _buckets
from spiritsafe.sources._lakehouse import table_files

if TYPE_CHECKING:
    from collections.abc import Sequence

UNFINISHED = (".open", ".partial", ".tmp", ".torn")
"""Ends of the names of files that are still being written: renamed when they are whole."""
_HIDDEN = (".", "_")
"""Beginnings of the names of files and folders that are no log."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file as it was when the scan began. ``named``: the user named it, it was not found in a folder."""

    path: str
    size: int
    modified: int
    named: bool

    def check(self) -> None:
        """Raise InputChanged unless the file is still what it was when listed."""
        try:
            now = facts(self.path)
        except OSError as error:
            raise InputChanged("the file vanished while it was read", where=self.path) from error
        if now != (self.size, self.modified):
            raise InputChanged(
                "the file changed while it was read",
                where=self.path,
                hint="scan a copy, or files that are no longer written to",
            )


def facts(path: str) -> tuple[int, int]:
    """Bytes of a file and when it was last written (nanoseconds since the epoch). Raises OSError, InputUnreachable."""
    if _buckets.remote(path):
        return _buckets.facts(path)
    now = Path(path).stat()
    return now.st_size, now.st_mtime_ns


def identity(path: str) -> str:
    """A path whatever links lead to it; an address in object storage as it is, without a slash at its end."""
    return path.rstrip("/") if _buckets.remote(path) else os.path.realpath(path)


def expand(inputs: Sequence[str | Path]) -> tuple[list[LogFile], list[str]]:
    """Files, folders (searched below, sorted) and globs -> files to read, and notes on what was passed over.

    Each may stand in object storage, too (``s3://``). Hidden files, those that begin with ``_`` and those that are still
    written (``UNFINISHED``) are passed over inside folders, not when named. A folder that is a Delta or Iceberg table gives
    the files of its newest state. A file named twice is read once. Raises InputError for what is not there, holds no file,
    or cannot be read.
    """
    found: dict[str, LogFile] = {}
    skipped: list[str] = []
    for given in map(str, inputs):
        if _buckets.remote(given):
            files, passed_over = _stored(given)
            skipped += passed_over
            found |= {file.path: file for file in files if file.path not in found}
            continue
        for path in _matches(given):
            if Path(path).is_dir():
                listed = table_files(path)
                if listed is None:
                    listed, passed_over = listing(path)
                    skipped += passed_over
                if not listed:
                    raise InputError("the folder holds no log files", where=path)
                files = [_file(name, named=False) for name in listed]
            else:
                files = [_file(path, named=True)]
            for file in files:
                found.setdefault(identity(file.path), file)
    if not found:
        raise InputError("no input given", hint="name a file, a glob or a folder")
    return list(found.values()), skipped


def _stored(given: str) -> tuple[list[LogFile], list[str]]:
    """The same for an address in object storage."""
    files: list[LogFile] = []
    skipped: list[str] = []
    everything = _buckets.find(given)
    names = [] if glob.has_magic(given) else [one.below for one in everything]
    table = table_files(given.rstrip("/"), names)
    if table is not None:
        there = {one.path: one for one in everything}
        return [_object(name, there.get(name)) for name in table], []
    for one in everything:
        steps = one.below.split("/")
        if "_delta_log" in steps or ("metadata" in steps and one.below.endswith(".metadata.json")):
            raise InputError(
                "a Delta or Iceberg table lies below the folder, whose files of earlier states are not to be read",
                where=given,
                hint=f"name the folder of the table itself: it holds {printable(one.path)}",
            )
        if any(step.startswith(_HIDDEN) for step in steps) or one.below.endswith(UNFINISHED):
            skipped.append(printable(one.path))
        else:
            files.append(LogFile(one.path, one.size, one.modified, named=not one.below))
    if not everything:
        raise InputError("no such object or folder, and none matches", where=given)
    if not files:
        raise InputError("the folder holds no log files", where=given)
    return files, skipped


def printable(path: str) -> str:
    """A path as a result may show it: bytes of its name that are not UTF-8 are written as escapes."""
    return path.encode("utf-8", "backslashreplace").decode()


def _matches(given: str) -> list[str]:
    if os.path.lexists(given):
        return [given]
    if glob.has_magic(given):
        matches = sorted(glob.glob(given, recursive=True))  # noqa: PTH207 - absolute patterns and ** as in a shell
        if matches:
            return matches
        raise InputError("no file matches", where=given)
    raise InputError("no such file or folder", where=given)


def listing(folder: str) -> tuple[list[str], list[str]]:
    """The log files in a folder and below it, sorted by path, and what was passed over. Raises InputError."""

    def fail(error: OSError) -> None:
        raise InputError(f"cannot list the folder: {error.strerror}", where=str(error.filename)) from error

    listed: list[str] = []
    skipped: list[str] = []
    for root, folders, names in os.walk(folder, onerror=fail):
        folders.sort()
        hidden = [name for name in folders if name.startswith(_HIDDEN)]
        folders[:] = [name for name in folders if name not in hidden]
        for name in sorted(names):
            if name.startswith(_HIDDEN) or name.endswith(UNFINISHED):
                hidden.append(name)
            else:
                listed.append(str(Path(root, name)))
        skipped += [printable(str(Path(root, name))) for name in hidden]
    return sorted(listed), skipped


def _object(path: str, known: _buckets.Stored | None) -> LogFile:
    """A table's file in object storage, as it was listed."""
    if known is None:
        raise InputError("the table names an object that is not there", where=_buckets.shown(path))
    return LogFile(path, known.size, known.modified, named=False)


def _file(path: str, *, named: bool) -> LogFile:
    shown = printable(path)
    if shown != path:
        raise InputError("the name of the file is not valid UTF-8", where=shown, hint="rename it")
    try:
        facts = Path(path).stat()
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", where=path) from error
    if not stat.S_ISREG(facts.st_mode):
        raise InputError("is not an ordinary file", where=path)
    if not os.access(path, os.R_OK):
        raise InputError("cannot read: no permission", where=path)
    return LogFile(path, facts.st_size, facts.st_mtime_ns, named)
