from __future__ import annotations

import pytest

from spiritsafe.simulate import Corpus, load_corpus


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return load_corpus()
