"""Role: choose between two answers of models (archetype A4).

Chosen and rejected answers train by preference. Arena-style evaluation does the same with good reason.
"""

from __future__ import annotations

from spiritsafe.signals._rule import anywhere, either, every, prompt, select

TECHNIQUE = "AML.T0024.002"
KIND = "role"
SUBJECT = "exchange"
NEEDS = ("prompt", "system")
EXAMPLES = (
    ("Compare response A and response B from two assistants and say which one is better.", True),
    ("Сравни два ответа ассистента и выбери лучший.", True),
    ("请比较两个回答,判断哪个更好。", True),
    ("Which is better for a small bakery, a spiral mixer or a planetary mixer?", False),
    ("I got two answers from my landlord, both wrong.", False),
)


def preference_labelling() -> str:
    """Two answers and a choice between them."""
    return select(
        prompt(either(every("pair", either("better", "judge")), every("judge", "better", "model_output"))),
        anywhere(every("judge", "pair", "model_output", either("better", "score"))),
    )
