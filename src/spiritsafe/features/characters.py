"""The character table: what each code point is to the kernel, fixed in ``characters.txt``.

Python's own Unicode tables change between versions, and a fingerprint must not. So the table is written once
(``python -m spiritsafe.features.characters``) and read ever after. It holds, for code points below U+20000:

* the class: letter, digit, unspaced (a token of its own), space, dropped (invisible or an accent), special, other;
* the script of a letter;
* the fold: the one character that stands for it. Case, accents, full-width and styled forms are folded away
  (``é``, ``É``, ``e`` + U+0301 and ``ｅ`` are all ``e``), so composed and decomposed text give one fingerprint.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SIZE = 0x20000
OTHER, LETTER, DIGIT, UNSPACED, SPACE, DROP, SPECIAL = range(7)
CLASSES = ("other", "letter", "digit", "unspaced", "space", "drop", "special")

#: Script ids, as in the column ``script``; 0 is "no letters". Append only: the numbers are stored.
SCRIPTS: tuple[str, ...] = (
    "none",
    "latin",
    "greek",
    "cyrillic",
    "armenian",
    "hebrew",
    "arabic",
    "devanagari",
    "bengali",
    "gurmukhi",
    "gujarati",
    "tamil",
    "telugu",
    "kannada",
    "malayalam",
    "sinhala",
    "thai",
    "lao",
    "tibetan",
    "myanmar",
    "georgian",
    "ethiopic",
    "khmer",
    "mongolian",
    "hangul",
    "kana",
    "han",
    "other",
)

_UNSPACED = {"thai", "lao", "myanmar", "khmer", "kana", "han"}
_PLAIN_MARKS = {"combining", "latin", "greek", "cyrillic", "hebrew", "arabic"}
_VOICED = {0x3099, 0x309A, 0xFF9E, 0xFF9F}
_INVISIBLE = {0x0640, 0x115F, 0x1160, 0x3164, 0xFFA0, 0x17B4, 0x17B5}
_QUOTES = {'"': "“”„‟″〝〞〟", "'": "‘’‚‛′´"}
_SPECIAL = set("\"'`:.@«»「」『』《》")
_ALIASES = {"katakana": "kana", "hiragana": "kana", "cjk": "han", "halfwidth": "kana", "fullwidth": "latin"}


@cache
def table() -> Any:
    """uint32 (SIZE,): folded code point (21 bits) | script << 21 | class << 26. Read from ``characters.txt``."""
    out = np.arange(SIZE, dtype=np.uint32)
    kinds = np.zeros(SIZE, np.uint32)
    text = files("spiritsafe.features").joinpath("characters.txt").read_text(encoding="ascii")
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "fold":
            row, *pairs = rest.split()
            for target, _, sources in (pair.partition("=") for pair in pairs):
                for first, last in _ranges(sources.split(",")):
                    out[first : last + 1] = int(row + target, 16)
        elif word == "shift":
            by, *sources = rest.split()
            for first, last in _ranges(sources):
                out[first : last + 1] += np.uint32(int(by) % (1 << 32))
        elif word in CLASSES:
            script, *sources = rest.split()
            for first, last in _ranges(sources):
                kinds[first : last + 1] = SCRIPTS.index(script) << 21 | CLASSES.index(word) << 26
    return out | kinds


def _ranges(words: Iterable[str]) -> Iterator[tuple[int, int]]:
    for word in words:
        first, _, last = word.partition("-")
        yield int(first, 16), int(last or first, 16)


def _script(char: str) -> str:
    name = unicodedata.name(char, "").lower().replace("-", " ").split()
    if not name:
        return "other"
    first = _ALIASES.get(name[0], name[0])
    if first == "mathematical" or name[0] in {
        "modifier",
        "circled",
        "parenthesized",
        "superscript",
        "subscript",
    }:
        return "latin"
    return first if first in SCRIPTS else "other"


def _dropped(char: str) -> bool:
    code, category = ord(char), unicodedata.category(char)
    if category == "Cf" or code in _VOICED or code in _INVISIBLE or 0xFE00 <= code <= 0xFE0F:
        return True
    name = unicodedata.name(char, "").lower()
    plain = name.partition(" ")[0] in _PLAIN_MARKS or name.endswith("sign nukta")
    return plain and category in {"Mn", "Me"}


def _fold(char: str) -> str:
    for plain, variants in _QUOTES.items():
        if char in variants:
            return plain
    if char == "ı":  # dotless: the capital is I, which is i elsewhere
        return "i"
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category == "Pd" or char == "\u2212":
        return "-"
    kept = "".join(c for c in unicodedata.normalize("NFKD", char) if not _dropped(c))
    if len(kept) != 1:  # ligatures and the like stay one character, in lower case
        kept = char
    folded = kept.casefold()
    folded = folded if len(folded) == 1 else kept.lower()
    if len(folded) != 1 or folded == char or (folded == " " and category[0] != "Z"):
        return char
    return _fold(folded)


def _class(char: str) -> tuple[int, str]:
    folded = _fold(char)
    category = unicodedata.category(folded)
    if unicodedata.category(char)[0] == "Z" or char in "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2800":
        return SPACE, "none"
    if _dropped(char) or category == "Cc":
        return DROP, "none"
    if folded in _SPECIAL:
        return SPECIAL, "none"
    if category[0] == "N" and category != "Nl":
        return DIGIT, "none"
    if category[0] in "LM" or category == "Nl":
        script = _script(folded)
        return (UNSPACED if script in _UNSPACED else LETTER), script
    return OTHER, "none"


def build() -> str:
    """The text of ``characters.txt`` as this Python's Unicode tables give it."""
    kinds: dict[tuple[int, str], list[int]] = {}
    folds: dict[int, list[int]] = {}
    shifts: dict[int, list[int]] = {}
    for code in range(SIZE):
        char = chr(code)
        kind = _class(char)
        if kind != (OTHER, "none"):
            kinds.setdefault(kind, []).append(code)
        if (to := ord(_fold(char))) != code and kind[0] != DROP:
            folds.setdefault(to, []).append(code)
            shifts.setdefault(to - code, []).append(code)
    long = {by: codes for by, codes in shifts.items() if len(codes) >= 10}
    shifted = {code for codes in long.values() for code in codes}
    lines = [
        f"# Written by python -m {__spec__.name} from Unicode {unicodedata.unidata_version}. Do not edit."
    ]
    lines += [f"{CLASSES[k]} {s} {_write(codes)}" for (k, s), codes in sorted(kinds.items())]
    lines += [f"shift {by} {_write(codes)}" for by, codes in sorted(long.items())]
    pairs: dict[int, list[str]] = {}
    for to, codes in sorted(folds.items()):
        if left := [code for code in codes if code not in shifted]:
            pairs.setdefault(to >> 8, []).append(f"{to & 255:02X}={_write(left).replace(' ', ',')}")
    lines += [f"fold {row:02X} {' '.join(found)}" for row, found in pairs.items()]
    return "\n".join(lines) + "\n"


def _write(codes: list[int]) -> str:
    spans: list[list[int]] = []
    for code in codes:
        if spans and code == spans[-1][1] + 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return " ".join(f"{a:04X}" if a == b else f"{a:04X}-{b:04X}" for a, b in spans)


if __name__ == "__main__":
    print(build(), end="")  # noqa: T201
