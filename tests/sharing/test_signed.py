from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
import stix2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from spiritsafe.attest import dsse, keys
from spiritsafe.attest.canonical import jcs
from spiritsafe.errors import AttestError
from spiritsafe.sharing.signed import EXTENSION, PAYLOAD_TYPE, sign_object, verify_object

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = Ed25519PrivateKey.from_private_bytes(b"1" * 32)
KEYID = keys.keyid(KEY.public_key())
KNOWN = {KEYID: KEY.public_key()}
OTHER = "extension-definition--04b8ae0b-0b0b-5b0b-8b0b-0b0b0b0b0b0b"
INDICATOR: dict[str, Any] = {
    "type": "indicator",
    "spec_version": "2.1",
    "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
    "created": "2026-01-02T03:04:05.678Z",
    "modified": "2026-01-02T03:04:05.678Z",
    "pattern": "[autonomous-system:number = 64500]",
    "pattern_type": "stix",
    "pattern_version": "2.1",  # stix2 would add it, so that the author must have signed it
    "valid_from": "2026-01-02T03:04:05.678Z",
    "labels": ["behaviour"],
    "confidence": 80,
    "extensions": {OTHER: {"extension_type": "property-extension", "weight": 2.0, "ü": [1, "é"]}},
}
BARE = {name: value for name, value in INDICATOR.items() if name != "extensions"}


@pytest.mark.parametrize("stix", [INDICATOR, BARE])
def test_a_signature_is_found_and_taken_off_again(stix: dict[str, Any]):
    before = copy.deepcopy(stix)
    signed = sign_object(stix, KEY)
    assert stix == before
    assert verify_object(signed, KNOWN) == KEYID
    assert sign_object(signed, KEY) == signed
    mark = signed["extensions"][EXTENSION]
    # It is an envelope's signature, told apart from the payload.
    envelope = dsse.sign(jcs(stix), PAYLOAD_TYPE, KEY)
    assert [{"keyid": mark["keyid"], "sig": mark["sig"]}] == envelope["signatures"]


def test_it_survives_other_layouts_and_another_library():
    signed = sign_object(INDICATOR, KEY)
    for text in (
        json.dumps(signed, indent=4, ensure_ascii=True),
        json.dumps(dict(reversed(signed.items()))),
        json.dumps(signed).replace("2.0", "2"),
        stix2.parse(signed, allow_custom=True).serialize(),
    ):
        assert verify_object(json.loads(text), KNOWN) == KEYID


def _changes() -> list[Callable[[dict[str, Any]], object]]:
    def mark(stix: dict[str, Any]) -> dict[str, Any]:
        return stix["extensions"][EXTENSION]

    def respell(stix: dict[str, Any]) -> None:
        # The same 64 bytes in another text: spare bits of the last letter.
        sig = mark(stix)["sig"]
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        mark(stix)["sig"] = sig[:85] + alphabet[alphabet.index(sig[85]) + 1] + "=="

    return [
        *[lambda stix, name=name: stix.pop(name) for name in INDICATOR],
        *[lambda stix, name=name: stix.update({name: "x"}) for name in INDICATOR],
        lambda stix: stix.update(revoked=True),
        lambda stix: stix["extensions"].pop(EXTENSION),
        lambda stix: stix["extensions"].pop(OTHER),
        lambda stix: stix["extensions"].update({EXTENSION: "x"}),
        lambda stix: mark(stix).update(extra=1),
        lambda stix: mark(stix).pop("extension_type"),
        lambda stix: mark(stix).update(extension_type="toplevel-property-extension"),
        lambda stix: mark(stix).update(keyid="0" * 16),
        lambda stix: mark(stix).update(keyid=["x"]),
        lambda stix: mark(stix).update(sig=None),
        lambda stix: mark(stix).update(sig="A" * 86 + "=="),
        lambda stix: mark(stix).update(sig=mark(stix)["sig"] + "\n"),
        respell,
    ]


@pytest.mark.parametrize("change", _changes())
def test_whatever_is_changed_breaks_it(change: Callable[[dict[str, Any]], object]):
    signed = copy.deepcopy(sign_object(INDICATOR, KEY))
    change(signed)
    with pytest.raises(AttestError):
        verify_object(signed, KNOWN)


def test_a_key_under_the_wrong_name_does_not_fit():
    other = Ed25519PrivateKey.generate()
    with pytest.raises(AttestError, match="not what its author signed"):
        verify_object(sign_object(INDICATOR, other, KEYID), KNOWN)
    with pytest.raises(AttestError, match="nobody here has"):
        verify_object(sign_object(INDICATOR, other), KNOWN)
