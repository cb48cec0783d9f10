"""The dossier as a PDF: A4, numbered pages, the same bytes on every machine. Needs reportlab (the extra ``cases``)."""

from __future__ import annotations

import io
import unicodedata
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from spiritsafe.cases._dossier import drawing
from spiritsafe.cases._dossier.blocks import (
    Bullets,
    Facts,
    Heading,
    Para,
    Picture,
    Skeleton,
    Table,
    Tried,
)
from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.cases._dossier.blocks import Block, Dossier

_INK, _SOFT, _EDGE, _MAIN, _GROUND = "#1e1b17", "#5c554b", "#d8d2c6", "#8a3f10", "#f4f0e8"
_SLOT = "#f7e2c6"
_CHIPS = {
    "no": ("does not fit", "#7a2a10"),
    "partly": ("fits in part", "#6b4700"),
    "yes": ("fits", "#1d5235"),
}
_FONTS = ("SpiritsafeSans", "SpiritsafeSans-Bold", "SpiritsafeMono")
_FILES = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf")
#: Letters of East Asia and the fonts that PDF readers have for them; these are not embedded.
_EAST = (
    (0x3040, 0x30FF, "HeiseiMin-W3"), (0xAC00, 0xD7A3, "HYSMyeongJo-Medium"), (0x3000, 0x303F, "STSong-Light"),
    (0x3400, 0x4DBF, "STSong-Light"), (0x4E00, 0x9FFF, "STSong-Light"), (0xFF00, 0xFFEF, "STSong-Light"),
)  # fmt: skip
_BOX = "\N{WHITE SQUARE}"
_BEGIN = 170.0  # points that a section needs to begin on a page
_SHORT = 40  # characters of a fact that fits a third of a line
_MARGIN, _TOP, _FOOT = 56.0, 62.0, 54.0
_LONGEST = 3_000  # characters of one skeleton: more would fill pages


def paper(dossier: Dossier) -> bytes:
    """The PDF. Same dossier, same bytes. Raises UsageError without reportlab."""
    try:
        from reportlab.lib.pagesizes import A4  # noqa: PLC0415 - comes with the extra `cases`
        from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "a PDF needs reportlab", hint="pip install 'spiritsafe[cases]', or write a page: --out NAME.html"
        ) from error
    setter = _Setter(A4[0] - 2 * _MARGIN)
    out = io.BytesIO()
    made = BaseDocTemplate(
        out, pagesize=A4, title=dossier.title, author="Spiritsafe", subject=dossier.over, invariant=1,
        creator="Spiritsafe", lang="en",
    )  # fmt: skip
    frame = Frame(_MARGIN, _FOOT, setter.width, A4[1] - _TOP - _FOOT, 0, 0, 0, 0, id="body")
    edges = _Edges(dossier, A4, setter.fit)
    made.addPageTemplates([PageTemplate("page", [frame], onPageEnd=edges)])
    story = setter.front(dossier)
    for section in dossier.sections:
        story += setter.section(section.title, section.blocks)
    made.build(story)
    return out.getvalue()


class _Edges:
    """What stands at the head and the foot of each page."""

    def __init__(self, dossier: Dossier, page: tuple[float, float], fit: Any) -> None:
        self._dossier, self._page, self._fit = dossier, page, fit

    def __call__(self, canvas: Any, _document: Any) -> None:
        width, height = self._page
        canvas.saveState()
        canvas.setFont(_FONTS[0], 7.5)
        canvas.setFillColor(_SOFT)
        if canvas.getPageNumber() > 1:
            canvas.drawString(_MARGIN, height - 38, _cut(self._fit(self._dossier.over), 60))
            canvas.drawRightString(width - _MARGIN, height - 38, _cut(self._fit(self._dossier.title), 60))
            canvas.setStrokeColor(_EDGE)
            canvas.setLineWidth(0.5)
            canvas.line(_MARGIN, height - 44, width - _MARGIN, height - 44)
        canvas.setFont(_FONTS[2], 7)
        canvas.drawString(_MARGIN, 32, _cut(self._fit(self._dossier.foot), 90))
        canvas.setFont(_FONTS[0], 7.5)
        canvas.drawRightString(width - _MARGIN, 32, f"page {canvas.getPageNumber()}")
        canvas.restoreState()


