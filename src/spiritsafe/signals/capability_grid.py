"""Hint: examination questions, one after another (archetype A7).

Sweeps over subjects, languages and levels look like an examination. So do students and benchmarks. Weak
alone.
"""

from __future__ import annotations

from spiritsafe.signals._rule import every, lacks, prompt, select

TECHNIQUE = "AML.T0040"
KIND = "hint"
SUBJECT = "exchange"
NEEDS = ("prompt",)
EXAMPLES = (
    (
        ("Which of the following is a noble gas? Choose the correct option.\nQuestion 12: A) neon B) iron"),
        True,
    ),
    ("单选题:下列哪个选项是稀有气体?题目12", True),
    ("Which restaurant in town is the best?", False),
)


def capability_grid() -> str:
    """Choices to pick from, with nothing of the asker's own."""
    return select(
        prompt(every("exam", "question", lacks("own_matter", "support", "document"))),
    )
