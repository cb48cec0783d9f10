"""The concepts that a mark can stand for, in the order of their bits.

Bit ``i`` of the sketch columns ``marks`` and ``system_marks`` says that concept ``CONCEPTS[i]`` occurs in the prompt
or in the system text. The kernel of ``features/`` sets the bits, the questions of ``signals/`` read them; this file is
the one place that both may import. The order is part of the fingerprint version: append, never reorder.
"""

from __future__ import annotations

from typing import Final

CONCEPTS: Final[tuple[str, ...]] = (
    # reasoning
    "steps",  # step by step
    "chain",  # chain of thought, inner monologue, reasoning process: the thinking as an object
    "reason",  # think, reason, thought: weak words
    "tag",  # put it between tags, in <think>
    "final_answer",  # the final answer apart from the thinking
    "exhaustive",  # complete, verbatim, omit nothing, including dead ends
    "given_answer",  # an answer or a solution is handed over
    "reconstruct",  # reconstruct, work backwards, imagine what led to it
    "trace",  # a log, trace or transcript of reasoning
    # judging
    "criteria",  # rubric, criteria, marking scheme
    "score",  # score, grade, rate, evaluate
    "scale",  # 1 to 5, out of ten
    "model_output",  # the answer of a model, an assistant, an AI
    "pair",  # response A and response B, two answers
    "better",  # better, preferred, winner, tie
    "critique",  # critique, weaknesses, feedback
    "judge",  # impartial judge, evaluator
    # making data
    "generate",  # generate, come up with, invent
    "instruction",  # instructions, tasks, prompts as things to make
    "diverse",  # diverse, varied, do not repeat
    "example",  # examples, seeds
    "evolve",  # more complex, harder, one more constraint
    "rewrite",  # rewrite, rephrase
    "prompt",  # the given prompt, instruction or question as an object
    "training",  # training data, fine-tune, data set
    "json",  # JSON, JSON Lines
    "language_model",  # language model, GPT, LLM
    "question",  # question, questions
    "answer_pair",  # question-and-answer pairs, with answers
    "problem_frame",  # "Below is an instruction that describes a task" and kin
    # agents and tools
    "tool",  # API, tool call, function call
    "spec",  # parameters, schema, documentation of a tool
    "thought_slot",  # Thought: as a slot of a trajectory
    "action",  # Action
    "observation",  # Observation
    "sequence",  # sequence, trajectory, alternate, until finished
    "user_request",  # a user's request, query, need
    "repository",  # repository, code base, issue
    "patch",  # patch, diff, failing tests
    "command",  # shell, one command
    "agent",  # autonomous agent, software engineer
    "each_turn",  # at each turn, at every step
    # safety
    "unsafe",  # unsafe, harmful, blocked
    "policy",  # policy, guidelines, compliant
    "refusal",  # refuse, without refusing
    # traces and talk
    "clean",  # clean, tidy, remove repetitions
    "resume",  # continue where it stopped, replay
    "dialogue",  # multi-turn dialogue, conversation between
    "personas",  # user and assistant, patient and doctor; never forget you are
    # products: evidence for an ordinary use
    "translate",
    "summarise",
    "classify",
    "extract",
    "support",  # order, refund, customer, ticket
    "document",  # the text, e-mail, document at hand
    "sql",
    "own_matter",  # my, our, I have: a matter of one's own
    "fix_code",  # fix, bug, error, exception
    "exam",  # multiple choice, options, which of the following
    "boxed",  # \boxed{}, "let's think step by step": the idiom of public benchmarks
    # added after measurement
    "task_list",  # task instructions, a series of tasks, new instructions: the product of a bootstrap
    "role_lock",  # never forget you are …, never flip roles: two models that talk to each other
    "invent_tool",  # documentation or users for a tool that does not exist yet
)

BITS: Final[dict[str, int]] = {name: bit for bit, name in enumerate(CONCEPTS)}


def mask(*names: str) -> int:
    """The integer whose set bits are the concepts ``names``. Raises KeyError for a name that is no concept."""
    value = 0
    for name in names:
        value |= 1 << BITS[name]
    return value
