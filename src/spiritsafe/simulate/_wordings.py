"""The committed wordings: each family's own templates, or the one grammar of all families that do the same task."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from spiritsafe.errors import UsageError

Grammar = Literal["family", "task"]
FILLED = ("item", "item2", "item3", "answer", "other")
"""Slots that texts of the corpus go into."""
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Wordings:
    """Templates, word slots (which vary from ``paraphrase = "slots"`` on) and sets of phrases that stand for one another."""

    templates: tuple[str, ...]
    slots: dict[str, tuple[str, ...]]
    phrases: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Task:
    """What several families do alike: the kinds of prompts that all of them take, and how all of them word it."""

    name: str
    items: tuple[str, ...]
    wordings: Wordings


def _table(*path: str) -> dict[str, Any]:
    return tomllib.loads(files("spiritsafe.simulate").joinpath(*path).read_text("utf-8"))


@cache
def templates(family: str) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """The committed templates of a family and its word slots, from ``_templates.toml``."""
    entry = _table("_templates.toml")[family]
    slots = {name: tuple(values) for name, values in entry.get("slots", {}).items()}
    return tuple(entry["templates"]), slots


@cache
def tasks() -> dict[str, Task]:
    """The task of each family that has one, from ``_tasks.toml`` and the phrases beside it."""
    phrases = _table("phrases", "phrases.toml")
    found: dict[str, Task] = {}
    for name, entry in _table("_tasks.toml").items():
        slots = {slot: tuple(values) for slot, values in entry.get("slots", {}).items()}
        named = {slot for text in entry["templates"] for slot in _SLOT.findall(text)}
        sets = {slot: _phrases(phrases, slot) for slot in sorted(named - {*slots, *FILLED})}
        one = Task(name, tuple(entry["items"]), Wordings(tuple(entry["templates"]), slots, sets))
        found |= dict.fromkeys(entry["families"], one)
    return found


def _phrases(phrases: dict[str, Any], slot: str) -> tuple[str, ...]:
    """A set of phrases; a slot with a capital stands at the beginning of a sentence."""
    found = tuple(phrases[slot.lower()])
    return tuple(one[0].upper() + one[1:] for one in found) if slot[0].isupper() else found


def wordings(family: str, grammar: Grammar) -> Wordings:
    """What a family words its requests with."""
    if grammar == "task":
        return tasks()[family].wordings
    texts, slots = templates(family)
    return Wordings(texts, slots, {})


def numbered(family: str, grammar: Grammar, wording: int) -> tuple[int, ...] | None:
    """The templates that ``wording`` leaves (None: all). Raises UsageError for a number that is not there."""
    if wording < 0:
        return None
    if wording >= (many := len(wordings(family, grammar).templates)):
        raise UsageError(
            f"wording = {wording}: {family} has {many} wordings, counted from 0",
            hint="leave wording out for all of them",
        )
    return (wording,)