class _Setter:
    """Sets blocks as reportlab's flowables; every text goes through ``fit`` and ``escape``."""

    def __init__(self, width: float) -> None:
        from reportlab.lib.styles import ParagraphStyle  # noqa: PLC0415

        _register()
        self.width = width

        usual: dict[str, Any] = {"fontName": _FONTS[0], "fontSize": 9, "leading": 13, "textColor": _INK}

        def style(name: str, **how: Any) -> Any:
            return ParagraphStyle(name, **(usual | how))

        bold, mono = {"fontName": _FONTS[1]}, {"fontName": _FONTS[2]}
        self.styles = {
            "text": style("text", spaceAfter=6),
            "lead": style("lead", fontSize=11, leading=16, spaceAfter=8),
            "small": style("small", fontSize=8, leading=11, textColor=_SOFT, spaceAfter=6),
            "over": style("over", fontSize=9, textColor=_SOFT, spaceAfter=8),
            "title": style("title", **bold, fontSize=22, leading=27, spaceAfter=14),
            "claim": style("claim", fontSize=12, leading=18, spaceAfter=14),
            "section": style(
                "section", **bold, fontSize=15, leading=19, spaceBefore=20, spaceAfter=8, textColor=_MAIN, keepWithNext=1
            ),
            "heading": style(
                "heading", **bold, fontSize=10.5, leading=14, spaceBefore=12, spaceAfter=5, keepWithNext=1
            ),
            "cell": style("cell", fontSize=8, leading=10.5),
            "head": style("head", fontSize=7.5, leading=9.5, textColor=_SOFT),
            "mono": style("mono", **mono, fontSize=7, leading=9.5, wordWrap="CJK"),
            "number": style("number", fontSize=8, leading=10.5, alignment=2),
            "headnumber": style("headnumber", fontSize=7.5, leading=9.5, textColor=_SOFT, alignment=2),
            "bullet": style("bullet", leftIndent=12, bulletIndent=2, spaceAfter=3),
            "quote": style("quote", **mono, fontSize=8, leading=12),
            "value": style("value", fontSize=10, leading=13),
        }  # fmt: skip

    def fit(self, text: str) -> str:
        """``text`` in letters that the fonts have: composed, and what is missing shown as a box."""
        return "".join(
            one if ord(one) in _letters() or one == "\n" else _BOX
            for one in unicodedata.normalize("NFC", text)
        )

    def markup(self, text: str) -> str:
        """``text`` for a paragraph: escaped; letters of East Asia in the fonts that readers of PDF have for them."""
        told = ""
        for east, run in groupby(unicodedata.normalize("NFC", text), _eastern):
            piece = "".join(run)
            told += f'<font name="{east}">{escape(piece)}</font>' if east else escape(self.fit(piece))
        return told.replace("\n", "<br/>")

    def paragraph(self, text: str, style: str, **how: Any) -> Any:
        """A paragraph; line feeds are line breaks."""
        from reportlab.platypus import Paragraph  # noqa: PLC0415

        return Paragraph(self.markup(text), self.styles[style], **how)

    def front(self, dossier: Dossier) -> list[Any]:
        """What stands above the first section, the list of contents included."""
        from reportlab.platypus import HRFlowable, Spacer  # noqa: PLC0415

        story = [self.paragraph(dossier.over, "over"), self.paragraph(dossier.title, "title")]
        if dossier.claim:
            story.append(self.paragraph(f"The claim: {dossier.claim}", "claim"))
        story += [self.paragraph(dossier.status, "small"), Spacer(0, 4)]
        names = " · ".join(one.title for one in dossier.sections)
        story += [HRFlowable("100%", 0.5, color=_EDGE), Spacer(0, 4), self.paragraph(names, "small")]
        return [*story, HRFlowable("100%", 0.5, color=_EDGE)]

    def section(self, title: str, blocks: Sequence[Block]) -> list[Any]:
        """A section's flowables."""
        from reportlab.platypus import CondPageBreak  # noqa: PLC0415

        story = [CondPageBreak(_BEGIN), self.paragraph(title, "section")]
        for block in blocks:
            story += self.block(block)
        return story

    def block(self, block: Block) -> list[Any]:
        """The flowables of one block."""
        how: dict[type, Any] = {
            Facts: self._facts, Table: self._table, Tried: self._tried, Picture: self._picture, Skeleton: self._skeleton,
        }  # fmt: skip
        if type(block) in how:
            return how[type(block)](block)
        if isinstance(block, Bullets):
            return [self.paragraph(text, "bullet", bulletText="•") for text in block.texts]
        if isinstance(block, Para):
            return [self.paragraph(block.text, block.kind)] if block.text else []
        return [self.paragraph(block.text, "heading")] if isinstance(block, Heading) else []

    def _facts(self, block: Facts) -> list[Any]:
        if any(len(value) > _SHORT for _, value in block.rows):
            rows = [
                [self.paragraph(name, "head"), self.paragraph(value, "cell")] for name, value in block.rows
            ]
            return self._grid(rows, (0.22, 0.78), lines=False)
        cells: list[list[Any]] = [
            [self.paragraph(name, "head"), self.paragraph(value, "value")] for name, value in block.rows
        ]
        columns = 3
        cells += [[]] * (-len(cells) % columns)
        rows = [cells[at : at + columns] for at in range(0, len(cells), columns)]
        return self._grid(rows, (1 / columns,) * columns, lines=False)

    def _table(self, block: Table) -> list[Any]:
        def cell(text: str, column: int) -> Any:
            first, _, rest = text.partition("\n")
            style = "mono" if column in block.mono else "number" if column in block.numeric else "cell"
            if not rest:
                return self.paragraph(text, style)
            first = self.markup(first)
            lead = f'<font name="{_FONTS[1]}">{first}</font>' if block.strong and column == 0 else first
            more = self.markup(rest)
            from reportlab.platypus import Paragraph  # noqa: PLC0415

            return Paragraph(f'{lead}<br/><font color="{_SOFT}">{more}</font>', self.styles[style])

        rows: list[list[Any]] = [[cell(text, at) for at, text in enumerate(row)] for row in block.rows]
        if any(block.head):
            heads = ["headnumber" if at in block.numeric else "head" for at in range(len(block.head))]
            rows.insert(0, [self.paragraph(name, how) for name, how in zip(block.head, heads, strict=True)])
        room = 1 if block.tight else 3
        return self._grid(rows, block.widths, lines=not block.tight, head=any(block.head), room=room)

    def _grid(
        self,
        rows: list[list[Any]],
        widths: Sequence[float],
        *,
        lines: bool,
        head: bool = False,
        room: int = 3,
        breaks: bool = False,
    ) -> list[Any]:
        from reportlab.platypus import Spacer  # noqa: PLC0415
        from reportlab.platypus import Table as Grid  # noqa: PLC0415

        if not rows:
            return []
        how: list[Any] = [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("LEFTPADDING", (1, 0), (-1, -1), 5),
            ("RIGHTPADDING", (0, 0), (-1, -1), 4),
            ("TOPPADDING", (0, 0), (-1, -1), room),
            ("BOTTOMPADDING", (0, 0), (-1, -1), room),
        ]
        if lines:
            how.append(("LINEBELOW", (0, 0), (-1, -1), 0.4, _EDGE))
        if head:
            how += [("LINEBELOW", (0, 0), (-1, 0), 0.8, _SOFT), ("VALIGN", (0, 0), (-1, 0), "BOTTOM")]
        grid = Grid(
            rows,
            [self.width * share for share in widths],
            repeatRows=int(head),
            style=how,
            splitInRow=int(breaks),
            spaceAfter=6,
        )
        return [grid, Spacer(0, 4)]

    def _tried(self, block: Tried) -> list[Any]:
        from reportlab.platypus import Paragraph  # noqa: PLC0415

        rows: list[list[Any]] = []
        for fits, name, because in block.rows:
            word, color = _CHIPS.get(fits, ("not told", _SOFT))
            told = f'<font name="{_FONTS[1]}">{self.markup(name)}.</font> {self.markup(because)}'
            chip = f'<font color="{color}">{word}</font>'
            rows.append([Paragraph(chip, self.styles["cell"]), Paragraph(told, self.styles["cell"])])
        return self._grid(rows, (0.16, 0.84), lines=True)

    def _picture(self, block: Picture) -> list[Any]:
        from reportlab.platypus import KeepTogether, Spacer  # noqa: PLC0415

        figure = block.figure
        words = f"{figure.note} {figure.reading}".strip()
        parts = [self.paragraph(figure.title, "heading"), _picture(str(figure.broad), self.width, self.fit)]
        parts += [Spacer(0, 3), self.paragraph(words, "small")] if words else []
        return [KeepTogether([*parts, Spacer(0, 4)])]

    def _skeleton(self, block: Skeleton) -> list[Any]:
        from reportlab.platypus import Paragraph  # noqa: PLC0415

        left, told = _LONGEST, ""
        for text, slot in block.parts:
            piece = self.markup(text[:left])
            told += f'<font backColor="{_SLOT}">{piece}</font>' if slot else piece
            left -= len(text)
            if left <= 0:
                told += "…"
                break
        grid = self._grid([[Paragraph(told, self.styles["quote"])]], (1.0,), lines=False, breaks=True)[0]
        grid.setStyle([("BACKGROUND", (0, 0), (-1, -1), _GROUND), ("LEFTPADDING", (0, 0), (-1, -1), 9),
                       ("LINEBEFORE", (0, 0), (0, -1), 2, _MAIN)])  # fmt: skip
        story = [self.paragraph(block.title, "heading"), grid]
        return [*story, self.paragraph(block.caption, "small")] if block.caption else story


