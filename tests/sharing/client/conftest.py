"""A real hub on loopback with a clock of ours, and members with settings, keys and state in real files."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from spiritsafe.attest import keys
from spiritsafe.features import FINGERPRINT_VERSION
from spiritsafe.sharing import scope
from spiritsafe.sharing.client.session import Session
from spiritsafe.sharing.hub import members
from spiritsafe.sharing.hub.app import app
from spiritsafe.sharing.hub.schema import prepare
from spiritsafe.sharing.hub.setup import add_collection, add_root
from spiritsafe.sharing.hub.store import opened

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

ORIGIN = "forum.example/log"
COLLECTION = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
NOW = 1_795_651_200_000_000  # 2026-11-26
HOUR, DAY = 3_600_000_000, 86_400_000_000
LOG_KEY = Ed25519PrivateKey.from_private_bytes(b"log key of the test's hub, 32 b.")
RULES = '[[receive.use]]\nmembers = ["*"]\nuse = "observe"\nnewer_than = "60d"\n'


class Clock:
    """The time of hub and members, as a test sets it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class Forum:
    """A hub that is served. ``between`` may change an answer: what a dishonest hub does."""

    folder: Path
    database: str
    clock: Clock
    url: str = ""
    between: Callable[[str, bytes], bytes] | None = None
    _seed: int = field(default=0)

    def member(self, name: str, rules: str = RULES, *, enrol: bool = True) -> Someone:
        self._seed += 1
        folder = self.folder / name
        folder.mkdir()
        keys.make(folder / "member.key")
        someone = Someone(self, folder / "share.toml")
        someone.rules(rules)
        if enrol:
            with someone.session() as one:
                one.wire.about()
                body = members.enrolment(
                    one.key, self.invitation(), audience=one.wire.origin, now=self.clock()
                )
                one.wire.post("/forum/enrol", json.dumps(body).encode(), signed=False)
        return someone

    def invitation(self, *roles: str) -> str:
        async def job() -> str:
            store = opened(self.database)
            try:
                return await store.write(
                    lambda tx: members.invite(tx, roles or ("member",), now=self.clock(), lasts=10**12)
                )
            finally:
                await store.close()

        return asyncio.run(job())


@dataclass
class Someone:
    """A member: its settings file and what is beside it."""

    forum: Forum
    config: Path

    @property
    def folder(self) -> Path:
        return self.config.parent / "forum"

    def rules(self, rules: str, **member: str) -> None:
        told = "".join(f'{name} = "{value}"\n' for name, value in member.items())
        self.config.write_text(
            f'[member]\nkey = "member.key"\nledger = "ledger.jsonl"\n{told}[hub]\nurl = "{self.forum.url}"\nroot = "api"\n'
            f'collection = "{COLLECTION}"\nlog_key = "{keys.public(LOG_KEY)}"\n[receive]\nfolder = "forum"\n{rules}'
        )

    def session(self) -> Session:
        found = Session(self.config, clock=self.forum.clock)
        found.wire._pause = lambda _: None  # a test does not wait
        return found

    def pull(self, *, whole: bool = False) -> Any:
        with self.session() as one:
            return one.pull(fingerprint_version=FINGERPRINT_VERSION, whole=whole)

    def push(self, objects: list[dict[str, Any]]) -> Any:
        with self.session() as one:
            one.put(one.sealed(objects), "test")
            return one.send()

    def read(self, name: str) -> dict[str, Any]:
        return json.loads((self.folder / name).read_text())

    def ids(self) -> set[str]:
        with self.session() as one:
            return {kept.stix["id"] for kept in one.state.here()}


def tampering(inner: Any, forum: Forum) -> Any:
    """The hub behind somebody who may change its answers: the whole of the hub is real."""

    async def outer(scope_: Any, receive: Any, send: Any) -> None:
        if scope_["type"] != "http" or forum.between is None:
            await inner(scope_, receive, send)
            return
        parts: list[bytes] = []
        start: dict[str, Any] = {}

        async def held(message: Any) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                body = b"".join(parts)
                assert forum.between is not None
                body = forum.between(scope_["path"], body) if start["status"] < 300 else body
                listed = [one for one in start["headers"] if one[0].lower() != b"content-length"]
                await send({**start, "headers": [*listed, (b"content-length", b"%d" % len(body))]})
                await send({"type": "http.response.body", "body": body})

        await inner(scope_, receive, held)

    return outer


async def _made(database: str) -> None:
    store = opened(database)
    try:
        await prepare(store, ORIGIN)
        await add_root(store, "api", "Forum", now=NOW)
        await add_collection(store, "api", COLLECTION, "Indicators", now=NOW, alias="indicators")
    finally:
        await store.close()


@contextmanager
def serving(
    folder: Path, database: str, *, clock: Clock, make: bool = True, gate: Any = None, **more: Any
) -> Generator[Forum]:
    """A forum on a database; ``gate`` in place of the real one is what a careless hub has."""
    if make:
        asyncio.run(_made(database))
    forum = Forum(folder, database, clock)
    inner = app(
        opened(database), origin=ORIGIN, key=LOG_KEY, clock=clock,
        gate=gate or (lambda objects: scope.check(objects, at="hub")), **more,
    )  # fmt: skip
    held = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(tampering(inner, forum), log_level="critical", ws="none", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [held]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    forum.url = f"http://127.0.0.1:{held.getsockname()[1]}"
    try:
        yield forum
    finally:
        server.should_exit = True
        thread.join(15)
        held.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def forum(tmp_path: Path, clock: Clock) -> Generator[Forum]:
    with serving(tmp_path, str(tmp_path / "hub.db"), clock=clock) as found:
        yield found


@pytest.fixture
def serve() -> Any:
    """Another hub, or the same once more: ``serve(folder, database, clock=clock, ...)``."""
    return serving
