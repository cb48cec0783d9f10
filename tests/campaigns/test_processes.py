"""Work spread over processes gives what one process gives, and what goes wrong there is told here."""

from __future__ import annotations

import multiprocessing
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spiritsafe.campaigns._processes import Pool, shared_out
from spiritsafe.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def _sums(table: Any, items: Sequence[int]) -> list[tuple[float, int, bool]]:
    return [(float(table[item].sum()), os.getpid(), bool(table.flags.writeable)) for item in items]


def _fails(items: Sequence[int]) -> list[int]:
    raise ValueError(f"item {items[0]} is not liked")


@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_the_same_from_two_processes_as_from_one(count: int, tmp_path: Path):
    table = np.arange(400_000.0).reshape(100, -1)
    work, items = partial(_sums, table), list(range(count))
    two = dict(shared_out(work, items, processes=2, folder=tmp_path))
    one = dict(shared_out(work, items, processes=1, folder=None))
    assert sorted(two) == sorted(one) == items
    assert [two[key][0] for key in items] == [table[key].sum() for key in items]
    if count > 1:
        assert os.getpid() not in {pid for _, pid, _ in two.values()}
        assert not any(writeable for _, _, writeable in two.values())
    assert {pid for _, pid, _ in one.values()} <= {os.getpid()}


def _threads(items: Sequence[int]) -> list[str]:
    return [os.environ["OPENBLAS_NUM_THREADS"] for _ in items]


def test_processes_do_not_start_threads_for_small_matrices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("joblib._parallel_backends.cpu_count", lambda *_, **__: 16)  # a larger machine
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert {value for _, value in shared_out(_threads, [0, 1], processes=2, folder=tmp_path)} == {"1"}


def test_an_error_comes_back(tmp_path: Path):
    with pytest.raises(ValueError, match="is not liked"):
        list(shared_out(_fails, [0, 1], processes=2, folder=tmp_path))


def _dies(items: Sequence[int]) -> list[int]:
    os.kill(os.getpid(), signal.SIGKILL)
    return [*items]


def test_a_killed_process_is_told_in_plain_words(tmp_path: Path):
    with pytest.raises(StorageError, match="killed, most likely for want of memory"):
        list(shared_out(_dies, [0, 1], processes=2, folder=tmp_path))
    assert len(list(shared_out(partial(_sums, np.ones((3, 3))), [0, 1], processes=2, folder=tmp_path))) == 2


def _started(queue: Any) -> None:
    queue.put(dict(shared_out(partial(_sums, np.ones((3, 3))), [0, 1, 2], processes=2, folder=None)))


def test_a_process_that_was_started_ends_when_its_work_is_done():
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_started, args=(queue,))
    process.start()
    assert len({pid for _, pid, _ in queue.get(timeout=60).values()} - {process.pid}) > 0
    process.join(timeout=60)  # workers that were left alone would keep it for five minutes
    assert process.exitcode == 0


def _inside(queue: Any) -> None:
    queue.put(sorted(shared_out(partial(_sums, np.ones((3, 3))), [0, 1, 2], processes=2, folder=None)))


def test_a_process_that_may_start_no_others_does_it_itself():
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_inside, args=(queue,), daemon=True)
    process.start()
    assert [(key, value) for key, (value, _, _) in queue.get(timeout=60)] == [(0, 3.0), (1, 3.0), (2, 3.0)]
    process.join()


def _nothing() -> None:
    pass


def test_processes_that_were_started_ahead_do_the_work(tmp_path: Path):
    table = np.arange(400_000.0).reshape(100, -1)
    with Pool(2, tmp_path) as pool:
        pool.begin(_nothing)
        found = dict(pool.share(partial(_sums, table), range(20)))
        again = dict(pool.share(partial(_sums, table), range(20)))
    assert [found[key][0] for key in range(20)] == [table[key].sum() for key in range(20)]
    assert os.getpid() not in {pid for _, pid, _ in found.values()}
    assert len({pid for _, pid, _ in (*found.values(), *again.values())}) <= 2  # the same ones


def test_processes_that_were_started_ahead_may_have_nothing_to_do(tmp_path: Path):
    with Pool(2, tmp_path) as pool:
        pool.begin(_nothing)
    assert dict(shared_out(partial(_sums, np.ones((3, 3))), [0, 1], processes=2, folder=tmp_path)).keys() == {
        0,
        1,
    }
