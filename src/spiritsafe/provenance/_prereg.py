"""Pre-registration: everything that will be asked and tested is written down and hashed into the ledger, then asked.

The folder of a case holds ``plan.json`` (with the digest of every other file), what is asked (``asks.parquet``,
``texts.parquet``), the teacher's side (``teacher/``) and the ledger's entries that concern it (``entries.jsonl``).
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spiritsafe import __version__
from spiritsafe.errors import InputError, LedgerError, StorageError, UsageError
from spiritsafe.ledger import alone, entries, line_of
from spiritsafe.orders.snapshot import replace_file
from spiritsafe.provenance import _escrow, _marks, _power, _reveal, _seal
from spiritsafe.provenance._casefile import Model
from spiritsafe.provenance._escrowed import pairs as read_pairs
from spiritsafe.provenance._lines import read as read_lines
from spiritsafe.provenance._subject import ANSWERS, CANARIES, PAIRS, STATUSES
from spiritsafe.registry import extensions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from spiritsafe.ledger import Entry, Ledger
    from spiritsafe.provenance._casefile import Case

SETTINGS = ".query.json"
PLAN, GATHERED, RESULT = "prove-plan", "prove-gathered", "prove-result"
_CASE = (PLAN, GATHERED, RESULT)
_MARKS = (_marks.KIND, _marks.STAMP, _escrow.OPENED, _escrow.SEALED)
ASKS = pa.schema([("prompt_id", pa.string()), ("prompt", pa.string()), ("samples", pa.int32())])
TEXTS = pa.schema(
    [("item", pa.string()), ("side", pa.string()), ("prompt", pa.string()), ("text", pa.string())]
)


def register(case: Case, folder: Path, book: Ledger, *, now: int) -> dict[str, Any]:
    """Write the case's folder and its entry in the ledger. Returns the plan.

    Raises UsageError when the folder is there already, nothing would be asked, or more than the budget allows.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(
            "the folder is not empty", where=str(folder), hint="a changed plan is another case: name another"
        )
    pairs, canaries, reveal, escrow = _marked(case, book)
    answers = answers_of(case.teacher_answers) if case.teacher_answers else ANSWERS.empty_table()
    suspect, controls, scorer = _able(case, reveal)
    models = (suspect, *controls, *([scorer] if scorer else []))
    asks, doubled = _asks(case, pairs, canaries)
    answers = _renamed(answers, asks)
    scored = any(one.score or one.read for one in models)
    texts = _texts(pairs, canaries, reveal) if scored else TEXTS.empty_table()
    most = max(
        int(np.sum(asks["samples"].to_numpy()))
        + (texts.num_rows if one.score else 0)
        + (2 * pairs.num_rows if one.read else 0)
        for one in (suspect, *controls)
    )
    if not most:
        raise UsageError(
            "nothing would be asked", where=str(case.path), hint="[prompts] file, or marks with pairs"
        )
    if most > case.requests:
        raise UsageError(
            f"a model would be asked {most:,} times, and [budget] requests is {case.requests:,}",
            where=str(case.path),
        )
    try:
        (folder / "teacher").mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "gathered").mkdir(mode=0o700, exist_ok=True)
        for name, table in (
            ("asks", asks), ("texts", texts), ("teacher/answers", answers), ("teacher/pairs", pairs),
            ("teacher/canaries", canaries),
        ):  # fmt: skip
            pq.write_table(table, folder / f"{name}.parquet")
        if case.tokenizer:
            shutil.copyfile(case.tokenizer, folder / "teacher" / "tokenizer.json")
    except OSError as error:
        raise StorageError(f"cannot be written: {error.strerror}", where=str(folder)) from error
    replace_file(folder / "teacher" / "reveal.json", _seal.canonical(reveal) + b"\n")
    (folder / "teacher" / "reveal.json").chmod(0o600)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    plan = {
        "schema": 1,
        "spiritsafe": __version__,
        "case": case.name,
        "claim": case.claim,
        "tests": list(case.tests),
        "alpha": case.alpha,
        "seed": case.seed,
        "stopping": case.stopping,
        "multiplicity": "holm",
        "reruns": case.reruns,
        "teacher": {
            "name": case.teacher,
            "group": case.teacher_group,
            "campaigns": list(case.campaigns),
            "scorer": scorer.told() if scorer else None,
        },
        "suspect": suspect.told(),
        "controls": [one.told() for one in controls],
        "sampler": case.sampler,
        "system": case.system,
        "asked": {
            "answers": int(np.sum(asks["samples"].to_numpy())),
            "texts": texts.num_rows,
            "pairs": pairs.num_rows,
        },
        "doubled_prompts": doubled,
        "escrow": escrow,
        "power": {
            "exposure": case.exposure,
            "target": case.target,
            "curves": _seal.digest(_power.committed()),
            "tests": {name: _planned(name, case, asks, pairs, canaries, reveal) for name in case.tests},
        },
        "files": {str(path.relative_to(folder)): _seal.file_digest(path) for path in files},
    }
    # How asking goes on, and from where, is no part of the plan; the dot keeps it out of what strangers get.
    settings = {
        "requests": case.requests, "tokens": case.tokens, "per_minute": case.per_minute, "retries": case.retries,
        "at_once": case.at_once,
        "sources": {one.name: str(one.source.resolve()) for one in models if one.source},
    }  # fmt: skip
    replace_file(folder / SETTINGS, _seal.canonical(settings) + b"\n")
    data = _seal.canonical(plan) + b"\n"
    replace_file(folder / "plan.json", data)
    book.append(PLAN, {"case": case.name, "plan": _seal.digest(data)}, time=now)
    keep_entries(folder, book.path)
    return plan


