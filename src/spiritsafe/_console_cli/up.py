"""``spiritsafe up``: starts what a team's file names, starts again what ends, and ends all together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final

import typer

from spiritsafe.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

from pathlib import Path

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
HEALTHY: Final = 60.0
"""Seconds after which a part that runs has its pauses forgiven."""
GRACE: Final = 45.0
"""Seconds that parts have to end: more than the gateway's drain and a watch's step between two looks."""
_USAGE: Final = 2

# A part that has no parent any more ends: its standard input is a pipe whose other end only the parent holds.
_CHILD: Final = """
import os, signal, sys, threading
def orphaned():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=orphaned, daemon=True).start()
from spiritsafe.cli import main
main()
"""


def up(
    team: Annotated[
        Path, typer.Argument(help="The team's file: [console], [watch], [gateway].", show_default=False)
    ],
    check: Annotated[bool, typer.Option("--check", help="Only check the file.")] = False,
) -> None:
    """Start console, watch and gateway from one file; end them together on SIGTERM or SIGINT."""
    from spiritsafe.console import team as file  # noqa: PLC0415 - a fast --help, and an extra

    found = file.read(team)
    if check:
        for name, verb in found.verbs.items():
            sys.stdout.write(f"{name}: spiritsafe {' '.join(verb)}\n")
        return
    for folder in found.folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot be made: {error.strerror}", where=str(folder)) from error
    house = House({name: Part(name, verb) for name, verb in found.verbs.items()})
    failed = house.run()
    if failed is not None:
        raise UsageError(
            f"{failed.name} does not start: its own message is above",
            where=str(team),
            hint="all others were ended",
        )


@dataclass
class Part:
    """One process that is kept running: ``verb`` are the arguments of ``spiritsafe``."""

    name: str
    verb: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    begun: float = 0.0
    pause: float = FIRST_PAUSE
    due: float = 0.0
    ran: bool = False
    readers: list[threading.Thread] = field(default_factory=list[threading.Thread])

    def start(self, now: float) -> None:
        """Start it; its lines come out with its name before them."""
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", _CHILD, *self.verb],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.begun = now
        reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        reader.start()
        self.readers = [one for one in self.readers if one.is_alive()] + [reader]
        tell(self.name, f"started, process {self.process.pid}")

    def _read(self, lines: IO[bytes]) -> None:
        for line in lines:
            tell(self.name, line.decode("utf-8", "replace").rstrip("\n"))
        lines.close()


class House:
    """All parts. ``run`` returns when told to end, or the part that cannot start because of how it is set up."""

    def __init__(self, parts: dict[str, Part]) -> None:
        self.parts = parts
        self._end = threading.Event()

    def run(self) -> Part | None:
        """Keep all running until SIGTERM or SIGINT."""
        before = {
            one: signal.signal(one, lambda *_: self._end.set()) for one in (signal.SIGTERM, signal.SIGINT)
        }
        failed = None
        try:
            while not self._end.is_set() and failed is None:
                now = time.monotonic()
                for part in self.parts.values():
                    failed = failed or self._look(part, now)
                self._end.wait(0.2)
        finally:
            self._stop()
            for one, handler in before.items():
                signal.signal(one, handler)
        return failed

    def _look(self, part: Part, now: float) -> Part | None:
        """Start a part that is due; the part itself when it ended at once, for how it is set up."""
        if part.process is None:
            if now >= part.due:
                part.start(now)
            return None
        code = part.process.poll()
        if code is None:
            if now - part.begun >= HEALTHY:
                part.pause, part.ran = FIRST_PAUSE, True
            return None
        if part.process.stdin is not None:
            part.process.stdin.close()
        part.process = None
        if code == _USAGE and not part.ran and now - part.begun < HEALTHY:
            tell(part.name, "ended with 2: what it was told makes no sense")
            return part
        part.due, told = now + part.pause, f"{part.pause:g}"
        part.pause = min(LONGEST_PAUSE, 2 * part.pause)
        tell(part.name, f"ended with {code}; starts again in {told} s")
        return None

    def _stop(self) -> None:
        running = [
            one for one in self.parts.values() if one.process is not None and one.process.poll() is None
        ]
        for part in running:
            if part.process is not None:
                part.process.terminate()
        until = time.monotonic() + GRACE
        for part in running:
            process = part.process
            if process is None:
                continue
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                tell(part.name, "does not end; killed")
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for part in self.parts.values():
            for reader in part.readers:
                reader.join(2)
            if part.process is not None and part.process.stdin is not None:
                part.process.stdin.close()
            tell(part.name, "ended")


_LOCK = threading.Lock()


def tell(name: str, line: str) -> None:
    """One line of one part, whole."""
    with _LOCK:
        sys.stdout.write(f"{name:8}| {line}\n")
        sys.stdout.flush()
