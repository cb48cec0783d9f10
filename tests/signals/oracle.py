"""A slow matcher of the lexicon, written from its description alone: the kernel must find what it finds."""

from __future__ import annotations

import unicodedata
from functools import cache

from spiritsafe.features import lexicon

_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
_VOWEL_SIGNS = ("DEVANAGARI", "THAI", "BENGALI", "TAMIL")


def fold(text: str) -> str:
    """Lower case without accents; the vowel signs of Indic scripts and Thai stay."""
    out: list[str] = []
    for char in text.casefold():
        parts = [
            part
            for part in unicodedata.normalize("NFKD", char)
            if not unicodedata.combining(part) or unicodedata.name(part).startswith(_VOWEL_SIGNS)
        ]
        kept = [part for part in parts if unicodedata.category(part) != "Cf"]
        kept = [part for part in kept if "NUKTA" not in unicodedata.name(part, "")]
        out += kept if len(kept) <= 1 else [char]
    return "".join(out)


def tokens(text: str) -> list[str]:
    """Words of spaced scripts, single characters of unspaced ones; nothing else."""
    out: list[str] = []
    joined = False
    for char in fold(text):
        if unicodedata.name(char, "").startswith(_UNSPACED) and unicodedata.category(char)[0] in "LM":
            out.append(char)
            joined = False
        elif unicodedata.category(char)[0] in "LNM":
            out[-1:] = [out[-1] + char] if joined else [*out[-1:], char]
            joined = True
        else:
            joined = False
    return out


@cache
def patterns() -> dict[str, list[tuple[int, list[tuple[str, bool]]]]]:
    """(bit, [(word, may go on)]) for each rule, by how its first word begins."""
    out: dict[str, list[tuple[int, list[tuple[str, bool]]]]] = {}
    for bit, kind, entry in lexicon.rules():
        words = list(fold(entry)) if kind == "substring" else fold(entry).split()
        pattern = [(word.removesuffix("*"), goes_on(word, star=kind == "prefix")) for word in words]
        out.setdefault(pattern[0][0], []).append((bit, pattern))
    return out


def goes_on(word: str, *, star: bool) -> bool:
    """Whether a word may go on: a stem has three letters, or one in the scripts from U+0590 on."""
    return (star or word.endswith("*")) and (len(word.removesuffix("*")) >= 3 or word >= "\u0590")


def marks(text: str) -> int:
    """The bits of all concepts that occur in ``text``."""
    words = tokens(text)
    found = 0
    for start, word in enumerate(words):
        for end in range(1, len(word) + 1):
            for bit, pattern in patterns().get(word[:end], ()):
                if start + len(pattern) <= len(words) and all(
                    words[start + n].startswith(part) if goes_on else words[start + n] == part
                    for n, (part, goes_on) in enumerate(pattern)
                ):
                    found |= 1 << bit
    return found