def open_plan(folder: Path, book: Path | None) -> tuple[dict[str, Any], list[Entry]]:
    """The plan and the ledger's entries of a case, after checking that nothing was changed since it was registered.

    Without ``book``, the entries kept in the folder are taken, each checked by its own hash.
    Raises LedgerError when the plan or a file is not the one that was registered; UsageError when there is no case.
    """
    path = folder / "plan.json"
    try:
        data = path.read_bytes()
        plan: Any = json.loads(data)
        files = cast("dict[str, str]", plan["files"])
    except FileNotFoundError as error:
        raise UsageError("there is no case here", where=str(folder), hint="spiritsafe prove plan") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError("this is not a plan", where=str(path)) from error
    found = list(entries(book)) if book else kept_entries(folder)
    if not any(one.kind == PLAN and one.body.get("plan") == _seal.digest(data) for one in found):
        asked = any(path.stat().st_size for path in folder.glob("gathered/*.jsonl"))
        raise LedgerError(
            "a plan changed after the query" if asked else "this plan is not in the ledger",
            where=str(path),
            hint="restore the file that was registered; another plan is another case",
        )
    for name, known in files.items():
        try:
            fits = _seal.file_digest(folder / name) == known
        except OSError:
            fits = False
        if not fits:
            raise LedgerError("this file is not the one that was registered", where=str(folder / name))
    return cast("dict[str, Any]", plan), found


def ended(folder: Path, found: Iterable[Entry]) -> Entry | None:
    """The entry that ended asking, None while it goes on."""
    digest = _seal.file_digest(folder / "plan.json")
    return next((one for one in found if one.kind == GATHERED and one.body["plan"] == digest), None)


def keep_entries(folder: Path, book: Path) -> None:
    """Put the ledger's entries on marks and on this case beside it, for readers without the ledger. Other cases stay untold."""
    plan = _seal.file_digest(folder / "plan.json")
    lines = [
        line_of(one)
        for one in entries(book)
        if one.kind in _MARKS or (one.kind in _CASE and one.body.get("plan") == plan)
    ]
    replace_file(folder / "entries.jsonl", b"".join(lines))


