from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from spiritsafe._match_cli import app
from spiritsafe.sharing.matching.classes import CLASSES

PAGE = (Path(__file__).parents[3] / "docs" / "sharing" / "matching.md").read_text("utf-8")


def test_the_table_of_classes_is_what_the_command_computes():
    shown = re.search(r"<!-- classes: begin.*?-->\n```\n(.*?)```", PAGE, flags=re.DOTALL)
    assert shown
    computed = CliRunner().invoke(app, ["classes"]).output
    assert [line.rstrip() for line in shown[1].splitlines()] == [
        line.rstrip() for line in computed.splitlines()
    ]


def test_every_class_has_its_canonical_form_written_down():
    forms = PAGE.partition("Canonical forms")[2].partition("Bare MinHashes")[0]
    assert {name for name in CLASSES if f"`{name}`" in forms} == CLASSES.keys()
