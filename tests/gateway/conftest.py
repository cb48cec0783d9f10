from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from spiritsafe.gateway import keys
from spiritsafe.gateway.artefacts import Binding

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from spiritsafe.gateway.keys import KeyRing

NOW = 1_772_366_400_000_000


@pytest.fixture(scope="session")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    path: Path = tmp_path_factory.mktemp("ring") / "keys.json"
    return keys.make(path, now=NOW)


@pytest.fixture(scope="session")
def binding(ring: KeyRing) -> Binding:
    return Binding(lambda: ring, bind=("account", "organization", "family"))


@contextmanager
def _serving(app: Any, lifespan: Any = "off") -> Generator[int]:
    """Serve an ASGI app from a thread of its own; gives the port."""
    held = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            app, log_level="critical", loop="uvloop", http="httptools", ws="none", lifespan=lifespan
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [held]})
    thread.start()
    try:
        yield held.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(15)
        held.close()


@pytest.fixture(scope="session")
def serving() -> Callable[..., AbstractContextManager[int]]:
    return _serving
