"""What the templates see: plain, cleaned, already worded. One function per part of a result."""

from __future__ import annotations

import re
from dataclasses import dataclass

from spiritsafe.cases._page import phrase
from spiritsafe.cases._page.record import Record, clean

_SLOT = re.compile("(⟨[^⟨⟩\n]{1,40}⟩)")
_SKELETON = 4_000

#: What a response means for the customer, in one clause. Unknown ids show as their own words.
RESPONSES = {
    "none": "Do nothing",
    "observe": "Keep watching and change nothing",
    "budget": "Give the whole campaign one shared budget",
    "step_up": "Ask these accounts to verify who they are",
    "withhold": "Withhold reasoning and log-probabilities",
    "refuse": "Refuse visibly, with a machine-readable reason",
    "suspend": "Suspend the whole network at once",
}
#: Labels that accuse nobody, with what they say.
LABELS = {
    "pool": ("Pools", "Accounts that seem to be run by one hand. Nothing shows that they harvest the model."),
    "reseller": ("Resellers", "One operator that seems to relay the requests of many ordinary customers."),
    "insufficient": (
        "Too little to say",
        "Something stood out, but there is too little of it to say what it is.",
    ),
}


@dataclass(frozen=True, slots=True)
class Role:
    name: str
    exchanges: str
    share: str
    width: float
    technique: str


@dataclass(frozen=True, slots=True)
class Test:
    name: str
    question: str
    null: str
    statistic: str
    value: str
    expected: str
    p_value: str
    e_value: str
    bits: str
    width: float
    n: str
    window: str
    note: str
    weight: str


@dataclass(frozen=True, slots=True)
class Layer:
    name: str
    accounts: str
    values: str
    bits: str
    width: float
    top: list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Order:
    """A proposed measure. ``action`` is a sentence without its full stop."""

    action: str
    reason: str
    needs: str
    days: str
    none: bool


@dataclass(frozen=True, slots=True)
class Skeleton:
    title: str
    parts: list[tuple[str, bool]]
    slots: str
    accounts: str
    exchanges: str


def role(row: Record, top: float) -> Role:
    exchanges = row.number("exchanges") or 0
    return Role(
        phrase.human(row.text("role", limit=60)) or "unnamed",
        phrase.whole(exchanges),
        phrase.share(row.number("share")),
        _percent(exchanges, top),
        row.text("technique", limit=40),
    )


def roles(campaign: Record) -> list[Role]:
    """The extraction roles, most exchanges first, at most twelve."""
    rows = sorted(campaign.rows("roles"), key=lambda row: -(row.number("exchanges") or 0))[:12]
    top = max((row.number("exchanges") or 0 for row in rows), default=0)
    return [role(row, top) for row in rows]


def tests(block: Record) -> list[Test]:
    """The tests of a block (``coordination`` or ``intent``), as they stand in the result."""
    rows = block.rows("tests")[:40]
    if not rows and (block.text("question") or block.text("null")):
        rows = [block]  # the block is one test itself
    found = [(row, phrase.bits_of(row.number("e_value"), row.number("bits"))) for row in rows]
    top = max((bits for _, bits in found if bits is not None), default=0.0)
    return [
        Test(
            phrase.human(row.text("name", limit=80)),
            row.text("question"),
            row.text("null", limit=400),
            row.text("statistic", limit=120),
            phrase.decimal(_value(row)),
            _expected(row),
            phrase.decimal(row.number("p_value")),
            phrase.decimal(row.number("e_value")),
            phrase.bits_text(bits),
            _percent(bits or 0.0, top),
            _n(row),
            row.text("window", limit=120),
            row.text("note", limit=400),
            phrase.decimal(row.number("weight")),
        )
        for row, bits in found
    ]


def _value(row: Record) -> float | None:
    """What was seen: the statistic's value, or the score of a test that is one."""
    value = row.number("value")
    return row.number("score") if value is None else value


def _expected(row: Record) -> str:
    number = row.number("expected")
    return phrase.decimal(number) if number is not None else row.text("expected", limit=60) or "–"


def _n(row: Record) -> str:
    number = row.number("n")
    number = row.child("reference").number("clusters") if number is None else number
    return phrase.whole(number) if number is not None else row.text("n", limit=60) or "–"


def layers(campaign: Record) -> list[Layer]:
    rows = campaign.rows("layers")[:20]
    top = max((row.number("bits") or 0 for row in rows), default=0.0)
    return [
        Layer(
            phrase.human(row.text("layer", limit=60)) or "unnamed",
            phrase.whole(row.number("accounts")),
            phrase.whole(row.number("values")),
            phrase.bits_text(row.number("bits")),
            _percent(row.number("bits") or 0.0, top),
            [
                (
                    value.text("value", limit=60),
                    phrase.whole(value.number("accounts")),
                    phrase.whole(value.number("elsewhere")),
                )
                for value in row.rows("top")[:3]
            ],
        )
        for row in rows
    ]


def order(campaign: Record) -> Order:
    """The proposed order in words; empty strings where the result says nothing."""
    row = campaign.child("proposed_order")
    response = row.text("response", limit=60)
    days = row.number("expires_days")
    return Order(
        RESPONSES.get(response) or phrase.human(response).capitalize() or "No measure is proposed",
        row.text("reason", limit=600),
        " and ".join(row.texts("needs", limit=80)[:6]),
        phrase.plural(days, "day") if days is not None else "",
        response in {"", "none"},
    )


def skeleton(row: Record) -> Skeleton:
    """A skeleton split in (text, is it a slot) parts, for highlighting."""
    text = row.text("text", limit=_SKELETON, lines=True)
    parts = [(part, bool(_SLOT.fullmatch(part))) for part in _SLOT.split(text) if part]
    return Skeleton(
        row.text("title") or "A shared template",
        parts,
        _slots(row),
        phrase.whole(row.number("accounts")) if row.number("accounts") is not None else "",
        phrase.whole(row.number("exchanges")) if row.number("exchanges") is not None else "",
    )


def _slots(row: Record) -> str:
    """The slots as one line: a number of them, their names, or names with counts of values."""
    number = row.number("slots")
    if number is not None:
        return phrase.plural(number, "slot")
    named = row.rows("slots")[:12]
    if named:
        pieces: list[str] = []
        for slot in named:
            name = slot.text("slot", limit=40) or slot.text("name", limit=40) or slot.text("kind", limit=40)
            values = slot.number("values") or slot.number("distinct")
            pieces.append(f"{name} ({phrase.plural(values, 'value')})" if values else name)
        return ", ".join(piece for piece in pieces if piece)
    return ", ".join(row.texts("slots", limit=60)[:12])


def columns(rows: list[Record], *fields: str) -> list[list[str]]:
    """Rows of a small table: numbers in thousands, the field ``bits`` with its unit, everything else as text."""
    table: list[list[str]] = []
    for row in rows:
        cells: list[str] = []
        for name in fields:
            number = row.number(name)
            if number is None:
                cells.append(
                    phrase.human(row.text(name, limit=80)) if name == "layer" else row.text(name, limit=120)
                )
            else:
                cells.append(phrase.bits_text(number) if name == "bits" else phrase.whole(number))
        table.append(cells)
    return table


def names(values: list[object], limit: int = 60) -> list[str]:
    """Labels of a chart; what is no text shows as its position."""
    return [clean(value, limit=limit) or str(at + 1) for at, value in enumerate(values)]


def _percent(value: float, top: float) -> float:
    return round(100 * min(max(value / top, 0.0), 1.0), 1) if top > 0 else 0.0
