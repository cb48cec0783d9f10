"""Packs: small parts together in one folder, so that a thousand segments are not a thousand files to open."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spiritsafe.campaigns import kept
from spiritsafe.state import parts
from spiritsafe.state.folder import stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from spiritsafe.state.folder import Folder
    from spiritsafe.state.parts import Part

SMALL = 16_384
"""Exchanges: a part of fewer is put into a pack."""
FULL = 65_536
"""Exchanges at which a pack is closed; what would make a smaller one waits for more."""


def pack(state: Folder, found: Iterable[Part]) -> int:
    """Put neighbours that are small together; ``found`` in the order of a scan. Returns how many packs were made.

    A pack appears by one rename, and then the parts in it go, when nobody else is using the state. Whoever is killed between
    the two leaves some parts twice, which count once (``Folder.tidy``). Raises StorageError.
    """
    made = 0
    for group in groups(found):
        with stored(state.parts):
            _make(state, group)
        made += 1
    if made:
        state.repacked()
        state.tidy()
    return made


def groups(found: Iterable[Part]) -> list[list[Part]]:
    """Small single parts that stand together and are enough for a pack."""
    made: list[list[Part]] = []
    open_: list[Part] = []
    for one in found:
        if one.folder.name.startswith(parts.PACK) or one.rows >= SMALL:
            continue
        open_.append(one)
        if sum(other.rows for other in open_) >= FULL:
            made.append(open_)
            open_ = []
    return made


def _make(state: Folder, group: Sequence[Part]) -> None:
    name = parts.PACK + blake2b("".join(one.name for one in group).encode(), digest_size=16).hexdigest()
    making = state.parts / f"{parts.MAKING}{name}-{uuid.uuid4().hex[:8]}"
    try:
        making.mkdir()
        placed: list[Part] = []
        at = rejected = 0
        for one in group:
            placed.append(replace(one, at=at, rejected_at=rejected))
            at, rejected = at + one.rows, rejected + one.scanned["rejected"]
        full = [one for one in group if one.rows]
        _tables(
            making / "sketch.parquet",
            [_sketch(one, parts.number(name), to) for one, to in _each(full, placed)],
        )
        _tables(making / "text.parquet", [_text(one, to) for one, to in _each(full, placed)])
        with (making / "projection.bin").open("wb") as points:
            for one in full:
                points.write((one.folder / "projection.bin").read_bytes())
        records = [parts.rejected(one) for one in group if one.scanned["rejected"]]
        if records:
            pq.write_table(pa.concat_tables(records), making / "rejected.parquet", compression="zstd")
        parts.finish(making, placed)
        parts.publish(making, state.parts / name)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _each(full: Sequence[Part], placed: Sequence[Part]) -> list[tuple[Part, int]]:
    at = {one.name: one.at for one in placed}
    return [(one, at[one.name]) for one in full]


def _sketch(one: Part, mark: int, at: int) -> pa.Table:
    table = pq.read_table(one.folder / "sketch.parquet").drop_columns(["part", "place"]).combine_chunks()
    return pa.Table.from_batches([parts.placed(table.to_batches()[0], mark, at)])


def _text(one: Part, at: int) -> pa.Table:
    table = pq.read_table(one.folder / "text.parquet").combine_chunks()
    return table.set_column(0, "row", pc.add(table["row"], at))


def _tables(path: Path, tables: Sequence[pa.Table]) -> None:
    table = pa.concat_tables(tables).combine_chunks()
    words = [field.name for field in table.schema if pa.types.is_string(field.type)]
    pq.write_table(
        table, path, compression="zstd", compression_level=1, use_dictionary=words, row_group_size=kept.ROWS
    )
