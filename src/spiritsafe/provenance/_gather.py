"""Asks the suspect, the controls and, for scores, the teacher what was registered, and keeps each answer.

Killed at any moment, it goes on from there. One file of JSON Lines a model, ``gathered/<name>.jsonl``; a row is on disk
before the next request is counted as done. When all is asked, or a person gives up with a reason, the digests go into
the ledger and nothing more is taken.
"""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from spiritsafe.errors import InputError
from spiritsafe.provenance import _prereg, _seal
from spiritsafe.provenance._endpoint import Budget, Endpoint, Said
from spiritsafe.provenance._lines import Lines
from spiritsafe.provenance._lines import read as read_lines
from spiritsafe.provenance._local import Local
from spiritsafe.provenance._subject import STATUSES
from spiritsafe.provenance._tokenizer import FileTokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from spiritsafe.ledger import Ledger

_BATCH = 8
_DOUBTS = 10  # refused requests at the very start, after which something is wrong with all of them
Ask = dict[str, Any]


def file_of(folder: Path, name: str) -> Path:
    """Where a model's answers are kept; names that no file system likes are told apart by a digest."""
    plain = "".join(one if one.isalnum() or one in "-_." else "_" for one in name)[:60]
    return folder / "gathered" / f"{plain}-{_seal.digest(name.encode())[:8]}.jsonl"


