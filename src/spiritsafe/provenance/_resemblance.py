"""How alike models begin and end their answers to the same prompts: tables of answers to kernels between models.

First words carry most of what tells chat models apart (Sun et al., "Idiosyncrasies in large language models", 2025,
arXiv 2502.12150, section 4); length and layout, which follow from the size of a model as much as from its teacher, hardly
enter. Each answer becomes two bags of word n-grams, weighted by rarity: its opening and its closing. A kernel of each
compares models, answer by answer to the same prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from spiritsafe.provenance._subject import spoken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

OPENING: Final = 8
"""Tokens of an answer's beginning."""
CLOSING: Final = 12
"""Tokens of an answer's end."""
GRAMS: Final = 4
"""Longest n-gram."""
REACH: Final = 40
"""Characters kept for each token that is wanted: more than any run of real words needs."""
SEEN: Final = 5
"""Answers that must have an n-gram for it to count."""
VIEWS: Final = ("opening", "closing")

_SAID: Final = pa.schema([(name, pa.string()) for name in ("prompt_id", "text", "status")])
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Likeness:
    """``kernels`` float64 (views, models, models); ``prompts``: how many are compared; ``style`` float64 (models, 6)."""

    kernels: Floats
    prompts: int
    style: Floats


def likeness(models: Sequence[pa.Table], prompts: pa.Array) -> Likeness:
    """Compare ``models`` (tables ANSWERS) on ``prompts`` (prompt ids, string).

    Several answers to a prompt share its weight. A prompt that a model did not answer counts as unlike all others.
    A truncated answer has no closing.
    """
    said = [spoken(table.select(["prompt_id", "text", "status"]).cast(_SAID)) for table in models]
    owner = np.repeat(np.arange(len(said)), [table.num_rows for table in said])
    rows = pa.concat_tables(said).append_column("model", pa.array(owner)).combine_chunks()
    where = pc.index_in(rows["prompt_id"], prompts)
    rows = rows.append_column("where", where).filter(pc.is_valid(where))
    cell = np.asarray(rows["model"]) * len(prompts) + np.asarray(rows["where"]).astype(np.int64)
    size = len(models), len(prompts)
    text = pc.fill_null(rows["text"], "").combine_chunks()
    whole = np.asarray(pc.equal(rows["status"], "ok"))
    kernels = [
        _kernel(_grams(text, OPENING, closing=False), cell, size),
        _kernel(_grams(text, CLOSING, closing=True), cell, size, whole),
    ]
    return Likeness(np.array(kernels), len(prompts), _style(text, np.asarray(rows["model"]), len(models)))


def _grams(text: Any, many: int, *, closing: bool) -> sparse.csr_array:
    """Counts of n-grams, one row each answer, from its first or last ``many`` tokens."""
    reach = REACH * many
    cut = pc.utf8_slice_codeunits(text, -reach) if closing else pc.utf8_slice_codeunits(text, 0, reach)
    for pattern, made in ((r"\n+", " ¶ "), (r"([^\s\p{L}\p{N}'’]|\p{Han})", r" \1 ")):
        cut = pc.replace_substring_regex(cut, pattern, made)
    words = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(pc.utf8_lower(cut)))
    start = np.asarray(words.offsets).astype(np.int64)
    flat = words.values.dictionary_encode()
    # 0 stands for an empty place, so that positions are those of a full window.
    code = np.append(np.asarray(flat.indices).astype(np.uint64) + np.uint64(1), np.uint64(0))
    first = np.maximum(start[:-1], start[1:] - many) if closing else start[:-1]
    place = first[:, None] + np.arange(many)
    token = code[np.where(place < start[1:, None], place, code.size - 1)]
    hashes, owners = [], []
    running = np.zeros_like(token)
    for n in range(1, GRAMS + 1):
        width = many - n + 1
        running = (running[:, :width] ^ token[:, n - 1 :]) * _MIX
        running ^= running >> np.uint64(29)
        there = np.logical_and.reduce([token[:, k : k + width] > 0 for k in range(n)])
        hashes.append(running[there])
        owners.append(np.nonzero(there)[0])
    column = np.unique(np.concatenate(hashes), return_inverse=True)[1]
    owner = np.concatenate(owners)
    width = int(column.max(initial=0)) + 1
    return sparse.csr_array((np.ones(owner.size), (owner, column)), shape=(len(start) - 1, width))


def _kernel(
    counts: sparse.csr_array,
    cell: NDArray[np.int64],
    size: tuple[int, int],
    whole: NDArray[np.bool_] | None = None,
) -> Floats:
    models, prompts = size
    counts.sum_duplicates()
    grams = int(np.max(counts.indices, initial=-1)) + 1
    if whole is not None:
        counts = sparse.csr_array(sparse.diags_array(whole.astype(np.float64)) @ counts)
        counts.eliminate_zeros()
    held = np.bincount(counts.indices, minlength=grams)
    rarity = np.where(held >= SEEN, np.log(np.maximum(cell.size / (held + 1.0), 1.0)), 0.0)
    counts.data = np.log1p(counts.data) * rarity[counts.indices]
    length = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
    answers = np.bincount(cell, minlength=models * prompts)
    scale = 1.0 / (np.where(length > 0, length, 1.0) * answers[cell])
    into = sparse.csr_array((scale, (cell, np.arange(cell.size))), shape=(models * prompts, cell.size))
    cells = sparse.coo_array(into @ counts)
    # One wide row a model: its prompts side by side, so that a product compares answers to the same prompt only.
    model, prompt = np.divmod(cells.row.astype(np.int64), prompts)
    place = np.unique(prompt * grams + cells.col, return_inverse=True)[1]
    wide = sparse.csr_array((cells.data, (model, place)), shape=(models, int(place.max(initial=0)) + 1))
    return (wide @ wide.T).toarray() / prompts


def _style(text: Any, model: NDArray[np.int64], models: int) -> Floats:
    """Length, lines, bullets, numbers, headings and bold of each model: logarithms of the means a answer."""
    counted = [
        pc.utf8_length(text),
        *(
            pc.count_substring_regex(text, mark)
            for mark in ("\n", r"(?m)^\s*[-*•] ", r"(?m)^\s*\d+[.)] ", r"(?m)^#", r"\*\*")
        ),
    ]
    answers = np.maximum(np.bincount(model, minlength=models), 1)
    sums = [np.bincount(model, np.asarray(one, np.float64), models) / answers for one in counted]
    return np.log1p(np.array(sums).T)
