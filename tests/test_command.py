"""The command as a whole: what stands before any verb."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest


@pytest.mark.parametrize("words", [["--version"], ["version"], ["--version", "scan"]])
def test_the_version_is_that_of_the_package(words: list[str], ran: Any):
    said = ran(*words)
    assert (said.returncode, said.stdout) == (0, version("spiritsafe") + "\n")


def test_a_verb_alone_still_says_what_it_needs(ran: Any):
    said = ran("scan")
    assert said.returncode == 2
    assert "Missing argument" in said.stderr
