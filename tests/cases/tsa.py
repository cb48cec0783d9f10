"""A time-stamping authority (RFC 3161) made with ``cryptography``: enough DER to answer requests, for tests only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

SHA256, SIGNED, TST = "2.16.840.1.101.3.4.2.1", "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.4"
RSA_ENCRYPTION, ECDSA_SHA256 = "1.2.840.113549.1.1.1", "1.2.840.10045.4.3.2"
CONTENT_TYPE, DIGEST, CERTIFICATE = (
    "1.2.840.113549.1.9.3",
    "1.2.840.113549.1.9.4",
    "1.2.840.113549.1.9.16.2.47",
)


def tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    length = (
        bytes([size])
        if size < 128
        else bytes([128 | -(-size.bit_length() // 8)]) + size.to_bytes(-(-size.bit_length() // 8))
    )
    return bytes([tag]) + length + body


def seq(*parts: bytes) -> bytes:
    return tlv(0x30, *parts)


def oid(text: str) -> bytes:
    first, second, *rest = map(int, text.split("."))
    out = bytes([first * 40 + second])
    for number in rest:
        digits = [number & 127]
        while number := number >> 7:
            digits.append(number & 127 | 128)
        out += bytes(digits[::-1])
    return tlv(6, out)


def integer(value: int) -> bytes:
    return tlv(2, value.to_bytes(value.bit_length() // 8 + 1))


ALGORITHM = seq(oid(SHA256), tlv(5))


def key_of(kind: str) -> Any:
    return rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())


@dataclass
class Authority:
    """A root, and a certificate for stamps that it issued; ``kind``: "rsa" or "ec"."""

    key: Any
    certificate: x509.Certificate
    root: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.root.public_bytes(serialization.Encoding.PEM)

    def stamp(self, data: bytes, when: datetime, nonce: int | None = None, *, serial: int = 1) -> bytes:
        """A response over ``data``."""
        return self.answer(hashlib.sha256(data).digest(), when, nonce, serial=serial)

    def answer(self, digest: bytes, when: datetime, nonce: int | None = None, *, serial: int = 1) -> bytes:
        info = seq(
            integer(1), oid("1.2.3.4.1"), seq(ALGORITHM, tlv(4, digest)), integer(serial),
            tlv(0x18, when.strftime("%Y%m%d%H%M%SZ").encode()), *([] if nonce is None else [integer(nonce)]),
        )  # fmt: skip
        own = self.certificate.public_bytes(serialization.Encoding.DER)
        attributes = sorted([
            seq(oid(CONTENT_TYPE), tlv(0x31, oid(TST))),
            seq(oid(DIGEST), tlv(0x31, tlv(4, hashlib.sha256(info).digest()))),
            seq(oid(CERTIFICATE), tlv(0x31, seq(seq(seq(tlv(4, hashlib.sha256(own).digest())))))),
        ])  # fmt: skip
        message = tlv(0x31, *attributes)
        if isinstance(self.key, rsa.RSAPrivateKey):
            mark, how = (
                self.key.sign(message, padding.PKCS1v15(), hashes.SHA256()),
                seq(oid(RSA_ENCRYPTION), tlv(5)),
            )
        else:
            mark, how = self.key.sign(message, ec.ECDSA(hashes.SHA256())), seq(oid(ECDSA_SHA256))
        signer = seq(
            integer(1), seq(self.certificate.issuer.public_bytes(), integer(self.certificate.serial_number)), ALGORITHM,
            tlv(0xA0, *attributes), how, tlv(4, mark),
        )  # fmt: skip
        content = seq(oid(TST), tlv(0xA0, tlv(4, info)))
        signed = seq(integer(3), tlv(0x31, ALGORITHM), content, tlv(0xA0, own), tlv(0x31, signer))
        return seq(seq(integer(0)), seq(oid(SIGNED), tlv(0xA0, signed)))


def authority(
    kind: str = "rsa",
    *,
    name: str = "Test Authority",
    begins: datetime = datetime(2026, 1, 1, tzinfo=UTC),
    uses: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.TIME_STAMPING,),
    able: bool = True,
) -> Authority:
    """Keys and certificates, made anew. ``able``: whether the root may issue."""
    above, own = key_of(kind), key_of(kind)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name}{more}")]) for more in (" Root", "")]
    ends = begins + timedelta(days=3650)

    def build(number: int, key: Any) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(names[number]).issuer_name(names[0])
        made = made.public_key(key.public_key()).serial_number(1000 + number)
        return made.not_valid_before(begins).not_valid_after(ends)

    root = (
        build(0, above)
        .add_extension(x509.BasicConstraints(able, None), critical=True)
        .sign(above, hashes.SHA256())
    )
    leaf = build(1, own).add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage(list(uses)), critical=True).sign(above, hashes.SHA256())
    return Authority(own, leaf, root)


def request(data: bytes) -> tuple[bytes, int | None]:
    """Digest and nonce of a request (DER), as ``rfc3161-client`` and openssl make it."""

    def items(body: bytes) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        at = 0
        while at < len(body):
            size, begin = body[at + 1], at + 2
            if size & 128:
                begin += size & 127
                size = int.from_bytes(body[at + 2 : begin])
            found.append((body[at], body[begin : begin + size]))
            at = begin + size
        return found

    _, imprint, *rest = items(items(data)[0][1])
    nonce = next((int.from_bytes(one) for tag, one in rest if tag == 2), None)
    return items(imprint[1])[1][1], nonce
