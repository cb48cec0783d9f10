"""Lookup: which indicators a sketch matches, against a million of them, in a few microseconds.

Keys of all kinds stand in one open-addressing table; a key of several indicators has several entries in ``owners``. An
indicator matches when it has at least ``least`` distinct keys in common with the request.
"""

from __future__ import annotations

import hashlib
import io
import sys
from array import array
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.features import _lookup

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa
    from numpy.typing import NDArray

    from spiritsafe.features.inline import Sketch
    from spiritsafe.model import Indicator

KINDS = ("template", "skeleton", "minhash", "device", "network")
MOST_OWNERS = 1024
"""A key that more indicators have tells none of them from another; it is left out."""
_USUAL = 1024
"""Indicators that a request usually shares keys with at most; one that shares more costs an array of all."""
_SALT = {kind: np.uint64(0x9E3779B97F4A7C15 * n & (1 << 64) - 1) for n, kind in enumerate(KINDS)}
_SALTS = (_SALT["skeleton"], _SALT["minhash"])
_NEVER = (1 << 63) - 1
_NONE, _NOTHING = np.zeros(0, np.uint64), np.zeros(1, np.uint64)


def token(value: str) -> str:
    """What ``device`` and ``network`` indicators list in place of a value: hex SHA-256. The lookup reads 64 bits of it."""
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()