def _picture(markup: str, width: float, fit: Any) -> Any:
    from reportlab.platypus import Flowable  # noqa: PLC0415

    own, tall = drawing.size(markup)
    scale = min(1.0, width / own) if own > width else min(width / own, 0.72)

    class Drawn(Flowable):
        def wrap(self, aW: float, aH: float) -> tuple[float, float]:
            return min(own * scale, aW), min(tall * scale, max(aH, tall * scale))

        def draw(self) -> None:
            drawing.draw(markup, self.canv, scale, _FONTS, fit)

    return Drawn()


def _eastern(letter: str) -> str:
    """The font of a letter of East Asia; empty for all others."""
    code = ord(letter)
    return next((font for low, high, font in _EAST if low <= code <= high), "")


def _register() -> None:
    from reportlab.pdfbase import pdfmetrics  # noqa: PLC0415
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont  # noqa: PLC0415
    from reportlab.pdfbase.ttfonts import TTFont  # noqa: PLC0415

    folder = files("spiritsafe.cases._dossier").joinpath("fonts")
    for name, file in zip(_FONTS, _FILES, strict=True):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, io.BytesIO(folder.joinpath(file).read_bytes())))
    for name in sorted({font for _, _, font in _EAST}):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(UnicodeCIDFont(name))
    pdfmetrics.registerFontFamily(_FONTS[0], normal=_FONTS[0], bold=_FONTS[1])


@cache
def _letters() -> frozenset[int]:
    """The letters that all three faces have."""
    from reportlab.pdfbase import pdfmetrics  # noqa: PLC0415

    fonts: list[Any] = [pdfmetrics.getFont(name) for name in _FONTS]
    faces = [set(one.face.charToGlyph) for one in fonts]
    return frozenset(set.intersection(*faces))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
