"""Stamps of a real authority: OpenSSL's, served on loopback."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from spiritsafe.attest import stamps
from spiritsafe.errors import AttestError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

CONFIG = """
[ tsa ]
default_tsa = one
[ one ]
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ordering = yes
tsa_name = no
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[ req ]
distinguished_name = name
[ name ]
[ authority ]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[ signer ]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


class Authority:
    """Keys, certificates, and what answers requests."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.program = folder, shutil.which("openssl") or ""
        folder.mkdir()
        (folder / "config").write_text(CONFIG.format(folder=folder))
        (folder / "serial").write_text("01\n")
        for name, extensions, more in (
            ("authority", "authority", ["-x509"]),
            (
                "signer",
                "signer",
                ["-x509", "-CA", folder / "authority.crt", "-CAkey", folder / "authority.key"],
            ),
        ):
            self.run(
                "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt",
                "-subj", f"/CN={name}", "-days", "2", "-config", folder / "config", "-extensions", extensions, *more,
            )  # fmt: skip
        self.roots = (folder / "authority.crt").read_bytes()

    def run(self, *arguments: object) -> None:
        subprocess.run([self.program, *map(str, arguments)], check=True, capture_output=True)

    def answer(self, request: bytes) -> bytes:
        (self.folder / "query").write_bytes(request)
        self.run(
            "ts", "-reply", "-queryfile", self.folder / "query", "-out", self.folder / "reply", "-config", self.folder / "config",
            "-signer", self.folder / "signer.crt", "-inkey", self.folder / "signer.key",
        )  # fmt: skip
        return (self.folder / "reply").read_bytes()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl")
    return Authority(tmp_path_factory.mktemp("tsa") / "one")


@pytest.fixture(scope="module")
def url(authority: Authority) -> Generator[str]:
    last = b""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            nonlocal last
            request = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/broken":
                self.send_error(500)
                return
            answer = (
                last
                if self.path == "/replay"
                else b"x" * 100_000
                if self.path == "/large"
                else authority.answer(request)
            )
            last = answer
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_stamp_holds_for_what_was_stamped_and_nothing_else(authority: Authority, url: str, tmp_path: Path):
    stamp = stamps.ask(url, b"the head of a log", authority.roots)
    assert abs(stamp.time - time.time_ns() // 1_000) < 60_000_000
    assert stamps.verify(stamp.answer, b"the head of a log", authority.roots) == stamp.time
    other = Authority(tmp_path / "other")
    broken = bytearray(stamp.answer)
    broken[len(broken) // 2] ^= 1
    for answer, data, roots in (
        (stamp.answer, b"another head", authority.roots),
        (stamp.answer, b"the head of a log", other.roots),
        (other.answer(_request(b"the head of a log")), b"the head of a log", authority.roots),
        (bytes(broken), b"the head of a log", authority.roots),
        (b"", b"the head of a log", authority.roots),
        (stamp.answer, b"the head of a log", b"no certificate"),
    ):
        with pytest.raises(AttestError, match="does not hold"):
            stamps.verify(answer, data, roots)


def test_an_authority_that_replays_or_fails_is_told(authority: Authority, url: str):
    stamps.ask(url, b"x", authority.roots)
    for path, told in (("/replay", "does not hold"), ("/broken", "answers 500"), ("/large", "too large")):
        with pytest.raises(AttestError, match=told):
            stamps.ask(url + path, b"x", authority.roots)
    with pytest.raises(AttestError, match="not reached"):
        stamps.ask("http://127.0.0.1:1", b"x", authority.roots)


def _request(data: bytes) -> bytes:
    import rfc3161_client  # noqa: PLC0415

    return rfc3161_client.TimestampRequestBuilder().data(data).build().as_bytes()
