"""Partitions: what a watch keeps of each segment, as parts of a state (``spiritsafe.state``), so that text is read once.

That all parts of a segment are there *is* the record that it was taken: however a watch ends, a segment was taken whole or
not at all, and never twice. A scan or a Spark job over the same folder may have made them as well.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spiritsafe.errors import InputChanged, InputError
from spiritsafe.sources import LogFile
from spiritsafe.staging import sync
from spiritsafe.state import plan
from spiritsafe.state.folder import Folder, stored
from spiritsafe.state.pack import pack
from spiritsafe.state.scan import fill

if TYPE_CHECKING:
    from spiritsafe.engine.duckdb import DuckDB
    from spiritsafe.settings import Settings
    from spiritsafe.state.parts import Part
    from spiritsafe.watch.segments import Seen


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that was looked at: its ``parts``, or the ``reason`` why nothing of it could be read.

    ``taken``: when, microseconds. ``first``, ``last``: microseconds of its earliest and latest exchange (0 without any).
    """

    name: str
    size: int
    modified: int
    taken: int
    parts: tuple[Part, ...] = ()
    reason: str | None = None

    @property
    def facts(self) -> tuple[int, int]:
        """Size and time of change of its file."""
        return self.size, self.modified

    @property
    def rows(self) -> int:
        """Its exchanges."""
        return sum(one.rows for one in self.parts)

    @property
    def rejected(self) -> int:
        """Its records that were set aside."""
        return sum(one.scanned["rejected"] for one in self.parts)

    @property
    def first(self) -> int:
        """Microseconds of the earliest exchange."""
        return min((one.first for one in self.parts if one.rows), default=0)

    @property
    def last(self) -> int:
        """Microseconds of the latest exchange."""
        return max((one.last for one in self.parts if one.rows), default=0)


class Partitions:
    """The segments of ``folder`` that ``state`` has: ``segments`` by name, and ``expired``: facts of those that were let go.

    Of a segment that was taken as two different files the later one counts. Raises StorageError.
    """

    def __init__(self, state: Path, folder: Path, format: str | None) -> None:
        self.state = Folder(state)
        self._folder = Path(os.path.realpath(folder))
        self._format = format
        self._expired_file = state / "expired.jsonl"
        self.segments: dict[str, Segment] = {}
        with stored(state):
            self.expired = self._read_expired()
        self.refresh()

    def close(self) -> None:
        """Let others be alone with the state."""
        self.state.close()

    def refresh(self) -> None:
        """Look at what is there: a scan may have taken segments, too, and packs move parts."""
        self.segments = {name: one for name, one in self.segments.items() if one.reason is not None}
        for one in plan.gone(self.state, [str(self._folder)], set(), {"format": self._format}, check=True):
            name, facts = os.path.relpath(one.shown, self._folder), one.parts[0].facts
            if self.expired.get(name) != facts:
                taken = max(part.taken for part in one.parts)
                self.segments[name] = Segment(name, *facts, taken, tuple(one.parts))

    def knows(self, name: str) -> tuple[int, int] | None:
        """Size and time of change of a segment that was taken, expired or not; None when it was not."""
        one = self.segments.get(name)
        return one.facts if one else self.expired.get(name)

    def take(self, seen: Seen, engine: DuckDB, *, settings: Settings, now: int) -> Segment | None:
        """Make the parts of a segment; durable on return. None when the file changed or went away meanwhile.

        What cannot be read at all becomes a segment without parts, with the reason. Raises StorageError.
        """
        asked = {
            "format": self._format, "since": None, "until": None, "batch_rows": settings.batch_rows,
            "memory": settings.memory, "taken": now,
        }  # fmt: skip
        file = LogFile(seen.path, *seen.facts, named=False)
        try:
            entry = plan.entry(self.state, file, asked, check=True)
            fill(entry, engine, threads=settings.threads)
            made = Segment(seen.name, *seen.facts, now, tuple(entry.parts))
        except InputChanged:
            return None
        except InputError as error:
            if not Path(seen.path).exists():
                return None
            made = Segment(seen.name, *seen.facts, now, reason=error.message)
        self.segments[made.name] = made
        return made

    def entries(self, folder: Path) -> list[plan.Entry]:
        """What a scan of ``folder`` would read, as the state has it, in its order."""
        made: list[plan.Entry] = []
        for name, one in self.segments.items():
            entry = plan.Entry(str(folder / name), one.size, named=False, found=list(one.parts))
            if one.reason is not None:
                entry.error = InputError(one.reason, where=entry.shown)
            made.append(entry)
        return sorted(made, key=lambda one: one.shown)

    def expire(self, names: list[str]) -> None:
        """Let segments go; that they were taken is remembered as long as their files are there.

        Their folders are deleted as soon as no other scan uses the state, and a pack when all of it is let go.
        """
        if names:
            with stored(self._expired_file), self._expired_file.open("a", encoding="utf-8") as file:
                for name in names:
                    one = self.segments[name]
                    file.write(json.dumps([name, one.size, one.modified]) + "\n")
                file.flush()
                os.fsync(file.fileno())
            for name in names:
                self.expired[name] = self.segments[name].size, self.segments[name].modified
                del self.segments[name]
        self.state.tidy(self._unused())

    def pack(self, counted: set[str]) -> int:
        """Put small parts of segments that were ``counted`` together, if nobody else uses the state. Returns how many packs."""
        mine = [one for _, one in sorted(self.segments.items()) if one.name in counted or not one.rows]
        made = pack(self.state, [part for one in mine for part in one.parts])
        if made:
            self.refresh()
        return made

    def forget(self, there: set[str]) -> None:
        """Forget expired segments whose files are no longer ``there``, and no part either: a pack keeps some for a while."""
        if self.expired.keys() <= there:
            return
        known = {os.path.relpath(one.path, self._folder) for one in self.state.all()}
        kept = {name: facts for name, facts in self.expired.items() if name in there | known}
        if len(kept) == len(self.expired):
            return
        with stored(self._expired_file):
            half = self._expired_file.with_suffix(".half")
            half.write_text(
                "".join(json.dumps([name, *facts]) + "\n" for name, facts in kept.items()), "utf-8"
            )
            sync(half)
            half.replace(self._expired_file)
        self.expired = kept

    def _unused(self) -> list[Path]:
        """Folders of which all parts belong to segments that were let go, or were taken again later."""
        mine = {part.path: one.facts for one in self.segments.values() for part in one.parts}
        live: set[Path] = set()
        dead: set[Path] = set()
        for one in self.state.all():
            name = os.path.relpath(one.path, self._folder)
            old = self.expired.get(name) == one.facts or mine.get(one.path, one.facts) != one.facts
            (dead if old and one.format == self._format else live).add(one.folder)
        return sorted(dead - live)

    def _read_expired(self) -> dict[str, tuple[int, int]]:
        if not self._expired_file.exists():
            return {}
        found: dict[str, tuple[int, int]] = {}
        for line in self._expired_file.read_text("utf-8").splitlines():
            try:
                name, size, modified = json.loads(line)
            except ValueError:
                continue  # torn by a kill: its parts are still there and expire again
            found[name] = size, modified
        return found


def told(one: Segment) -> dict[str, Any]:
    """What an event says of a segment."""
    return {"segment": one.name, "exchanges": one.rows, "rejected": one.rejected}
