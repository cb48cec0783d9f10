from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from argon2 import PasswordHasher
from consoles import PASSWORD, House, furnish, served

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture(scope="session")
def password_hash() -> str:
    # Cheaper than what the console makes itself; a hash says how it is checked.
    return PasswordHasher(time_cost=1, memory_cost=1_024, parallelism=1).hash(PASSWORD)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, password_hash: str) -> Generator[House]:
    """A console with one person a role, and two approvers; shared by a module."""
    data = tmp_path_factory.mktemp("console") / "data"
    known = furnish(data, password_hash)
    made = House(data)
    with served(data, known, made.clock) as (base, application):
        made.base, made.application = base, application
        yield made
        made.leave()
