"""Which parts a scan needs: of each file, in the order in which a scan reads them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spiritsafe import errors, sources
from spiritsafe.state import parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.sources import LogFile
    from spiritsafe.state.folder import Folder
    from spiritsafe.state.parts import Part


@dataclass(slots=True)
class Entry:
    """A file: how results call it (``shown``), whether the user ``named`` it, and its parts; or the error that stopped it.

    ``items``: see ``parts.make``; none for a file that is gone.
    """

    shown: str
    size: int
    named: bool
    items: list[dict[str, Any]] = field(default_factory=list)
    found: list[Part | None] = field(default_factory=list)
    error: errors.SpiritsafeError | None = None

    @property
    def parts(self) -> list[Part]:
        """The parts, once all are there."""
        return [one for one in self.found if one is not None]

    @property
    def missing(self) -> list[int]:
        """Numbers of the pieces whose parts are not there."""
        return [number for number, one in enumerate(self.found) if one is None]


@lru_cache(maxsize=4096)
def _folder(path: str) -> str:
    return os.path.realpath(path)


def identity(path: str) -> str:
    """A file's path as parts know it: absolute, links of folders followed; or its address in object storage."""
    if sources.remote(path):
        return path
    return str(Path(_folder(os.path.dirname(path) or "."), os.path.basename(path)))  # noqa: PTH119, PTH120 - thousands of them


def entry(state: Folder, file: LogFile, asked: dict[str, Any], *, check: bool) -> Entry:
    """What is there and what is missing of a file.

    ``asked``: ``format``, ``since``, ``until``, ``batch_rows``, ``memory``, ``taken``; ``check``: see ``Folder.find``.
    """
    made = Entry(file.path, file.size, file.named)
    spans = sources.cuts(file, asked["format"])
    for number, span in enumerate(spans):
        item: dict[str, Any] = {
            "path": identity(file.path), "size": file.size, "modified": file.modified, **asked, "span": span, "first": 1,
            "piece": (number, len(spans)),
        }  # fmt: skip
        item["name"] = parts.key(item)
        item["folder"] = str(state.place(item["name"]))
        made.items.append(item)
        made.found.append(state.find(item["name"], check=check))
    return made


def gone(
    state: Folder, folders: Sequence[str], there: set[str], asked: dict[str, Any], *, check: bool
) -> list[Entry]:
    """Files below ``folders`` whose parts are all kept, by path, but for those that are ``there`` (by ``identity``).

    Of a file that was taken twice the later one counts.
    """
    roots = {sources.identity(one): one for one in folders}
    known: dict[str, dict[int, Part]] = {}
    for one in sorted(state.all(), key=lambda one: one.taken):
        if one.path not in there and one.format == asked["format"]:
            mine = known.setdefault(one.path, {})
            if any(other.facts != one.facts for other in mine.values()):
                mine.clear()
            mine[one.piece[0]] = one
    found: list[Entry] = []
    for path, pieces in sorted(known.items()):
        root = next((root for root in roots if path.startswith(root + os.sep)), None)
        whole = [pieces[number] for number in sorted(pieces)]
        if root is None or len(whole) != whole[0].piece[1]:
            continue
        kept = [state.find(one.name, check=check) for one in whole]
        if all(one is not None for one in kept):
            shown = path if sources.remote(path) else str(Path(roots[root], os.path.relpath(path, root)))
            found.append(Entry(shown, whole[0].size, named=False, found=kept))
    return found


def judge(entries: list[Entry], *, strict: bool, format: str | None) -> None:
    """Raise what stops a scan over these files: nothing for one damaged file among others, unless ``strict``."""
    bad = [(one, one.error) for one in entries if one.error is not None]
    for one in entries:
        error = one.error
        if error is None:
            if strict:
                _malformed(one)
            continue
        unknown = isinstance(error, errors.UnknownFormat)
        fatal = not isinstance(error, errors.InputError) or isinstance(error, sources.FATAL)
        wanted = one.named or format is not None
        if fatal or strict or (unknown and wanted) or (len(entries) == 1 and not unknown):
            raise error
    if bad and len(bad) == len(entries) and isinstance(bad[0][1], errors.InputError):
        raise sources.nothing(bad[0][0].shown, bad[0][1])


def _malformed(one: Entry) -> None:
    for part in one.parts:
        if part.scanned["rejected"]:
            first = parts.rejected(part).slice(0, 1).to_pylist()[0]
            raise errors.MalformedRecord(
                first["reason"],
                where=f"{one.shown}:{first['line']}",
                hint="leave --strict out to set it aside",
            )


def shown(error: errors.SpiritsafeError, one: Entry) -> errors.SpiritsafeError:
    """An error about a file with the name that the user knows it by."""
    path = one.items[0]["path"]
    if error.where is not None and error.where.startswith(path):
        error.where = one.shown + error.where[len(path) :]
    return error
