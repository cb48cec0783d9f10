"""Hint: a public training set is played through (archetype A8).

Seen only when the caller keeps the frame of such a set, for instance the Alpaca frame or the idiom of
public mathematics sets. Bare questions of a set cannot be told from anybody's questions by words: the item
pool tells them.
"""

from __future__ import annotations

from spiritsafe.signals._rule import either, every, prompt, select

TECHNIQUE = "AML.T0024.002"
KIND = "hint"
SUBJECT = "exchange"
NEEDS = ("prompt",)
EXAMPLES = (
    (
        (
            "Below is an instruction that describes a task. Write a response that appropriately "
            "completes the request."
        ),
        True,
    ),
    ("What is 12 * 13? Let's think step by step and output the final answer within \\boxed{}.", True),
    ("What is the capital of Peru?", False),
)


def training_replay() -> str:
    """The frame of a public instruction set, or the idiom "step by step … boxed"."""
    return select(
        prompt(either("problem_frame", every("boxed", "steps"))),
    )
