"""What a laboratory keeps between runs, in a folder that only it may read: epochs, shares, tokens, keys of an epoch.

All of an epoch is in one folder, so that its end is the end of that folder.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

from spiritsafe.errors import SharingError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class State:
    """The folder. Raises StorageError when it cannot be used, SharingError when others may read it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = stat.S_IMODE(folder.stat().st_mode)
        except OSError as error:
            raise StorageError(f"the folder cannot be used: {error.strerror}", where=str(folder)) from error
        if mode & 0o077:
            raise SharingError(
                f"others can read this folder: its mode is {mode:04o}",
                where=str(folder),
                hint=f"chmod 700 {folder}",
            )

    def path(self, *parts: str) -> Path:
        """A path inside, its folder made."""
        found = self.folder.joinpath(*parts)
        found.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return found

    def read(self, *parts: str) -> Any:
        """The JSON that was kept there, or None. Raises SharingError when it is broken."""
        path = self.folder.joinpath(*parts)
        try:
            return orjson.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise SharingError("this cannot be read", where=str(path)) from error

    def keep(self, value: Any, *parts: str) -> None:
        """Keep JSON there, at once and durably; only its owner may read it. Raises StorageError."""
        path = self.path(*parts)
        part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(file, "wb") as out:
                out.write(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))
                out.flush()
                os.fsync(out.fileno())
            part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise StorageError(f"cannot be written: {error.strerror}", where=str(path)) from error

    def epochs(self) -> Iterator[str]:
        """The epochs of which something is kept."""
        with suppress(FileNotFoundError):
            yield from sorted(one.name for one in (self.folder / "epochs").iterdir() if one.is_dir())

    def destroy(self, epoch: str) -> None:
        """Overwrite and remove all that is kept of an epoch.

        Overwriting reaches what the file system still shows; snapshots, backups and worn flash cells may keep a copy.
        """
        folder = self.folder / "epochs" / epoch
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_file() and not path.is_symlink():
                _overwrite(path)
                path.unlink()
            else:
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        with suppress(FileNotFoundError):
            folder.rmdir()


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        left = path.stat().st_size
        while left > 0:
            left -= file.write(secrets.token_bytes(min(left, 1 << 20)))
        file.flush()
        os.fsync(file.fileno())
