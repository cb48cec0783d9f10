"""Waits of one length, for thousands of requests at once, with one timer: who came first is late first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


class Waiter(Protocol):
    """What stands in a line."""

    def late(self) -> None:
        """It stood too long; it stands in the line no more."""
        ...


class Line:
    """Calls ``late`` of whoever stands in it for ``seconds``. Belongs to one loop."""

    def __init__(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        self._seconds = seconds
        self._loop = loop
        self._ends: dict[Waiter, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._ends)

    def enter(self, waiter: Waiter) -> None:
        """Stand at the end of the line; nobody stands in it twice."""
        self._ends[waiter] = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._due)

    def leave(self, waiter: Waiter) -> None:
        """Stand in it no more."""
        self._ends.pop(waiter, None)

    def _due(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._ends:
            waiter, end = next(iter(self._ends.items()))
            if end > now:
                self._timer = self._loop.call_at(end, self._due)
                return
            del self._ends[waiter]
            waiter.late()
