"""A sketch as one string, for logs that keep no text: written by ``inline``, read back here by the column.

``s1:AAABB:`` and Base64, where AAA and BB are the decimal numbers of anchors and system anchors. The bytes, little endian:
exact, skeleton, item, marks, system_marks, system_skeleton uint64; prompt_chars, tokens, lines, response_chars int32 (-1: no
answer); script uint8; projection int8 (64); the anchors, the system anchors uint64; zeros to a multiple of three. The 1 stands
for ``FINGERPRINT_VERSION``.
"""

from __future__ import annotations

import binascii
from typing import Any

import numpy as np

from spiritsafe import schema

HEAD = "s1:{many:03d}{system:02d}:"
BEGIN = 9
"""Characters before the Base64."""
FIXED = schema.SKETCH_BYTES

_HASHES = ("exact", "skeleton", "item", "marks", "system_marks", "system_skeleton")
_COUNTS = ("prompt_chars", "tokens", "lines", "response_chars")


def padded(anchors: int) -> int:
    """Bytes of a sketch with so many anchors of both kinds."""
    return -(-(FIXED + 8 * anchors) // 3) * 3


def unpack(column: Any) -> dict[str, Any]:
    """The sketch columns of an Arrow array of packed sketches without nulls, each as ``sketch`` makes it."""
    import pyarrow as pa  # noqa: PLC0415 - the gateway packs and never unpacks

    rows = len(column)
    plain = column.cast(pa.large_string()) if not pa.types.is_large_string(column.type) else column
    _, bounds, values = plain.buffers()
    edges = np.frombuffer(bounds, np.int64, count=plain.offset + rows + 1)[plain.offset :]
    data = np.frombuffer(values, np.uint8) if rows else np.zeros(0, np.uint8)
    starts, sizes = edges[:-1], np.diff(edges) - BEGIN
    digits = data[starts[:, None] + np.arange(3, 8)].astype(np.int64) - ord("0")
    many = digits[:, :3] @ np.array([100, 10, 1])
    system = digits[:, 3:] @ np.array([10, 1])
    text = data[int(edges[0]) : int(edges[-1])] if rows else data
    inside = np.ones(text.size, bool)
    inside[(starts[:, None] - edges[0] + np.arange(BEGIN)).ravel()] = False
    whole = np.frombuffer(binascii.a2b_base64(text[inside].tobytes()), np.uint8)
    ends = np.cumsum(sizes // 4 * 3)
    begins = ends - sizes // 4 * 3

    def fixed(at: int, width: int, kind: Any) -> Any:
        return np.ascontiguousarray(whole[(begins + at)[:, None] + np.arange(width)]).view(kind)

    hashes = fixed(0, 48, np.uint64)
    counts = fixed(48, 16, np.int32)
    counts[:, :3] = np.maximum(counts[:, :3], 0)
    answer = counts[:, 3]
    return {
        **{name: pa.array(np.ascontiguousarray(hashes[:, n])) for n, name in enumerate(_HASHES)},
        **{name: pa.array(np.ascontiguousarray(counts[:, n])) for n, name in enumerate(_COUNTS[:3])},
        "response_chars": pa.array(answer, mask=answer < 0),
        "script": pa.array(whole[begins + 64]),
        "projection": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(64), rows, [None, pa.py_buffer(np.ascontiguousarray(fixed(65, 64, np.uint8)))]
        ),
        "anchors": _lists(whole, begins + FIXED, many),
        "system_anchors": _lists(whole, begins + FIXED + 8 * many, system),
    }


def pack(made: Any) -> Any:
    """The packed sketches of a batch that ``sketch`` made, an Arrow array of strings: what ``unpack`` reads."""
    import pyarrow as pa  # noqa: PLC0415 - the gateway packs one at a time

    rows = made.num_rows
    lists = [made.column(name) for name in ("anchors", "system_anchors")]
    many, system = (np.diff(one.offsets.to_numpy()).astype(np.int64) for one in lists)
    sizes = -(-(FIXED + 8 * (many + system)) // 3) * 3
    ends = np.cumsum(sizes)
    begins = ends - sizes
    whole = np.zeros(int(ends[-1]) if rows else 0, np.uint8)
    answer = made.column("response_chars").fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    hashes = np.column_stack([made.column(name).to_numpy() for name in _HASHES]).astype("<u8")
    counts = np.column_stack([*(made.column(name).to_numpy() for name in _COUNTS[:3]), answer]).astype("<i4")
    points = made.column("projection")
    projection = np.frombuffer(points.buffers()[1], np.uint8)[points.offset * 64 :][: rows * 64].reshape(
        rows, 64
    )
    fixed = np.column_stack([hashes.view(np.uint8), counts.view(np.uint8),
                             made.column("script").to_numpy().astype(np.uint8), projection])  # fmt: skip
    whole[begins[:, None] + np.arange(FIXED)] = fixed
    for counted, at, one in ((many, begins + FIXED, lists[0]), (system, begins + FIXED + 8 * many, lists[1])):
        values = np.ascontiguousarray(one.flatten().to_numpy().astype("<u8")).view(np.uint8).reshape(-1, 8)
        first = np.repeat(at - 8 * (np.cumsum(counted) - counted), counted) + 8 * np.arange(
            int(counted.sum())
        )
        whole[first[:, None] + np.arange(8)] = values
    text = np.frombuffer(binascii.b2a_base64(whole.tobytes(), newline=False), np.uint8)
    size = sizes // 3 * 4 + BEGIN
    stops = np.cumsum(size)
    starts = stops - size
    out = np.empty(int(stops[-1]) if rows else 0, np.uint8)
    digits = np.column_stack([many // 100, many // 10 % 10, many % 10, system // 10, system % 10]) + ord("0")
    heads = np.tile(np.frombuffer(b"s1:00000:", np.uint8), (rows, 1))
    heads[:, 3:8] = digits
    inside = np.ones(out.size, bool)
    places = starts[:, None] + np.arange(BEGIN)
    inside[places] = False
    out[places], out[inside] = heads, text
    offsets = np.concatenate([[0], stops]).astype(np.int64)
    return pa.LargeStringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(out))


def _lists(whole: Any, begins: Any, many: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - as above

    ends = np.append(0, np.cumsum(many))
    first = np.repeat(begins - 8 * ends[:-1], many) + 8 * np.arange(int(ends[-1]))
    flat = whole[first[:, None] + np.arange(8)] if first.size else np.zeros((0, 8), np.uint8)
    values = np.ascontiguousarray(flat).view(np.uint64).ravel()
    row = np.repeat(np.arange(many.size), many)
    if not (
        (values[1:] > values[:-1]) | (row[1:] != row[:-1])
    ).all():  # not from our own hand: later stages want them sorted
        values = values[np.lexsort((values, row))]
    return pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), pa.array(values))
