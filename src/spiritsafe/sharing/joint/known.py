"""The tests whose e-values a lab may open: what kind of fact each stands on, and what could imitate it.

The same as a scan's (``campaigns/grounds.py``), written down here because all labs must mean the same by a name: what a
statement says of a test is its value and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """``kind`` of fact; ``nature``: ``marginal`` (a crowd of clones imitates it), ``orderly`` (clocks do) or ``firm``."""

    kind: str
    nature: str


TESTS = {
    "even_load": Known("load", "marginal"),
    "taken_in_turn": Known("load", "orderly"),
    "even_arrivals": Known("timing", "orderly"),
    "spaced_apart": Known("timing", "orderly"),
    "exchangeable_topics": Known("content", "marginal"),
    "swept_items": Known("content", "firm"),
    "regular_multiplicity": Known("content", "firm"),
    "stepped_parameters": Known("content", "orderly"),
    "redeemed_by_another": Known("redemption", "firm"),
    "retried_by_another": Known("retry", "firm"),
    "began_after_bans": Known("migration", "firm"),
    "turned_together": Known("pivot", "orderly"),
    "shared_payment": Known("payment", "firm"),
    "shared_device": Known("device", "firm"),
}


def kind(test: str) -> str:
    """The kind of fact that a test, or the product of two, stands on."""
    return "load" if test == PRODUCT else TESTS[test].kind


#: What the accounts hold in common: no evidence where common infrastructure made the match.
TIES = frozenset({"shared_payment", "shared_device"})
#: How work is shared out; without a recognised role one of these is asked for.
WORK = frozenset(
    name
    for name, one in TESTS.items()
    if one.kind in {"load", "timing", "content"} or name == "turned_together"
)
#: Loads and turns of one lab multiplied: an e-value, since turns are tested given the loads (ADR 21). It is nothing that a lab
#: opens, and like loads no evidence beside which a crowd of clones would be ruled out.
PRODUCT = "even_load and taken_in_turn"
FACTORS = ("even_load", "taken_in_turn")
#: What a tag is of: a run of a skeleton, a prompt and its time out of a sample, or infrastructure.
RUN, SAMPLE = "run", "sample"
INFRASTRUCTURE = ("payment", "device", "ipv4", "ipv6", "ipv6_net")
CLASSES = (RUN, SAMPLE, *INFRASTRUCTURE)
KINDS = ("template", "items", "infrastructure", "role", "topic", "dense", "tied", "texts", "swept")
"""What proposes a candidate in a scan."""
