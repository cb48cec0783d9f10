"""Numbers and times as people read them. Bits are log2 of an e-value, everywhere."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_DIGITS = 4
_WORDS = ((12, ""), (9, "billion"), (6, "million"), (3, "thousand"))


def whole(value: float | None) -> str:
    """A count with thousands separated: ``1,204,331``."""
    return "–" if value is None else f"{round(value):,}"


def short(value: float) -> str:
    """A count for an axis: ``950``, ``12k``, ``3.4M``."""
    size = abs(value)
    for scale, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= scale:
            return f"{value / scale:.3g}{suffix}"
    return f"{value:.3g}"


def power(exponent: float) -> str:
    """``10¹²``; the exponent is rounded down."""
    return "10" + str(math.floor(exponent)).translate(_SUPERSCRIPT)


def decimal(value: float | None) -> str:
    """A statistic in three significant digits; scientific only where it must be."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if exponent >= 6 or exponent < -_DIGITS:
        return f"{value / 10.0**exponent:.1f} × {power(exponent)}" if exponent > -300 else power(exponent)
    if exponent >= 2:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def share(value: float | None) -> str:
    """A share of 1 as per cent."""
    if value is None:
        return "–"
    if 0 < value < 0.001:  # noqa: PLR2004
        return "<0.1 %"
    return f"{100 * value:.3g} %"


def bits_of(e_value: float | None, bits: float | None = None) -> float | None:
    """Bits of evidence: as given, else log2 of the e-value. An e-value of 0 is -∞ and shown as -64."""
    if bits is not None:
        return bits
    if e_value is None or e_value < 0:
        return None
    return max(math.log2(e_value), -64.0) if e_value > 0 else -64.0


def bits_text(bits: float | None) -> str:
    """``41 bits``, ``3.2 bits``."""
    if bits is None:
        return "–"
    number = f"{bits:.0f}" if abs(bits) >= 10 else f"{bits:.1f}"
    return f"{number.replace('-', '−')} bits"


def odds(bits: float | None) -> str:
    """How rarely an e-value of this size comes up under its null (Markov's bound): ``once in 12 thousand``."""
    if bits is None or bits < 1:
        return ""
    exponent = bits * math.log10(2)
    for start, word in _WORDS:
        if exponent >= start:
            return f"once in {10 ** (exponent - start):.0f} {word}" if word else f"once in {power(exponent)}"
    return f"once in {2**bits:.0f}"


def day(when: datetime | None) -> str:
    """``3 Sep 2026``."""
    return "–" if when is None else f"{when.day} {when:%b} {when.year:04d}"


def minute(when: datetime | None) -> str:
    """``3 Sep 2026, 14:05 UTC``."""
    return "–" if when is None else f"{day(when)}, {when:%H:%M} UTC"


def span(first: datetime | None, last: datetime | None) -> str:
    """``3 – 17 Sep 2026``: a window of days."""
    if first is None or last is None:
        return day(first or last)
    if first.date() == last.date():
        return f"{day(first)}, {first:%H:%M}–{last:%H:%M} UTC"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{day(last)}"
    if first.year == last.year:
        return f"{first.day} {first:%b} – {day(last)}"
    return f"{day(first)} – {day(last)}"


def lasting(seconds: float) -> str:
    """A bucket's length: ``1 hour``, ``15 minutes``, ``2 days``."""
    for size, word in ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute")):
        if seconds >= size:
            number = seconds / size
            return f"{number:.3g} {word}{'' if number == 1 else 's'}"
    return f"{seconds:.3g} seconds"


def plural(count: float, word: str, words: str = "") -> str:
    """``1 account``, ``2 accounts``."""
    return f"{whole(count)} {word if round(count) == 1 else words or word + 's'}"


def human(name: str) -> str:
    """An id as words: ``reasoning_elicitation`` to ``reasoning elicitation``."""
    return " ".join(name.replace("_", " ").split())
