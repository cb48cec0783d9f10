from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe.errors import SharingError
from spiritsafe.sharing.matching import _curve, group, sums
from spiritsafe.sharing.matching.sums import Points

BAD = json.loads((Path(__file__).parent / "vectors" / "rfc9496.json").read_text())["bad"]
scalars = st.integers(0, group.ORDER - 1) | st.sampled_from(
    [0, 1, 2, group.ORDER - 1, group.ORDER - 2, 2**252]
)


def _point(seed: int) -> bytes:
    return group.hash_to_group(seed.to_bytes(8, "big"), b"test")


@pytest.mark.parametrize("encoded", BAD)
def test_both_decoders_refuse_each_bad_encoding_of_the_rfc(encoded: str):
    raw = bytes.fromhex(encoded)
    with pytest.raises(SharingError):
        group.point(raw)
    with pytest.raises(SharingError, match="element 1 is no point"):
        Points(_point(1) + raw)


def test_a_point_has_no_second_encoding():
    """An older libsodium takes a point with the top bit set, too: rbcl 1.1.2 has one."""
    again = bytearray(_point(1))
    again[31] |= 0x80
    with pytest.raises(SharingError):
        group.point(bytes(again))
    with pytest.raises(SharingError):
        Points(bytes(again))


def test_the_identity_is_refused():
    with pytest.raises(SharingError, match="identity"):
        group.point(group.IDENTITY)
    with pytest.raises(SharingError, match="element 0 is the identity"):
        Points(group.IDENTITY + _point(1))


@given(st.binary(min_size=32, max_size=32))
@settings(max_examples=300, deadline=None)
def test_the_two_decoders_agree_on_any_bytes(raw: bytes):
    """Half of the strings with a cleared top bit and an even first byte are points; both must say the same."""
    for candidate in (raw, bytes([raw[0] & 0xFE]) + raw[1:31] + bytes([raw[31] & 0x7F])):
        try:
            group.point(candidate)
            good = True
        except SharingError:
            good = False
        try:
            Points(candidate)
            assert good
        except SharingError:
            assert not good


@given(st.lists(scalars, min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_sum_is_what_libsodium_adds_up(factors: list[int]):
    points = [_point(i) for i in range(len(factors))]
    expected = group.IDENTITY
    for factor, one in zip(factors, points, strict=True):
        if factor:
            expected = group.add(expected, group.multiply(group.number(factor), one))
    found = sums.total(Points(b"".join(points)), b"".join(group.number(f) for f in factors))
    assert found == expected


@pytest.mark.parametrize("count", [63, 64, 1_000, 9_000])
def test_a_large_sum_is_the_generator_times_one_scalar(count: int):
    """Points with known logarithms: sum(d_i * x_i * G) has one known answer, whatever the width of the buckets."""
    rng = np.random.default_rng(count)
    logs = [int.from_bytes(rng.bytes(40), "little") % group.ORDER for _ in range(count)]
    factors = [int.from_bytes(rng.bytes(40), "little") % group.ORDER for _ in range(count)]
    points = Points(b"".join(group.base(group.number(x)) for x in logs))
    found = sums.total(points, b"".join(group.number(d) for d in factors))
    assert found == group.base(group.number(sum(x * d for x, d in zip(logs, factors, strict=True))))


def test_sums_that_cancel_are_the_identity():
    one = _point(7)
    doubled = Points(one + one)
    assert sums.total(doubled, group.number(5) + group.number(-5)) == group.IDENTITY
    assert sums.joined([Points(one), Points(one)], [3, -3]) == group.IDENTITY


@given(st.lists(st.integers(1, 12), min_size=1, max_size=7, unique=True), st.integers(0, 2**64))
@settings(max_examples=60, deadline=None)
def test_any_holders_interpolate_the_same_value(indices: list[int], seed: int):
    rng = np.random.default_rng(seed)
    polynomial = [int.from_bytes(rng.bytes(40), "little") % group.ORDER for _ in indices]
    shares = [sum(c * x**power for power, c in enumerate(polynomial)) % group.ORDER for x in indices]
    numerators, denominator = sums.at_zero(indices)
    value = sum(n * s for n, s in zip(numerators, shares, strict=True)) * pow(denominator, -1, group.ORDER)
    assert value % group.ORDER == polynomial[0]
    points = [Points(group.base(group.number(s)) + group.base(group.number(2 * s))) for s in shares if s]
    if len(points) == len(shares):
        both = sums.joined(points, numerators)
        assert both[:32] == group.base(group.number(polynomial[0] * denominator))
        assert both[32:] == group.base(group.number(2 * polynomial[0] * denominator))


@given(st.lists(st.integers(1, group.ORDER - 1), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_inverses_in_bulk(values: list[int]):
    found = group.inverses([group.number(value) for value in values])
    assert [int.from_bytes(one, "little") for one in found] == [pow(v, -1, group.ORDER) for v in values]


def test_scalars_have_one_form():
    assert group.scalar(group.number(-1)) == (group.ORDER - 1).to_bytes(32, "little")
    for bad in (group.ORDER.to_bytes(32, "little"), b"\xff" * 32, b"\x01" * 31):
        with pytest.raises(SharingError):
            group.scalar(bad)


def test_expand_is_rfc_9380():
    """Appendix K.3 of RFC 9380 has its vectors for 32 and 128 bytes; the form for 64 is written out here."""
    tag, message = b"QUUX-V01-CS02-with-expander-SHA512-256", b"abc"
    suffix = tag + bytes([len(tag)])
    first = hashlib.sha512(bytes(128) + message + b"\x00\x40" + b"\x00" + suffix).digest()
    assert group.expand(message, tag) == hashlib.sha512(first + b"\x01" + suffix).digest()


def test_windows_of_digits_add_up():
    rng = np.random.default_rng(3)
    values = [
        0,
        1,
        group.ORDER - 1,
        *(int.from_bytes(rng.bytes(40), "little") % group.ORDER for _ in range(50)),
    ]
    words = np.frombuffer(b"".join(group.number(v) for v in values), np.uint64).reshape(-1, 4)
    for width in range(2, 14):
        signed = np.empty((len(values), -(-254 // width)), np.int16)
        _curve.digits(words, width, signed)
        back = [sum(int(d) << (width * k) for k, d in enumerate(row)) for row in signed.tolist()]
        assert back == values
        assert abs(signed).max() <= 1 << (width - 1)
