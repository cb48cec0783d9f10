"""The keys that a model server holds, found by the ids that the gateway's ``mark`` orders name.

A server reads one TOML file; the secrets are derived from the root key file that it names::

    root = "root.key"        # as `new_root` wrote it, beside this file; only its owner can read it
    unknown = "refuse"       # or "pass": answers whose key is not here go out unmarked, and the log says so

    [[key]]
    campaign = "c-1"
    epoch = 3
    scheme = "green"         # or "gumbel"; width, share and strength as in `MarkKey`
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from spiritsafe.errors import UsageError
from spiritsafe.marking.keys import SCHEMES, derive, read_root
from spiritsafe.tomlfile import Table, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spiritsafe.marking.keys import MarkKey

Unknown = Literal["refuse", "pass"]
UNKNOWN: Final[tuple[Unknown, ...]] = ("refuse", "pass")
_KEYS = ("campaign", "epoch", "scheme", "width", "share", "strength")
_SHOWN = 40
"""Characters of an id that nobody here gave out, in a log."""


class Keyring:
    """Mark keys by their ids. ``unknown``: what happens to an answer whose key is not here."""

    def __init__(self, keys: Iterable[MarkKey], *, unknown: Unknown = "refuse") -> None:
        self._keys = {key.key_id: key for key in keys}
        self.unknown = unknown
        self._told: set[str] = set()

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[MarkKey]:
        return iter(self._keys.values())

    def get(self, key_id: str | None) -> MarkKey | None:
        """The key of that id; None where none is named, or where an unknown one is passed unmarked.

        Raises UsageError for an unknown id under "refuse". Under "pass" the log has one warning for each id.
        """
        if not key_id:
            return None
        key = self._keys.get(key_id)
        if key is not None:
            return key
        shown = repr(key_id[:_SHOWN])
        if self.unknown == "refuse":
            raise UsageError(
                f"no mark key here has the id {shown}",
                hint='add its campaign and epoch to the keyring, or set unknown = "pass"',
            )
        if key_id not in self._told and len(self._told) < 1_000:
            self._told.add(key_id)
            logging.getLogger(__name__).warning("no mark key has the id %s: answers pass unmarked", shown)
        return None


def read_keyring(path: Path) -> Keyring:
    """The keyring of a TOML file; ``root`` is looked for beside it. Raises UsageError with file and line."""
    table = read(path)
    table.only(("root", "unknown", "key"), "a keyring")
    root = read_root(path.parent / Path(table.needed("root", hint="the file that the root key is in")))
    unknown = cast("Unknown", table.word("unknown", UNKNOWN, "refuse"))
    listed = table.values.get("key", [])
    if not isinstance(listed, list):
        raise table.wrong("key", "keys are written as [[key]]")
    keys = [
        _key(root, Table(one, table.file, table.known, ("key", at)))
        for at, one in enumerate(cast("list[dict[str, Any]]", listed))
    ]
    if len({key.key_id for key in keys}) < len(keys):
        raise UsageError("a campaign's epoch stands twice in the keyring", where=str(path))
    return Keyring(keys, unknown=unknown)


def _key(root: bytes, one: Table) -> MarkKey:
    one.only(_KEYS, "a key")
    epoch = _whole(one, "epoch")
    how: dict[str, Any] = {"scheme": one.word("scheme", SCHEMES, "green")}
    if "width" in one.values:
        how["width"] = _whole(one, "width")
    for name, most in (("share", 1.0), ("strength", 20.0)):
        if name in one.values:
            how[name] = float(one.number(name, most=most))
    try:
        return derive(root, one.needed("campaign"), epoch, **how)
    except UsageError as error:
        raise UsageError(error.message, where=error.where or one.place(), hint=error.hint) from error


def _whole(one: Table, key: str) -> int:
    value = one.number(key, 0)
    if value != int(value):
        raise one.wrong(key, "a whole number is needed")
    return int(value)
