"""Role: make up conversations to train on.

Dialogues between a user and an assistant, a patient and a doctor; or two models that play roles with each
other. Products make test dialogues too.
"""

from __future__ import annotations

from spiritsafe.signals._rule import anywhere, either, every, prompt, select

TECHNIQUE = "AML.T0024.002"
KIND = "role"
SUBJECT = "exchange"
NEEDS = ("prompt", "system")
EXAMPLES = (
    ("Generate a multi-turn dialogue between a user and an AI assistant about the text below.", True),
    ("Сгенерируй диалог между пользователем и ИИ-ассистентом.", True),
    ("请生成一段用户与AI助手之间的多轮对话。", True),
    ("Write a dialogue between a dragon and a baker for my school play.", False),
)


def conversation_synthesis() -> str:
    """A dialogue is to be generated, between personas of a service."""
    return select(
        prompt(
            either(
                every("dialogue", "personas", either("generate", "training", "language_model", "json")),
                every(
                    "dialogue",
                    "generate",
                    either("training", "diverse"),
                    either("agent", "training", "json", "language_model"),
                ),
            )
        ),
        anywhere(every("role_lock", either("instruction", "dialogue", "personas"))),
    )
