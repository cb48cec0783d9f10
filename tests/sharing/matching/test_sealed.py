from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.errors import SharingError
from spiritsafe.sharing.matching import sealed

RFC: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "rfc9180.json").read_text())
ABOUT = {"from": "a", "to": "b"}


def test_the_suite_opens_the_vector_of_rfc_9180():
    """A.2.1, first encryption. It has associated data, which we never use: `cryptography` takes it for tests only."""
    key = X25519PrivateKey.from_private_bytes(bytes.fromhex(RFC["skRm"]))
    assert sealed.public(key).hex() == RFC["pkRm"]
    box = bytes.fromhex(RFC["enc"]) + bytes.fromhex(RFC["ct"])
    with_data: Any = openssl.hpke._decrypt_with_aad
    clear = with_data(
        sealed._suite(), box, key, info=bytes.fromhex(RFC["info"]), aad=bytes.fromhex(RFC["aad"])
    )
    assert clear.hex() == RFC["pt"]
    assert len(box) == len(clear) + sealed.OVERHEAD


def test_a_box_opens_for_its_receiver_and_subject_alone():
    key, other = sealed.private(), sealed.private()
    box = sealed.seal(b"message", sealed.public(key), ABOUT)
    assert len(box) == len(b"message") + sealed.OVERHEAD
    assert sealed.unseal(box, key, ABOUT) == b"message"
    assert sealed.seal(b"message", sealed.public(key), ABOUT) != box
    for wrong in (
        lambda: sealed.unseal(box, other, ABOUT),
        lambda: sealed.unseal(box, key, {**ABOUT, "to": "c"}),
        lambda: sealed.unseal(box[:-1], key, ABOUT),
        lambda: sealed.unseal(bytes([box[0] ^ 1]) + box[1:], key, ABOUT),
        lambda: sealed.unseal(b"", key, ABOUT),
        lambda: sealed.seal(b"message", bytes(32), ABOUT),
        lambda: sealed.seal(b"message", b"short", ABOUT),
        lambda: sealed.private(b"short"),
    ):
        with pytest.raises(SharingError):
            wrong()


@given(st.integers(1, 2**40))
def test_padding_costs_little_and_hides_size(size: int):
    padded = sealed.padme(size)
    assert size <= padded <= size * 1.12 + 1
    assert sealed.padme(padded) == padded
    assert sealed.padme(1, 64) == 64