def kept_entries(folder: Path) -> list[Entry]:
    """The entries kept in a case's folder. Raises LedgerError with file and line of one that does not fit its hash."""
    path = folder / "entries.jsonl"
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    found: list[Entry] = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(alone(line))
        except ValueError as error:
            raise LedgerError(f"this entry was altered: {error}", where=f"{path}:{number}") from error
    return found


def answers_of(path: Path) -> pa.Table:
    """Answers from JSON Lines with ``prompt`` and ``text``; ``prompt_id``, ``sample`` and ``status`` may stand beside.

    Scores, which have an ``item``, may stand between them and are passed over.
    Raises InputError with file and line.
    """
    rows: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(read_lines(path), 1):
        if "item" in row:
            continue
        prompt, text = row.get("prompt"), row.get("text")
        name = row.get("prompt_id", prompt)
        status = row.get("status", "ok" if isinstance(text, str) and text.strip() else "empty")
        if not isinstance(name, str) or not isinstance(text, str | None) or status not in STATUSES:
            raise InputError(
                "an answer has a prompt or prompt_id, a text, and a known status",
                where=f"{path}:{number}",
                hint=f"statuses: {', '.join(STATUSES)}",
            )
        sample = row.get("sample", seen.get(name, 0))
        seen[name] = int(sample) + 1
        rows.append(
            {"prompt_id": name, "sample": int(sample), "prompt": prompt, "text": text, "status": status}
        )
    return pa.Table.from_pylist(rows, schema=ANSWERS)


def _able(case: Case, reveal: dict[str, Any]) -> tuple[Model, tuple[Model, ...], Model | None]:
    """Suspect, controls and the teacher as a scorer, with what each will be asked.

    Marked text is read only where a registered test looks for keys, there are keys, and the teacher's tokens are known.
    Without a scorer of its own, the file of the teacher's answers is one if it holds scores.
    """
    reads = "keys" in _needs(case.tests) and bool(reveal["keys"]) and case.tokenizer is not None
    suspect, *controls = (replace(one, read=one.read and reads) for one in case.models)
    scorer = case.scorer
    if (
        scorer is None
        and case.teacher_answers
        and any("item" in row for row in read_lines(case.teacher_answers))
    ):
        scorer = Model(
            case.teacher, case.teacher_group, "answers", source=case.teacher_answers, ask=False, score=True
        )
    if scorer and scorer.name in {one.name for one in case.models}:
        raise UsageError("the teacher and another model have one name", where=str(case.path))
    return suspect, tuple(controls), scorer


def _needs(tests: Iterable[str]) -> set[str]:
    """The labels that any of the registered tests looks at."""
    known = extensions("provenance")
    return {need for name in tests for need in getattr(known[name].module, "NEEDS", ())}


def _marked(case: Case, book: Ledger) -> tuple[pa.Table, pa.Table, dict[str, Any], dict[str, int]]:
    if case.marks is None:
        return PAIRS.empty_table(), CANARIES.empty_table(), _reveal.load(case.path / "none"), {}
    plan, root = _marks.read(case.marks), _marks.root_key(case.marks)
    pairs, counts, secrets = read_pairs(
        case.marks / "escrow", book.path, root, campaigns=case.campaigns or None
    )
    if pairs.num_rows > case.pairs:
        # Which pairs, is fixed by the seed; the order of the escrow would favour its beginning.
        chosen = np.random.default_rng(case.seed).permutation(pairs.num_rows)[: case.pairs]
        counts["not_chosen"] = pairs.num_rows - case.pairs
        pairs = pairs.take(pa.array(np.sort(chosen)))
    used = {name.rpartition("-")[0] for name in pairs["pair_id"].to_pylist()}
    secrets = {name: value for name, value in secrets.items() if name in used}
    # A canary that nobody looks for is neither asked nor given away with the folder.
    reveal, canaries = _reveal.shown(
        plan, root, book.path, case.campaigns, secrets, canaries="canaries" in _needs(case.tests)
    )
    return pairs, canaries, reveal, counts


