"""The few words that role questions are written in: they become plain bit operations in SQL.

A rule is first written over marks in general (``every``, ``either``, ``lacks``, ``Tokens``), then put where it has to hold:
``prompt(rule)`` in the prompt, ``anywhere(rule)`` in prompt and system text taken together. Long texts gather concepts
by chance, so roles put a loose rule in prompts that are not long and a strict one anywhere.
"""

from __future__ import annotations

from spiritsafe.marks import mask

_MARKS = "{marks}"

#: Tokens of a prompt up to which a loose rule may speak: beyond it, a document of everyday words meets most of them.
LOOSE_TOKENS = 1000


def has(*concepts: str) -> str:
    """At least one of ``concepts`` occurs."""
    return f"({_MARKS} & CAST({mask(*concepts)} AS UBIGINT)) <> 0"


def lacks(*concepts: str) -> str:
    """None of ``concepts`` occurs."""
    return f"({_MARKS} & CAST({mask(*concepts)} AS UBIGINT)) = 0"


def every(*rules: str) -> str:
    """All rules hold. A single word is a concept that must occur; anything else is SQL."""
    return "(" + " AND ".join(map(_rule, rules)) + ")"


def either(*rules: str) -> str:
    """At least one rule holds; words are concepts, as in ``every``."""
    return "(" + " OR ".join(map(_rule, rules)) + ")"


def prompt(rule: str) -> str:
    """The rule holds in the prompt, and the prompt is not long."""
    return f"({_rule(rule).replace(_MARKS, 'marks')} AND tokens <= {LOOSE_TOKENS})"


def anywhere(rule: str) -> str:
    """The rule holds in prompt and system text together: the instruction may sit in either."""
    return _rule(rule).replace(_MARKS, "(marks | system_marks)")


def work(rule: str) -> str:
    """The rule holds in prompt and system text together, and neither speaks of thoughts or training: a product's work."""
    return anywhere(every(rule, lacks("chain", "trace", "reconstruct", "training")))


def select(*places: str, value: float = 1.0) -> str:
    """The rows of ``sketch`` for which a rule holds in one of its ``places``, with one ``value`` for all."""
    return (
        f'SELECT "row" AS subject, CAST({value} AS DOUBLE) AS value FROM sketch WHERE {" OR ".join(places)}'
    )


def _rule(text: str) -> str:
    return text if " " in text else has(text)
