"""Passes in pieces give what the plain operation on the whole gives, at every border."""

from __future__ import annotations

import errno
import itertools
import os
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spiritsafe.campaigns import _passes, _tally, items, shelf, streams, templates
from spiritsafe.campaigns._passes import Distinct, grouped, held_by_two, where
from spiritsafe.campaigns.projections import POINTS, Projections
from spiritsafe.campaigns.shelf import Box, Shelf, mapped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spiritsafe.campaigns.log import Log

    MakeLog = Callable[..., Log]

SIZES = (0, 1, 7, 8, 9, 50)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of eight, so that borders are met."""
    monkeypatch.setattr(_passes, "PIECE", 8)
    monkeypatch.setattr(items, "PIECE", 8)


def draws(size: int, most: int) -> list[Any]:
    """Whole numbers of −1 … ``most``: at random, all equal, all none."""
    rng = np.random.default_rng(size)
    return [rng.integers(-1, most + 1, size), np.full(size, most), np.full(size, -1)]


@pytest.mark.parametrize("size", SIZES)
def test_rows_that_are_chosen_are_those_of_the_whole_mask(size: int):
    for values in draws(size, 2):
        found = where(size, lambda part, kept=values >= 0: kept[part])
        assert found.tolist() == np.flatnonzero(values >= 0).tolist()
        assert found.dtype == np.int32


@pytest.mark.parametrize("size", SIZES)
def test_rows_are_grouped_as_a_stable_sort_groups_them(size: int):
    for key in draws(size, 3):
        rows = np.arange(size, dtype=np.int32)
        start, found = grouped(rows, lambda part, key=key: key[part], 5, Shelf().empty)
        assert [found[a:b].tolist() for a, b in itertools.pairwise(start)] == [
            rows[key == group].tolist() for group in range(5)
        ]


@pytest.mark.parametrize("size", SIZES)
def test_values_that_come_in_parts_are_distinct_as_in_the_whole(size: int):
    for values in draws(size, 20):
        found = Distinct()
        for at in range(0, size, 3):
            found.add(values[at : at + 3])
        assert found.values().tolist() == np.unique(values).tolist()


@pytest.mark.parametrize("size", SIZES)
def test_items_are_the_prompts_of_two_parties_in_the_order_of_their_hashes(make_log: MakeLog, size: int):
    rng = np.random.default_rng(size)
    hashes = rng.integers(0, 1 << 63, 12, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    for item in (hashes[rng.integers(12, size=size)], np.full(size, hashes[0]), hashes[np.arange(size) % 2]):
        log = make_log(rng.integers(4, size=size), item=item, party=range(4))
        rows = np.flatnonzero(rng.random(size) < 0.8).astype(np.int32)
        found = items.items(log, rows)
        several = [
            value
            for value in np.unique(item[rows])
            if np.unique(log.row_party[rows[item[rows] == value]]).size > 1
        ]
        inside = np.isin(np.arange(size), rows)
        assert found.count == len(several)
        assert found.code.tolist() == [
            several.index(value) if kept and value in several else -1
            for value, kept in zip(item, inside, strict=True)
        ]
        scratch = np.full(found.count, -1, np.int32)
        held = held_by_two(found.code[rows], log.row_party[rows], scratch)
        assert held.tolist() == (found.code[rows] >= 0).tolist()
        assert (scratch == -1).all()


def test_a_topic_needs_its_rows_wherever_pieces_are_cut():
    rng = np.random.default_rng(3)
    close, accounts = rng.integers(-1, 3, 100), rng.integers(9, size=100)
    own = np.flatnonzero(rng.random(100) < 0.7)
    found = streams.topics(close.astype(np.int32), accounts.astype(np.int32), own)
    for row in range(100):
        same = own[(close[own] == close[row]) & (accounts[own] == accounts[row])]
        kept = row in own and close[row] >= 0 and same.size >= streams.LEAST_ROWS
        assert found[row] == (close[row] if kept else -1)


def test_pairs_are_counted_in_files_as_they_are_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    rng = np.random.default_rng(1)
    support = np.sort(rng.integers(4, 40, 200))[::-1].copy()
    batches = [np.sort(rng.integers(200, size=60).astype(np.int32)) for _ in range(30)]
    ends = np.array([0, 0, 20, 21, 60], np.int64)
    found: list[dict[int, int]] = []
    for chunk in (1 << 20, 100):
        monkeypatch.setattr(_tally, "_CHUNK", chunk)
        pairs = _tally.Tally(tmp_path)
        for ranks in batches:
            pairs.add(templates._neighbours(ranks, ends, support))
        told = list(pairs.counted())
        found.append(
            {k: c for keys, counts in told for k, c in zip(keys.tolist(), counts.tolist(), strict=True)}
        )
        assert sum(keys.size for keys, _ in told) == len(found[-1]), "each pair once"
    assert found[0] == found[1]
    assert [a.size for a, _ in _tally.Tally().counted()] == [0]


def test_projections_of_files_are_those_of_one_array(tmp_path: Path):
    whole = np.random.default_rng(0).integers(-127, 127, (30, POINTS), dtype=np.int8)
    files = []
    for number, (a, b) in enumerate([(0, 10), (10, 10), (10, 11), (11, 30)]):
        path = tmp_path / str(number)
        whole[a:b].tofile(path)
        files.append((path, b - a))
    found = pickle.loads(pickle.dumps(Projections(files)))  # noqa: S301
    assert found.shape == whole.shape
    for rows in (slice(0, 30), slice(9, 12), slice(10, 11), slice(5, 5), slice(25, 99)):
        assert (found[rows] == whole[rows]).all()
        assert found[rows].shape == whole[rows].shape
    for rows in ([3, 29, 10, 3], [], np.arange(30, dtype=np.int32)):
        assert (found[np.asarray(rows, int)] == whole[np.asarray(rows, int)]).all()


def test_a_shelf_keeps_large_arrays_in_files_and_small_ones_as_they_are(tmp_path: Path):
    shelf = Shelf(tmp_path / "shelf")
    few, many = np.arange(3), np.arange(1 << 18)
    assert shelf.keep(few) is few
    held = shelf.keep(many)
    assert isinstance(held.base, np.memmap)
    assert (held == many).all()
    assert shelf.keep(held) is held
    assert Shelf().keep(many) is many


def test_a_box_holds_small_arrays_of_any_kind_in_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shelf, "_BOX", (50, 200))
    box, rng = Box(tmp_path / "shelf"), np.random.default_rng(0)
    given = [rng.integers(100, size=n).astype(kind) for n in (0, 1, 3, 40, 5) for kind in ("i4", "i8", "u1")]
    held = [box.keep(one) for one in given]
    for one, kept in zip(given, held, strict=True):
        assert kept.dtype == one.dtype
        assert kept.tolist() == one.tolist()
        part = kept[1:]
        assert box.keep(kept) is kept, "it is in a file"
        assert box.keep(part) is part, "and so is a part of it"
        assert not one.size or not np.shares_memory(kept, one)
        for protocol in range(2, 6):
            came = pickle.loads(pickle.dumps(kept, protocol))  # noqa: S301
            assert came.tolist() == one.tolist()
            assert not one.size or box.keep(came) is not came, "what came from another process is in memory"
    assert not list((tmp_path / "shelf").iterdir()), "the files have no names, and go with their arrays"
    assert Box(None).keep(given[3]) is given[3]


@pytest.mark.parametrize("refused", [None, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_a_file_has_its_room_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: int | None
):
    """Or a full disk would end the process without a word when a page is written."""

    def refuse(*_: int) -> None:
        raise OSError(refused, "cannot")

    if refused is not None:
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    size = (3 << 20) + 5
    held = mapped(tmp_path / "one", size, np.uint8)
    assert not held.any()
    told = (tmp_path / "one").stat()
    assert told.st_size == size
    assert told.st_blocks * 512 >= size


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    for too_large in (lambda: mapped(tmp_path / "one", 9, np.int64), lambda: Box(tmp_path).keep(np.zeros(3))):
        with pytest.raises(OSError, match="No space left"):
            too_large()
