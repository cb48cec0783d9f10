"""The sample of the forum's tests: a scan's results and all kinds of objects made of them."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import Any

import pytest


def _sample() -> Any:
    """The tests mirror src and are no package, so the sample is loaded by its path."""
    spec = importlib.util.spec_from_file_location(
        "spiritsafe_forum_sample", Path(__file__).with_name("sample.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SAMPLE = _sample()
KINDS = SAMPLE.every_kind()


@pytest.fixture
def sample() -> Any:
    """The module ``sample.py``."""
    return SAMPLE


@pytest.fixture(params=KINDS, ids=lambda one: one["type"])
def each(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One object of each type and kind."""
    return copy.deepcopy(request.param)
