"""The lexicon: which words, in which languages, stand for which concept.

``lexicon.toml`` holds concept -> language -> entries, written by this project. ``rules`` turns them into what the
kernel matches. The lexicon is part of the fingerprint version, as the order of ``CONCEPTS`` is.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal, cast

from spiritsafe.errors import ExtensionError
from spiritsafe.marks import BITS, CONCEPTS

__all__ = ["CONCEPTS", "LANGUAGES", "Rule", "entries", "rules"]

Rule = tuple[int, Literal["token", "prefix", "phrase", "substring"], str]

#: ISO 639-1 codes of the languages with entries.
LANGUAGES = (
    *("en", "zh", "ru", "ar", "es", "fr", "de", "pt", "ja", "ko"),
    *("hi", "vi", "id", "tr", "it", "pl", "uk", "fa", "th"),
)

#: What Arabic writes onto the front of a word: and, so, in/by, for, the; alone and together.
_CLITICS = ("و", "ف", "ب", "ل", "ال", "وال", "بال", "فال")
_ARTICLE = "ال"
_MOST_CHARACTERS = 6
_MOST_WORDS = 6


@cache
def entries() -> dict[str, dict[str, list[str]]]:
    """The file as it is: concept -> language -> entries. Raises ExtensionError when it does not fit ``CONCEPTS``."""
    text = files("spiritsafe.features").joinpath("lexicon.toml").read_text(encoding="utf-8")
    table = cast("dict[str, dict[str, list[str]]]", tomllib.loads(text))
    if set(table) != set(CONCEPTS):
        wrong = sorted(set(table) ^ set(CONCEPTS))
        raise ExtensionError(
            f"lexicon.toml and CONCEPTS differ in {wrong}", hint="a section for each concept"
        )
    for concept, languages in table.items():
        if unknown := sorted(set(languages) - set(LANGUAGES)):
            raise ExtensionError(f"lexicon.toml [{concept}] has unknown languages {unknown}")
    return table


@cache
def rules() -> tuple[Rule, ...]:
    """(bit, kind, text) for each thing to match, sorted, without repeats.

    ``token``: that word. ``prefix``: a word that starts so (text without the star). ``phrase``: 2 to 6 words in a row,
    each may end in ``*``. ``substring``: 2 to 6 characters in a row of an unspaced script.
    """
    found: set[Rule] = set()
    for concept, languages in entries().items():
        for language, texts in languages.items():
            for text in texts:
                found.update((BITS[concept], *shape) for shape in _shapes(text, language))
    return tuple(sorted(found))


def _shapes(text: str, language: str) -> list[tuple[Literal["token", "prefix", "phrase", "substring"], str]]:
    if any(_unspaced(char) for char in text):
        # Thai writes long words with few characters that tell them apart: the first six are enough.
        return [("substring", text[:_MOST_CHARACTERS])]
    variants = _with_clitics(text) if language == "ar" else [text]
    words = len(text.split())
    if not 1 <= words <= _MOST_WORDS or text != text.lower():
        raise ExtensionError(f"lexicon entry {text!r} is not 1 to {_MOST_WORDS} words in lower case")
    if words > 1:
        return [("phrase", variant) for variant in variants]
    return [("prefix", v[:-1]) if v.endswith("*") else ("token", v) for v in variants]


def _with_clitics(text: str) -> list[str]:
    """An Arabic entry with and without what may be written onto its first word."""
    bare = text.removeprefix(_ARTICLE)
    variants = [text, *(clitic + bare for clitic in _CLITICS)] if bare != text else [text]
    if bare == text:
        variants += [clitic + text for clitic in _CLITICS]
    return [*variants, "لل" + bare]


def _unspaced(char: str) -> bool:
    """Thai, kana or Han: scripts that do not put spaces between words."""
    return "\u0e00" <= char <= "\u0e7f" or "\u3040" <= char <= "\u30ff" or "\u3400" <= char <= "\u9fff"
