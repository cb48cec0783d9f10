"""A real hub on loopback, with members who sign: for the tests of all parts of the forum."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from spiritsafe.errors import ScopeError
from spiritsafe.sharing.hub import members, tokens
from spiritsafe.sharing.hub.app import app
from spiritsafe.sharing.hub.members import Quota
from spiritsafe.sharing.hub.setup import add_collection, add_root
from spiritsafe.sharing.hub.store import opened
from spiritsafe.sharing.signed import sign_object

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from spiritsafe.sharing.hub.reception import Limits

ORIGIN = "forum.example/log"
TAXII = "application/taxii+json;version=2.1"
NOW = 1_772_366_400_000_000
SIGNED = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
PLAIN = "365fed99-08fa-4dcd-a1b3-fb247eb41d01"
STRICT = "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003"


def log_key() -> Ed25519PrivateKey:
    """The key of the hub's log."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"log").digest())


class Clock:
    """The time of a hub: the real one, until it is set."""

    def __init__(self) -> None:
        self.now: int | None = None

    def __call__(self) -> int:
        return time.time_ns() // 1_000 if self.now is None else self.now


@dataclass
class Someone:
    """A member, and its connection to the hub."""

    hub: Running
    key: Ed25519PrivateKey
    identity: str = ""
    pseudonym: str = ""

    def ask(self, method: str, path: str, content: Any = None, **headers: str) -> httpx.Response:
        body = (
            content
            if isinstance(content, bytes)
            else b""
            if content is None
            else json.dumps(content).encode()
        )
        media = "application/json" if path.startswith("/forum") else TAXII
        sent = {"accept": media, "content-type": media} if body else {"accept": media}
        request = self.hub.http.build_request(method, path, content=body, headers=sent | headers)
        if "authorization" not in request.headers:
            request.headers["authorization"] = self.token(method, request.url.raw_path.decode(), body)
        return self.hub.http.send(request)

    def token(self, method: str, path: str, body: bytes = b"", now: int | None = None) -> str:
        return tokens.make(
            self.key,
            audience=ORIGIN,
            method=method,
            path=path,
            body=body,
            now=self.hub.clock() if now is None else now,
        )

    def indicator(self, which: object = 0, *, version: int = 0, **more: Any) -> dict[str, Any]:
        stamp = f"2026-01-02T03:04:{version // 1000:02}.{version % 1000:03}Z"
        bare = {
            "type": "indicator",
            "spec_version": "2.1",
            "id": f"indicator--{uuid.uuid5(uuid.NAMESPACE_OID, f'{self.identity} {which}')}",
            "created_by_ref": self.identity,
            "created": "2026-01-02T03:04:00.000Z",
            "modified": stamp,
            "pattern": f"[autonomous-system:number = {which}]",
            "pattern_type": "stix",
            "pattern_version": "2.1",
            "valid_from": "2026-01-02T03:04:00.000Z",
            "valid_until": "2036-01-02T03:04:00.000Z",
            "object_marking_refs": [STRICT],
        }
        return sign_object(
            {name: value for name, value in (bare | more).items() if value is not None}, self.key
        )

    def add(self, *stix: Mapping[str, Any], collection: str = SIGNED) -> dict[str, Any]:
        answer = self.ask("POST", f"/api/collections/{collection}/objects/", {"objects": list(stix)})
        assert answer.status_code == 202, answer.text
        return answer.json()

    def api_token(self, scope: str = "read", name: str = "client") -> str:
        answer = self.ask("POST", "/forum/tokens", {"name": name, "scope": scope})
        assert answer.status_code == 201, answer.text
        return answer.json()["token"]


@dataclass
class Running:
    """A hub that is served."""

    url: str
    database: str
    http: httpx.Client
    clock: Clock
    key: Ed25519PrivateKey

    def enrol(self, *roles: str, seed: int | None = None) -> Someone:
        key = (
            Ed25519PrivateKey.generate()
            if seed is None
            else Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big"))
        )
        code = self.invitation(*(roles or ("member",)))
        envelope = members.enrolment(key, code, audience=ORIGIN, now=self.clock())
        answer = self.http.post("/forum/enrol", json=envelope, headers={"accept": "application/json"})
        assert answer.status_code == 201, answer.text
        found = answer.json()
        return Someone(self, key, found["identity"], found["pseudonym"])

    def invitation(self, *roles: str) -> str:
        async def job() -> str:
            store = opened(self.database)
            try:
                return await store.write(lambda tx: members.invite(tx, roles, now=self.clock(), lasts=10**12))
            finally:
                await store.close()

        return asyncio.run(job())


def refuse_prices(objects: Sequence[Mapping[str, Any]]) -> None:
    """A small scope gate: what it does not know does not pass."""
    known = {
        "type", "spec_version", "id", "created_by_ref", "created", "modified", "pattern", "pattern_type", "pattern_version",
        "valid_from", "valid_until", "object_marking_refs", "extensions", "name", "identity_class", "revoked", "labels",
    }  # fmt: skip
    for stix in objects:
        if unknown := stix.keys() - known:
            raise ScopeError("not in the closed schema", where=min(unknown))


async def made(database: str) -> None:
    store = opened(database)
    try:
        from spiritsafe.sharing.hub.schema import prepare  # noqa: PLC0415

        await prepare(store, ORIGIN)
        await add_root(store, "api", "Malware Research Group", "A trust group", now=NOW)
        await add_collection(store, "api", SIGNED, "Signed", now=NOW)
        await add_collection(
            store, "api", PLAIN, "Plain", now=NOW, signed=False, alias="plain", writers=("member", "observer")
        )
    finally:
        await store.close()


@contextmanager
def running(
    database: str,
    *,
    limits: Limits | None = None,
    quota: Quota | None = None,
    gate: Callable[[Sequence[Mapping[str, Any]]], None] | None = refuse_prices,
    made: Callable[[str], Any] = made,
    clock: Any = None,
    **more: Any,
) -> Generator[Running]:
    asyncio.run(made(database))
    clock, key = clock or Clock(), log_key()
    served = app(
        opened(database),
        origin=ORIGIN,
        key=key,
        clock=clock,
        gate=gate,
        limits=limits,
        quota=quota or Quota(requests_per_minute=100_000),
        **more,
    )
    held = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            served, log_level="critical", loop="uvloop", http="httptools", ws="none", lifespan="on"
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [held]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    url = f"http://127.0.0.1:{held.getsockname()[1]}"
    try:
        with httpx.Client(base_url=url, timeout=30) as http:
            yield Running(url, database, http, clock, key)
    finally:
        server.should_exit = True
        thread.join(15)
        held.close()
