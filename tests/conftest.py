"""What holds for every test: no silent skips where everything is required, and laws tested without deadlines."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

#: Under SPIRITSAFE_REQUIRE=all (continuous integration) a skipped test is a failed one.
REQUIRE_ALL = os.environ.get("SPIRITSAFE_REQUIRE") == "all"

# No deadline: the first example of a law also pays for compiling the kernel. Where everything is required the
# examples are the same each time, so that a red run means a changed program.
settings.register_profile("spiritsafe", deadline=None, derandomize=REQUIRE_ALL, print_blob=True)
settings.load_profile("spiritsafe")


@pytest.fixture
def start() -> Generator[Callable[..., subprocess.Popen[Any]]]:
    """Start a process, as ``subprocess.Popen`` does; it ends with the test, also with one that fails."""
    with ExitStack() as stack:

        def begin(*arguments: Any, **options: Any) -> subprocess.Popen[Any]:
            process = stack.enter_context(subprocess.Popen(*arguments, **options))
            stack.callback(process.kill)
            return process

        yield begin


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``spiritsafe`` in this process, by the function that the program calls: starting another takes seconds.

    What came is what ``subprocess.run`` would give. Where the process itself is what is tested, start one.
    """
    from spiritsafe.cli import main  # noqa: PLC0415 - most tests need no command

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        said = ["spiritsafe", *map(str, words)]
        out, errors = io.StringIO(), io.StringIO()
        with monkeypatch.context() as here, redirect_stdout(out), redirect_stderr(errors):
            here.setattr(sys, "argv", said)
            with pytest.raises(SystemExit) as ended:
                main()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return subprocess.CompletedProcess(said, code or 0, out.getvalue(), errors.getvalue())

    return run


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but SPIRITSAFE_REQUIRE=all: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one where everything is required."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself while it is collected."""
    report = yield
    _refuse_skip(report)
    return report
