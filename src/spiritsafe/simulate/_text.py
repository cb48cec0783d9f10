"""Prompt text without loops: templates with alternatives, kept as index columns until they are written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.simulate._wordings import wordings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from spiritsafe.simulate._wordings import Grammar

    Ints = NDArray[np.int64]

Paraphrase = Literal["none", "slots", "account", "call"]
Mask: TypeAlias = "NDArray[np.bool_] | bool"
_SEGMENT = re.compile(r"\[\[(.*?)\]\]|\{(\w+)\}", re.DOTALL)


@dataclass(frozen=True)
class Recipe:
    """Text of n rows as a join of parts; a part is a small array of strings and an index for each row.

    Index -1 stands for nothing. Rows cost a few integers until :meth:`render` is asked for some of them.
    """

    parts: tuple[tuple[Any, Ints], ...]

    def render(self, rows: Ints) -> Any:
        """The text of ``rows`` as a pyarrow string array; for looking at a few of them (``_sheet`` writes many)."""
        columns = [strings.take(pa.array(index[rows], mask=index[rows] < 0)) for strings, index in self.parts]
        return pc.binary_join_element_wise(
            *columns, pa.scalar("", pa.string()), null_handling="replace", null_replacement=""
        )

    def take(self, rows: Ints) -> Recipe:
        """The recipe of the given rows only."""
        return Recipe(tuple((strings, taken(index, rows)) for strings, index in self.parts))


def everywhere(value: int, size: int) -> Ints:
    """``value`` in each of ``size`` rows, in the memory of one."""
    return np.broadcast_to(np.int64(value), size)


def constant(index: Ints) -> bool:
    """Whether the array was made by :func:`everywhere`."""
    return index.strides == (0,)


def small(index: Ints) -> Ints:
    """The same numbers in the least width that holds them; -1 fits too."""
    if constant(index) or not len(index):
        return index
    top = int(index.max())
    for kind in (np.int8, np.int16, np.int32):
        if top <= np.iinfo(kind).max:
            return index.astype(kind)  # type: ignore[return-value] - whole numbers all the same
    return index


def taken(index: Ints, rows: Ints) -> Ints:
    """``index[rows]``; what is the same everywhere stays so."""
    return everywhere(int(index[0]), len(rows)) if constant(index) and len(index) else index[rows]


def plain(strings: Any, index: Ints) -> Recipe:
    """Text taken as it is from an array of strings."""
    return Recipe(((strings, index),))


def segments(template: str) -> list[tuple[str, ...] | str]:
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
    grammar: Grammar = "family",
    common: np.random.Generator | None = None,
    shared: bool = False,
) -> Recipe:
    """The text of one exchange per row of ``account``, from the family's templates or the grammar of its task.

    ``fill`` gives the slots that items go into (strings, index of each row). ``paraphrase`` says who chooses
    among alternatives: nobody (one wording for all), only word slots vary, each account, or each call.
    ``choose`` limits the templates by position. What is chosen once for all is drawn from ``common`` (default: ``rng``),
    and so is what each account chooses where it is ``shared``, an owner that other parts of a population have too.
    """
    common = rng if common is None else common
    own = common if shared else rng
    words = wordings(family, grammar)
    texts = words.templates
    picked = [texts[i] for i in choose] if choose is not None else list(texts)

    def chosen(options: int, level: str) -> Ints:
        if level == "call":
            return _chosen(rng, options, account, level)
        return _chosen(own if level == "account" else common, options, account, level)

    which = chosen(len(picked), paraphrase)
    slots = {name: (strings, small(index)) for name, (strings, index) in fill.items()}
    level: Paraphrase = "call" if paraphrase == "slots" else paraphrase
    for kind, who in ((words.slots, level), (words.phrases, paraphrase)):
        for name in sorted(kind):
            slots[name] = (pa.array(kind[name]), chosen(len(kind[name]), who))

    def parts_of(text: str, mine: Mask) -> list[tuple[Any, Ints]]:
        parts: list[tuple[Any, Ints]] = []
        for segment in segments(text):
            if isinstance(segment, str):
                strings, index = slots[segment]
                parts.append((strings, _where(mine, index)))
                continue
            index = chosen(len(segment), paraphrase)
            if any(_SEGMENT.search(alternative) for alternative in segment):
                for number, alternative in enumerate(segment):
                    parts += parts_of(alternative, _both(mine, _equal(index, number)))
            else:
                parts.append((pa.array(segment), _where(mine, index)))
        return parts

    found = [part for number, text in enumerate(picked) for part in parts_of(text, _equal(which, number))]
    return Recipe(_merged([(strings, index) for strings, index in found if (index >= 0).any()]))


def _merged(parts: list[tuple[Any, Ints]]) -> tuple[tuple[Any, Ints], ...]:
    """Neighbours that are the same in all rows become one part."""
    made: list[tuple[Any, Ints]] = []
    for strings, index in parts:
        if constant(index):
            word = strings[int(index[0])].as_py() or ""
            if made and constant(made[-1][1]) and made[-1][1][0] >= 0:
                word = (made.pop()[0][0].as_py()) + word
            made.append((pa.array([word]), everywhere(0, len(index))))
        else:
            made.append((strings, index))
    return tuple(made)


def _equal(index: Ints, number: int) -> Mask:
    return bool(index[0] == number) if constant(index) and len(index) else index == number


def _both(one: Mask, other: Mask) -> Mask:
    if isinstance(one, bool):
        return other if one else False
    if isinstance(other, bool):
        return one if other else False
    return one & other


def _where(mine: Mask, index: Ints) -> Ints:
    if isinstance(mine, bool):
        return index if mine else everywhere(-1, len(index))
    if constant(index) and len(index):
        kind = np.int8 if index[0] <= np.iinfo(np.int8).max else np.int32
        return np.where(mine, kind(index[0]), kind(-1))  # type: ignore[return-value] - whole numbers all the same
    return np.where(mine, index, -1)


def _chosen(rng: np.random.Generator, options: int, account: Ints, level: str) -> Ints:
    if options == 1:
        return everywhere(0, len(account))
    if level == "call":
        return small(rng.integers(options, size=len(account)))
    if level == "account":
        people = int(account.max()) + 1 if len(account) else 0
        return small(rng.integers(options, size=people))[account]
    return everywhere(int(rng.integers(options)), len(account))
