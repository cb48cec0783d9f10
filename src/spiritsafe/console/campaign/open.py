"""A campaign as a request names it: its run, its entry, its group, and what the scan tested beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import orjson

from spiritsafe.console.campaign.group import Group, Groups
from spiritsafe.console.guard import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from starlette.requests import Request

    from spiritsafe.console.results import Run

_LONGEST = 64 << 20


@dataclass(frozen=True, slots=True)
class Opened:
    """``tested``: the head of ``candidates.json``, empty where there is none; ``changes``: the lines of a watch."""

    run: Run
    entry: Mapping[str, Any]
    group: Group
    tested: Mapping[str, Any]
    changes: tuple[Mapping[str, Any], ...]


def opened(request: Request) -> Opened:
    """What the request's path names. Raises Refused (404), StorageError."""
    state = request.app.state
    run = state.results.run(request.path_params["run"])
    if run is None:
        raise Refused(404, "there is no such run", "the overview lists those that are there")
    entry = state.results.campaign(run.name, request.path_params["campaign"])
    if entry is None:
        raise Refused(
            404, "there is no such campaign in this run", "ids change when a scan sees more exchanges"
        )
    known = state.shared.setdefault("campaigns", _Known())
    group = known.groups.get(run.path, run.stamp, entry)
    return Opened(run, entry, group, known.head(run.path, run.stamp), _lines(run.path / "changes.jsonl"))


class _Known:
    """What was read of results, kept while they stay as they are."""

    def __init__(self) -> None:
        self.groups = Groups()
        self._heads: dict[str, Mapping[str, Any]] = {}

    def head(self, folder: Path, stamp: str) -> Mapping[str, Any]:
        if stamp not in self._heads:
            if len(self._heads) > 64:
                self._heads.clear()
            self._heads[stamp] = _head(folder / "candidates.json")
        return self._heads[stamp]


def _head(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LONGEST:
            return {}
        found = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}  # the page then says that it is not known
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in cast("dict[str, Any]", found).items() if key != "candidates"}


def _lines(path: Path) -> tuple[Mapping[str, Any], ...]:
    try:
        text = path.read_bytes()
    except OSError:
        return ()
    found: list[Mapping[str, Any]] = []
    for line in text.splitlines()[-5_000:]:
        try:
            one = orjson.loads(line)
        except ValueError:
            continue
        if isinstance(one, dict):
            found.append(cast("Mapping[str, Any]", one))
    return tuple(found)
