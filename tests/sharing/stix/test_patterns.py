"""Patterns there and back, for any set of values; one set has one pattern; STIX's own language accepts ours."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stix2patterns.validator import run_validator

from spiritsafe.errors import SharingError
from spiritsafe.sharing.stix import patterns

HASHES = st.integers(1, 2**64 - 1).map(lambda one: f"{one:016x}")
PUBLIC = st.one_of(
    st.integers(0xC6336400, 0xC63364FF).map(lambda one: str(ip_address(one))),
    st.integers(0x2001_0DB8 << 96, (0x2001_0DB9 << 96) - 1).map(lambda one: str(ip_address(one))),
)


@given(st.sets(HASHES, min_size=3, max_size=8), st.data())
def test_templates(values: set[str], data: st.DataObject):
    least = data.draw(st.integers(2, len(values)))
    text = patterns.write("template", values, least=least, version="1")
    assert patterns.read("template", text, "1") == patterns.Matched(
        "template", tuple(sorted(values)), least, "1"
    )
    assert text == patterns.write("template", sorted(values, reverse=True), least=least, version="1")


@given(st.sets(HASHES, min_size=1, max_size=100))
def test_skeletons(values: set[str]):
    found = patterns.read("skeleton", patterns.write("skeleton", values, version="7"), "7")
    assert (set(found.values), found.least) == (values, 1)


@given(st.sets(PUBLIC, min_size=1, max_size=40))
def test_addresses_of_both_families(values: set[str]):
    text = patterns.write("address", values)
    assert set(patterns.read("address", text, "2.1").values) == values
    assert run_validator(text, stix_version="2.1") == []


@given(st.sets(st.integers(1, 2**32 - 2), min_size=1, max_size=20))
def test_networks(values: set[int]):
    text = patterns.write("asn", map(str, values))
    assert set(map(int, patterns.read("asn", text, "2.1").values)) == values
    assert run_validator(text, stix_version="2.1") == []


@given(
    st.sampled_from(["template", "skeleton", "address", "asn"]),
    st.text(max_size=60),
    st.sampled_from(["1", "2.1"]),
)
def test_anything_else_is_refused_and_nothing_crashes(kind: str, text: str, version: str):
    with pytest.raises(SharingError):
        patterns.read(kind, text, version)


@pytest.mark.parametrize(
    "address",
    ["10.1.2.3", "127.0.0.1", "192.168.0.1", "172.16.9.9", "100.64.0.1", "169.254.1.1", "0.1.2.3", "224.0.0.1", "::1",
     "fe80::1", "fd00::1", "ff02::1", "::ffff:198.51.100.7"],
)  # fmt: skip
def test_addresses_that_name_nobody_outside(address: str):
    with pytest.raises(SharingError):
        patterns.write("address", [address])
