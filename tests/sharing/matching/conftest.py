from __future__ import annotations

import pytest

from matchforum import Forum, Made, make


@pytest.fixture(scope="session")
def made() -> Made:
    """An epoch of five holders of whom three are needed."""
    return make(Forum())
