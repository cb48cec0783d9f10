"""Product: facts are to be taken out of a text.

Evidence for an ordinary use; it never counts against anybody.
"""

from __future__ import annotations

from spiritsafe.signals._rule import either, every, select, work

TECHNIQUE = ""
KIND = "product"
SUBJECT = "exchange"
NEEDS = ("prompt", "system")
EXAMPLES = (
    ("Extract the dates and amounts from this e-mail as JSON.", True),
    ("从这封邮件中提取日期字段。", True),
    ("How tall is the Eiffel tower?", False),
)


def extract_fields() -> str:
    """Extraction is asked of a text at hand."""
    return select(
        work(every("extract", either("document", "json", "support"))),
    )
