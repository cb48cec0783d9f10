"""Files -> units of work for the engine: lines of many small files together, or a piece of a large one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from spiritsafe.errors import InputError
from spiritsafe.sources._blocks import BLOCK, blocks
from spiritsafe.sources._lines import BOM, LONGEST, Lines, blank, lines, mend_surrogates, split, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spiritsafe.engine.duckdb import DuckDB
    from spiritsafe.registry import Extension


@dataclass(slots=True)
class Unit:
    """What one run of a source's SELECT sees: pieces of one or more files, all of one format.

    ``own``: of one file alone; ``damage``: why nothing of that file counts. A unit without records has ``count`` 0.
    """

    source: Extension | None
    pieces: list[tuple[int, Lines]] = field(default_factory=list)
    rows: pa.RecordBatch | None = None
    file: int = 0
    first: int = 1
    repaired: int = 0
    size: int = 0
    count: int = 0
    position: int = 0
    own: bool = False
    unknown: Counter[str] = field(default_factory=Counter)
    damage: InputError | None = None

    def add(self, file: int, piece: Lines) -> None:
        """Take in lines of file number ``file``."""
        self.pieces.append((file, piece))
        self.size += piece.raw.nbytes
        self.count += len(piece.raw)
        self.file, self.position = file, piece.position


@dataclass(slots=True)
class Prepared:
    """A unit's relation (``file``, ``line``, ``raw`` or columns), lines that can be no record, and repair count."""

    relation: pa.Table
    hopeless: list[tuple[int, int, str, str]]
    repaired: int


def line_units(
    source: Extension, file: int, pieces: Iterator[Lines], rows: int, unit: Unit
) -> Iterator[Unit]:
    """Add a file's lines to ``unit``; yield it when full and go on with a new one. The last one is left open.

    A source with a ``WINDOW`` sees up to so many bytes of one file at once.
    """
    window = int(getattr(source.module, "WINDOW", 0))
    limit, most = max(window, BLOCK + BLOCK // 4), rows if not window else 1 << 40
    for piece in pieces:
        if unit.pieces and (unit.size + piece.raw.nbytes > limit or unit.count + len(piece.raw) > most):
            yield unit
            unit = Unit(source, own=unit.own)
        unit.add(file, piece)
    yield unit


def begun(pieces: Iterator[Lines]) -> tuple[list[Lines], Iterator[Lines] | None]:
    """The pieces of the first block or so, and the others; None when these are all, and the file is read to its end."""
    head: list[Lines] = []
    size = 0
    for piece in pieces:
        head.append(piece)
        size += piece.raw.nbytes
        if size > BLOCK:
            return head, pieces
    return head, None


def document(path: str, rows: int, engine: DuckDB) -> Iterator[Lines]:
    """A file that is one JSON document over several lines: the object, or each element of the array, as a line.

    The number of an element of an array is its place, from 1. A file that is no document after all is read line by
    line, so that each of its lines is accounted for.
    """
    parts: list[bytes] = []
    length = reached = 0
    for block, position in blocks(path):
        parts.append(block.to_pybytes())
        length, reached = length + block.size, position
        if length > LONGEST:
            raise InputError(
                f"a JSON document longer than {LONGEST >> 20} MB", where=path, hint="write one record a line"
            )
    whole = b"".join(parts).removeprefix(BOM)
    flat = whole.translate(bytes.maketrans(b"\r\n\t", b"   ")).strip()
    raw, _mended = mend_surrogates(text(split(flat + b"\n"))[0], engine)
    engine.register("document", pa.table({"raw": raw}))
    kind = engine.scalar("SELECT CASE WHEN json_valid(raw) THEN json_type(raw) END FROM document")
    if kind == "ARRAY":
        raw = engine.table(
            """SELECT unnest(from_json(raw, '["JSON"]'))::VARCHAR || chr(10) AS raw FROM document"""
        )["raw"].combine_chunks()
    engine.unregister("document")
    if kind is None:
        yield from lines(path, rows)
    else:
        yield Lines(1, raw.cast(pa.binary()), reached)


def prepare(unit: Unit, engine: DuckDB) -> Prepared:
    """Text made valid, blank lines left out, file and line numbers beside each line."""
    if unit.rows is not None:
        count = len(unit.rows)
        number = pa.array(np.arange(unit.first, unit.first + count))
        columns = [pa.array(np.full(count, unit.file, np.int32)), number, *unit.rows.columns]
        names = ["file", "line", *unit.rows.schema.names]
        return Prepared(pa.table(columns, names=names), [], unit.repaired)
    whole = [(file, piece) for file, piece in unit.pieces if piece.reason is None]
    hopeless = [
        (file, piece.first, piece.reason, piece.raw[0].as_py().decode("utf-8", "replace"))
        for file, piece in unit.pieces
        if piece.reason is not None
    ]
    raws = [piece.raw for _file, piece in whole]
    raw = raws[0] if len(raws) == 1 else pa.concat_arrays(raws) if raws else pa.array([], pa.binary())
    files = np.repeat([file for file, _piece in whole], [len(part) for part in raws]).astype(np.int32)
    numbers = [np.arange(piece.first, piece.first + len(piece.raw)) for _file, piece in whole]
    number = np.concatenate(numbers) if numbers else np.zeros(0, np.int64)
    content, repaired = text(raw)
    content, mended = mend_surrogates(content, engine)
    relation = pa.table({"file": files, "line": number, "raw": content})
    empty = blank(content)
    if empty.any():
        relation = relation.filter(pa.array(~empty)).combine_chunks()
    return Prepared(relation, hopeless, int((repaired | mended).sum()))