class Index:
    """Indicators compiled for lookup. Not for use by several threads at once.

    ``ids`` and ``campaigns`` are in the given order: matches are their numbers. ``kinds``: how many of each. ``left_out``: keys
    that too many indicators have. A million values are not held as text: ``indicators`` is read once. Values that are no 64-bit
    hexadecimal numbers raise ValueError with the indicator's id.
    """

    def __init__(self, indicators: Iterable[Indicator]) -> None:
        self.kinds: Counter[str] = Counter()
        noted = _Noted(self.kinds)
        keys, owners = _pairs(map(noted.note, indicators))
        self.ids, self.campaigns = noted.names()
        self._from, self._until = noted.begins, noted.ends
        least = noted.least
        many = len(self.ids)
        order = np.lexsort((owners, keys))
        keys, owners = keys[order], owners[order]
        fresh = np.ones(keys.size, bool)
        fresh[1:] = (keys[1:] != keys[:-1]) | (owners[1:] != owners[:-1])
        keys, owners = keys[fresh], owners[fresh]
        distinct, counts = np.unique(keys, return_counts=True)
        popular = counts > MOST_OWNERS
        self.left_out = int(popular.sum())
        self._owners = owners[np.repeat(~popular, counts)]
        self._ends = np.append(0, np.cumsum(counts[~popular])).astype(np.int32)
        size = 1 << max(4, int(2 * (~popular).sum()).bit_length())
        self._keys, self._slots = np.zeros(size, np.uint64), np.zeros(size, np.int32)
        _lookup.fill(distinct[~popular], self._keys, self._slots)
        self._least = np.array(least, np.int32)
        self.wants_minhash = "minhash" in self.kinds
        self.wants_tokens = "device" in self.kinds or "network" in self.kinds
        self._found = np.zeros(max(1, many), np.int32)
        self._table = (self._keys, self._slots, self._ends, self._owners, self._least, self._found)
        self._touched = np.empty(_USUAL, np.int32)
        self._skeleton = np.zeros(1, np.uint64)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def bytes(self) -> int:
        """Memory of the tables."""
        arrays = (self._keys, self._slots, self._owners, self._ends, self._least, self._found)
        return sum(one.nbytes for one in arrays)

    def match_batch(self, batch: pa.RecordBatch, *, now: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """What ``match`` finds for each row of a sketched batch: (rows, indicators), a pair a match, rows ascending.

        Needs ``anchors``, ``system_anchors``, ``skeleton``, ``device_id``, ``client_ip``. ``minhash`` needs the text, and
        never matches here.
        """
        lists = [batch.column(name) for name in ("anchors", "system_anchors")]
        many = len(self)
        room = max(many, 1 << 16)
        rows, numbers = np.empty(room, np.int64), np.empty(room, np.int32)
        tokens = (
            np.stack([_tokens(batch, "device_id", "device"), _tokens(batch, "client_ip", "network")], axis=1)
            if self.wants_tokens
            else np.zeros((batch.num_rows, 0), np.uint64)
        )
        flat = [array for one in lists for array in (one.values.to_numpy(), one.offsets.to_numpy())]
        request = (*flat, batch.column("skeleton").to_numpy(), tokens)
        table = (
            self._keys, self._slots, self._ends, self._owners, self._least, self._found, np.empty(max(1, many), np.int32),
        )  # fmt: skip
        found: list[tuple[Any, Any]] = []
        at = 0 if many else batch.num_rows
        while at < batch.num_rows:
            at, written = _lookup.match_rows(table, request, _SALT["skeleton"], at, rows, numbers)
            found.append((rows[:written].copy(), numbers[:written].copy()))
        if not found:
            return np.zeros(0, np.int64), np.zeros(0, np.int32)
        rows, numbers = (np.concatenate(one) for one in zip(*found, strict=True))
        distinct, places = np.unique(numbers, return_inverse=True)
        alive = np.array([self._in_force(number, now) for number in distinct.tolist()], np.bool_)[places]
        return rows[alive], numbers[alive]

    def match(
        self, sketch: Sketch | None, *, device: str | None = None, network: str | None = None, now: int
    ) -> tuple[int, ...]:
        """Numbers of the indicators that hold, ascending. ``now`` microseconds; None where a value is not known."""
        if not self.ids:
            return ()
        tokens = _NONE
        if self.wants_tokens:
            values = (("device", device), ("network", network))
            tokens = np.array(
                [np.uint64(int(token(value)[:16], 16)) ^ _SALT[kind] for kind, value in values if value],
                np.uint64,
            )
        if sketch is None:
            request = (_NONE, _NONE, _NOTHING, _NONE, tokens)
        else:
            bands = sketch.bands if sketch.bands is not None else _NONE
            self._skeleton[0] = sketch.skeleton
            request = (sketch.anchors, sketch.system_anchors, self._skeleton, bands, tokens)
        touched = self._touched
        many, more = self._counted(touched, request)
        if more:  # keys with many owners: room for all there can be
            touched = np.empty(len(self.ids), np.int32)
            many, _ = self._counted(touched, request)
        if not many:
            return ()
        found = sorted(touched[:many].tolist())
        return tuple(n for n in found if self._in_force(n, now))

    def _counted(self, touched: Any, request: tuple[Any, ...]) -> tuple[int, int]:
        return _lookup.match(*self._table, touched, request, _SALTS)

    def _in_force(self, number: int, now: int) -> bool:
        return self._from[number] <= now < self._until[number]


class _Noted:
    """What is kept of each indicator beside its values, in few large pieces.

    A small object that outlives the reading of a large file keeps the page alive that it shared with the rest of it.
    """

    def __init__(self, kinds: Counter[str]) -> None:
        self.kinds = kinds
        self.begins, self.ends, self.least = array("q"), array("q"), array("i")
        self._names, self._lengths = io.StringIO(newline=""), array("q")

    def note(self, one: Indicator) -> Indicator:
        """Keep what is needed of ``one``, which is given back."""
        self.begins.append(one.valid_from)
        self.ends.append(_NEVER if one.valid_until is None else one.valid_until)
        self.least.append(max(1, one.least))
        for name in (one.indicator_id, one.campaign_id):
            self._names.write(name)
            self._lengths.append(len(name))
        self.kinds[one.kind] += 1
        return one

    def names(self) -> tuple[list[str], list[str]]:
        """Ids and campaigns, made anew; of equal campaigns one string."""
        text, at, found = self._names.getvalue(), 0, list[str]()
        for length in self._lengths:
            found.append(text[at : at + length])
            at += length
        return found[::2], list(map(sys.intern, found[1::2]))


def _tokens(batch: pa.RecordBatch, column: str, kind: str) -> NDArray[np.uint64]:
    """The salted key of each row's value, 0 where there is none."""
    coded = batch.column(column).dictionary_encode()
    known = np.array(
        [int(token(value)[:16], 16) if value else 0 for value in coded.dictionary.to_pylist()] + [0],
        np.uint64,
    )
    known[:-1][known[:-1] != 0] ^= _SALT[kind]
    return known[coded.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)]


def _pairs(indicators: Iterable[Indicator]) -> tuple[Any, Any]:
    """All (key, indicator) pairs, with repetitions."""
    keys: list[Any] = []
    owners: list[Any] = []
    for number, one in enumerate(indicators):
        try:
            values = np.array([int(value[:16], 16) for value in one.values], np.uint64)
        except (ValueError, OverflowError) as error:
            raise ValueError(
                f"indicator {one.indicator_id}: a value is no 64-bit hexadecimal number"
            ) from error
        if one.kind not in _SALT:
            raise ValueError(f"indicator {one.indicator_id}: unknown kind {one.kind}")
        salted = values ^ _SALT[one.kind]
        keys.append(salted[salted != 0])
        owners.append(np.full(keys[-1].size, number, np.int32))
    return (np.concatenate(keys), np.concatenate(owners)) if keys else (_NONE, np.zeros(0, np.int32))
