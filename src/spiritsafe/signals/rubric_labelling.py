"""Role: grade the answers of a model by a rubric (archetype A3).

Scores of a strong model train the reward model of a weaker one. Evaluation harnesses and products with a
judge do the same with good reason: the role alone accuses nobody.
"""

from __future__ import annotations

from spiritsafe.signals._rule import anywhere, either, every, prompt, select

TECHNIQUE = "AML.T0024.002"
KIND = "role"
SUBJECT = "exchange"
NEEDS = ("prompt", "system")
EXAMPLES = (
    (
        ("Score the assistant's answer from 1 to 5 on each criterion of the rubric and return JSON."),
        True,
    ),
    ("Оцени ответ модели по критериям ниже, по шкале от 1 до 5.", True),
    ("请根据评分标准给模型的回答打分,1到5分。", True),
    ("Please rate my cover letter from 1 to 10.", False),
    ("The hotel has a rating of 4 stars, is it worth the price?", False),
)


def rubric_labelling() -> str:
    """Criteria, a score on a scale and the answer of a model come together."""
    return select(
        prompt(
            either(
                every(
                    "score", either("criteria", "scale"), either("model_output", "judge", "language_model")
                ),
                every("score", "scale", either("given_answer", "training")),
                every("judge", "scale", either("model_output", "given_answer")),
                every("criteria", "model_output", "scale"),
            )
        ),
        anywhere(every("score", "scale", "model_output", either("criteria", "judge"))),
    )
