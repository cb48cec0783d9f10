"""Serving: the loop around a watch, its clocks, and how it stops."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from spiritsafe.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator

    from spiritsafe.watch.follow import Watch
    from spiritsafe.watch.segments import Seen

Clock = Literal["wall", "log"]
_NAP = 0.2
"""Seconds between two looks at whether to stop."""


class Stopped(Exception):  # noqa: N818 - reads as the fact it states
    """The step at hand is dropped: the watch was asked to stop."""


class Stop:
    """Whether the process was asked to stop. The first signal asks; a second one ends it at once, as usual."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        """Whether the process was asked."""
        return self.asked

    def check(self) -> None:
        """Raise Stopped when asked. To be called where nothing is half done."""
        if self.asked:
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Sleep, but not when asked to stop."""
        end = time.monotonic() + seconds
        while not self.asked and (left := end - time.monotonic()) > 0:
            time.sleep(min(_NAP, left))

    @contextmanager
    def on_signals(self) -> Generator[None]:
        """SIGINT and SIGTERM ask to stop, inside the block."""
        names = (signal.SIGINT, signal.SIGTERM)
        before = [signal.getsignal(name) for name in names]

        def ask(number: int, _frame: Any) -> None:
            self.asked = True
            signal.signal(number, before[names.index(signal.Signals(number))])

        for name in names:
            signal.signal(name, ask)
        try:
            yield
        finally:
            for name, handler in zip(names, before, strict=True):
                signal.signal(name, handler)


def wall() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


def serve(watch: Watch, stop: Stop, *, clock: Clock, poll: float) -> None:
    """Turn until asked to stop. ``poll``: seconds between two looks.

    By the ``wall`` clock a window ends now. By the ``log`` clock it ends with the latest exchange taken, but never in the
    future, and steps come as often in the time of the log: for replays, as fast as the machine reads.
    """
    known = ""
    while not stop.asked:
        try:
            fresh, said = watch.look(), ""
        except InputError as error:
            fresh, said = [], str(error)
            if said != known:
                watch.tell("unseen", reason=error.message, where=error.where, hint="looked for again")
        known = said
        # By the log's clock each segment may move the time on, and steps are due between them.
        for part in [[seen] for seen in fresh] if clock == "log" else [fresh]:
            watch.take(part, now=wall())
            if not stop.asked:
                watch.steps(now=_now(watch, clock))
        if not fresh and clock == "log" and not stop.asked:
            watch.steps(now=_now(watch, clock))
        stop.wait(poll)


def once(watch: Watch, stop: Stop, *, clock: Clock, poll: float) -> dict[str, Any] | None:
    """Take what is finished, do one campaign step. Returns its record; None when stopped before."""
    watch.look()
    stop.wait(poll)
    fresh: list[Seen] = [] if stop.asked else watch.look()
    watch.take(fresh, now=wall())
    if stop.asked:
        return None
    return watch.campaigns(now=_now(watch, clock), reason="once")


def _now(watch: Watch, clock: Clock) -> int:
    return wall() if clock == "wall" or not watch.last else min(wall(), watch.last + 1)
