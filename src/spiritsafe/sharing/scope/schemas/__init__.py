"""The published schemas (JSON Schema 2020-12), one file a type, compiled at the first call."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    import jsonschema_rs

TYPES = (
    "campaign",
    "course-of-action",
    "grouping",
    "identity",
    "indicator",
    "infrastructure",
    "note",
    "opinion",
    "relationship",
    "sighting",
)


@cache
def load() -> dict[str, dict[str, Any]]:
    """All schemas by name: one for each of ``TYPES``, and ``common`` and ``distillation``, to which they refer."""
    folder = files(__name__)
    names = (*TYPES, "common", "distillation")
    return {name: json.loads(folder.joinpath(f"{name}.json").read_text("utf-8")) for name in names}


@cache
def validators() -> dict[str, jsonschema_rs.Draft202012Validator]:
    """A compiled validator by type. Raises UsageError where the extra is not installed."""
    try:
        import jsonschema_rs  # noqa: PLC0415 - of the extra `sharing`
    except ImportError as error:
        raise UsageError(
            "the gate needs the extra `sharing`", hint="pip install 'spiritsafe[sharing]'"
        ) from error

    found = load()
    registry = jsonschema_rs.Registry([(one["$id"], one) for one in found.values()])
    # A linear-time engine: no pattern of ours, and no text of theirs, can make it slow.
    options = jsonschema_rs.RegexOptions()
    return {
        kind: jsonschema_rs.Draft202012Validator(
            found[kind], registry=registry, pattern_options=options, offline=True
        )
        for kind in TYPES
    }


@cache
def words(name: str) -> tuple[str, ...]:
    """The closed vocabulary that ``common.json`` has under ``name``: "purpose", "legal-basis", "role", ...."""
    return tuple(load()["common"]["$defs"][name]["enum"])
