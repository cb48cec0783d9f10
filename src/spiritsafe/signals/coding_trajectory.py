"""Role: record how an agent solves a task in a code repository (archetype A5).

Ordinary coding agents look the same in one exchange; the difference is in who runs them and how many.
"""

from __future__ import annotations

from spiritsafe.signals._rule import anywhere, either, every, prompt, select

TECHNIQUE = "AML.T0024.002"
KIND = "role"
SUBJECT = "exchange"
NEEDS = ("prompt", "system")
EXAMPLES = (
    (
        (
            "You are an autonomous software engineer in a repository. At each turn write a thought "
            "and one shell command until the tests pass, then submit the patch."
        ),
        True,
    ),
    ("Ты агент в репозитории: на каждом шаге пиши мысль и одну команду, пока тесты не пройдут.", True),
    ("How do I clone a repository into another folder?", False),
    ("Fix this bug: the list index is out of range in main.py", False),
)


def coding_trajectory() -> str:
    """An agent in a repository, tests or a patch, and one command or thought at each turn."""
    return select(
        anywhere(
            every(
                "repository",
                either("patch", "command"),
                either("each_turn", "sequence"),
                either("agent", "reason", "command"),
            )
        ),
        prompt(
            every(
                "patch",
                either("repository", "command", "agent"),
                either(
                    "observation", "each_turn", "sequence", every("thought_slot", either("command", "agent"))
                ),
            )
        ),
    )
