"""The same work on many candidates, spread over processes: it is thousands of small steps that threads would queue for."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any, TypeVar, cast

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from spiritsafe.errors import StorageError

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
    mapped there, read-only. In a process that may not start others the work is done here. Raises StorageError when one is
    killed.
    """
    if multiprocessing.current_process().daemon:
        processes = 1
    parts = min(len(items), _PARTS * processes)
    shares = [items[number::parts] for number in range(parts)]
    try:
        with Parallel(
            n_jobs=processes, return_as="generator", max_nbytes="1M", temp_folder=folder and str(folder)
        ) as pool:
            results: Iterator[list[R]] = cast("Any", pool(delayed(work)(share) for share in shares))
            for number, found in enumerate(results):
                yield from zip(range(number, len(items), parts), found, strict=True)
    except TerminatedWorkerError as error:
        raise StorageError(
            "a process that tested groups was killed, most likely for want of memory",
            hint="scan with --threads 1, or give the machine more memory",
        ) from error
    finally:
        if processes > 1:
            # Left alone they wait some minutes for more work, and a process that was itself started waits for them at its end.
            get_reusable_executor().shutdown(wait=True)
