"""Work ahead: the next batches are read while this one is counted."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")

_BATCHES = 2


def ahead(items: Iterable[T]) -> Iterator[T]:
    """``items`` in their order, up to two of them made in a thread before they are asked for. Errors come in their place."""
    source, end = cast("Iterator[Any]", iter(items)), object()
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(next, source, end) for _ in range(_BATCHES))
        while True:
            one = waiting.popleft().result()
            if one is end:
                return
            waiting.append(thread.submit(next, source, end))
            yield cast("T", one)
