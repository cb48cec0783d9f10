"""Orders as a policy makes them, and real keys in real files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spiritsafe.attest import keys
from spiritsafe.model import Order

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

NOW = 1_790_000_000_000_000
HOUR = 3_600_000_000


def _order(number: int = 0, **changed: Any) -> Order:
    fields: dict[str, Any] = {
        "order_id": f"o-{number:05}",
        "campaign_id": "c-1",
        "response": "budget",
        "scope": "streams",
        "accounts": frozenset(),
        "reason": "campaign",
        "evidence": "c-1@" + "0" * 64,
        "start": NOW,
        "expires": NOW + 24 * HOUR,
        "parameters": {"per_hour": 60.5, "hard": True},
    }
    return Order(**(fields | changed))


@pytest.fixture(scope="session")
def make_order() -> Callable[..., Order]:
    return _order


@pytest.fixture(scope="session")
def key_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("signer", "anna", "ben", "mallory"):
        keys.make(folder / name)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="session")
def private(key_files: dict[str, Path]) -> dict[str, Ed25519PrivateKey]:
    return {name: keys.load(path) for name, path in key_files.items()}
