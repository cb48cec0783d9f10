from __future__ import annotations

from pathlib import Path

import pytest

from spiritsafe.simulate import Corpus, load_corpus

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return load_corpus(ROOT / "demo" / "corpus")
