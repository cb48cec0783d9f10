"""The server itself: certificates of members, connections that say nothing, and the command line that runs it all."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hubs import ORIGIN, SIGNED, TAXII, Clock, Running, Someone, log_key, made, refuse_prices
from typer.testing import CliRunner

from spiritsafe.attest import keys
from spiritsafe.cli import app as command
from spiritsafe.errors import SpiritsafeError, UsageError
from spiritsafe.sharing.hub import enrolling, members, serve, settings
from spiritsafe.sharing.hub.app import app
from spiritsafe.sharing.hub.serve import Address, server
from spiritsafe.sharing.hub.store import opened
from spiritsafe.sharing.matching.remote import Remote
from spiritsafe.sharing.signed import sign_object
from spiritsafe.sharing.stix.build import Maker
from spiritsafe.sharing.stix.ids import object_id
from spiritsafe.sharing.stix.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

OBJECTS = f"/api/collections/{SIGNED}/objects/"


class Authority:
    """Signs certificates, and writes them where a server finds them."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._signed(name, self.key.public_key(), authority=True)
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _signed(
        self, name: str, public: ec.EllipticCurvePublicKey, *, authority: bool = False
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = subject if authority else self.certificate.subject
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
                    key_agreement=False, key_cert_sign=authority, crl_sign=authority, encipher_only=False, decipher_only=False,
                ), critical=True,
            )
            .sign(self.key, hashes.SHA256())
        )  # fmt: skip

    def issue(self, name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        paths = self.folder / f"{self.name}-{name}.crt", self.folder / f"{self.name}-{name}.key"
        paths[0].write_bytes(self._signed(name, key.public_key()).public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return paths


@contextmanager
def serving(database: str, address: Address) -> Generator[tuple[str, int]]:
    """The hub as the command serves it: uvicorn with our protocol."""
    import asyncio  # noqa: PLC0415

    asyncio.run(made(database))
    hub = app(opened(database), origin=ORIGIN, key=log_key(), clock=Clock(), gate=refuse_prices)
    running = server(hub, address)
    held = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [held]})
    thread.start()
    while not running.started and thread.is_alive():
        time.sleep(0.005)
    try:
        yield held.getsockname()
    finally:
        running.should_exit = True
        thread.join(15)
        held.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serve")


def test_members_show_certificates(folder: Path):
    hubs_own, theirs, strangers = (Authority(folder, name) for name in ("hub", "members", "strangers"))
    certificate, key = hubs_own.issue("hub")
    database = str(folder / "tls.db")
    with serving(database, Address(certificate=certificate, key=key, clients=theirs.path)) as (host, port):
        url = f"https://{host}:{port}"
        member_certificate = theirs.issue("anna")

        def ask(shown: tuple[Path, Path] | None, path: str = "/taxii2/", **more: Any) -> httpx.Response:
            context = ssl.create_default_context(cafile=str(hubs_own.path))
            if shown:
                context.load_cert_chain(*shown)
            with httpx.Client(base_url=url, verify=context, trust_env=False) as http:
                return http.request(
                    more.pop("method", "GET"), path, headers={"accept": TAXII, "content-type": TAXII}, **more
                )

        with httpx.Client(base_url=url, verify=ssl.create_default_context(cafile=str(hubs_own.path))) as http:
            hub = Running(url, database, http, Clock(), log_key())
            member_key = Ed25519PrivateKey.from_private_bytes(b"anna" * 8)
            found = enrolling.enrol(
                url, member_key, hub.invitation("member"), now=hub.clock(), trust=hubs_own.path,
                others={"tls": enrolling.certificate_key(member_certificate[0])},
            )  # fmt: skip
            member = Someone(hub, member_key, found["identity"], found["pseudonym"])
            assert ask(member_certificate).status_code == 200
            body = json.dumps({"objects": [member.indicator(1)]}).encode()
            assert ask(member_certificate, OBJECTS, method="POST", content=body).status_code == 202
            # Nobody else comes in: without a certificate, or with one of the right authority that is no member's.
            assert ask(None).status_code == 401
            assert ask(theirs.issue("berta")).status_code == 401
            # A token is as good as a certificate, and the certificate of another authority is not even looked at.
            assert member.ask("GET", "/taxii2/").status_code == 200
            with pytest.raises(httpx.TransportError):
                ask(strangers.issue("anna"))
            # The certificate is a key like others: it can be retired.
            tls = enrolling.certificate_key(member_certificate[0])
            envelope = members.change(member_key, audience=ORIGIN, now=hub.clock(), retire=tls)
            assert member.ask("POST", "/forum/keys", envelope).json() == {"retired": tls}
            assert ask(member_certificate).status_code == 401
    with pytest.raises(SpiritsafeError, match="cannot be reached"):
        enrolling.enrol(url, member_key, "x", now=0)


