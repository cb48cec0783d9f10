"""Where a dossier is made from: a case's folder, or a bundle that was checked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spiritsafe.cases import folder, seal
from spiritsafe.cases.verify import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from spiritsafe.cases.folder import Case
    from spiritsafe.cases.verify import Checked

LONGEST = 64 << 20
"""Bytes of a part that a dossier reads."""


@dataclass(frozen=True, slots=True)
class Source:
    """``read`` gives a part's bytes, None when it is withheld. ``sealed``: what was checked, None for a folder."""

    case: Mapping[str, str]
    entries: Sequence[Mapping[str, Any]]
    parts: Sequence[Part]
    read: Callable[[str], bytes | None]
    sealed: Checked | None
    digest: str

    def items(self, kind: str) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
        """Name, ``about`` and entry of each item of one kind."""
        for entry in self.entries:
            body = entry["body"]
            if entry["kind"] == folder.ITEM and body["kind"] == kind:
                yield body["item"], body["about"], entry

    def json(self, part: str) -> Any:
        """A part as JSON; None when it is withheld, missing or none."""
        data = self.read(part)
        try:
            return None if data is None else json.loads(data)
        except ValueError:
            return None


def of_case(case: Case) -> Source:
    """The source of a case that is not sealed."""
    parts = [
        Part(name, told["kind"], told["leaves"], 0, told["root"])
        for item in case.items
        for name, told in item.parts.items()
    ]
    known = {one.name for one in parts}

    def read(name: str) -> bytes | None:
        if name not in known:
            return None
        with folder.reading(case.path(name)) as file:
            return file.read(LONGEST)

    entries = [
        {"seq": one.seq, "time": one.time, "kind": one.kind, "body": one.body, "hash": one.hash}
        for one in case.entries
    ]
    told = {"id": case.case_id, "title": case.title, "claim": case.claim}
    return Source(told, entries, sorted(parts, key=lambda one: one.name), read, None, case.head)


def of_bundle(path: Path, checked: Checked) -> Source:
    """The source of a bundle that was checked."""

    def read(name: str) -> bytes | None:
        return seal.part(path, name, LONGEST)

    digest = hashlib.sha256(seal.statement_of(path)).hexdigest()
    return Source(checked.facts["case"], checked.entries, checked.parts, read, checked, digest)
