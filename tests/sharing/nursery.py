"""Processes that start at once, to be killed again and again: forks of one that has imported what they need."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

# Forks while there is no thread, one child at a time, and says its number; once asked, its status. It buries none
# before, so that the number stays that of the child.
PARENT = """
import json, os, sys, traceback
exec(sys.argv[1])
while line := sys.stdin.readline():
    out, *words = json.loads(line)
    child = os.fork()
    if not child:
        status = 1
        try:
            file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 1)
            begin(*words)
            status = 0
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    print(child, flush=True)
    sys.stdin.readline()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Nursery:
    """Starts processes; see ``nursery``."""

    def __init__(self, parent: subprocess.Popen[str]) -> None:
        self._parent = parent
        self._child = 0

    def begin(self, out: Path, *words: str) -> None:
        """Start one that writes to the file ``out``; the one before has ended."""
        self._child = int(self._asked(json.dumps([str(out), *words])))

    def alive(self) -> bool:
        """Whether it has not ended."""
        return Path(f"/proc/{self._child}/stat").read_text().rpartition(")")[2].split()[0] != "Z"

    def kill(self) -> int:
        """Kill -9. Returns the status: -9, unless it had ended before."""
        os.kill(self._child, signal.SIGKILL)
        return self.ended()

    def ended(self) -> int:
        """Wait until it has ended. Returns its status."""
        return int(self._asked(""))

    def _asked(self, line: str) -> str:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(line + "\n")
        self._parent.stdin.flush()
        return self._parent.stdout.readline()


@contextmanager
def nursery(source: str) -> Generator[Nursery]:
    """``source`` imports and defines ``begin(*words)``, which each process runs."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, source],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as parent:  # fmt: skip
        try:
            yield Nursery(parent)
        finally:
            os.killpg(parent.pid, signal.SIGKILL)
