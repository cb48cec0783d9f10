"""Segments: which files of the folder are finished, and which changed after they were taken."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from spiritsafe import sources


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as a look found it: ``name`` below the watched folder, ``size`` in bytes, ``modified`` in nanoseconds."""

    name: str
    path: str
    size: int
    modified: int

    @property
    def facts(self) -> tuple[int, int]:
        """What must stay as it is between two looks."""
        return self.size, self.modified


class Looks:
    """Looks at the folder, one after the other.

    A file counts as finished when two looks in a row found the same size and the same time of change. Hidden files,
    those that begin with ``_`` and those whose names end in ``.open``, ``.partial``, ``.tmp`` or ``.torn`` are not looked at.
    ``misnamed``: files whose names are not UTF-8 and can stand in no result; they are not looked at either.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.skipped: list[str] = []
        self.misnamed: list[str] = []
        self._before: dict[str, tuple[int, int]] = {}

    @property
    def names(self) -> set[str]:
        """Names of all files that the last look found, finished or not."""
        return set(self._before)

    def look(self) -> list[Seen]:
        """All finished files, sorted by path: taken before or not.

        Raises InputError when the folder cannot be listed.
        """
        paths, self.skipped = sources.listing(str(self.folder))
        self.misnamed = [sources.printable(path) for path in paths if sources.printable(path) != path]
        now: dict[str, tuple[int, int]] = {}
        finished: list[Seen] = []
        for path in paths:
            if self.misnamed and sources.printable(path) != path:
                continue
            try:
                facts = Path(path).stat()
            except OSError:
                continue  # gone since it was listed
            name = os.path.relpath(path, self.folder)
            now[name] = facts.st_size, facts.st_mtime_ns
            if self._before.get(name) == now[name]:
                finished.append(Seen(name, path, *now[name]))
        self._before = now
        return finished
