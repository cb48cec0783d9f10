"""What an order may set on its response, and what happens when it sets it wrongly."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its kind, its default (... when it must be given), and its bounds or choices."""

    kind: Literal["integer", "number", "text", "url", "token"]
    default: Any = ...
    least: float | None = None
    choices: tuple[str | int, ...] = ()


_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "text": "text",
    "url": "an http(s) URL",
    "token": "letters, digits and ._:-",
}


def check(response: str, known: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of an order, defaults filled in. Raises UsageError that names response, parameter and reason."""
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise UsageError(
                f"response {response} has no parameter {name!r}",
                hint=f"did you mean {near[0]}?" if near else f"it has {', '.join(known) or 'none'}",
            )
    return {name: _value(response, name, one, given.get(name, one.default)) for name, one in known.items()}


def _value(response: str, name: str, one: Parameter, value: Any) -> Any:
    if value is ...:
        raise UsageError(f"response {response} needs the parameter {name}", hint=f"give {_KINDS[one.kind]}")
    if value is None and one.default is None:
        return None
    if not _fits(one.kind, value):
        raise UsageError(
            f"response {response}: {name} is {value!r:.60}", hint=f"it must be {_KINDS[one.kind]}"
        )
    if one.least is not None and value is not None and value < one.least:
        raise UsageError(f"response {response}: {name} is {value}", hint=f"it must be at least {one.least:g}")
    if one.choices and value not in one.choices:
        raise UsageError(
            f"response {response}: {name} is {value!r:.60}",
            hint=f"it must be {' or '.join(map(str, one.choices))}",
        )
    return value


def _fits(kind: str, value: Any) -> bool:
    if kind in {"integer", "number"}:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole or (kind == "number" and isinstance(value, float) and value - value == 0)
    if not isinstance(value, str) or not value.isprintable() or not value:
        return False
    if kind == "token":
        return value.isascii() and not value.strip(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-"
        )
    if kind == "url":
        try:
            parts = urlsplit(value)
        except ValueError:
            return False
        return parts.scheme in {"http", "https"} and bool(parts.netloc) and " " not in value
    return True
