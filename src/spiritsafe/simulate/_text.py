"""Prompt text without loops: templates with alternatives, kept as index columns until they are written."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

Paraphrase = Literal["none", "slots", "account", "call"]
_SEGMENT = re.compile(r"\[\[(.*?)\]\]|\{(\w+)\}", re.DOTALL)


@dataclass(frozen=True)
class Recipe:
    """Text of n rows as a join of parts; a part is a small array of strings and an index for each row.

    Index -1 stands for nothing. Rows cost a few integers until :meth:`render` is asked for some of them.
    """

    parts: tuple[tuple[Any, Ints], ...]

    def render(self, rows: Ints) -> Any:
        """The text of ``rows`` as a pyarrow string array; null where no part of a row has text."""
        columns = [_taken(strings, index[rows]) for strings, index in self.parts]
        if len(columns) == 1:
            return columns[0]
        return pc.binary_join_element_wise(
            *columns, pa.scalar("", pa.string()), null_handling="replace", null_replacement=""
        )

    def take(self, rows: Ints) -> Recipe:
        """The recipe of the given rows only."""
        return Recipe(tuple((strings, index[rows]) for strings, index in self.parts))


def plain(strings: Any, index: Ints) -> Recipe:
    """Text taken as it is from an array of strings."""
    return Recipe(((strings, index),))


def _taken(strings: Any, index: Ints) -> Any:
    if (index < 0).any():
        return strings.take(pa.array(index, mask=index < 0))
    return strings.take(pa.array(index))


@cache
def templates(family: str) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """The committed templates of a family and its word slots, from ``_templates.toml``."""
    table = tomllib.loads((files("spiritsafe.simulate") / "_templates.toml").read_text("utf-8"))
    entry = table[family]
    slots = {name: tuple(values) for name, values in entry.get("slots", {}).items()}
    return tuple(entry["templates"]), slots


def grammar(template: str) -> list[tuple[str, ...] | str]:
    """A template cut in segments: a tuple of alternatives (``[[a|b]]`` or fixed text) or a slot's name."""
    found: list[tuple[str, ...] | str] = []
    last = 0
    for match in _SEGMENT.finditer(template):
        if match.start() > last:
            found.append((template[last : match.start()],))
        found.append(match[2] or tuple(match[1].split("|")))
        last = match.end()
    if last < len(template):
        found.append((template[last:],))
    return found


def compose(
    rng: np.random.Generator,
    family: str,
    account: Ints,
    fill: Mapping[str, tuple[Any, Ints]],
    *,
    paraphrase: Paraphrase = "none",
    choose: Sequence[int] | None = None,
) -> Recipe:
    """The text of one exchange per row of ``account``, from the family's templates.

    ``fill`` gives the slots that items go into (strings, index of each row). ``paraphrase`` says who chooses
    among alternatives: nobody (one wording for all), only word slots vary, each account, or each call.
    ``choose`` limits the templates by position.
    """
    texts, words = templates(family)
    picked = [texts[i] for i in choose] if choose is not None else list(texts)
    which = _chosen(rng, len(picked), account, paraphrase)
    slots = dict(fill)
    level: Paraphrase = "call" if paraphrase == "slots" else paraphrase
    for name in sorted(words):
        slots[name] = (pa.array(words[name]), _chosen(rng, len(words[name]), account, level))

    def parts_of(text: str, mine: NDArray[np.bool_]) -> list[tuple[Any, Ints]]:
        parts: list[tuple[Any, Ints]] = []
        for segment in grammar(text):
            if isinstance(segment, str):
                strings, index = slots[segment]
                parts.append((strings, np.where(mine, index, -1)))
                continue
            index = _chosen(rng, len(segment), account, paraphrase)
            if any(_SEGMENT.search(alternative) for alternative in segment):
                for number, alternative in enumerate(segment):
                    parts += parts_of(alternative, mine & (index == number))
            else:
                parts.append((pa.array(segment), np.where(mine, index, -1)))
        return parts

    found = [part for number, text in enumerate(picked) for part in parts_of(text, which == number)]
    return Recipe(tuple((strings, index) for strings, index in found if (index >= 0).any()))


def _chosen(rng: np.random.Generator, options: int, account: Ints, level: str) -> Ints:
    if options == 1:
        return np.zeros(len(account), dtype=np.int64)
    if level == "call":
        return rng.integers(options, size=len(account))
    if level == "account":
        people = int(account.max()) + 1 if len(account) else 0
        return rng.integers(options, size=people)[account]
    return np.full(len(account), rng.integers(options), dtype=np.int64)
