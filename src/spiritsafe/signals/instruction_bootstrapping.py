"""Role: invent instructions to train on, or make given ones harder (archetype A9).

Self-instruct asks for many tasks unlike the examples; evolution asks for a harder form of one.
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
            "Come up with 20 diverse task instructions, unlike the examples below, that a language "
            "model can follow."
        ),
        True,
    ),
    ("Rewrite the given prompt into a more complex version.", True),
    ("参考以下示例,生成20条多样化的指令。", True),
    ("Придумай двадцать разнообразных заданий для языковой модели по этим примерам.", True),
    ("Give me ten ideas for a birthday party.", False),
    ("Write unit tests for this function.", False),
)


def instruction_bootstrapping() -> str:
    """New and varied instructions after examples or for a model; or a harder version of a given one."""
    return select(
        prompt(
            either(
                every("generate", "instruction", "diverse", either("example", "language_model", "training")),
                every("evolve", "prompt", either("rewrite", "generate", "instruction")),
                every("evolve", "question", either("json", "answer_pair", "training", "given_answer")),
                every("evolve", "generate", "question", "example"),
                every("generate", "instruction", "example", either("answer_pair", "json", "given_answer")),
                every("answer_pair", "instruction", either("generate", "extract", "training")),
                every("generate", "training", "diverse", either("instruction", "question")),
                every("generate", "answer_pair", either("training", "language_model", "diverse")),
                every("generate", "task_list", either("diverse", "lines >= 6")),
            )
        ),
        anywhere(
            every(
                "generate",
                "task_list",
                "diverse",
                either("language_model", "training"),
                either("example", "instruction"),
            )
        ),
    )
