from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from matchforum import Forum, Made, make
from matchhub import Hub, serving

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


@pytest.fixture(scope="session")
def made() -> Made:
    """An epoch of five holders of whom three are needed."""
    return make(Forum())


@pytest.fixture
def hub(tmp_path: Path) -> Generator[Hub]:
    """Members ``a`` to ``d``; ``a``, ``b`` and ``c`` hold shares, two of them are needed."""
    with serving(tmp_path, "abcd", "abc") as running:
        yield running
