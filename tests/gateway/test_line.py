"""One timer for many waits, and writes that travel together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from spiritsafe.gateway.joined import Joined
from spiritsafe.gateway.line import Line

if TYPE_CHECKING:
    from spiritsafe.gateway.line import Waiter


class One:
    def __init__(self, name: str, told: list[str], then: tuple[Line, Waiter] | None = None) -> None:
        self.name, self.told, self.then = name, told, then

    def late(self) -> None:
        self.told.append(self.name)
        if self.then is not None:
            self.then[0].leave(self.then[1])


class Last(One):
    def __init__(
        self, name: str, told: list[str], seen: asyncio.Event, then: tuple[Line, Waiter] | None = None
    ) -> None:
        super().__init__(name, told, then)
        self.seen = seen

    def late(self) -> None:
        super().late()
        self.seen.set()


def test_who_stands_too_long_is_late_in_order_and_who_leaves_is_not():
    async def run() -> list[str]:
        told: list[str] = []
        last = asyncio.Event()
        line = Line(0.01, asyncio.get_running_loop())
        gone, third = One("gone", told), One("third", told)
        for one in (One("first", told), gone, Last("second", told, last, (line, third)), third):
            line.enter(one)
        line.leave(gone)
        line.leave(gone)
        await last.wait()
        last.clear()
        line.enter(Last("again", told, last))  # the timer is armed anew
        await last.wait()
        last.clear()
        return told

    assert asyncio.run(run()) == ["first", "second", "again"]


class Pipe:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent.append(data)

    def writelines(self, pieces: tuple[bytes, ...]) -> None:
        self.write(b"".join(pieces))

    def close(self) -> None:
        self.closed = True


def test_a_head_and_its_body_are_one_write_and_nothing_is_held_past_its_turn():
    async def run() -> Pipe:
        pipe = Pipe()
        joined = Joined(cast("Any", pipe), asyncio.get_running_loop())
        joined.write(b"head")
        joined.write(b"body")
        assert pipe.sent == [b"headbody"]
        joined.write(b"alone")
        assert pipe.sent == [b"headbody"]
        await asyncio.sleep(0)
        assert pipe.sent == [b"headbody", b"alone"]
        joined.write(b"last")
        joined.close()
        return pipe

    pipe = asyncio.run(run())
    assert pipe.sent == [b"headbody", b"alone", b"last"]
    assert pipe.closed
