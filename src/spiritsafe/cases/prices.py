"""The provider's price book: a TOML file with every figure of an estimate of losses, each with its source.

A figure is a range (``low``, ``mode``, ``high``) or, where a price list says it exactly, a ``value``; it always has a
``source``. ``shape = "log"`` says that the range is one of magnitudes. docs/loss.md tells what each figure means.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from spiritsafe import tomlfile
from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_FIGURE = ("value", "low", "mode", "high", "shape", "source", "note")
_MODEL = ("input", "cached", "output")
#: What each method needs, by section of the book.
NEEDS = {
    "licence": ("per_million_output",),
    "replacement": ("usable", "per_example"),
    "compute": ("student_parameters", "ordinary_tokens", "flop_per_hour", "hour"),
}
_OPTIONAL = {"licence": ("least",)}
_SHARES = frozenset({"replacement.usable"})


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the book. A triangular distribution over ``low``, ``mode``, ``high``, of logarithms if ``log``.

    A value that is exact has all three alike.
    """

    name: str
    low: float
    mode: float
    high: float
    log: bool
    source: str
    note: str = ""

    def quantile(self, u: Any) -> Any:
        """The value below which a share ``u`` (array or number) of the distribution lies."""
        low, mode, high = (math.log(x) if self.log else x for x in (self.low, self.mode, self.high))
        if high <= low:
            return np.full_like(np.asarray(u, float), self.mode)
        cut = (mode - low) / (high - low)
        below = low + np.sqrt(np.asarray(u) * (high - low) * (mode - low))
        above = high - np.sqrt((1 - np.asarray(u)) * (high - low) * (high - mode))
        value = np.where(np.asarray(u) <= cut, below, above)
        return np.exp(value) if self.log else value

    def told(self) -> dict[str, Any]:
        """For the result: what was assumed, and on whose word."""
        exact = self.low == self.high
        span = {"value": self.mode} if exact else {"low": self.low, "mode": self.mode, "high": self.high}
        return {"name": self.name, **span, "log": self.log, "source": self.source, "note": self.note}


@dataclass(frozen=True, slots=True)
class Book:
    """A price book. ``models``: pattern → figures by kind of token, per million; ``figures``: by "section.key"."""

    name: str
    currency: str
    as_of: str
    example: bool
    licensed: tuple[str, ...]
    models: tuple[tuple[str, Mapping[str, Figure]], ...]
    figures: Mapping[str, Figure]
    digest: str

    def model(self, name: str) -> tuple[str, Mapping[str, Figure]] | None:
        """The first entry whose pattern fits a model's name."""
        return next((one for one in self.models if fnmatchcase(name, one[0])), None)

    def section(self, name: str) -> bool:
        """Whether the book has what a method needs."""
        return all(f"{name}.{key}" in self.figures for key in NEEDS[name])


def read(path: Path) -> Book:
    """The book in ``path``. Raises UsageError with file and line."""
    table = tomlfile.read(path)
    table.only(("book", "tokens", "model", "received", *NEEDS), "a price book")
    book = table.table("book")
    book.only(("name", "currency", "as_of", "example", "licensed"), "[book]")
    figures: dict[str, Figure] = {}
    for name, keys in {
        **{section: (*needs, *_OPTIONAL.get(section, ())) for section, needs in NEEDS.items()},
        "tokens": ("characters",),
        "received": ("amount",),
    }.items():
        if name not in table.values:
            continue
        part = table.table(name)
        part.only(keys, f"[{name}]")
        for key in NEEDS.get(name, keys):
            if key not in part.values:
                raise UsageError(f"[{name}] needs {key}", where=part.place())
        for key in part.values:
            figures[f"{name}.{key}"] = _figure(part.table(key), f"{name}.{key}")
    rows: Any = table.values.get("model", [])
    if not isinstance(rows, list):
        raise UsageError("models are written as [[model]]", where=table.place("model"))
    return Book(
        book.needed("name"),
        book.needed("currency", 'for instance currency = "EUR"'),
        book.needed("as_of", "the day for which the figures hold"),
        book.flag("example", default=False),
        book.strings("licensed", ("distillation-licence", "research")),
        tuple(_models(table, cast("Sequence[Mapping[str, Any]]", rows))),
        figures,
        hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _models(
    table: tomlfile.Table, rows: Sequence[Mapping[str, Any]]
) -> list[tuple[str, Mapping[str, Figure]]]:
    found: list[tuple[str, Mapping[str, Figure]]] = []
    for number, row in enumerate(rows):
        one = tomlfile.Table(row, table.file, table.known, ("model", number))
        one.only(("name", *_MODEL), "[[model]]")
        name = one.needed("name", "a model's name, or a pattern such as teacher-*")
        kinds = {key: _figure(one.table(key), f"{name}.{key}") for key in _MODEL if key in one.values}
        if not {"input", "output"} <= kinds.keys():
            raise UsageError("a model needs prices of input and output", where=one.place())
        found.append((name, kinds))
    return found


def _figure(table: tomlfile.Table, name: str) -> Figure:
    table.only(_FIGURE, name)
    source = table.needed("source", "where the figure comes from: nothing here is a guess without a name")
    log = table.word("shape", ("triangular", "log"), "triangular") == "log"
    most = 1.0 if name in _SHARES else math.inf
    if "value" in table.values:
        if any(key in table.values for key in ("low", "mode", "high")):
            raise UsageError(f"{name} has both a value and a range", where=table.place("value"))
        low = mode = high = table.number("value", most=most)
    else:
        low, mode, high = (table.number(key, most=most) for key in ("low", "mode", "high"))
    if not low <= mode <= high or (log and low <= 0):
        raise UsageError(
            f"{name}: a range is low, mode, high in this order" + (", above 0" if log else ""),
            where=table.place(),
        )
    return Figure(name, low, mode, high, log, source, table.text("note", "") or "")
