"""Product: code of one's own is to be mended.

Evidence for an ordinary use; it never counts against anybody.
"""

from __future__ import annotations

from spiritsafe.signals._rule import has, select, work

TECHNIQUE = ""
KIND = "product"
SUBJECT = "exchange"
NEEDS = ("prompt", "system")
EXAMPLES = (
    ("Fix this: it throws an IndexError exception.", True),
    ("Исправь ошибку в этой программе.", True),
    ("How tall is the Eiffel tower?", False),
)


def mend_code() -> str:
    """An error or a change in existing code."""
    return select(
        work(has("fix_code")),
    )
