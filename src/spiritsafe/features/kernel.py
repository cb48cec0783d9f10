"""From text to fingerprints: runs the kernel's passes over cache-sized pieces of a column, in threads.

Rows are independent, so the answer does not depend on the number of threads or on how rows are cut into batches.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.features import _mask, _match, _print, _rules, _scan, characters

if TYPE_CHECKING:
    from spiritsafe.features._span import Text

SYSTEM_ANCHORS = 8
SLACK = 2 * _print.EDGE + _print.LOWEST + 8
"""No row has more anchors than this."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The passes' common ground for one piece of text: records, then masked tokens. Arrays belong to one thread."""

    text: Any
    hashes: Any
    kinds: Any
    spans: Any
    stems: Any
    firsts: Any
    slots: Any
    partners: Any
    masked: Any
    dense: Any
    heads: Any
    prints: Any

    @classmethod
    def room(cls, pieces: list[Text]) -> Tokens:
        """Room for the largest of ``pieces``; pages never used cost nothing."""
        size = max((int(np.sum(piece.ends - piece.starts)) for piece in pieces), default=0) + 1
        longest = max((int(np.max(piece.ends - piece.starts, initial=0)) for piece in pieces), default=0)
        rows = max((piece.rows for piece in pieces), default=0) + 1
        return cls(
            text=np.empty(longest + _scan.AHEAD, np.uint32),
            hashes=np.empty(size, np.uint64),
            kinds=np.empty(size, np.uint8),
            spans=np.empty((size, 2), np.int32),
            stems=np.empty(size, np.int32),
            firsts=np.empty(rows, np.int64),
            slots=np.empty(size, np.uint8),
            partners=np.empty(size, np.int32),
            masked=np.empty(size, np.uint64),
            dense=np.empty(size, np.bool_),
            heads=np.empty(rows, np.int64),
            prints=np.empty(size, np.uint64),
        )


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Per row: ``counts`` int32 (rows, 4: lines, characters, tokens, script), uint64 hashes, anchors as flat + ends.

    What was not asked for has no rows (marks: all 0, anchors: none).
    """

    counts: Any
    exact: Any
    skeleton: Any
    item: Any
    marks: Any
    anchors: Any
    ends: Any
    projection: Any
    signatures: Any
    bands: Any


@dataclass(frozen=True, slots=True)
class _Wanted:
    marks: bool
    anchors: bool
    prints: bool
    minhash: bool
    most: int


def fingerprints(
    text: Text,
    *,
    threads: int = 1,
    marks: bool = True,
    anchors: bool = True,
    prints: bool = True,
    minhash: bool = False,
    most: int = 0,
) -> Fingerprints:
    """Counts, exact, skeleton and item of ``text`` and what else is wanted (``prints``: the projection).

    ``most`` above 0 caps the number of anchors.
    """
    want = _Wanted(marks, anchors, prints, minhash, most)
    shares = text.shares(max(1, threads)) if threads > 1 else [text]
    if len(shares) <= 1:
        return _share(text, want)
    with ThreadPoolExecutor(len(shares)) as pool:
        return _joined(list(pool.map(lambda share: _share(share, want), shares)))


def _share(text: Text, want: _Wanted) -> Fingerprints:
    rows = text.rows
    wide, many = rows if want.prints else 0, rows if want.minhash else 0
    out = Fingerprints(
        counts=np.zeros((rows, 4), np.int32),
        exact=np.zeros(rows, np.uint64),
        skeleton=np.zeros(rows, np.uint64),
        item=np.zeros(rows, np.uint64),
        marks=np.zeros(rows, np.uint64),
        anchors=np.empty(0, np.uint64),
        ends=np.zeros(rows + 1, np.int32),
        projection=np.zeros((wide, _print.DIMENSIONS), np.int8),
        signatures=np.empty((many, _print.LANES), np.uint32),
        bands=np.empty((many, _print.BANDS), np.uint64),
    )
    pieces = text.chunks()
    tokens = Tokens.room(pieces)
    rules = _rules.shipped() if want.marks else _rules.tables(())
    flat: list[Any] = []
    row, end = 0, 0
    for piece in pieces:
        here = slice(row, row + piece.rows)
        read(piece, tokens, rules, out.counts[here], out.exact[here], out.marks[here])
        heads = tokens.heads[: piece.rows + 1]
        mask(piece, tokens, out.skeleton[here], out.item[here])
        if want.anchors:
            found = np.empty(piece.rows * SLACK, np.uint64)
            ends = np.empty(piece.rows + 1, np.int32)
            _print.anchors(tokens.masked, tokens.dense, heads, want.most, tokens.prints, found, ends)
            flat.append(found[: ends[-1]].copy())
            out.ends[row : row + piece.rows + 1] = ends + end
            end += int(ends[-1])
        if wide:
            _print.project(tokens.masked, heads, out.projection[here])
        if many:
            _print.minhash(tokens.masked, heads, *lanes(), out.signatures[here])
            _print.bands(out.signatures[here], out.bands[here])
        row += piece.rows
    anchors = np.concatenate(flat) if flat else out.anchors
    return Fingerprints(**{**{f: getattr(out, f) for f in Fingerprints.__slots__}, "anchors": anchors})


def read(piece: Text, tokens: Tokens, rules: _rules.Tables, counts: Any, exact: Any, marks: Any) -> None:
    """Scan one piece into ``tokens`` and look up the lexicon; fills the rows' counts, exact hashes and marks."""
    firsts = tokens.firsts[: piece.rows + 1]
    _scan.scan(
        piece.data,
        piece.starts,
        piece.ends,
        characters.table(),
        rules.stems,
        tokens.text,
        tokens.hashes,
        tokens.kinds,
        tokens.spans,
        tokens.stems,
        firsts,
        counts,
        exact,
        marks,
    )
    names = rules.stems[3]
    _match.match(tokens.hashes, tokens.kinds, firsts, tokens.stems, names, rules.links, rules.trie, marks)


