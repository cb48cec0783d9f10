"""Product: a text is to be summarised.

Evidence for an ordinary use; it never counts against anybody.
"""

from __future__ import annotations

from spiritsafe.signals._rule import every, lacks, select, work

TECHNIQUE = ""
KIND = "product"
SUBJECT = "exchange"
NEEDS = ("prompt", "system")
EXAMPLES = (
    ("Summarise this e-mail in two bullet points.", True),
    ("Resume este artículo en tres frases.", True),
    ("How tall is the Eiffel tower?", False),
)


def summarise_document() -> str:
    """A summary is asked of a text at hand."""
    return select(
        work(every("summarise", lacks("criteria"))),
    )