def test_certificates_that_cannot_be_used_are_told(folder: Path):
    own = Authority(folder, "own")
    certificate, key = own.issue("hub")
    with pytest.raises(UsageError, match="need a certificate of the hub"):
        server(None, Address(clients=own.path))  # pyright: ignore[reportArgumentType] - it does not come so far
    for files in ({"key": folder / "none"}, {"key": key, "clients": key}):
        with pytest.raises(UsageError, match="cannot be used"):
            server(None, Address(certificate=certificate, **files))  # pyright: ignore[reportArgumentType]


def _closed(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    parts: list[bytes] = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def test_a_connection_that_says_nothing_or_too_slowly_or_too_much_ends(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(serve, "HEAD_SECONDS", 0.3)
    with serving(str(folder / "slow.db"), Address()) as where:
        about = b"GET /forum/ HTTP/1.1\r\nhost: x\r\n\r\n"
        with socket.create_connection(where, timeout=10) as silent:
            assert _closed(silent) == b""
        with socket.create_connection(where, timeout=10) as slow:
            try:
                for letter in about[:-2] * 1_000:
                    slow.sendall(bytes([letter]))
                    time.sleep(0.02)
            except OSError:
                pass
            else:
                pytest.fail("a head that never ends was waited for")
        with socket.create_connection(where, timeout=10) as long:
            with suppress(OSError):
                long.sendall(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 100_000)
            assert b"200" not in _closed(long)
        with socket.create_connection(where, timeout=10) as good:
            for _ in range(3):  # a pause between two requests is no silence
                good.sendall(about)
                answer = b""
                while b'"title"' not in answer:
                    answer += good.recv(65_536)
                time.sleep(0.4)


def _run(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(command, ["hub", *words])
    if code:
        assert isinstance(result.exception, SpiritsafeError), result.output
        return str(result.exception)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def _shared(member: Someone, count: int) -> list[dict[str, Any]]:
    """Objects as members share them: these pass the real gate."""
    now = member.hub.clock()
    maker = Maker(member.identity, now, Terms())
    campaign = object_id("campaign", member.identity, {"campaign": "one"})
    made = (
        maker.indicator(str(n), campaign, [str(64_500 + n)], {"kind": "asn"}, valid_from=now)
        for n in range(count)
    )
    return [sign_object(stix, member.key) for stix in made]


def test_the_commands_from_the_first_to_the_last(  # noqa: PLR0915 - one story
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
):
    hub, copy = tmp_path / "hub", tmp_path / "backup.db"
    told = json.loads(_run("init", str(hub), "--origin", ORIGIN, "--title", 'The "forum"', "--json"))
    assert keys.public(keys.load(hub / "log.pem")) == told["log_key"]
    assert settings.read(hub).title == 'The "forum"'
    assert "there is a hub here already" in _run("init", str(hub), "--origin", ORIGIN, code=2)
    assert "there is no hub here" in _run("verify", str(tmp_path), code=2)
    assert "a name without spaces" in _run("init", str(tmp_path / "x"), "--origin", "a b", code=2)
    code = json.loads(_run("invite", str(hub), "--role", "member", "--role", "operator", "--json"))["code"]
    plain = json.loads(
        _run("collection", str(hub), "--title", "Feeds", "--plain", "--alias", "feeds", "--json")
    )["collection"]
    assert "has no leaf yet" in _run("log", str(hub), code=2)
    key = tmp_path / "member.pem"
    keys.make(key)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = "from spiritsafe.cli import main; main()"
    line = [sys.executable, "-c", program, "hub", "serve", str(hub), "--port", str(port)]
    process = start(line, env=environment, stderr=subprocess.PIPE)
    url = f"http://127.0.0.1:{port}"
    for _ in range(4_000):
        try:
            httpx.get(f"{url}/forum/")
            break
        except httpx.TransportError:
            assert process.poll() is None, process.stderr.read() if process.stderr else b""
            time.sleep(0.025)
    me = json.loads(_run("enrol", url, "--key", str(key), "--invitation", code, "--json"))
    assert me["log_key"] == told["log_key"]
    assert "no such invitation" in _run("enrol", url, "--key", str(key), "--invitation", code, code=2)
    with Remote(url, keys.load(key), Clock(), log_key=told["log_key"]) as remote:
        assert remote.epochs() == []  # the relay of private matching is mounted
    with httpx.Client(base_url=url) as http:
        member = Someone(
            Running(url, "", http, Clock(), log_key()), keys.load(key), me["identity"], me["pseudonym"]
        )
        path = f"/distillation/collections/{told['collection']}/objects/"
        mine = _shared(member, 5)
        assert (
            member.ask("POST", path, {"objects": [member.indicator(1)]}).json()["failure_count"] == 1
        )  # not in scope
        assert member.ask("POST", path, {"objects": mine}).json()["success_count"] == 5
        assert member.ask("GET", "/distillation/collections/feeds/").json()["id"] == plain
        assert "all agree" in _run("backup", str(hub), str(copy))
        assert "1 objects retired" in _run("retire", str(hub), mine[0]["id"], "--reason", "an error")
        assert len(member.ask("GET", path).json()["objects"]) == 4
        assert "objects per day 7" in _run("quota", str(hub), me["pseudonym"], "--objects", "7")
        assert member.ask("POST", path, {"objects": _shared(member, 8)}).status_code == 429
        assert "no such member" in _run("quota", str(hub), "member-000000", "--requests", "1", code=2)
        _run("member", str(hub), me["pseudonym"], "--state", "suspended", "--reason", "an inquiry")
        assert member.ask("GET", path).status_code == 401
        assert http.get("/forum/match/epochs").status_code == 401  # private matching is there, for members
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0, process.stderr.read() if process.stderr else b""
    head = tmp_path / "head.txt"
    head.write_text(_run("log", str(hub)))
    assert json.loads(_run("verify", str(hub), "--seen", str(head), "--json"))["leaves"] == 5
    assert "5 leaves, 4 objects here and 1 retired" in _run("verify", str(hub))
    assert "suspended" in _run("members", str(hub))
    actions = [json.loads(line)["action"] for line in _run("audit", str(hub), "--count", "1000").splitlines()]
    assert {"root.add", "collection.add", "members.invite", "enrol", "objects.add", "members.state"} <= set(
        actions
    )
    assert "0 objects retired" in _run("retire", str(hub))
    assert "a reason is needed" in _run("retire", str(hub), mine[1]["id"], code=2)
    assert "is kept" in _run("restore", str(hub), str(copy), code=2)
    (hub / "hub.db").unlink()
    for end in ("-wal", "-shm"):
        (hub / f"hub.db{end}").unlink(missing_ok=True)
    assert "restored: 5 leaves" in _run("restore", str(hub), str(copy))
    assert "cannot be read" in _run("verify", str(hub), "--seen", str(tmp_path / "none"), code=2)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('orign = "x"', "has no key 'orign'"),
        ("title = 3", "a text is needed"),
        ("[listen]\nport = 'x'", "a number is needed"),
        ("[quota]\nbytes_per_day = 7", "makes no sense"),
        ("[limits]\nspeed = 1", "has no key 'speed'"),
        ("x", "this is not TOML"),
    ],
)
def test_settings_that_make_no_sense_are_told_with_their_line(tmp_path: Path, line: str, told: str):
    (tmp_path / "hub.toml").write_text(f'origin = "{ORIGIN}"\n{line}\n')
    with pytest.raises(UsageError, match=told) as error:
        settings.read(tmp_path)
    assert error.value.where is not None
    assert "hub.toml:" in error.value.where
