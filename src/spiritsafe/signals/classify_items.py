"""Product: items are to be sorted into categories.

Evidence for an ordinary use; it never counts against anybody.
"""

from __future__ import annotations

from spiritsafe.signals._rule import every, lacks, select, work

TECHNIQUE = ""
KIND = "product"
SUBJECT = "exchange"
NEEDS = ("prompt", "system")
EXAMPLES = (
    ("Classify this ticket into one of these categories.", True),
    ("Классифицируй это обращение по категории.", True),
    ("How tall is the Eiffel tower?", False),
)


def classify_items() -> str:
    """Classification is asked for."""
    return select(
        work(every("classify", lacks("judge"))),
    )
