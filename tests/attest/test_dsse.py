from __future__ import annotations

import base64
import copy
from typing import TYPE_CHECKING, Any

import pytest
import securesystemslib.dsse
import securesystemslib.signer
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.attest import dsse, keys
from spiritsafe.errors import AttestError

if TYPE_CHECKING:
    from collections.abc import Callable

TYPE = "application/vnd.example+json"
KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(1, 4)]
KNOWN = {keys.keyid(key.public_key()): key.public_key() for key in KEYS}


def test_the_vector_of_the_specification():
    message = dsse.pae("http://example.com/HelloWorld", b"hello world")
    assert message == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    x = 46950820868899156662930047687818585632848591499744589407958293238635476079160
    y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
    raw = base64.b64decode(
        "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="
    )
    signature = utils.encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    key.verify(signature, message, ec.ECDSA(hashes.SHA256()))


@given(payload=st.binary(max_size=200), payload_type=st.text(max_size=40))
def test_another_implementation_signs_the_same(payload: bytes, payload_type: str):
    try:
        payload_type.encode()
    except UnicodeEncodeError:
        return
    ours = dsse.sign(payload, payload_type, KEYS[0])
    theirs = securesystemslib.dsse.Envelope(payload, payload_type, {})
    signer = securesystemslib.signer.CryptoSigner(KEYS[0])  # pyright: ignore[reportPrivateImportUsage]
    theirs.sign(signer)
    assert dsse.pae(payload_type, payload) == theirs.pae()
    shown = theirs.to_dict()
    assert [one["sig"] for one in shown["signatures"]] == [one["sig"] for one in ours["signatures"]]
    shown["signatures"][0].pop("keyid")  # that library names keys its own way
    assert dsse.verify(shown, KNOWN, payload_type) == payload


def test_both_alphabets_of_base64_are_read():
    payload = bytes(range(250, 256)) * 30
    envelope = dsse.sign(payload, TYPE, KEYS[0])
    for field in (envelope, envelope["signatures"][0]):
        for name in ("payload", "sig"):
            if name in field:
                field[name] = field[name].replace("+", "-").replace("/", "_")
    assert dsse.verify(envelope, KNOWN, TYPE) == payload


def test_a_threshold_counts_keys_not_signatures_nor_names():
    envelope = dsse.sign(b"x", TYPE, KEYS[0], KEYS[0], KEYS[1])
    assert dsse.verify(envelope, KNOWN, TYPE, threshold=2) == b"x"
    with pytest.raises(AttestError, match="2 of 3 signatures hold"):
        dsse.verify(envelope, KNOWN, TYPE, threshold=3)
    with pytest.raises(AttestError, match="0 of 0"):
        dsse.verify(dsse.sign(b"x", TYPE, Ed25519PrivateKey.generate()), KNOWN, TYPE, threshold=0)
    one = KEYS[0].public_key()
    twice = dsse.sign(b"x", TYPE, KEYS[0])
    twice["signatures"] = [{**twice["signatures"][0], "keyid": name} for name in ("a", "b")]
    assert dsse.verified(twice, {"a": one, "b": one}, TYPE)[1] == {"a"}


def test_without_a_key_id_all_keys_are_tried():
    envelope = dsse.sign(b"x", TYPE, KEYS[1])
    del envelope["signatures"][0]["keyid"]
    assert dsse.verified(envelope, KNOWN, TYPE) == (b"x", {keys.keyid(KEYS[1].public_key())})


def _altered(change: Callable[[dict[str, Any]], object]) -> Any:
    envelope = copy.deepcopy(dsse.sign(b'{"a":1}', TYPE, KEYS[0]))
    change(envelope)
    return envelope


@pytest.mark.parametrize(
    "envelope",
    [
        None,
        [],
        {},
        _altered(lambda one: one.update(payload=base64.b64encode(b'{"a":2}').decode())),
        _altered(lambda one: one.update(payloadType="application/json")),
        _altered(lambda one: one.update(payload="####")),
        _altered(lambda one: one.update(payload="é")),
        _altered(lambda one: one.update(payload=None)),
        _altered(lambda one: one.update(signatures=[])),
        _altered(lambda one: one.update(signatures={})),
        _altered(lambda one: one.update(signatures=["x"])),
        _altered(lambda one: one["signatures"].extend(one["signatures"] * 64)),
        _altered(lambda one: one["signatures"][0].update(sig="AAAA")),
        _altered(lambda one: one["signatures"][0].update(sig="A" * 1_000_000)),
        _altered(lambda one: one["signatures"][0].update(sig=7)),
        _altered(lambda one: one["signatures"][0].update(keyid=7)),
        _altered(lambda one: one["signatures"][0].update(keyid=keys.keyid(KEYS[1].public_key()))),
        _altered(lambda one: one["signatures"][0].update(keyid="0" * 16)),
    ],
)
def test_what_does_not_hold_is_refused(envelope: Any):
    with pytest.raises(AttestError):
        dsse.verify(envelope, KNOWN, TYPE)


@given(
    st.binary(max_size=40), st.text("abc ", max_size=6), st.binary(max_size=40), st.text("abc ", max_size=6)
)
def test_two_messages_are_never_encoded_the_same(one: bytes, kind: str, other: bytes, otherwise: str):
    assert (dsse.pae(kind, one) == dsse.pae(otherwise, other)) == ((kind, one) == (otherwise, other))
