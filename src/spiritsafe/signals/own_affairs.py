"""Product: the asker speaks of a matter of their own.

Evidence for an ordinary use; it never counts against anybody.
"""

from __future__ import annotations

from spiritsafe.signals._rule import has, prompt, select

TECHNIQUE = ""
KIND = "product"
SUBJECT = "exchange"
NEEDS = ("prompt",)
EXAMPLES = (
    ("My landlord kept our deposit, what can I do?", True),
    ("У меня не заводится машина.", True),
    ("How tall is the Eiffel tower?", False),
)


def own_affairs() -> str:
    """First person singular or plural, possession: my, our, I have."""
    return select(
        prompt(has("own_matter")),
    )