def _asks(case: Case, pairs: pa.Table, canaries: pa.Table) -> tuple[pa.Table, int]:
    """What is asked, each prompt once, and how many were left out for being asked already."""
    wanted: list[tuple[str, str]] = []
    if case.prompts:
        for number, row in enumerate(read_lines(case.prompts), 1):
            if not isinstance(row.get("prompt"), str) or not row["prompt"].strip():
                raise InputError("a prompt is needed", where=f"{case.prompts}:{number}")
            wanted.append((str(row.get("prompt_id", f"p-{number}")), row["prompt"]))
    wanted += _firsts(canaries, "canary_id")
    if case.ask_pairs:
        wanted += _firsts(pairs, "pair_id")
    names: dict[str, str] = {}
    texts: dict[str, str] = {}
    for name, prompt in wanted:
        if names.get(name, prompt) != prompt:
            raise UsageError(f"two prompts are called {name!r}", where=str(case.prompts))
        if prompt.strip() not in texts:
            names[name], texts[prompt.strip()] = prompt, name
    kept = list(names.items())
    table = pa.table(
        [[name for name, _ in kept], [prompt for _, prompt in kept], [case.samples] * len(kept)], schema=ASKS
    )
    return table, len(wanted) - len(kept)


def _renamed(answers: pa.Table, asks: pa.Table) -> pa.Table:
    """The teacher's answers under the names that the same prompts have here, so that tests can put them side by side."""
    known = {
        prompt.strip(): name
        for name, prompt in zip(asks["prompt_id"].to_pylist(), asks["prompt"].to_pylist(), strict=True)
    }
    rows = zip(answers["prompt"].to_pylist(), answers["prompt_id"].to_pylist(), strict=True)
    names = [known.get((prompt or "").strip(), name) for prompt, name in rows]
    return answers.set_column(0, ANSWERS.field("prompt_id"), pa.array(names, pa.string()))


def _firsts(table: pa.Table, key: str) -> Iterable[tuple[str, str]]:
    both = zip(table[key].to_pylist(), table["prompt"].to_pylist(), strict=True)
    return dict((name, prompt) for name, prompt in both if prompt).items()  # noqa: C402 - the type is told


def _texts(pairs: pa.Table, canaries: pa.Table, reveal: dict[str, Any]) -> pa.Table:
    """Every text whose log-probability is asked for: both sides of each pair, each variant in its sentence."""
    sides = [
        pa.table([pairs["pair_id"], pa.array([side] * pairs.num_rows, pa.string()), pairs["prompt"], pairs[side]],
                 schema=TEXTS)
        for side in ("first", "second")
    ]  # fmt: skip
    forms = {one["canary_id"]: one["form"] for one in reveal["canaries"]}
    rows = [
        {"item": row["canary_id"], "side": str(row["variant"]), "prompt": row["prompt"],
         "text": forms[row["canary_id"]].replace("{}", row["answer"])}
        for row in canaries.to_pylist()
    ]  # fmt: skip
    return pa.concat_tables([*sides, pa.Table.from_pylist(rows, schema=TEXTS)])


def _planned(
    name: str, case: Case, asks: pa.Table, pairs: pa.Table, canaries: pa.Table, reveal: dict[str, Any]
) -> dict[str, Any]:
    access = "logprobs" if case.suspect.score else "text"
    answers = int(np.sum(asks["samples"].to_numpy()))
    # Answers may end before their limit: of tokens this is the most.
    tokens = round(answers * case.sampler["max_tokens"])
    known = {
        "pairs": pairs.num_rows, "canaries": len(set(canaries["canary_id"].to_pylist())), "prompts": asks.num_rows,
        "answers": answers, "tokens": tokens, "said": tokens, "keys": len(reveal["keys"]),
    }  # fmt: skip
    return _power.outlook(
        _power.load(), name, access, exposure=case.exposure, target=case.target, counts=known
    )
