"""Databases of both kinds, PostgreSQL's in a real server started here, and a hub with two members."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hubs import Running, Someone, running
from postgres import databases

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


@pytest.fixture(scope="session")
def postgresql() -> Generator[Callable[[], str]]:
    """Makes empty databases in a real PostgreSQL server of our own."""
    with databases() as make:
        yield make


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An empty database: each test that asks for it runs on both kinds."""
    if request.param == "sqlite":
        return str(tmp_path_factory.mktemp("both") / "hub.db")
    return request.getfixturevalue("postgresql")()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Generator[Running]:
    with running(str(tmp_path_factory.mktemp("hub") / "hub.db")) as found:
        yield found


@pytest.fixture(scope="module")
def alice(hub: Running) -> Someone:
    return hub.enrol("member")


@pytest.fixture(scope="module")
def bob(hub: Running) -> Someone:
    return hub.enrol("member")
