"""Product: questions are turned into database queries.

Evidence for an ordinary use; it never counts against anybody.
"""

from __future__ import annotations

from spiritsafe.signals._rule import every, lacks, select, work

TECHNIQUE = ""
KIND = "product"
SUBJECT = "exchange"
NEEDS = ("prompt", "system")
EXAMPLES = (
    ("Write a SQL query that counts the singers by country.", True),
    ("How tall is the Eiffel tower?", False),
)


def query_database() -> str:
    """A database query is asked for."""
    return select(
        work(every("sql", lacks("instruction"))),
    )
