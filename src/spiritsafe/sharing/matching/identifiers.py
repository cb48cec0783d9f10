"""Reading ``identifiers.jsonl``: what a laboratory wants matched, one value of one candidate a line.

::

    {"candidate_id": "c-1", "class": "device", "value": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"}
    {"candidate_id": "c-1", "class": "shingles", "value": {"version": 1, "hashes": ["0123456789abcdef", …]}}

``shingles`` is the skeleton of a campaign as 64-bit hashes; it gives one ``skeleton`` and 32 ``band`` values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from spiritsafe.errors import InputError, ScopeError
from spiritsafe.sharing.matching.bands import MOST, bands, exact
from spiritsafe.sharing.matching.classes import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LONGEST_LINE = 20 * MOST
_LONGEST_ID = 128


@dataclass
class Identifiers:
    """Canonical values by class, each with the candidates that hold it (sorted, without repeats).

    ``aside``: what may not be matched and was left out, with file and line.
    """

    held: dict[str, dict[str, set[str]]] = field(default_factory=dict[str, dict[str, set[str]]])
    aside: list[ScopeError] = field(default_factory=list[ScopeError])

    def add(self, name: str, written: str, candidate: str) -> None:
        """Take one canonical value of a candidate."""
        self.held.setdefault(name, {}).setdefault(written, set()).add(candidate)

    def rows(self) -> Iterator[tuple[str, str, list[str]]]:
        """``(class, value, candidates)`` in a fixed order."""
        for name in sorted(self.held):
            for written in sorted(self.held[name]):
                yield name, written, sorted(self.held[name][written])

    def __len__(self) -> int:
        return sum(len(values) for values in self.held.values())


def read(path: Path, *, strict: bool = False) -> Identifiers:
    """The identifiers in a file. Raises InputError for what is malformed.

    What may not be matched (a private address, an identifier that can be guessed) is set aside; with ``strict`` it raises
    ScopeError. Both say file and line, never the value.
    """
    found = Identifiers()
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        _take(found, line, f"{path}:{number}")
                    except ScopeError as error:
                        if strict:
                            raise
                        found.aside.append(error)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    return found


def _take(found: Identifiers, line: bytes, where: str) -> None:
    entry: Any = None
    if len(line) <= _LONGEST_LINE:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
    if not isinstance(entry, dict) or cast("dict[str, Any]", entry).keys() != {
        "candidate_id",
        "class",
        "value",
    }:
        raise InputError(
            "this is no identifier", where=where, hint='a line is {"candidate_id": …, "class": …, "value": …}'
        )
    fields = cast("dict[str, Any]", entry)
    candidate, name, value = fields["candidate_id"], fields["class"], fields["value"]
    if not isinstance(candidate, str) or not 0 < len(candidate) <= _LONGEST_ID or not isinstance(name, str):
        raise InputError("candidate_id and class are text", where=where)
    if name == "shingles":
        version, hashes = _shingles(value, where)
        found.add("skeleton", exact(version, hashes, where), candidate)
        for band in bands(version, hashes, where):
            found.add("band", band, candidate)
        return
    if not isinstance(value, str):
        raise InputError(f"the value of a {name} is text", where=where)
    found.add(name, canonical(name, value, where), candidate)


def _shingles(value: object, where: str) -> tuple[int, Any]:
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    version, hashes = fields.get("version"), fields.get("hashes")
    if fields.keys() != {"version", "hashes"} or type(version) is not int or not isinstance(hashes, list):
        raise InputError('shingles are {"version": 1, "hashes": [16 hex digits, …]}', where=where)
    if len(cast("list[Any]", hashes)) > MOST:
        raise ScopeError(f"a skeleton has at most {MOST} shingles", where=where)
    try:
        return version, np.array([int(_sixteen(one), 16) for one in cast("list[Any]", hashes)], np.uint64)
    except (ValueError, TypeError) as error:
        raise InputError("a shingle is 16 hex digits", where=where) from error


def _sixteen(text: object) -> str:
    if not isinstance(text, str) or len(text) != len("0123456789abcdef"):
        raise ValueError
    return text
