"""A real PostgreSQL server for tests: of the hub, and of what else keeps tables."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


@contextmanager
def databases() -> Generator[Callable[[], str]]:
    """Makes empty databases in a real PostgreSQL server of our own."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: int(one.parts[-2]))
    found = shutil.which("initdb")
    if not installed and not found:
        pytest.skip("PostgreSQL is not installed")
    programs = installed[-1] if installed else Path(found or "").resolve().parent
    folder = Path(f"/tmp/spiritsafe-pg-{uuid.uuid4().hex[:12]}")  # noqa: S108 - a socket's path is short
    folder.mkdir(mode=0o700)
    before: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "postgres")
        before = ["runuser", "-u", "postgres", "--"]

    def run(name: str, *arguments: object, check: bool = True) -> int:
        line = [*before, str(programs / name), *map(str, arguments)]
        return subprocess.run(line, check=check, capture_output=True).returncode

    try:
        run("initdb", "-D", folder / "data", "-A", "trust", "-U", "hub", "-N")
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c max_connections=60"
        run("pg_ctl", "-D", folder / "data", "-l", folder / "log", "-w", "-o", options, "start")
        numbers = itertools.count(1)

        def make() -> str:
            name = f"hub{next(numbers)}"
            run("createdb", "-h", folder, "-U", "hub", name)
            return f"postgresql://hub@/{name}?host={folder}"

        yield make
    finally:
        run("pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop", check=False)
        shutil.rmtree(folder, ignore_errors=True)
