"""A TOML file that a person wrote: typed reading, with errors that name the file, the line, the key and the nearest name.

``tomllib`` says on which line broken syntax stands; where a valid table or key stands is found here.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path as File

Path = tuple[str | int, ...]
REQUIRED: Any = object()  # a key without a default
SPANS = {"ms": 1e-3, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
SIZES = {"B": 1, "kB": 1_000, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}
_HEADER = re.compile(r"\s*(\[\[?)(.+?)\]\]?\s*(?:#.*)?$")
_AT = re.compile(r"\(at line (\d+), column \d+\)")
_AMOUNT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint: the nearest of the known names, or all of them."""
    among = sorted(known)
    same = [one for one in among if one.casefold() == name.casefold()]
    close = same or difflib.get_close_matches(name, among, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(among)}"


def read_text(path: File) -> str:
    """The text of a file, without a byte order mark. Raises UsageError, with the line of what is not UTF-8."""
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UsageError("this is not UTF-8 text", where=f"{path}:{line}") from error


def read(path: File) -> Table:
    """The whole file as a table. Raises UsageError with file and line when it cannot be read or is not TOML."""
    text = read_text(path)
    try:
        values = tomllib.loads(text)
        known = lines(text)
    except RecursionError as error:
        raise UsageError("this is nested too deep to be read", where=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        message, at = syntax_line(error)
        last = len(text.splitlines()) or 1
        raise UsageError(f"this is not TOML: {message}", where=f"{path}:{at or last}") from error
    return Table(values, str(path), known)


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a TOML file: ``values``, where it stands (``path`` inside ``file``), and every line number."""

    values: Mapping[str, Any]
    file: str
    known: Mapping[Path, int]
    path: Path = ()

    def place(self, *keys: str | int) -> str:
        """``file:line`` of a key of this table, or of what is nearest above it."""
        at = (*self.path, *keys)
        while at not in self.known:
            at = at[:-1]
        return f"{self.file}:{self.known[at]}"

    def only(self, keys: Iterable[str], what: str) -> None:
        """Raise UsageError when there is a key that ``what`` does not have."""
        names = tuple(keys)
        for key in self.values:
            if key not in names:
                raise UsageError(
                    f"{what} has no key {key!r}", where=self.place(key), hint=nearest(key, names)
                )

    def table(self, key: str) -> Table:
        """The table called ``key``; empty when absent."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise UsageError(f"{key} is written as a table: [{key}]", where=self.place(key))
        return Table(cast("dict[str, Any]", value), self.file, self.known, (*self.path, key))

    def tables(self, key: str) -> list[Table]:
        """The tables written as [[key]]; none when absent."""
        listed: Any = self.values.get(key, [])
        if not isinstance(listed, list) or not all(
            isinstance(one, dict) for one in cast("list[Any]", listed)
        ):
            name = ".".join(str(one) for one in (*self.path, key))
            raise UsageError(f"{key} is written as [[{name}]], once for each", where=self.place(key))
        found = enumerate(cast("list[dict[str, Any]]", listed))
        return [Table(one, self.file, self.known, (*self.path, key, number)) for number, one in found]

    def text(self, key: str, default: str | None = REQUIRED) -> str | None:
        """A text that is not empty."""
        value = self._value(key, default)
        if value is not default and (not isinstance(value, str) or not value):
            raise self.wrong(key, "a text is needed")
        return cast("str | None", value)

    def needed(self, key: str, hint: str | None = None) -> str:
        """A text without a default; ``hint`` says what to write."""
        if key not in self.values:
            raise UsageError(f"{self._name()} needs {key}", where=self.place(), hint=hint)
        return cast("str", self.text(key))

    def word(self, key: str, words: Sequence[str], default: str = REQUIRED) -> str:
        """One of ``words``."""
        value = self._value(key, default, hint=f"one of: {', '.join(words)}")
        if value not in words:
            raise UsageError(
                f"there is no {key} {value!r}", where=self.place(key), hint=nearest(str(value), words)
            )
        return cast("str", value)

    def flag(self, key: str, default: bool = REQUIRED) -> bool:  # noqa: FBT001 - a value like the others
        """True or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false is needed")
        return value

    def number(
        self, key: str, default: float = REQUIRED, *, least: float = 0.0, most: float = math.inf
    ) -> float:
        """A finite number from ``least`` to ``most``."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.wrong(key, "a number is needed")
        if not least <= value <= most:
            raise self.wrong(key, f"a number from {least:g} to {most:g} is needed")
        return value

    def strings(self, key: str, default: Sequence[str] = REQUIRED) -> tuple[str, ...]:
        """A list of texts."""
        value = self._value(key, default)
        if not isinstance(value, (list, tuple)):
            raise self.wrong(key, "a list of texts is needed")
        listed = cast("list[Any]", value)
        if not all(isinstance(one, str) and one for one in listed):
            raise self.wrong(key, "a list of texts is needed")
        return tuple(listed)

    def span(self, key: str, default: str = REQUIRED) -> int:
        """Microseconds of a length of time such as 500ms, 30s, 5m, 1h or 7d."""
        return round(self._amount(key, default, SPANS, "30s, 5m, 1h or 7d") * 1_000_000)

    def size(self, key: str, default: str = REQUIRED) -> int:
        """Bytes of a size such as 64kB, 32MB or 1GB."""
        return round(self._amount(key, default, SIZES, "64kB, 32MB or 1GB"))

    def wrong(self, key: str, need: str) -> UsageError:
        """The error that says what ``key`` holds and what is needed."""
        return UsageError(f"{key} = {self.values.get(key)!r} makes no sense: {need}", where=self.place(key))

    def _amount(self, key: str, default: str, units: Mapping[str, float], example: str) -> float:
        value = self._value(key, default)
        found = amount(value, units) if isinstance(value, str) else 0.0
        if found <= 0:
            raise UsageError(
                f"{key} = {value!r} makes no sense", where=self.place(key), hint=f"write it as {example}"
            )
        return found

    def _value(self, key: str, default: object, hint: str | None = None) -> Any:
        if key in self.values:
            return self.values[key]
        if default is REQUIRED:
            raise UsageError(f"{self._name()} needs {key}", where=self.place(), hint=hint)
        return default

    def _name(self) -> str:
        return f"[{'.'.join(str(one) for one in self.path)}]" if self.path else "the file"


def amount(text: str, units: Mapping[str, float]) -> float:
    """The number that a text such as 30s or 3GB stands for; 0 where it is none."""
    found = _AMOUNT.fullmatch(text)
    return float(found[1]) * units.get(found[2], 0) if found else 0.0


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
                found.setdefault(here, at + 1)
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
