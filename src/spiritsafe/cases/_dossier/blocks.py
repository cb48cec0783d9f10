"""What a dossier consists of. All texts are cleaned (``_page/record.clean``) when they come in; writers escape them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.cases._page.exhibits import Figure


@dataclass(frozen=True, slots=True)
class Para:
    """A paragraph; ``kind``: "text", "lead" (larger) or "small"."""

    text: str
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading inside a section."""

    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list."""

    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values, side by side."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Table:
    """``head`` and ``rows``; columns in ``numeric`` are set to the right, those in ``mono`` as code.

    ``widths``: shares of the line. A cell may have several lines; the first stands out where ``strong``. ``tight``: many short
    rows.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    widths: Sequence[float]
    numeric: frozenset[int] = frozenset()
    mono: frozenset[int] = frozenset()
    strong: bool = False
    tight: bool = False


@dataclass(frozen=True, slots=True)
class Tried:
    """Innocent explanations: whether each fits ("no", "partly", "yes"), what it is, and why."""

    rows: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing with its words."""

    figure: Figure


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A text with its slots marked: (text, is it a slot), and what stands below."""

    title: str
    parts: Sequence[tuple[str, bool]]
    caption: str


Block = Para | Heading | Bullets | Facts | Table | Tried | Picture | Skeleton


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the dossier, with its place in the list of contents."""

    anchor: str
    title: str
    blocks: list[Block] = field(default_factory=list[Block])


@dataclass(frozen=True, slots=True)
class Dossier:
    """The whole: ``over`` and ``foot`` stand on each page of a PDF."""

    title: str
    over: str
    claim: str
    status: str
    foot: str
    sections: Sequence[Section]
