from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spiritsafe.gateway import keys
from spiritsafe.gateway.artefacts import Binding

if TYPE_CHECKING:
    from pathlib import Path

    from spiritsafe.gateway.keys import KeyRing

NOW = 1_772_366_400_000_000


@pytest.fixture(scope="session")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    path: Path = tmp_path_factory.mktemp("ring") / "keys.json"
    return keys.make(path, now=NOW)


@pytest.fixture(scope="session")
def binding(ring: KeyRing) -> Binding:
    return Binding(lambda: ring)
