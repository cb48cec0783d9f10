"""Product: a text is to be translated.

Evidence for an ordinary use; it never counts against anybody.
"""

from __future__ import annotations

from spiritsafe.signals._rule import every, lacks, select, work

TECHNIQUE = ""
KIND = "product"
SUBJECT = "exchange"
NEEDS = ("prompt", "system")
EXAMPLES = (
    ("Translate this sentence into French.", True),
    ("Переведи это письмо на английский.", True),
    ("How tall is the Eiffel tower?", False),
)


def translate_text() -> str:
    """Translation is asked for."""
    return select(
        work(every("translate", lacks("judge"))),
    )
