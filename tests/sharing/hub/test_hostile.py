"""Thousands of mutated objects, bodies and requests: none taken, none that breaks the hub, none that stops it for others."""

from __future__ import annotations

import asyncio
import copy
import json
import random
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hubs import NOW, ORIGIN, SIGNED, TAXII, Running, Someone, log_key, refuse_prices, running
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe.attest import dsse, keys
from spiritsafe.errors import SharingError
from spiritsafe.sharing.hub import ed25519, intake, query
from spiritsafe.sharing.hub.intake import Author, Item, Refused, Unprocessable
from spiritsafe.sharing.hub.reception import Limits
from spiritsafe.sharing.hub.store import opened
from spiritsafe.sharing.hub.verify import verify
from spiritsafe.sharing.signed import EXTENSION, sign_object
from spiritsafe.sharing.stix import ids

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

OBJECTS = f"/api/collections/{SIGNED}/objects/"
KEY = Ed25519PrivateKey.from_private_bytes(b"m" * 32)
AUTHOR = Author(ids.identity_id(keys.public(KEY)), {keys.keyid(KEY.public_key()): KEY.public_key()})
MUTATIONS = 3_000
JUNK: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 2**53, 10**400, "", "x", "\x00", "\u202e", "é" * 200, [], {}, [[]], {"a": {}}, "2026-01-01", [1] * 50,
)  # fmt: skip


class _Nowhere:
    """An author without a hub."""

    @staticmethod
    def clock() -> int:
        return NOW


def _good(which: object = 0, **more: Any) -> dict[str, Any]:
    someone = Someone(_Nowhere, KEY, AUTHOR.identity)  # pyright: ignore[reportArgumentType]
    return someone.indicator(which, **more)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, one in inner for place in _places(one, (*path, name)))]


