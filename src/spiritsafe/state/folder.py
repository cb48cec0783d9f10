"""The folder that keeps parts: who uses it, what is in it, what may be taken away."""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from spiritsafe.errors import StorageError
from spiritsafe.staging import check_local
from spiritsafe.state import parts

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path
    from types import TracebackType

    from spiritsafe.state.parts import Part


_RUN = ".run-"


class Folder:
    """The state at ``root``; made if absent. A context manager.

    Any number of scans and one watch may use it at once: parts only appear, whole. Who takes something away must be alone
    (``alone``). ``damaged``: files whose parts were found damaged, and removed. Raises StorageError when it cannot be made.
    """

    def __init__(self, root: Path) -> None:
        check_local(root, "the state")
        self.root = root.absolute()
        self.parts = self.root / "parts"
        self.damaged: list[str] = []
        self._sound: set[str] = set()
        self._mine: set[Path] = set()
        self._packed: dict[str, Part] | None = None
        with stored(self.root):
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.parts.mkdir(exist_ok=True)
            self._lock = os.open(self.root / "users", os.O_RDWR | os.O_CREAT, 0o600)
        _flock(self._lock, fcntl.LOCK_SH)
        self.tidy()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let others be alone."""
        os.close(self._lock)

    def place(self, name: str) -> Path:
        """Where the part of this name is, unless a pack has it."""
        return self.parts / name

    def find(self, name: str, *, check: bool) -> Part | None:
        """The part of this name; None when there is none, or only a damaged one.

        ``check``: read all its bytes, once a process.
        """
        one = self.packed().get(name)
        if one is None:
            place = self.place(name)
            found = parts.read(place)
            if found is None:
                if (place / "part.json").exists():
                    self.hurt(place)
                return None
            one = found[0] if found else None
        if one is None:
            return None
        if check and one.folder.name not in self._sound:
            if not parts.sound(one.folder):
                self.hurt(one.folder)
                return None
            self._sound.add(one.folder.name)
        return one

    def all(self) -> list[Part]:
        """All parts of this version whose folders have the files that they should have."""
        found = dict(self.packed())
        with stored(self.parts):
            for path in sorted(self.parts.iterdir()):
                if not path.name.startswith((".", parts.PACK)) and path.name not in found:
                    mine = parts.read(path)
                    if mine is None:
                        self.hurt(path)
                    found |= {one.name: one for one in mine or ()}
        return list(found.values())

    def packed(self) -> dict[str, Part]:
        """The parts that lie in packs, by name; read once."""
        if self._packed is None:
            self._packed = {}
            for path in sorted(self.parts.glob(f"{parts.PACK}*")):
                found = parts.read(path)
                if found is None:
                    self.hurt(path)
                else:
                    self._packed |= {one.name: one for one in found}
        return self._packed

    def rows(self, folder: Path, least: int) -> int:
        """Exchanges in a folder of which ``least`` are known."""
        ends = (one.at + one.rows for one in self.packed().values() if one.folder == folder)
        return max(ends, default=least)

    def repacked(self) -> None:
        """Packs came or went."""
        self._packed = None

    def tidy(self, gone: Iterable[Path] = ()) -> bool:
        """If nobody else is here: take away ``gone``, what killed attempts left, and parts that a pack has, too.

        Returns whether that was done.
        """
        with stored(self.parts), self.alone() as mine:
            if not mine:
                return False
            for path in gone:
                if path.exists():
                    parts.remove(path)
            left = {*self.parts.glob(".*"), *self.root.glob(f"{_RUN}*")} - self._mine
            for path in left:
                shutil.rmtree(path, ignore_errors=True)
            for name in self.packed():
                if self.place(name).exists():
                    parts.remove(self.place(name))
        return True

    @contextmanager
    def scratch(self) -> Generator[Path]:
        """A folder for one scan that all who reach the state reach; gone at the end."""
        made = self.root / f"{_RUN}{uuid.uuid4().hex[:8]}"
        self._mine.add(made)
        with stored(made):
            made.mkdir()
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)
            self._mine.remove(made)

    @contextmanager
    def alone(self) -> Generator[bool]:
        """Whether nobody else uses the folder, and nobody comes inside the block."""
        mine = _flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield mine
        finally:
            _flock(self._lock, fcntl.LOCK_SH)

    def hurt(self, path: Path) -> None:
        """Remove a damaged folder, and note which files it was of: their parts are made anew where they are still there."""
        self.damaged += parts.files(path)
        with stored(path):
            parts.remove(path)
        self._packed = None


def _flock(handle: int, how: int) -> bool:
    """Whether the lock was got. Where a file system has no locks, one is never alone."""
    try:
        fcntl.flock(handle, how)
    except OSError:
        return False
    return True


@contextmanager
def stored(where: Path) -> Generator[None]:
    """An OSError inside the block becomes a StorageError that names the file."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the state cannot be written: {error.strerror or error}",
            where=str(error.filename or where),
            hint="make room or choose another folder for the state; what was taken is kept",
        ) from error
