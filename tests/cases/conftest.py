from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest


def _sample() -> dict[str, Any]:
    """The tests mirror src and are no package, so the sample is loaded by its path."""
    spec = importlib.util.spec_from_file_location("spiritsafe_sample", Path(__file__).with_name("sample.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.sample()


@pytest.fixture(scope="session")
def result() -> dict[str, Any]:
    """A realistic result: three campaigns, a reseller and an unclear group. Not to be changed: copy it first."""
    return _sample()
