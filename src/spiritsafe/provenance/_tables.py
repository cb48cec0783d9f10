"""From the folder of a case to what tests are given: suspect, controls and teacher. One row for each that was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spiritsafe.provenance import _gather, _reveal
from spiritsafe.provenance._lines import read as read_lines
from spiritsafe.provenance._subject import ANSWERS, READINGS, SCORES, STATUSES, Subject, Teacher
from spiritsafe.provenance._tokenizer import FileTokenizer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from spiritsafe.marking.keys import MarkKey


def subject(folder: Path, model: Mapping[str, Any], keys: Sequence[MarkKey] = ()) -> Subject:
    """A suspect or control with what it said; what was never answered has the status "failed".

    ``keys``: all that will be looked for, decoys included; their widths make the contexts of what it read.
    """
    answers: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    readings: list[pa.Table] = []
    widths = {key.width for key in keys}
    for ask, row in _told(folder, model):
        if ask["kind"] == "reading":
            if row["status"] == "ok" and widths:
                readings.append(reading(f"{ask['item']}/{ask['side']}", row["reading"], widths))
            continue
        spoken = row["status"] in {"ok", "truncated"}
        if ask["kind"] == "answer":
            # Half a surrogate pair can stand in JSON and not in a column.
            text = row["text"].encode("utf-8", "replace").decode() if spoken else None
            answers.append({**ask, "text": text, "status": row["status"]})
        else:
            told = {name: row[name] if spoken else None for name in ("logprob", "tokens")}
            scores.append({"item": ask["item"], "side": ask["side"], "status": row["status"], **told})
    return Subject(
        name=model["name"],
        answers=pa.Table.from_pylist(answers, schema=ANSWERS),
        scores=pa.Table.from_pylist(scores, schema=SCORES),
        readings=pa.concat_tables([READINGS.empty_table(), *readings]),
        group=model["group"],
        facts=model["facts"],
    )


def outcomes(folder: Path, model: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """How many answers, scores and readings have each status; together, all that were registered."""
    names = {"answer": "answers", "score": "scores", "reading": "readings"}
    counts: dict[str, dict[str, int]] = {name: dict.fromkeys(STATUSES, 0) for name in names.values()}
    for ask, row in _told(folder, model):
        counts[names[ask["kind"]]][row["status"]] += 1
    return counts


def _told(folder: Path, model: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    """What was asked, each with its row; what has none has failed."""
    rows = {_gather.key_of(row): row for row in read_lines(_gather.file_of(folder, model["name"]))}
    nothing: dict[str, Any] = {"status": "failed", "text": None, "logprob": None, "tokens": None}
    for ask in _gather.asks(folder, model):
        yield ask, rows.get(_gather.key_of(ask), nothing)


def reading(text_id: str, told: Mapping[str, Sequence[int]], widths: Collection[int]) -> pa.Table:
    """READINGS of one text, from what ``Local.read`` told of it, for keys of some ``widths``: the likeliest tokens, weight 1.

    Contexts have the greatest width and lie wholly in the text, as those of a marker do. One was seen if its last tokens, as
    many as the least width, stand earlier in what was shown, the prompt and its template included: then they do as well
    for every greater width.
    """
    least, width = min(widths), max(widths)
    before, shown = (np.asarray(told[name], np.int32) for name in ("before", "shown"))
    whole = np.concatenate([before, shown])
    if shown.size < width:
        return READINGS.empty_table()
    windows = np.lib.stride_tricks.sliding_window_view
    contexts = windows(shown, width)
    again = np.ones(whole.size - least + 1, np.bool_)
    again[np.unique(windows(whole, least), axis=0, return_index=True)[1]] = False
    many = len(contexts)
    seen = again[again.size - many :]
    listed = pa.ListArray.from_arrays(
        pa.array(np.arange(0, many * width + 1, width), pa.int32()), pa.array(contexts.ravel(), pa.int32())
    )
    return pa.table(
        [
            pa.array([text_id] * many, pa.string()),
            pa.array(np.arange(width, width + many), pa.int32()),
            listed,
            pa.array(told["predicted"][width - 1 :], pa.int32()),
            pa.array(np.ones(many)),
            pa.array(seen),
        ],
        schema=READINGS,
    )


def teacher(folder: Path, plan: Mapping[str, Any], reveal: Mapping[str, Any]) -> Teacher:
    """The teacher's side as it was registered."""
    where = folder / "teacher"
    answers, pairs, canaries = (
        pq.read_table(where / f"{name}.parquet") for name in ("answers", "pairs", "canaries")
    )
    path, scorer = where / "tokenizer.json", plan["teacher"]["scorer"]
    return Teacher(
        name=plan["teacher"]["name"],
        answers=answers,
        pairs=pairs,
        canaries=canaries,
        scores=subject(folder, scorer).scores if scorer else SCORES.empty_table(),
        keys=_reveal.keys_of(reveal, "keys"),
        decoys=_reveal.keys_of(reveal, "decoys"),
        tokenizer=FileTokenizer(path) if path.exists() else None,
        group=plan["teacher"]["group"],
    )
