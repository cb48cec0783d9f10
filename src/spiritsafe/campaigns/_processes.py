"""The same work on many candidates, spread over processes: it is thousands of small steps that threads would queue for."""

from __future__ import annotations

import multiprocessing
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from spiritsafe.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

T = TypeVar("T")
R = TypeVar("R")

_PARTS = 12
"""Parts a process: the last to finish is not waited for long, and few copies of small things travel."""


class Pool:
    """Processes for ``Pool.share``, which may be started before there is work: they load their modules meanwhile.

    Arrays of a megabyte and more are written to ``folder`` once and mapped there, read-only. In a process that may not start
    others all work is done here.
    """

    def __init__(self, processes: int, folder: Path | None) -> None:
        self.processes = 1 if multiprocessing.current_process().daemon else processes
        with parallel_config("loky", inner_max_num_threads=1):
            self._joblib = Parallel(
                n_jobs=self.processes,
                return_as="generator",
                max_nbytes="1M",
                temp_folder=folder and str(folder),
            )
        self._begun: Iterator[None] = iter(())

    def __enter__(self) -> Self:
        self._joblib.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(TerminatedWorkerError):
            self._ready()
        self._joblib.__exit__(kind, error, trace)
        if self.processes > 1:
            # Left alone they wait some minutes for more work, and a process that was itself started waits for them at its end.
            get_reusable_executor().shutdown(wait=True)

    def begin(self, first: Callable[[], None]) -> None:
        """Start the processes, and let each do ``first``, a function of the module that the work is in."""
        if self.processes > 1:
            self._begun = cast("Any", self._joblib(delayed(first)() for _ in range(self.processes)))

    def _ready(self) -> None:
        for _ in self._begun:
            pass

    def share(self, work: Callable[[Sequence[T]], list[R]], items: Sequence[T]) -> Iterator[tuple[int, R]]:
        """See ``shared_out``."""
        parts = min(len(items), _PARTS * self.processes)
        shares = [items[number::parts] for number in range(parts)]
        try:
            self._ready()
            results: Iterator[list[R]] = cast("Any", self._joblib(delayed(work)(share) for share in shares))
            for number, found in enumerate(results):
                yield from zip(range(number, len(items), parts), found, strict=True)
        except TerminatedWorkerError as error:
            raise StorageError(
                "a process that tested groups was killed, most likely for want of memory",
                hint="scan with --threads 1, or give the machine more memory",
            ) from error


def shared_out(
    work: Callable[[Sequence[T]], list[R]], items: Sequence[T], *, processes: int, folder: Path | None
) -> Iterator[tuple[int, R]]:
    """``work`` on all of ``items``: place and result of each, in no fixed order. Raises StorageError when a process is killed.

    ``work`` and what it holds travel to the processes, see ``Pool``.
    """
    with Pool(processes, folder) as pool:
        yield from pool.share(work, items)
