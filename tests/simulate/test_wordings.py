"""Who words what: each family its own way by default, all families of one task alike when they are asked to."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from spiritsafe.errors import UsageError
from spiritsafe.registry import extensions
from spiritsafe.simulate import Corpus, Plan, Population, load_corpus, read_plan, simulate
from spiritsafe.simulate._text import segments
from spiritsafe.simulate._wordings import FILLED, tasks

FAMILIES = extensions("simulate")
TASKS = {task.name: task for task in tasks().values()}
PROMPTS = json.loads(Path(__file__).with_name("prompts.json").read_text("utf-8"))
ITEM, ANSWER = "xitemx", "xanswerx"
ASKS = {"accounts": 40, "rate": 12.0, "text": "template"}


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A corpus of which nothing is seen: what is left of a prompt is its wording."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "one").mkdir()
    lines = [
        json.dumps({"kind": kind, "prompt": ITEM, "response": ANSWER})
        for kind in ("item_x", "doc_x", "ben_x")
        for _ in range(400)
    ]
    (folder / "one" / "data.jsonl").write_text("\n".join(lines))
    return load_corpus(folder)


def prompts(corpus: Corpus, out: Path, family: str, seed: int = 3, **knobs: Any) -> list[tuple[str, str]]:
    """Account and text of every prompt of one population."""
    made = simulate(Plan((Population(family, {**ASKS, **knobs}),), corpus), out, seed=seed)
    log = pq.read_table(made.log)
    return list(zip(log["account_id"].to_pylist(), log["prompt"].to_pylist(), strict=True))


def grams(texts: list[tuple[str, str]]) -> set[tuple[str, ...]]:
    """Three words in a row of any of the texts."""
    found: set[tuple[str, ...]] = set()
    for _, text in texts:
        words = re.findall(r"\w+", text.lower())
        found |= set(zip(words, words[1:], words[2:], strict=False))
    return found


def test_by_default_every_family_words_as_it_did(corpus: Corpus, tmp_path: Path):
    assert set(PROMPTS) == set(FAMILIES)
    for name, known in PROMPTS.items():
        knobs = {"accounts": 12, "rate": 6.0, "text": "template"}
        made = simulate(Plan((Population(name, knobs),), corpus), tmp_path / name, seed=5)
        log = pq.read_table(made.log, columns=["prompt", "system"])
        digest = hashlib.sha256()
        for prompt, system in sorted(
            (prompt or "", system or "")
            for prompt, system in zip(log["prompt"].to_pylist(), log["system"].to_pylist(), strict=True)
        ):
            digest.update(prompt.encode() + b"\0" + system.encode() + b"\1")
        assert digest.hexdigest()[:16] == known, name


def test_a_task_is_done_by_a_campaign_and_by_honest_families():
    for task in TASKS.values():
        who = [name for name, mine in tasks().items() if mine is task]
        assert set(who) <= set(FAMILIES), task.name
        sides = {bool(getattr(FAMILIES[name].module, "ARCHETYPE", "")) for name in who}
        assert sides == {True, False}, task.name


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_tasks_grammar_parses_and_every_slot_has_words(name: str):
    words = TASKS[name].wordings
    known = {*FILLED, *words.slots, *words.phrases}
    used: set[str] = set()
    for text in words.templates:
        flat = segments(text)
        assert "item" in flat, text
        inner = [one for part in flat if not isinstance(part, str) for text in part for one in segments(text)]
        used |= {one for one in (*flat, *inner) if isinstance(one, str)}
        assert "[[" not in "".join(option for part in flat for option in part)
    # A name for both would put a text of the corpus in the place of a phrase.
    assert not {name.lower() for name in (*words.slots, *words.phrases)} & {*FILLED}
    assert used <= known
    assert known - used <= {*FILLED}
    assert all(len(set(one)) == len(one) > 1 for one in (*words.slots.values(), *words.phrases.values()))


def test_every_set_of_phrases_is_used_and_comes_from_the_source():
    folder = files("spiritsafe.simulate") / "phrases"
    text = (folder / "phrases.toml").read_text("utf-8")
    sets = tomllib.loads(text)
    used = {slot.lower() for task in TASKS.values() for slot in task.wordings.phrases}
    assert used == set(sets)
    assert not {*sets} & {*FILLED}
    pairs = [int(line.rpartition("# ")[2]) for line in text.splitlines() if line.startswith("  ")]
    assert len(pairs) == sum(map(len, sets.values()))
    assert min(pairs) >= 1
    assert "Copyright (c) Microsoft Corporation" in (folder / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", sorted(TASKS))
def test_honest_and_campaign_wordings_overlap_within_a_task_and_not_between_families(
    name: str, blank: Corpus, tmp_path: Path
):
    who = [family for family, mine in tasks().items() if mine is TASKS[name]]
    archetype = next(one for one in who if getattr(FAMILIES[one].module, "ARCHETYPE", ""))
    honest = next(one for one in who if not getattr(FAMILIES[one].module, "ARCHETYPE", ""))
    shared: dict[str, float] = {}
    for way in ("family", "task"):
        ours, theirs = (
            grams(prompts(blank, tmp_path / f"{way}-{family}", family, grammar=way, paraphrase="call"))
            for family in (archetype, honest)
        )
        small = min(len(ours), len(theirs))
        shared[way] = len(ours & theirs) / small if small else 0.0
    assert shared["family"] < 0.3
    assert shared["task"] > 0.8


def test_honest_customers_paraphrase_by_the_same_means(blank: Corpus, tmp_path: Path):
    for family in ("llm_judge_product", "rubric_grading"):
        distinct = {}
        for level in ("none", "slots", "account", "call"):
            texts = prompts(
                blank, tmp_path / f"{family}-{level}", family, grammar="task", paraphrase=level, wording=1
            )
            distinct[level] = len({text for _, text in texts})
            if level == "account":
                assert len(set(texts)) == len({account for account, _ in texts})
        assert distinct["none"] == 1 < distinct["slots"]
        assert 10 < distinct["account"] <= 40 < distinct["call"]
    own = prompts(blank, tmp_path / "own", "translation_shop", paraphrase="none")
    assert len({text for _, text in own}) == 1


def test_all_families_of_a_task_take_the_same_kind_of_items(tmp_path: Path):
    (tmp_path / "one").mkdir()
    lines = [json.dumps({"kind": f"{kind}_x", "prompt": f"x{kind}x"}) for kind in ("item", "doc", "ben")]
    (tmp_path / "one" / "data.jsonl").write_text("\n".join(lines * 50))
    kinds = load_corpus(tmp_path)

    def items(family: str, way: str) -> set[str]:
        texts = prompts(kinds, tmp_path / f"{family}-{way}", family, grammar=way)
        return {one for _, text in texts for one in re.findall("x(item|doc|ben)x", text)}

    who = ("instruction_bootstrap", "synthetic_data_vendor")
    assert [items(family, "family") for family in who] == [{"item"}, {"doc"}]
    assert [items(family, "task") for family in who] == [{"item"}, {"item"}]


def test_the_grammar_of_a_task_gives_the_same_bytes_again_and_others_for_another_seed(
    corpus: Corpus, tmp_path: Path
):
    plan = Plan(
        tuple(
            Population(family, {**ASKS, "grammar": "task"})
            for family in ("A1", "evaluation_harness", "hackathon", "agent_fleet")
        ),
        corpus,
    )
    first, again, other = (
        simulate(plan, tmp_path / str(number), seed=seed).log.read_bytes()
        for number, seed in enumerate((7, 7, 8))
    )
    assert first == again != other


def test_lone_customers_paraphrase_as_their_family_does(blank: Corpus, tmp_path: Path):
    knobs: dict[str, Any] = {"like": "A3", "likeness": 1.0, "grammar": "task"}
    one = {
        text for _, text in prompts(blank, tmp_path / "a", "llm_judge_product", paraphrase="none", **knobs)
    }
    many = {text for _, text in prompts(blank, tmp_path / "b", "llm_judge_product", **knobs)}
    assert len(one) == 1
    assert len(many) > 20
    # A8 has no wording: its items are sent bare, whatever grammar its host takes.
    bare = prompts(blank, tmp_path / "c", "nightly_batch", like="A8", likeness=1.0, grammar="task")
    assert {text for _, text in bare} == {ITEM}


def test_what_hands_in_an_artefact_keeps_its_words(blank: Corpus, tmp_path: Path):
    made = simulate(Plan((Population("A13", {**ASKS, "grammar": "task"}),), blank), tmp_path / "a", seed=3)
    log = pq.read_table(made.log)
    decoding = log.filter(pc.is_valid(log["reasoning_redeemed"]))["prompt"].to_pylist()
    assert decoding
    assert all(re.match("Continue the reasoning|Take up the earlier thinking", text) for text in decoding)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            'family = "A3"\ngrammar = "tsk"',
            (
                "plan.toml:4: grammar = 'tsk' makes no sense for rubric_grading: one of family, task is needed\n  hint: "
                "did you mean 'task'?"
            ),
        ),
        (
            'family = "llm_judge_product"\nparaphrase = "cal"',
            (
                "plan.toml:4: paraphrase = 'cal' makes no sense for llm_judge_product: one of none, slots, account, call is "
                "needed\n  hint: did you mean 'call'?"
            ),
        ),
        (
            'family = "llm_judge_product"\ngrammer = "task"',
            "plan.toml:4: llm_judge_product has no knob 'grammer'\n  hint: did you mean 'grammar'?",
        ),
        (
            'family = "chat_users"\ngrammar = "task"',
            "plan.toml:4: chat_users words nothing that others word, too\n  hint: these do: academic_measurement, ",
        ),
        (
            'family = "A3"\ngrammar = "task"\ntext = "ready"',
            'plan.toml:4: ready text is sent as it is\n  hint: set text = "template" to word it',
        ),
        (
            'family = "nightly_batch"\nparaphrase = "call"\ntext = "ready"',
            'plan.toml:4: ready text is sent as it is\n  hint: set text = "template" to paraphrase',
        ),
    ],
)
def test_a_bad_wording_is_named_with_its_line_and_the_nearest_name(
    options: str, message: str, corpus: Corpus, tmp_path: Path
):
    path = tmp_path / "plan.toml"
    path.write_text(f"days = 1\n[[population]]\n{options}\n")
    with pytest.raises(UsageError) as error:
        read_plan(path, corpus)
    assert message in str(error.value)


def test_a_wording_that_a_task_does_not_have_is_refused(corpus: Corpus, tmp_path: Path):
    many = len(TASKS["grade"].wordings.templates)
    with pytest.raises(UsageError, match=f"academic_measurement has {many} wordings, counted from 0"):
        prompts(corpus, tmp_path / "a", "academic_measurement", grammar="task", wording=many)
