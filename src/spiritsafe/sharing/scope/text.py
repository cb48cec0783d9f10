"""Texts that a person released: what must not stand in them even so.

A release says that a person read the text. This is the second pair of eyes: it knows the shapes of what never leaves
(addresses, identifiers, digests, prices), not their meaning, and so replaces no reading.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_SHAPES: Final = tuple(
    (what, re.compile(shape, re.IGNORECASE))
    for what, shape in (
        ("an e-mail address", r"[\w.+-]{1,64}@[\w-]{1,63}\.\w"),
        (
            "an IP address",
            r"(?<![\d.])\d{1,3}(\.\d{1,3}){3}(?![\d.])|(?<![\w:])[0-9a-f]{1,4}(?::[0-9a-f]{0,4}){3,7}(?![\w:])",
        ),
        ("a digest, a key or an identifier", r"[0-9a-f]{16}|(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[a-z])[\w-]{20}"),
        (
            "a price",
            r"[$€£¥₹]\s?\d|\d\s?[$€£¥₹]|\b\d[\d.,]{0,20}\s?(?:USD|EUR|GBP|CNY|JPY|dollars?|euros?)\b",
        ),
        (
            "an account or key identifier",
            r"\b(?:acct|account|org|key|sk|user|cust|customer|pay|dev)[_-][\w-]{0,60}\d",
        ),
        ("a long number", r"\d(?:[ -]?\d){8}"),
    )
)


def unfit(text: str) -> str | None:
    """What stands in ``text`` that may not leave even when released, in words; None when nothing does."""
    for character in text:
        if character != "\n" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co"):
            return "a control or invisible character"
    for what, shape in _SHAPES:
        if shape.search(text):
            return what
    return None
