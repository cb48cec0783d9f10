"""What a test is given: the suspect and controls with what they said, the teacher with what was committed about it.

All tables are Arrow tables with the columns below; a missing table is empty, never None. Answers and scores keep one row
for each that was asked for, with a ``status``: nothing is dropped before a test has counted it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spiritsafe.marking.keys import MarkKey

#: What became of one request for an answer or a score. Only ``ok`` and ``truncated`` carry text or a number.
STATUSES: Final = ("ok", "truncated", "refused", "empty", "failed")

#: One row for each answer: ``sample`` counts the answers to one prompt from 0.
ANSWERS: Final = pa.schema(
    [
        pa.field("prompt_id", pa.string(), nullable=False),
        pa.field("sample", pa.int32(), nullable=False),
        pa.field("prompt", pa.string()),
        pa.field("text", pa.string()),
        pa.field("status", pa.string(), nullable=False),
    ]
)

#: One row for each pair of answers that the teacher drew: ``first`` and ``second`` in an order that says nothing, and
#: ``coin`` 0 or 1: which of them was served (0: first). ``committed``: whether the coin is in the ledger from before the
#: answer left. ``snapshot``: model and sampler of the served draw; ``ghost_snapshot``: of the other.
PAIRS: Final = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("prompt", pa.string()),
        pa.field("first", pa.string(), nullable=False),
        pa.field("second", pa.string(), nullable=False),
        pa.field("coin", pa.int8(), nullable=False),
        pa.field("campaign_id", pa.string()),
        pa.field("committed", pa.bool_(), nullable=False),
        pa.field("snapshot", pa.string()),
        pa.field("ghost_snapshot", pa.string()),
    ]
)

#: One row for each text whose log-probability was asked for: ``item`` is a pair_id with ``side`` "first" or "second", or a
#: canary_id with the number of a variant. ``logprob``: nats, summed over the answer's ``tokens`` (the scorer's own).
SCORES: Final = pa.schema(
    [
        pa.field("item", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("logprob", pa.float64()),
        pa.field("tokens", pa.int32()),
        pa.field("status", pa.string(), nullable=False),
    ]
)

#: One row for each next token that an open suspect predicted while it read marked text. ``context``: the tokens just before,
#: at least as many as the key's width; ``token``: what it predicted (the teacher's token ids); ``weight``: positive, such as
#: its probability, or 1 for the likeliest token. ``seen``: whether the context had occurred before in what it was shown, the
#: prompt included: then the prediction may be copied from the page, and says nothing of training.
READINGS: Final = pa.schema(
    [
        pa.field("text_id", pa.string(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("context", pa.list_(pa.int32()), nullable=False),
        pa.field("token", pa.int32(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
        pa.field("seen", pa.bool_(), nullable=False),
    ]
)

#: One row for each variant of a canary; exactly one variant of a canary was ``served`` (the rest never left).
CANARIES: Final = pa.schema(
    [
        pa.field("canary_id", pa.string(), nullable=False),
        pa.field("variant", pa.int32(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("answer", pa.string(), nullable=False),
        pa.field("served", pa.bool_(), nullable=False),
        pa.field("campaign_id", pa.string()),
        pa.field("committed", pa.bool_(), nullable=False),
    ]
)


class Tokenizer(Protocol):
    """Splits text into the teacher's tokens. ``name`` goes into the commitment: another tokenizer is another mark."""

    @property
    def name(self) -> str:
        """What it is, with a digest of its vocabulary."""
        ...

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens."""
        ...


@dataclass(frozen=True)
class Subject:
    """A model under test or a control. ``group``: what it shares weights or maker with; controls count by group."""

    name: str
    answers: pa.Table = field(default_factory=ANSWERS.empty_table)
    scores: pa.Table = field(default_factory=SCORES.empty_table)
    readings: pa.Table = field(default_factory=READINGS.empty_table)
    group: str = ""
    facts: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)


@dataclass(frozen=True)
class Teacher:
    """The protected model: its own answers, and what was committed about what it served.

    ``scores``: its own log-probabilities of the pairs, where they are kept; they make tests sharper, not valid.
    ``keys``: the mark keys that were in use; ``decoys``: keys that were committed and never used.
    """

    name: str
    answers: pa.Table = field(default_factory=ANSWERS.empty_table)
    pairs: pa.Table = field(default_factory=PAIRS.empty_table)
    canaries: pa.Table = field(default_factory=CANARIES.empty_table)
    scores: pa.Table = field(default_factory=SCORES.empty_table)
    keys: tuple[MarkKey, ...] = ()
    decoys: tuple[MarkKey, ...] = ()
    tokenizer: Tokenizer | None = None
    group: str = ""


def statuses(table: pa.Table) -> dict[str, int]:
    """How many rows have each status, all five named."""
    found = {row["values"]: row["counts"] for row in pc.value_counts(table["status"]).to_pylist()}
    return {name: int(found.get(name, 0)) for name in STATUSES}


def spoken(table: pa.Table) -> pa.Table:
    """The rows that carry an answer."""
    return table.filter(pc.is_in(table["status"], pa.array(["ok", "truncated"])))
