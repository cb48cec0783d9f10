"""Make the table of paraphrases that simulated instructions are worded with, from a published set of prompts.

    pip download --no-deps promptbench==0.0.4
    python demo/make_phrases.py promptbench-0.0.4-py3-none-any.whl

PromptBench (MIT) holds, for each of 15 tasks, many wordings of one and the same request. Two phrases of a set of ``SETS`` stand
for each other there when two wordings of one task have them in the same place: between the same two words, or at the
beginning. A phrase that is never found so is left out. The result, with how often each was found, is written to
``src/spiritsafe/simulate/phrases/phrases.toml``; the same wheel gives the same bytes.
"""

from __future__ import annotations

import ast
import re
import sys
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

FILES = ("task_oriented", "role_oriented", "semantic_atk_prompts")
TARGET = Path(__file__).parents[1] / "src" / "spiritsafe" / "simulate" / "phrases" / "phrases.toml"
SETS: dict[str, tuple[str, ...]] = {
    # Requests, as they begin a sentence.
    "solve": (
        "solve", "please solve", "work out the answer to", "determine the solution to", "find the solution for",
        "find the answer to", "figure out the solution for", "resolve", "obtain the result for",
    ),
    "assess": (
        "assess", "evaluate", "analyze", "examine", "review", "check", "consider", "judge", "please assess",
        "please evaluate", "please analyze", "please check",
    ),
    "translate": (
        "translate", "convert", "please translate", "please convert", "make a translation of",
        "please make a translation of", "accurately translate", "please perform a translation of",
    ),
    "choose": ("choose", "select", "pick", "identify", "please choose", "please select"),
    "provide": ("provide", "give", "please provide", "please give"),
    "respond": ("answer", "respond to", "please respond to", "please answer"),
    "classify": ("classify", "categorize", "label"),
    # Inside of a sentence.
    "decide_whether": (
        "determine whether", "decide whether", "evaluate whether", "determine if", "decide if", "judge whether",
        "assess whether", "indicate if", "identify whether",
    ),
    "answer_with": ("answer with", "respond with", "reply with", "please respond with"),
    "given": ("following", "given", "provided", "subsequent"),
    "problem": ("question", "task", "query", "challenge"),
    "text": ("text", "statement", "text passage"),
    "about": ("about", "regarding", "concerning", "related to", "on"),
    "based_on": ("based on", "from", "according to"),
    "best": (
        "most accurate", "most precise", "most appropriate", "most suitable", "most fitting", "best", "most relevant",
    ),
    "correct": ("correct", "appropriate", "right", "accurate", "precise"),
    # What a speaker is cast as.
    "as": ("as", "in your role as", "in your capacity as", "in the role of", "in the capacity of", "acting as"),
    "expert_in": ("an expert in", "a specialist in"),
}  # fmt: skip
HEAD = """\
# Phrases that stand for one another in wordings of one request. Made by demo/make_phrases.py; do not edit.
# Source: promptbench 0.0.4, Copyright (c) Microsoft Corporation, MIT Licence (README.md beside this file has its text).
# The number behind each phrase: pairs of wordings in which it takes the place of another of its set.
"""


def wordings(wheel: Path) -> dict[tuple[str, ...], list[list[str]]]:
    """The wordings of each task, in words of lower case."""
    found: dict[tuple[str, ...], list[list[str]]] = defaultdict(list)
    with zipfile.ZipFile(wheel) as package:
        for name in FILES:
            source = ast.parse(package.read(f"promptbench/prompts/{name}.py"))
            table = next(ast.literal_eval(one.value) for one in source.body if isinstance(one, ast.Assign))
            for task, texts in table.items():
                for language, some in texts.items() if isinstance(texts, dict) else [("", texts)]:
                    found[name, task, language] += [_words(text) for text in some]
    return found


def _words(text: str) -> list[str]:
    head = text.partition("\nQuestion")[0].strip().lower()
    return ["<", *re.findall(r"\{\w*\}|[\w'-]+|[^\w\s]", head), ">"]


def places(words: list[str], phrase: list[str]) -> set[tuple[str, str]]:
    """What stands before and after the phrase; at the beginning, what comes after does not matter."""
    size = len(phrase)
    found: set[tuple[str, str]] = set()
    for at in range(1, len(words) - size):
        if words[at : at + size] == phrase:
            found.add((words[at - 1], "" if words[at - 1] == "<" else words[at + size]))
    return found


def evidence(texts: dict[tuple[str, ...], list[list[str]]], phrases: tuple[str, ...]) -> Counter[str]:
    """In how many pairs of wordings of one task each phrase takes the place of another."""
    counts: Counter[str] = Counter()
    for some in texts.values():
        seen = {one: [places(words, one.split()) for words in some] for one in phrases}
        for one in phrases:
            for other in phrases:
                if one != other:
                    counts[one] += sum(bool(a & b) for a in seen[one] for b in seen[other])
    return counts


def main() -> int:
    """Write the table."""
    texts = wordings(Path(sys.argv[1]))
    lines = [HEAD]
    for name, phrases in SETS.items():
        counts = evidence(texts, phrases)
        kept = [one for one in phrases if counts[one]]
        dropped = [one for one in phrases if not counts[one]]
        if dropped:
            print(f"{name}: not in the source: {', '.join(dropped)}")
        lines += [f"{name} = ["]
        lines += [f'  "{one}",  # {counts[one]}' for one in kept] + ["]"]
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{sum(map(len, texts.values()))} wordings of {len(texts)} tasks -> {TARGET.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
