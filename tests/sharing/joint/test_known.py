"""The table of tests is the scan's, and the published shapes name the same tests, classes and kinds."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

from spiritsafe.campaigns import evidence, grounds
from spiritsafe.campaigns.coordination import Test
from spiritsafe.sharing.joint.known import CLASSES, KINDS, TESTS, TIES, WORK


def test_kinds_and_natures_are_those_of_a_scan():
    assert set(TESTS) == set(evidence.DECISIVE)
    for name, one in TESTS.items():
        assert one.kind == grounds.kind(Test(name, "", "", "", 0, 0, 0, 0, 1))
        assert (one.nature == "marginal") == (name in grounds.MARGINAL)
        assert (one.nature == "orderly") == (name in grounds.ORDERLY)
    assert TIES == grounds.TIES
    assert WORK == grounds.WORK


def test_the_published_shapes_name_the_same():
    shapes: dict[str, Any] = json.loads(
        resources.files("spiritsafe.sharing.joint").joinpath("statements.json").read_bytes()
    )["$defs"]
    found = shapes["evidence"]["properties"]
    assert tuple(shapes["class"]["enum"]) == CLASSES
    assert tuple(found["kind"]["enum"]) == KINDS
    assert _named(found["tests"]) == set(TESTS)
    assert _named(found["listed"]) == set(CLASSES)


def _named(shape: dict[str, Any]) -> set[str]:
    (pattern,) = shape["patternProperties"]
    return set(re.findall(r"[a-z0-9_]+", pattern))
