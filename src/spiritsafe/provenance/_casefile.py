"""The case file: what a person writes before a suspect is asked. Read with file and line of what makes no sense."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from spiritsafe import tomlfile
from spiritsafe.errors import UsageError
from spiritsafe.registry import extensions

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = ("openai", "anthropic", "transformers", "answers")
STOPPING = ("fixed", "e-process")
_MODEL_KEYS = (
    "name",
    "group",
    "kind",
    "url",
    "model",
    "key_env",
    "folder",
    "file",
    "score",
    "read",
    "before",
    "facts",
)
_SCORER_KEYS = ("kind", "url", "model", "key_env", "folder", "file", "before")
_SAMPLER = ("max_tokens", "temperature", "top_p")


@dataclass(frozen=True, slots=True)
class Model:
    """A suspect or control and how it is asked; or the teacher, which is asked for scores of the pairs and for nothing else.

    ``ask``: whether it is asked for answers. ``score``: whether log-probabilities of given texts can be had. ``read``: whether
    it tells what it predicts while it reads marked text.
    ``before``: template of what stands before an answer that is scored; ``{prompt}`` is replaced.
    """

    name: str
    group: str
    kind: str
    url: str | None = None
    model: str | None = None
    key_env: str | None = None
    source: Path | None = None
    ask: bool = True
    score: bool = False
    read: bool = False
    before: str | None = None
    facts: tuple[tuple[str, str], ...] = ()

    def told(self) -> dict[str, Any]:
        """For the plan: no path and no key; what is behind ``source`` is told by its name."""
        return {
            "name": self.name, "group": self.group, "kind": self.kind, "url": self.url, "model": self.model,
            "key_env": self.key_env, "source": self.source.name if self.source else None, "ask": self.ask, "score": self.score,
            "read": self.read, "before": self.before, "facts": dict(self.facts),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """All that the file says, its defaults filled in."""

    path: Path
    name: str
    claim: str
    tests: tuple[str, ...]
    alpha: float
    seed: int
    stopping: str
    reruns: int
    teacher: str
    teacher_group: str
    marks: Path | None
    campaigns: tuple[str, ...]
    teacher_answers: Path | None
    tokenizer: Path | None
    scorer: Model | None
    prompts: Path | None
    samples: int
    pairs: int
    ask_pairs: bool
    system: str | None
    sampler: dict[str, float] = field(hash=False)
    requests: int
    tokens: int
    per_minute: float
    retries: int
    at_once: int
    exposure: float
    target: float
    suspect: Model
    controls: tuple[Model, ...]

    @property
    def models(self) -> tuple[Model, ...]:
        """The suspect, then the controls."""
        return (self.suspect, *self.controls)


def read(path: Path) -> Case:
    """The case in ``path``. Raises UsageError."""
    table = tomlfile.read(path)
    table.only(("case", "teacher", "prompts", "budget", "power", "suspect", "control"), "a case file")
    case, teacher, prompts, budget, power = (
        table.table(name) for name in ("case", "teacher", "prompts", "budget", "power")
    )
    case.only(("name", "claim", "tests", "alpha", "seed", "stopping", "reruns"), "[case]")
    teacher.only(("name", "group", "marks", "campaigns", "answers", "tokenizer", "scorer"), "[teacher]")
    prompts.only(("file", "samples", "pairs", "ask_pairs", "system", *_SAMPLER), "[prompts]")
    budget.only(("requests", "tokens", "per_minute", "retries", "at_once"), "[budget]")
    power.only(("exposure", "target"), "[power]")
    if "suspect" not in table.values:
        raise UsageError("the file needs [suspect]", where=table.place())
    suspect, controls = _model(table.table("suspect"), path), _controls(table, path)
    names = [suspect.name, *(one.name for one in controls)]
    if len(set(names)) < len(names):
        raise UsageError("two models have one name", where=table.place("suspect"))
    known = extensions("provenance")
    tests = case.strings("tests")
    for name in tests:
        if name not in known:
            raise UsageError(
                f"there is no test {name!r}", where=case.place("tests"), hint=tomlfile.nearest(name, known)
            )
    if not tests or len(set(tests)) < len(tests):
        raise case.wrong("tests", "a list of different tests is needed")
    return Case(
        path, case.needed("name"), case.text("claim", "") or "", tests,
        case.number("alpha", 0.01, least=1e-12, most=0.2), _whole(case, "seed", 0, 0, 2**53),
        case.word("stopping", STOPPING, "fixed"), _whole(case, "reruns", 20, 0, 10_000), teacher.needed("name"),
        teacher.text("group", "") or "", _beside(teacher, "marks", path),
        teacher.strings("campaigns", ()), _beside(teacher, "answers", path), _beside(teacher, "tokenizer", path),
        _model(teacher.table("scorer"), path, teacher.needed("name")) if "scorer" in teacher.values else None,
        _beside(prompts, "file", path), _whole(prompts, "samples", 1, 1, 1_000),
        _whole(prompts, "pairs", 1_000_000, 0, 10_000_000), prompts.flag("ask_pairs", default=True),
        prompts.text("system", None),
        {name: prompts.number(name) for name in _SAMPLER if name in prompts.values} | {
            "max_tokens": _whole(prompts, "max_tokens", 512, 1, 1_000_000)},
        _whole(budget, "requests", 10_000, 1, 10**9), _whole(budget, "tokens", 10_000_000, 1, 10**12),
        budget.number("per_minute", 60.0, least=0.01, most=1e6), _whole(budget, "retries", 5, 0, 100),
        _whole(budget, "at_once", 1, 1, 64), power.number("exposure", 0.25, least=1e-6, most=1.0),
        power.number("target", 0.9, least=0.5, most=0.999), suspect, controls,
    )  # fmt: skip


def _controls(table: tomlfile.Table, path: Path) -> tuple[Model, ...]:
    rows: Any = table.values.get("control", [])
    if not isinstance(rows, list):
        raise UsageError("controls are written as [[control]]", where=table.place("control"))
    return tuple(
        _model(tomlfile.Table(one, table.file, table.known, (*table.path, "control", number)), path)
        for number, one in enumerate(cast("Sequence[dict[str, Any]]", rows))
    )


def _model(table: tomlfile.Table, path: Path, teacher: str | None = None) -> Model:
    """``teacher``: its name, where the table tells how the teacher itself is asked for scores."""
    table.only(_MODEL_KEYS if teacher is None else _SCORER_KEYS, "a model" if teacher is None else "a scorer")
    kind, name = table.word("kind", KINDS), teacher or table.needed("name")
    needs = {
        "openai": ("url", "model"),
        "anthropic": ("url", "model"),
        "transformers": ("folder",),
        "answers": ("file",),
    }
    for key in needs[kind]:
        table.needed(key, f"a model of kind {kind} has it")
    source = _beside(table, "folder" if kind == "transformers" else "file", path)
    score = teacher is not None or table.flag("score", default=kind in {"transformers", "answers"})
    if score and kind == "anthropic":
        raise table.wrong("score" if teacher is None else "kind", "this protocol gives no log-probabilities")
    read = teacher is None and table.flag("read", default=kind == "transformers")
    if read and kind != "transformers":
        raise table.wrong("read", "only a folder of weights (kind = 'transformers') tells what it predicts")
    before = table.text("before", None)
    if score and kind == "openai" and (before is None or "{prompt}" not in before):
        raise UsageError(
            "scoring through completions needs the model's template",
            where=table.place("score" if teacher is None else "kind"),
            hint="before = '… {prompt} …' is what stands before an answer",
        )
    facts = table.table("facts").values
    return Model(
        name, table.text("group", name) or name, kind, table.text("url", None), table.text("model", None),
        table.text("key_env", None), source, teacher is None, score, read, before,
        tuple(sorted((str(key), str(value)) for key, value in facts.items())),
    )  # fmt: skip


def _beside(table: tomlfile.Table, key: str, path: Path) -> Path | None:
    """A path relative to the case file; what it names must be there."""
    text = table.text(key, None)
    if text is None:
        return None
    found = path.parent / Path(text).expanduser()
    if not found.exists():
        raise UsageError(f"{key} = {text!r} is not there", where=table.place(key))
    return found


def _whole(table: tomlfile.Table, key: str, default: int, least: int, most: int) -> int:
    value = table.number(key, default, least=least, most=most)
    if value != int(value):
        raise table.wrong(key, "a whole number is needed")
    return int(value)