def key_of(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """What one row answers: ("answer", prompt, sample), ("score", item, side) or ("reading", item, side)."""
    if row["kind"] == "answer":
        return ("answer", str(row["prompt_id"]), str(row["sample"]))
    return (row["kind"], str(row["item"]), str(row["side"]))


def models(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All that are asked: the suspect, the controls and, where it can be, the teacher, for scores."""
    scorer = plan["teacher"]["scorer"]
    return [plan["suspect"], *plan["controls"], *([scorer] if scorer else [])]


def asks(folder: Path, model: Mapping[str, Any]) -> Iterator[Ask]:
    """All that a model is asked, in order: answers first, then texts to score and texts to read where it can.

    Both sides of a pair are read: who asks need not know which was served.
    """
    if model["ask"]:
        for row in pq.read_table(folder / "asks.parquet").to_pylist():
            for sample in range(row["samples"]):
                yield {
                    "kind": "answer", "prompt_id": row["prompt_id"], "sample": sample, "prompt": row["prompt"],
                }  # fmt: skip
    texts = pq.read_table(folder / "texts.parquet").to_pylist() if model["score"] or model["read"] else []
    pairs = [row for row in texts if row["side"] in {"first", "second"}]
    if model["score"]:
        for row in texts if model["ask"] else pairs:
            yield {"kind": "score", **row, "prompt": row["prompt"] or ""}
    if model["read"]:
        for row in pairs:
            yield {"kind": "reading", **row, "prompt": row["prompt"] or ""}


def gather(
    folder: Path, plan: Mapping[str, Any], model: Mapping[str, Any], settings: Mapping[str, Any], *,
    progress: Callable[[str, int, int], None], clock: Callable[[], int] = lambda: time.time_ns() // 1_000,
) -> dict[str, int]:  # fmt: skip
    """Ask one model what is missing. Returns how many rows have each status.

    ``settings``: requests, tokens, per_minute, retries, at_once, and ``sources`` by model. Raises Unreachable or Spent
    with all that was answered kept; InputError when an endpoint refuses everything.
    """
    path = file_of(folder, model["name"])
    wanted = list(asks(folder, model))
    with Lines(path) as out:
        rows = read_lines(path)
        done = {key_of(row) for row in rows}
        missing = [one for one in wanted if key_of(one) not in done]
        keep = _Keeper(out, rows, f"asking {model['name']}", len(done), len(wanted), progress, clock)
        if missing:
            if model["kind"] == "answers":
                _from_file(Path(settings["sources"][model["name"]]), missing, keep)
            elif model["kind"] == "transformers":
                local = Local(
                    Path(settings["sources"][model["name"]]), before=model["before"], system=plan["system"]
                )
                _from_weights(local, plan, missing, keep, folder / "teacher" / "tokenizer.json")
            else:
                _from_endpoint(plan, model, settings, rows, missing, keep)
    counts: dict[str, int] = dict.fromkeys(STATUSES, 0)
    for row in read_lines(path):
        counts[row["status"]] += 1
    return counts


def close(
    folder: Path, plan: Mapping[str, Any], book: Ledger, *, now: int, gave_up: str | None = None
) -> dict[str, Any] | None:
    """Hash what was gathered into the ledger, once all is there or somebody gave up. None: something is missing."""
    missing = {one["name"]: _missing(folder, one) for one in models(plan)}
    if any(missing.values()) and gave_up is None:
        return None
    body = {
        "plan": _seal.file_digest(folder / "plan.json"),
        "files": {
            str(path.relative_to(folder)): _seal.file_digest(path)
            for one in models(plan)
            if (path := file_of(folder, one["name"])).exists()
        },
        "missing": missing,
        "gave_up": gave_up,
    }
    book.append(_prereg.GATHERED, body, time=now)
    _prereg.keep_entries(folder, book.path)
    return body


def _missing(folder: Path, model: Mapping[str, Any]) -> int:
    done = {key_of(row) for row in read_lines(file_of(folder, model["name"]))}
    return sum(key_of(one) not in done for one in asks(folder, model))


class _Keeper:
    """Puts rows down, and holds the first refused requests back until one is answered: else nothing is kept of them."""

    def __init__(
        self, out: Lines, rows: Sequence[Mapping[str, Any]], stage: str, done: int, total: int,
        progress: Callable[[str, int, int], None], clock: Callable[[], int],
    ) -> None:  # fmt: skip
        self._out, self._stage, self._done, self._total = out, stage, done, total
        self._progress, self._clock = progress, clock
        self._sure = bool(rows)
        self._held: list[dict[str, Any]] = []
        progress(stage, done, total)

    def put(self, pairs: Sequence[tuple[Ask, Said]]) -> None:
        """Rows are on disk when this returns."""
        rows = [_row(ask, said, self._clock()) for ask, said in pairs]
        refused = [said.status == "failed" and (said.detail or "").startswith("status ") for _, said in pairs]
        self._sure = self._sure or not all(refused)
        self._held += rows
        if not self._sure and len(self._held) >= min(_DOUBTS, self._total):
            raise InputError(
                f"each of the first {len(self._held)} requests was refused: {self._held[-1]['detail']}",
                hint="nothing was recorded; mend the request, then ask again",
            )
        if self._sure:
            self._out.append(self._held)
            self._done += len(self._held)
            self._held = []
            self._progress(self._stage, self._done, self._total)


def _row(ask: Ask, said: Said, now: int) -> dict[str, Any]:
    named = {name: value for name, value in ask.items() if name not in {"prompt", "text"}}
    return {**asdict(said), **named, "time": now}


def _from_endpoint(
    plan: Mapping[str, Any], model: Mapping[str, Any], settings: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]], missing: Sequence[Ask], keep: _Keeper,
) -> None:  # fmt: skip
    used = sum(row["tokens_in"] + row["tokens_out"] for row in rows)
    budget = Budget(
        settings["requests"] - len(rows), settings["tokens"] - used, 60.0 / float(settings["per_minute"])
    )
    endpoint = Endpoint(
        model["kind"], model["url"], model["model"], key_env=model["key_env"], budget=budget,
        retries=settings["retries"], first_pause=float(settings.get("first_pause", 1.0)),
    )  # fmt: skip

    def one(ask: Ask) -> Said:
        if ask["kind"] == "score":
            return endpoint.score(model["before"].replace("{prompt}", ask["prompt"]), ask["text"])
        messages = [{"role": "user", "content": ask["prompt"]}]
        if plan["system"]:
            messages.insert(0, {"role": "system", "content": plan["system"]})
        return endpoint.ask(messages, {**plan["sampler"], "seed": _seed(plan, ask)})

    left = iter(missing)
    at_once = int(settings["at_once"])
    running: dict[Future[Said], Ask] = {}
    with ThreadPoolExecutor(at_once) as pool:
        try:
            while True:
                running |= {pool.submit(one, ask): ask for ask in islice(left, at_once - len(running))}
                if not running:
                    break
                ready, _ = wait(running, return_when=FIRST_COMPLETED)
                # What was answered is put down before a failure beside it is told.
                good = [(running.pop(future), future.result()) for future in ready if not future.exception()]
                if good:
                    keep.put(good)
                for future in ready & running.keys():
                    del running[future]
                    future.result()  # raises
        finally:
            # What is still on its way was asked and paid for.
            wait(running)
            if late := [(ask, future.result()) for future, ask in running.items() if not future.exception()]:
                keep.put(late)
            endpoint.close()


def _from_weights(
    local: Local, plan: Mapping[str, Any], missing: Sequence[Ask], keep: _Keeper, tokenizer: Path
) -> None:
    for kind in ("answer", "score"):
        same = [one for one in missing if one["kind"] == kind]
        for at in range(0, len(same), _BATCH):
            batch = same[at : at + _BATCH]
            prompts = [one["prompt"] for one in batch]
            said = (
                local.ask(prompts, plan["sampler"], seed=_seed(plan, batch[0]))
                if kind == "answer"
                else local.score(prompts, [one["text"] for one in batch])
            )
            keep.put(list(zip(batch, said, strict=True)))

    reads = [one for one in missing if one["kind"] == "reading"]
    if not reads:
        return
    teachers = FileTokenizer(tokenizer)
    for at in range(0, len(reads), _BATCH):
        batch = reads[at : at + _BATCH]
        texts = [one["text"] for one in batch]
        said = local.read([one["prompt"] for one in batch], texts)
        keep.put(
            [
                (ask, _in_tokens(one, ids))
                for ask, one, ids in zip(batch, said, teachers.encode(texts), strict=True)
            ]
        )


def _in_tokens(said: Said, ids: Sequence[int]) -> Said:
    """What was read, if it was read in the teacher's tokens ``ids``; marks are looked for in these."""
    if said.reading is None or said.reading["shown"] == list(ids):
        return said
    return replace(
        said, status="failed", reading=None, detail="the model reads it in other tokens than the teacher's"
    )


def _from_file(path: Path, missing: Sequence[Ask], keep: _Keeper) -> None:
    """From JSON Lines: answers (``prompt_id`` or ``prompt``, ``sample``, ``text``, ``status``) and scores.

    A score has ``item``, ``side``, ``logprob`` and ``tokens``.
    What is not there has failed; what was never asked for is passed over.
    """
    found: dict[tuple[str, str, str], Said] = {}
    seen: dict[str, int] = {}
    for number, row in enumerate(read_lines(path), 1):
        where = f"{path}:{number}"
        if "item" in row:
            found["score", str(row["item"]), str(row.get("side"))] = _scored(row, where)
            continue
        name = row.get("prompt_id", row.get("prompt"))
        text, status = row.get("text"), row.get("status")
        if not isinstance(name, str) or not isinstance(text, str | None) or status not in {*STATUSES, None}:
            raise InputError(
                "an answer has a prompt or prompt_id, a text, and a known status",
                where=where,
                hint=f"statuses: {', '.join(STATUSES)}",
            )
        sample = row.get("sample", seen.get(name, 0))
        seen[name] = int(sample) + 1
        spoken = isinstance(text, str) and bool(text.strip())
        if not spoken and status in {"ok", "truncated", None}:
            status = "empty"
        found["answer", name, str(sample)] = Said(status or "ok", text)
    nothing = Said("failed", detail="not in the file")

    def said(ask: Ask) -> Said:
        at = key_of(ask)
        if ask["kind"] == "answer" and at not in found:
            at = ("answer", ask["prompt"], at[2])
        return found.get(at, nothing)

    keep.put([(ask, said(ask)) for ask in missing])


def _scored(row: Mapping[str, Any], where: str) -> Said:
    value, tokens = row.get("logprob"), row.get("tokens")
    if value is None:
        return Said("failed", detail="no log-probability")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value <= 0:
        raise InputError("a log-probability is a number that is not above 0", where=where)
    return Said("ok", logprob=float(value), tokens=int(tokens) if tokens else None)


def _seed(plan: Mapping[str, Any], ask: Ask) -> int:
    """31 bits for each ask: samples of one prompt differ, and the same ask gets the same seed again."""
    told = json.dumps([plan["seed"], *key_of(ask)])
    return int.from_bytes(hashlib.sha256(told.encode()).digest()[:4]) >> 1
