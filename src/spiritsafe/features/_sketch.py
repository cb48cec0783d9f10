"""The sketch: what of an exchange is kept once its text has been read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.features import kernel
from spiritsafe.features._packed import unpack
from spiritsafe.features._print import DIMENSIONS
from spiritsafe.features._scan import CHARS, LINES, SCRIPT, TOKENS
from spiritsafe.features._text import plain, text

_TEXTS = ("system", "prompt", "response")
_NONE = np.uint64(0)


def sketch(batch: pa.RecordBatch, *, threads: int = 1) -> pa.RecordBatch:
    """Replace the text columns of a canonical batch by fingerprints; every other column is kept as it is.

    Added: response_chars, prompt_chars, tokens, lines int32; script uint8; exact, skeleton, item, marks, system_marks,
    system_skeleton uint64; anchors, system_anchors list<uint64>; projection fixed_size_binary(64). 0 means "nothing";
    response_chars is null where the response is. Equal for any number of threads and any cut into batches.
    """
    packed = batch.column("sketch") if "sketch" in batch.schema.names else None
    if packed is not None:
        batch = batch.drop_columns(["sketch"])
        mine = pc.and_(pc.is_valid(packed), pc.is_null(batch.column("prompt")))
        if pc.any(mine).as_py():
            return _mixed(batch, plain(packed), mine.to_numpy(zero_copy_only=False), threads)
    kept = {name: batch.column(name) for name in batch.schema.names if name not in _TEXTS}
    prompt = kernel.fingerprints(text(batch.column("prompt")), threads=threads)
    added = {
        "response_chars": _length(batch.column("response")),
        "prompt_chars": pa.array(np.ascontiguousarray(prompt.counts[:, CHARS])),
        "tokens": pa.array(np.ascontiguousarray(prompt.counts[:, TOKENS])),
        "script": pa.array(prompt.counts[:, SCRIPT].astype(np.uint8)),
        "lines": pa.array(np.ascontiguousarray(prompt.counts[:, LINES])),
        "exact": pa.array(prompt.exact),
        "skeleton": pa.array(prompt.skeleton),
        "item": pa.array(prompt.item),
        "anchors": _lists(prompt.anchors, prompt.ends),
        "projection": _fixed(prompt.projection),
        "marks": pa.array(prompt.marks),
        **_system(batch.column("system"), threads),
    }
    return pa.RecordBatch.from_pydict({**kept, **added})


def _mixed(batch: pa.RecordBatch, packed: Any, mine: Any, threads: int) -> pa.RecordBatch:
    """Rows where ``mine`` have their sketch in place of text; the others are sketched from theirs."""
    there, here = np.flatnonzero(mine), np.flatnonzero(~mine)
    kept = [name for name in batch.schema.names if name not in _TEXTS]
    given = unpack(packed.take(pa.array(there)))
    columns = {**{name: batch.column(name).take(pa.array(there)) for name in kept}, **given}
    if not here.size:
        made = sketch(batch.slice(0, 0))
        return pa.RecordBatch.from_pydict({name: columns[name] for name in made.schema.names})
    made = sketch(batch.take(pa.array(here)), threads=threads)
    order = pa.array(np.argsort(np.concatenate([here, there]), kind="stable"))
    return pa.RecordBatch.from_pydict(
        {
            name: pa.chunked_array([made.column(name), columns[name].cast(made.schema.field(name).type)])
            .combine_chunks()
            .take(order)
            for name in made.schema.names
        }
    )


def _system(column: Any, threads: int) -> dict[str, Any]:
    """Few system texts serve many exchanges: fingerprint the distinct ones."""
    if not isinstance(column, pa.DictionaryArray):
        column = plain(column).dictionary_encode()
    distinct = kernel.fingerprints(
        text(column.dictionary), threads=threads, most=kernel.SYSTEM_ANCHORS, prints=False
    )
    # No system text is one more entry, with nothing: filling in empty lists afterwards takes longer than all else here.
    where = column.indices.cast(pa.int64()).fill_null(len(column.dictionary))
    ends = np.append(distinct.ends, distinct.ends[-1])
    return {
        "system_marks": pa.array(np.append(distinct.marks, _NONE)).take(where),
        "system_skeleton": pa.array(np.append(distinct.skeleton, _NONE)).take(where),
        "system_anchors": _lists(distinct.anchors, ends).take(where),
    }


def _length(column: Any) -> Any:
    if isinstance(column, pa.DictionaryArray):
        return _length(column.dictionary).take(column.indices)
    return pc.utf8_length(plain(column)).cast(pa.int32())


def _lists(values: Any, ends: Any) -> Any:
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values, pa.uint64()))


def _fixed(rows: Any) -> Any:
    kind = pa.binary(DIMENSIONS)
    return pa.FixedSizeBinaryArray.from_buffers(
        kind, len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows))]
    )
