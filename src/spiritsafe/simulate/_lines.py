"""On which line of a TOML file something was written: ``tomllib`` says it of broken syntax only."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str | int, ...]
_HEADER = re.compile(r"\s*(\[\[?)(.+?)\]\]?\s*(?:#.*)?$")
_AT = re.compile(r"\(at line (\d+), column \d+\)")


def lines(text: str) -> dict[Path, int]:
    """The line of every table and key of a valid TOML text: ``("population", 0, "rate")`` -> 12.

    A statement ends where the parser accepts it; so arrays and texts over several lines need no care.
    """
    found: dict[Path, int] = {(): 1}
    seen: dict[Path, int] = {}
    here: Path = ()
    rows = text.split("\n")
    at = 0
    while at < len(rows):
        header = _HEADER.match(rows[at])
        if not rows[at].strip() or rows[at].lstrip().startswith("#"):
            at += 1
        elif header:
            here = _named(header[2])
            if header[1] == "[[":
                seen[here] = seen.get(here, -1) + 1
                here = (*here, seen[here])
            found.setdefault(here, at + 1)
            at += 1
        else:
            end = _end(rows, at)
            for keys in _keys(tomllib.loads("\n".join(rows[at:end]))):
                found.setdefault((*here, *keys), at + 1)
            at = end
    return found


def syntax_line(error: tomllib.TOMLDecodeError) -> tuple[str, int | None]:
    """The message of a syntax error without its place, and its line."""
    place = _AT.search(str(error))
    return _AT.sub("", str(error)).strip(), int(place[1]) if place else None


def _named(header: str) -> Path:
    table: Any = tomllib.loads(f"[{header}]")
    path: Path = ()
    while table:
        ((key, table),) = table.items()
        path = (*path, key)
    return path


def _end(rows: list[str], begin: int) -> int:
    """The first line after the statement that begins at ``begin``."""
    for end in range(begin + 1, len(rows) + 1):
        try:
            tomllib.loads("\n".join(rows[begin:end]))
        except tomllib.TOMLDecodeError:
            continue
        return end
    return len(rows)


def _keys(table: dict[str, Any], above: Path = ()) -> Iterator[Path]:
    for key, value in table.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _keys(cast("dict[str, Any]", value), (*above, key))
        if isinstance(value, list):
            for number, one in enumerate(cast("list[Any]", value)):
                if isinstance(one, dict):
                    yield (*above, key, number)
                    yield from _keys(cast("dict[str, Any]", one), (*above, key, number))