def _mutated(stix: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The object with one thing about it changed."""
    changed = copy.deepcopy(stix)
    path = chance.choice(_places(changed)[1:])
    holder: Any = changed
    for name in path[:-1]:
        holder = holder[name]
    match chance.randrange(5):
        case 0:
            del holder[path[-1]]
        case 1:
            holder[path[-1]] = chance.choice(JUNK)
        case 2 if isinstance(holder, dict):
            holder[chance.choice(["price", "x_customer", "revoked", "é", ""])] = chance.choice(JUNK)
        case 3 if isinstance(holder[path[-1]], str) and holder[path[-1]]:
            text = holder[path[-1]]
            at = chance.randrange(len(text))
            holder[path[-1]] = text[:at] + chance.choice("0aZ-\x00é") + text[at + chance.randrange(2) :]
        case _:
            holder[path[-1]] = [holder[path[-1]]]
    return changed


def test_no_mutated_object_is_taken():
    chance = random.Random(6_962)
    good = _good(labels=["behaviour", "template"], name="a campaign")
    assert isinstance(
        intake.checked([good], author=AUTHOR, gate=refuse_prices, longest=65_536, now=NOW)[0], Item
    )
    tried = 0
    for _ in range(MUTATIONS):
        changed = _mutated(good, chance)
        if changed == good:
            continue
        tried += 1
        try:
            opened_ = intake.opened(json.dumps({"objects": [changed]}).encode(), 10)
        except Unprocessable:
            continue
        found = intake.checked(opened_, author=AUTHOR, gate=refuse_prices, longest=65_536, now=NOW)
        assert isinstance(found[0], Refused), changed
    assert tried > 0.9 * MUTATIONS


@given(st.data())
@settings(max_examples=400)
def test_no_object_that_others_signed_or_signed_for_others_is_taken(data: st.DataObject):
    """Signatures of other keys, over other bytes, for other types: none fits."""
    other = Ed25519PrivateKey.from_private_bytes(data.draw(st.binary(min_size=32, max_size=32)))
    good = _good()
    mark = good["extensions"][EXTENSION]
    message = data.draw(st.binary(max_size=64))
    forged = data.draw(
        st.sampled_from(
            [
                sign_object(good, other, mark["keyid"]),
                sign_object(good, other),
                {
                    **good,
                    "extensions": {
                        EXTENSION: mark | {"sig": dsse.sign(message, "x", KEY)["signatures"][0]["sig"]}
                    },
                },
                {**good, "extensions": {EXTENSION: mark | {"keyid": keys.keyid(other.public_key())}}},
            ]
        )
    )
    assert isinstance(intake.checked([forged], author=AUTHOR, gate=None, longest=65_536, now=NOW)[0], Refused)


@given(st.binary(min_size=64, max_size=64), st.binary(max_size=40), st.integers(0, 511))
@settings(max_examples=300)
def test_what_libsodium_accepts_openssl_accepts(raw: bytes, message: bytes, flip: int):
    import base64  # noqa: PLC0415

    good = bytearray(KEY.sign(message))
    good[flip // 8] ^= 1 << flip % 8
    public = KEY.public_key()
    for signature in (raw, bytes(good), KEY.sign(message), raw[:-1], b""):
        text = base64.b64encode(signature).decode()
        assert ed25519.fits(public, message, text) == dsse.fits(public, message, text)
        assert ed25519.fits(public, message, text) == (signature == KEY.sign(message))
    assert not ed25519.fits(public, message, "####")


def test_keys_that_sign_everything_sign_nothing_here():
    """Points of small order, for which one signature fits each message under a lax check."""
    import base64  # noqa: PLC0415

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    neutral = b"\x01" + b"\x00" * 31
    for point in (neutral, b"\x00" * 32, b"\xec" + b"\xff" * 30 + b"\x7f"):
        key = Ed25519PublicKey.from_public_bytes(point)
        for first in (neutral, b"\x00" * 32, point):
            assert not ed25519.fits(key, b"any message", base64.b64encode(first + b"\x00" * 32).decode())


@given(st.text(max_size=300), st.booleans())
@settings(max_examples=500)
def test_no_query_breaks_the_question(text: str, known: bool):
    try:
        found = query.asked(
            f"match[id]={text}" if known else text, "/x", fields=("id",), most=10, secret=b"s" * 32
        )
    except SharingError:
        return
    condition, values = query.where(found, 1, level=3, owner=1)
    assert condition.count("$") == len(values)  # what a peer wrote is bound, never part of the statement
    assert 1 <= found.limit <= 10


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Running]:
    limits = Limits(body=2_000_000, objects=500, body_seconds=0.5)
    with running(str(tmp_path_factory.mktemp("hostile") / "hub.db"), limits=limits) as found:
        yield found


@pytest.fixture(scope="module")
def member(served: Running) -> Someone:
    return served.enrol("member")


def _intact(hub: Running, leaves: int) -> None:
    async def run() -> None:
        store = opened(hub.database)
        try:
            assert (await verify(store, log_key().public_key())).leaves == leaves
        finally:
            await store.close()

    asyncio.run(run())


BODIES: tuple[bytes, ...] = (
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b'{"objects":{}}',
    b'{"objects":[]}',
    b'{"objects":[null]}',
    b'{"objects":[[]]}',
    b'{"objects":[{}]}',
    b'{"objects":[{"id":7}]}',
    b'{"objects":[{"id":"indicator--x"}]}',
    b'{"objects":[{"id":"../../etc"}]}',
    b'{"objects":[1e999]}',
    b'{"objects":[NaN]}',
    b'{"objects":[' + b"9" * 100_000 + b"]}",
    b'{"objects":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    b'{"a":' * 100_000,
    b'{"objects":["\\ud800"]}',
    b'{"objects":["\xff\xfe"]}',
    b'{"objects":[],"objects":[]}',
    b'{"objects":[{"id":"x","id":"y"}]}',
    b'{"objects":[],"other":1}',
    b"\xef\xbb\xbf{}",
    b"\x00" * 1_000,
    b'{"objects":[' + b",".join([b"{}"] * 501) + b"]}",
)


@pytest.mark.parametrize("body", BODIES, ids=[repr(body[:24]) for body in BODIES])
def test_no_malformed_body_is_taken(member: Someone, body: bytes):
    answer = member.ask("POST", OBJECTS, body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == TAXII
    assert answer.json()["http_status"] == "422"


def test_thousands_of_mutated_requests_leave_the_hub_as_it_was(served: Running, member: Someone):
    chance = random.Random(8_785)
    good = member.indicator("mutated")
    member.add(good)
    before = len(member.ask("GET", "/forum/log/leaves").json()["hashes"])
    statuses: dict[int, int] = {}
    paths = [
        "/taxii2/",
        "/api/",
        OBJECTS,
        OBJECTS + good["id"],
        "/forum/members",
        "/forum/keys",
        "/forum/enrol",
        "/forum/tokens",
    ]
    letters = "/?&=[]%.\\'\"<>{}|^`~ \tA0é\u202e\x00"
    for turn in range(1_500):
        path = chance.choice(paths)
        for _ in range(chance.choice([0, 0, 0, 1, 3])):
            at = chance.randrange(1, len(path) + 1)
            path = path[:at] + chance.choice(letters) + path[at + chance.randrange(2) :]
        method = chance.choice(["GET", "GET", "POST", "POST", "DELETE", "PUT", "OPTIONS"])
        body = (
            json.dumps({"objects": [_mutated(good, chance)]}, default=str).encode()
            if method == "POST"
            else b""
        )
        if body and chance.random() < 0.3:
            at = chance.randrange(len(body))
            body = body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
        headers = {
            "accept": chance.choice([TAXII, "*/*", "application/json", "\t", "a/b;" * 50]),
            "content-type": TAXII,
        }
        if chance.random() < 0.1:
            headers["authorization"] = chance.choice(
                ["", "x", "Spiritsafe " + "." * 50, "Basic " + "A" * 999, "Bearer \t"]
            )
        try:
            answer = member.ask(method, path, body or None, **headers)
        except (
            httpx.InvalidURL,
            httpx.UnsupportedProtocol,
            httpx.LocalProtocolError,
            httpx.RemoteProtocolError,
        ):
            continue  # what a client refuses to send is sent raw below
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        assert answer.status_code < 500, (turn, method, path, answer.text)
    assert sum(statuses.values()) > 1_000
    assert {202, 401, 404, 405, 406, 422} <= statuses.keys()
    _intact(served, before)


RAW: tuple[bytes, ...] = (
    b"\x00" * 100,
    b"GET\r\n\r\n",
    b"GET /taxii2/ HTTP/9.9\r\n\r\n",
    b"GET /taxii2/ HTTP/1.1\r\nhost: x\r\nauthorization: a\r\nauthorization: b\r\n\r\n",
    b"GET /%ff%fe/ HTTP/1.1\r\nhost: \xff\xfe\r\n\r\n",
    b"GET //evil.example/taxii2/ HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET http://evil.example/taxii2/ HTTP/1.1\r\nhost: evil\r\n\r\n",
    b"POST /forum/enrol HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
    b"POST /forum/enrol HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n",
    b"POST /forum/enrol HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /forum/enrol HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
    b"POST /forum/enrol HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nshort",
    b"GET /taxii2/ HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
)


@pytest.mark.parametrize("raw", RAW, ids=[repr(raw[:40]) for raw in RAW])
def test_raw_bytes_break_nothing(served: Running, member: Someone, raw: bytes):
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while part := connection.recv(65_536):
                answer += part
        except ConnectionResetError:
            pass
    status = answer.split(b" ")[1:2]
    assert status in ([], [b"400"], [b"401"], [b"404"], [b"408"], [b"413"], [b"422"]), answer[:200]
    assert member.ask("GET", "/taxii2/").status_code == 200


def test_a_large_body_is_refused_before_it_is_read(served: Running, member: Someone):
    body = b'{"objects":["' + b"x" * 100_000_000 + b'"]}'
    path = OBJECTS
    headers = {"content-type": TAXII, "accept": TAXII, "authorization": member.token("POST", path, body)}
    begun = served.clock()
    try:
        answer = served.http.post(path, content=body, headers=headers)
        assert answer.status_code == 413
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        pass  # it hung up while the body was still being sent
    assert served.clock() - begun < 10_000_000

    def endless() -> Generator[bytes]:
        for _ in range(1_000):
            yield b"x" * 100_000

    headers["authorization"] = member.token("POST", path, b"")
    with suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        assert served.http.post(path, content=endless(), headers=headers).status_code == 413
    assert member.ask("GET", "/taxii2/").status_code == 200


def test_a_body_that_comes_too_slowly_is_not_waited_for(served: Running, member: Someone):
    def slow() -> Generator[bytes]:
        for _ in range(30):
            yield b" "
            time.sleep(0.05)

    headers = {"content-type": TAXII, "accept": TAXII, "authorization": member.token("POST", OBJECTS, b"")}
    gone = suppress(
        httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError
    )  # it may hang up while we still send
    with httpx.Client(base_url=served.url, timeout=30) as http, gone:
        assert http.post(OBJECTS, content=slow(), headers=headers).status_code == 408


def test_others_are_answered_while_somebody_floods(served: Running, member: Someone):
    """Large batches of worthless objects from one member at a time: another's requests are all answered meanwhile."""
    flooder, ended = served.enrol("member"), threading.Event()
    stolen = member.indicator("stolen")
    body = json.dumps({"objects": [stolen | {"labels": [str(number)]} for number in range(300)]}).encode()
    statuses: list[int] = []

    def flood() -> None:
        with httpx.Client(base_url=served.url, timeout=60) as http:
            while not ended.is_set():
                headers = {
                    "content-type": TAXII,
                    "accept": TAXII,
                    "authorization": flooder.token("POST", OBJECTS, body),
                }
                statuses.append(http.post(OBJECTS, content=body, headers=headers).status_code)

    threads = [threading.Thread(target=flood) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(20):
            assert member.add(member.indicator(f"meanwhile {number}"))["success_count"] == 1
            assert member.ask("GET", f"{OBJECTS}?limit=10").status_code == 200
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert set(statuses) <= {202, 503}
    assert 202 in statuses


def test_more_than_can_wait_are_asked_to_come_again(tmp_path_factory: pytest.TempPathFactory):
    with running(str(tmp_path_factory.mktemp("busy") / "hub.db"), limits=Limits(intakes=0)) as hub:
        member = hub.enrol("member")
        answer = member.ask("POST", OBJECTS, {"objects": [member.indicator()]})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert member.ask("GET", OBJECTS).status_code == 200


def test_objects_are_bounded(member: Someone):
    big = member.indicator("big", labels=["x" * 70_000])
    assert "at most 65536 bytes" in member.add(big)["failures"][0]["message"]
    deep: Any = "x"
    for _ in range(40):
        deep = [deep]
    assert (
        member.ask("POST", OBJECTS, {"objects": [member.indicator("deep") | {"labels": deep}]}).status_code
        == 422
    )


def test_the_gate_names_the_field_to_the_author_only(member: Someone):
    told = member.add(member.indicator("priced", price=7), member.indicator("fine"))
    assert [one["message"] for one in told["failures"]] == ["price: not in the closed schema"]
    assert told["success_count"] == 1


_: tuple[Callable[..., object], str] = (refuse_prices, ORIGIN)
