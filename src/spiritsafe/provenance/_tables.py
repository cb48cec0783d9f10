"""From the folder of a case to what tests are given: suspect, controls and teacher. One row for each that was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from spiritsafe.errors import UsageError
from spiritsafe.provenance import _gather, _reveal, _seal
from spiritsafe.provenance._lines import read as read_lines
from spiritsafe.provenance._subject import ANSWERS, SCORES, Subject, Teacher

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class FileTokenizer:
    """The teacher's tokenizer, from a ``tokenizer.json``. Raises UsageError without the extra."""

    def __init__(self, path: Path) -> None:
        try:
            import tokenizers  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise UsageError(
                "the teacher's tokenizer needs tokenizers", hint="pip install 'spiritsafe[provenance]'"
            ) from error
        self._inner: Any = tokenizers.Tokenizer.from_file(str(path))
        self._name = f"tokenizer.json sha256:{_seal.file_digest(path)}"

    @property
    def name(self) -> str:
        """With the digest of the whole file."""
        return self._name

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens."""
        return [one.ids for one in self._inner.encode_batch(list(texts), add_special_tokens=False)]


def subject(folder: Path, model: Mapping[str, Any]) -> Subject:
    """A suspect or control with what it said; what was never answered has the status "failed"."""
    rows = {_gather.key_of(row): row for row in read_lines(_gather.file_of(folder, model["name"]))}
    nothing: dict[str, Any] = {"status": "failed", "text": None, "logprob": None, "tokens": None}
    answers: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    for ask in _gather.asks(folder, model):
        row = rows.get(_gather.key_of(ask), nothing)
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
        group=model["group"],
        facts=model["facts"],
    )


def teacher(folder: Path, plan: Mapping[str, Any], reveal: Mapping[str, Any]) -> Teacher:
    """The teacher's side as it was registered."""
    where = folder / "teacher"
    answers, pairs, canaries = (
        pq.read_table(where / f"{name}.parquet") for name in ("answers", "pairs", "canaries")
    )
    path = where / "tokenizer.json"
    return Teacher(
        name=plan["teacher"]["name"],
        answers=answers,
        pairs=pairs,
        canaries=canaries,
        keys=_reveal.keys_of(reveal, "keys"),
        decoys=_reveal.keys_of(reveal, "decoys"),
        tokenizer=FileTokenizer(path) if path.exists() else None,
        group=plan["teacher"]["group"],
    )
