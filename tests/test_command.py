"""The command as a whole: what stands before any verb."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from spiritsafe.cli import app


@pytest.mark.parametrize("words", [["--version"], ["version"], ["--version", "scan"]])
def test_the_version_is_that_of_the_package(words: list[str]):
    said = CliRunner().invoke(app, words)
    assert (said.exit_code, said.stdout) == (0, version("spiritsafe") + "\n")


def test_a_verb_alone_still_says_what_it_needs():
    said = CliRunner().invoke(app, ["scan"])
    assert said.exit_code == 2
    assert "Missing argument" in said.stderr
