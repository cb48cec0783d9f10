"""Role: produce tool calls and trajectories to learn from (archetype A6).

Either the slots of a trajectory (thought, action, observation) are laid out for the model to fill, or the
model is to invent users, calls and results for a made-up tool.
"""

from __future__ import annotations

from spiritsafe.signals._rule import anywhere, either, every, lacks, prompt, select

TECHNIQUE = "AML.T0024.002"
KIND = "role"
SUBJECT = "exchange"
NEEDS = ("prompt", "system")
EXAMPLES = (
    ("Solve the question by alternating Thought, Action and Observation steps.", True),
    (
        (
            "Given this API specification, invent a user request and write the sequence of "
            "function calls that satisfies it."
        ),
        True,
    ),
    (
        (
            "По спецификации инструментов придумай запрос пользователя и напиши последовательность "
            "вызовов функций."
        ),
        True,
    ),
    ("How do I call the weather API from Python?", False),
    ("Create a function that returns the sum of its parameters.", False),
)


def tool_trajectory() -> str:
    """The three slots of a trajectory, or a specified tool whose requests and calls are to be made up."""
    return select(
        prompt(
            either(
                every("tool", "generate", "user_request", either("spec", "sequence", "diverse")),
                every("tool", "generate", "spec", "sequence"),
                every("tool", "spec", either("example", "training"), either("generate", "training")),
                every("tool", "sequence", either("dialogue", "observation", "generate", "thought_slot")),
                every("tool", "generate", "observation"),
                every("action", "observation", either("thought_slot", "sequence")),
                every("invent_tool", "tool", "spec", lacks("fix_code", "repository")),
            )
        ),
        anywhere(
            every("thought_slot", "action", "observation", either("question", "tool", "sequence", "example"))
        ),
    )
