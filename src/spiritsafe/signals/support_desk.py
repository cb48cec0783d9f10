"""Product: customers are served.

Evidence for an ordinary use; it never counts against anybody.
"""

from __future__ import annotations

from spiritsafe.signals._rule import every, lacks, select, work

TECHNIQUE = ""
KIND = "product"
SUBJECT = "exchange"
NEEDS = ("prompt", "system")
EXAMPLES = (
    ("I want a refund for my order 4711.", True),
    ("Где мой заказ?", True),
    ("How tall is the Eiffel tower?", False),
)


def support_desk() -> str:
    """Words of a support desk: orders, refunds, reservations."""
    return select(
        work(every("support", lacks("generate"))),
    )
