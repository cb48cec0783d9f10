"""The state folder: whose it is, and that one watch alone has it."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from spiritsafe import __version__
from spiritsafe.errors import StorageError, UsageError
from spiritsafe.features import FINGERPRINT_VERSION
from spiritsafe.staging import check_local, sync
from spiritsafe.state.folder import stored


def beside(out: Path) -> Path:
    """Where the state is when the user does not say."""
    whole = Path(os.path.abspath(out))  # noqa: PTH100 - resolve() would follow a link that the user meant to keep
    return whole.with_name(f".{whole.name}.state")


def apart(folder: Path, out: Path, state: Path) -> None:
    """Raises UsageError when one of the three is no folder here, or lies in another: results are replaced as a whole."""
    named = {"the watched folder": folder, "--out": out, "--state": state}
    for name, path in named.items():
        check_local(path, name)
    real = {name: os.path.realpath(path) for name, path in named.items()}
    for inner, path in real.items():
        for outer, other in real.items():
            if inner != outer and (path + os.sep).startswith(other + os.sep):
                raise UsageError(
                    f"{inner} would lie in {outer}",
                    where=str(named[inner]),
                    hint="keep the three folders apart",
                )


def locked(path: Path) -> int:
    """The handle of a lock that lasts until it is closed; raises StorageError when another process has it."""
    with stored(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise StorageError(
            "another watch is running on this state",
            where=str(path.parent),
            hint="wait for it to end, or give this one a --state and an --out of its own",
        ) from error
    return handle


def checked(path: Path, folder: Path) -> None:
    """The state belongs to this folder and this version; raises UsageError when not."""
    mine = {
        "schema": 1,
        "spiritsafe": __version__,
        "fingerprint_version": FINGERPRINT_VERSION,
        "folder": os.path.realpath(folder),
    }
    with stored(path):
        if not path.exists():
            half = path.with_suffix(".half")
            half.write_text(json.dumps(mine, sort_keys=True) + "\n", "utf-8")
            sync(half)
            half.replace(path)
            sync(path.parent)
        try:
            theirs = json.loads(path.read_text("utf-8"))
        except ValueError:
            theirs = {}
    other = [name for name in mine if mine[name] != theirs.get(name)]
    if other:
        raise UsageError(
            f"this state was made with another {' and '.join(other)}",
            where=str(path.parent),
            hint="name another folder with --state, or remove this one: segments that are still there are read anew",
        )