def mask(piece: Text, tokens: Tokens, skeleton: Any, item: Any) -> None:
    """Mask what ``read`` found; fills the rows' skeletons and items."""
    _mask.mask(
        tokens.hashes,
        tokens.kinds,
        tokens.firsts[: piece.rows + 1],
        tokens.partners,
        tokens.slots,
        tokens.masked,
        tokens.dense,
        tokens.heads[: piece.rows + 1],
        skeleton,
        item,
    )


def _joined(parts: list[Fingerprints]) -> Fingerprints:
    sums = np.cumsum([0, *(int(part.ends[-1]) for part in parts)])
    ends = [part.ends[1:] + before for part, before in zip(parts, sums, strict=False)]
    columns = {
        name: np.concatenate([getattr(p, name) for p in parts])
        for name in Fingerprints.__slots__
        if name != "ends"
    }
    return Fingerprints(**columns, ends=np.concatenate([np.zeros(1, np.int32), *ends]).astype(np.int32))


@cache
def lanes() -> tuple[Any, Any]:
    """MinHash's 128 odd factors and 128 terms (uint32): the splitmix64 sequence from a fixed start."""
    x, out = 0x13198A2E03707344, []
    for _ in range(2 * _print.LANES):
        x = (x + 0x9E3779B97F4A7C15) & (1 << 64) - 1
        out.append(_rules.mix(x) >> 32)
    values = np.array(out, np.uint32)
    return values[: _print.LANES] | np.uint32(1), values[_print.LANES :]


def bands(signatures: Any) -> Any:
    """Band keys, uint64 (rows, 32), of signatures uint32 (rows, 128)."""
    out = np.empty((len(signatures), _print.BANDS), np.uint64)
    _print.bands(np.ascontiguousarray(signatures, np.uint32), out)
    return out
