"""Outputs appear whole or not at all: a temporary folder beside the target, renamed at the end.

Left-overs of killed runs are recognised by the process number in their name and removed by the next run.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spiritsafe.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Generator

NAME, PATH = 255, 4_000
"""Longest name and path in bytes that file systems take; paths with some room for what is inside."""

_STORES = frozenset(
    {
        "s3:",
        "s3a:",
        "gs:",
        "gcs:",
        "az:",
        "abfs:",
        "abfss:",
        "wasb:",
        "wasbs:",
        "hdfs:",
        "http:",
        "https:",
        "file:",
    }
)
"""How addresses begin that are no folders here, as ``Path`` has them."""


@contextmanager
def staging(out: Path) -> Generator[Path]:
    """A fresh folder beside ``out``, removed at the end whatever happens.

    A full or failing disk inside the block becomes a StorageError that names the folder. Raises UsageError for an address.
    """
    check_local(out, "the output")
    out = Path(os.path.abspath(out))  # noqa: PTH100 - resolve() would follow a link that the user meant to keep
    work = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        recover(out)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        yield work
    except OSError as error:
        raise StorageError(
            f"cannot write: {error.strerror or error}",
            where=str(error.filename or out.parent),
            hint="free some space or choose another folder with --out",
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def recover(out: Path) -> None:
    """Remove what killed runs left beside ``out``; an earlier result that one was just replacing is put back."""
    out = Path(os.path.abspath(out))  # noqa: PTH100 - as above
    for old in out.parent.glob(f".{out.name}.partial-*"):
        pid = old.name.rpartition("-")[2]
        # In a container the next run often has the number of the killed one.
        if pid == str(os.getpid()) or not _alive(pid):
            if (old / "replaced").exists() and not out.exists():
                (old / "replaced").rename(out)
            shutil.rmtree(old, ignore_errors=True)


def check_local(folder: Path, name: str) -> None:
    """Raise UsageError for an address where a folder of this machine is needed, as the option or argument ``name``.

    It would be taken for a folder of that name. It is not repeated: there may be a key in it.
    """
    scheme = folder.parts[0] if folder.parts else ""
    if scheme in _STORES:
        raise UsageError(
            f"{name} must be a folder of this machine, and this is an address that begins with {scheme}//",
            hint="name a folder here; only logs are read from object storage (docs/object-storage.md)",
        )


def check_place(out: Path) -> None:
    """Raise UsageError where no folder can be made: a file stands in the way, or a name is too long."""
    out = Path(os.path.abspath(out))  # noqa: PTH100 - as above
    working = len(os.fsencode(f".{out.name}.partial-{os.getpid()}"))
    longest = max([working, *(len(os.fsencode(name)) for name in out.parts)])
    if longest > NAME or len(os.fsencode(out.parent)) + 2 * working > PATH:
        raise UsageError(
            f"the output's name is too long: {len(os.fsencode(out.name)):,} bytes, in a path of {len(os.fsencode(out)):,}",
            where=f"{str(out)[:60]}…",
            hint="name another folder with --out",
        )
    for above in out.parents:
        if above.is_dir():
            return
        if above.exists() or above.is_symlink():
            raise UsageError(
                "a file stands where a folder is needed",
                where=str(above),
                hint="name another folder with --out",
            )


def check_target(out: Path, mark: str) -> None:
    """Raise UsageError unless ``out`` is absent, empty, or an earlier result (a folder that holds ``mark``)."""
    if out.exists() and not (out.is_dir() and ((out / mark).exists() or not any(out.iterdir()))):
        raise UsageError(
            "the output exists and is not an earlier result",
            where=str(out),
            hint="name another folder with --out",
        )


def publish(finished: Path, out: Path) -> None:
    """Put the folder ``finished`` in the place of ``out``; both are on one file system."""
    _sync_all(finished)
    if out.exists():
        out.rename(finished.with_name("replaced"))
    finished.rename(out)
    sync(out.parent)


def place(finished: Path, final: Path) -> None:
    """Give the folder ``finished`` its name, in one step and on disk when this returns; ``final`` is not there yet."""
    _sync_all(finished)
    finished.rename(final)
    sync(final.parent)


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_all(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
