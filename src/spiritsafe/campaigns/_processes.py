"""The same work on many candidates, spread over processes: it is thousands of small steps that threads would queue for."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any, TypeVar, cast

from joblib import Parallel, delayed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

T = TypeVar("T")
R = TypeVar("R")

_PARTS = 12
"""Parts a process: the last to finish is not waited for long, and few copies of small things travel."""


def shared_out(
    work: Callable[[Sequence[T]], list[R]], items: Sequence[T], *, processes: int, folder: Path | None
) -> Iterator[tuple[int, R]]:
    """``work`` on all of ``items``: place and result of each, in no fixed order.

    ``work`` and what it holds travel to the processes; arrays of a megabyte and more are written to ``folder`` once and
    mapped there, read-only. In a process that may not start others the work is done here.
    """
    if multiprocessing.current_process().daemon:
        processes = 1
    parts = min(len(items), _PARTS * processes)
    shares = [items[number::parts] for number in range(parts)]
    with Parallel(
        n_jobs=processes, return_as="generator", max_nbytes="1M", temp_folder=folder and str(folder)
    ) as pool:
        results: Iterator[list[R]] = cast("Any", pool(delayed(work)(share) for share in shares))
        for number, found in enumerate(results):
            yield from zip(range(number, len(items), parts), found, strict=True)
