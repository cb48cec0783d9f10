from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voprf import ristretto as oracle  # BSD-3-Clause, over the Rust crate of the same name

from spiritsafe.errors import SharingError
from spiritsafe.sharing.matching import group, voprf
from spiritsafe.sharing.matching.sums import Points

RFC: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "rfc9497.json").read_text())
KEY, PUBLIC = bytes.fromhex(RFC["skSm"]), bytes.fromhex(RFC["pkSm"])


def _all(hexes: list[str]) -> bytes:
    return b"".join(bytes.fromhex(one) for one in hexes)


def _each(hexes: list[str]) -> list[bytes]:
    return [bytes.fromhex(one) for one in hexes]


def test_the_key_of_the_rfc_is_derived_under_our_context():
    """DeriveKeyPair (3.2.1): nobody derives keys here, but it shows that context and hash are the RFC's."""
    info = bytes.fromhex(RFC["KeyInfo"])
    text = bytes.fromhex(RFC["Seed"]) + len(info).to_bytes(2, "big") + info + b"\x00"
    assert group.hash_to_scalar(text, b"DeriveKeyPair" + voprf.CONTEXT) == KEY
    assert group.base(KEY) == PUBLIC


@pytest.mark.parametrize("vector", RFC["vectors"], ids=["one", "long", "batch"])
def test_vectors_of_the_rfc(vector: dict[str, Any]):
    inputs, blinds = _each(vector["Input"]), _each(vector["Blind"])
    blinded = voprf.blind(inputs, blinds)
    assert blinded.elements == _all(vector["BlindedElement"])
    answer = voprf.evaluate(KEY, PUBLIC, blinded.elements, bytes.fromhex(vector["ProofRandomScalar"]))
    assert answer.elements == _all(vector["EvaluationElement"])
    assert answer.proof.hex() == vector["Proof"]
    assert voprf.verify(PUBLIC, Points(blinded.elements), Points(answer.elements), answer.proof)
    assert voprf.finalize(inputs, blinds, answer.elements) == _each(vector["Output"])
    assert [voprf.direct(KEY, one) for one in inputs] == _each(vector["Output"])


@given(st.lists(st.binary(min_size=1, max_size=64), min_size=1, max_size=8))
@settings(max_examples=20, deadline=None)
def test_another_implementation_answers_our_client(inputs: list[bytes]):
    server = oracle.Evaluator.from_seed(bytes.fromhex(RFC["Seed"]), bytes.fromhex(RFC["KeyInfo"]))
    assert server.public_key.serialize() == PUBLIC
    blinded = voprf.blind(inputs)
    elements = [blinded.elements[i : i + 32] for i in range(0, len(blinded.elements), 32)]
    raw = server.evaluate_batch([oracle.BlindedInput.deserialize(one) for one in elements]).serialize()
    proof, answer = raw[:64], raw[64:]
    assert voprf.verify(PUBLIC, Points(blinded.elements), Points(answer), proof)
    assert voprf.finalize(inputs, blinded.blinds, answer) == [
        server.evaluate_known_input(one) for one in inputs
    ]


@given(st.lists(st.binary(min_size=1, max_size=64), min_size=1, max_size=8))
@settings(max_examples=20, deadline=None)
def test_our_holder_answers_another_client(inputs: list[bytes]):
    pairs = [oracle.Client.blind(one) for one in inputs]
    answer = voprf.evaluate(KEY, PUBLIC, b"".join(blinded.serialize() for _, blinded in pairs))
    outputs = oracle.Client.finalize_batch(
        [client for client, _ in pairs],
        oracle.VerifiableBatchOutput.deserialize(answer.proof + answer.elements),
        oracle.PublicKey.deserialize(PUBLIC),
    )
    assert outputs == [voprf.direct(KEY, one) for one in inputs]


@pytest.fixture
def batch() -> tuple[voprf.Blinded, voprf.Evaluated]:
    blinded = voprf.blind([b"a", b"b", b"c"])
    return blinded, voprf.evaluate(KEY, PUBLIC, blinded.elements)


def test_a_proof_holds_for_nothing_else(batch: tuple[voprf.Blinded, voprf.Evaluated]):
    blinded, answer = batch
    asked, good = Points(blinded.elements), Points(answer.elements)
    other = group.base(group.random_scalar())
    assert voprf.verify(PUBLIC, asked, good, answer.proof)
    assert not voprf.verify(other, asked, good, answer.proof)
    for i in range(3):  # one element of many is another
        wrong = answer.elements[: 32 * i] + other + answer.elements[32 * i + 32 :]
        assert not voprf.verify(PUBLIC, asked, Points(wrong), answer.proof)
    swapped = answer.elements[32:64] + answer.elements[:32] + answer.elements[64:]
    assert not voprf.verify(PUBLIC, asked, Points(swapped), answer.proof)
    assert not voprf.verify(PUBLIC, Points(blinded.elements[:64]), Points(answer.elements[:64]), answer.proof)
    assert not voprf.verify(PUBLIC, Points(blinded.elements[:64]), good, answer.proof)
    for bit in range(0, 512, 7):
        flipped = bytearray(answer.proof)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not voprf.verify(PUBLIC, asked, good, bytes(flipped))
    for proof in (b"", bytes(64), answer.proof + b"\0", b"\xff" * 64):
        assert not voprf.verify(PUBLIC, asked, good, proof)


def test_a_proof_with_errors_that_cancel_does_not_hold():
    """Two wrong elements whose errors sum to nothing: only random coefficients, fixed by all elements, show it."""
    blinded = voprf.blind([b"a", b"b"])
    key = group.random_scalar()
    answer = voprf.evaluate(key, group.base(key), blinded.elements).elements
    error = group.base(group.number(1))
    minus = group.base(group.number(-1))
    wrong = group.add(answer[:32], error) + group.add(answer[32:], minus)
    forged = voprf.evaluate(key, group.base(key), blinded.elements)
    assert not voprf.verify(group.base(key), Points(blinded.elements), Points(wrong), forged.proof)


def test_a_holder_refuses_what_is_no_batch_of_points():
    good = voprf.blind([b"a"]).elements
    for elements in (b"", good[:31], good + bytes(32), b"\xff" * 32, b"\x01" + bytes(31)):
        with pytest.raises(SharingError):
            voprf.evaluate(KEY, PUBLIC, elements)
    with pytest.raises(SharingError, match="a batch has"):
        voprf.evaluate(KEY, PUBLIC, good * (voprf.MOST + 1))


def test_blinding_hides_and_inputs_are_bounded():
    assert voprf.blind([b"a"]).elements != voprf.blind([b"a"]).elements
    with pytest.raises(SharingError):
        voprf.blind([bytes(2**16)])
