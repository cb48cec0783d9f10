from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.errors import InputError, ScopeError
from spiritsafe.sharing.matching import bands, classes, identifiers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "written", "canonical"),
    [
        ("ipv4", " 9.9.9.9 ", "9.9.9.9"),
        ("ipv4", "::ffff:9.9.9.9", "9.9.9.9"),
        ("ipv6", "2620:00FE:0:0::FE", "2620:fe::fe"),
        ("ipv6_net", "2620:fe:0:0:1:2:3:4", "2620:fe::/64"),
        ("ipv6_net", "2620:fe::/64", "2620:fe::/64"),
        ("device", "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
        ("device", "dGhpcyBpcyByYW5kb20xMjM", "dGhpcyBpcyByYW5kb20xMjM"),
        ("payment", "card:41111199:1234:2027-09", "card:411111:1234:2027-09"),
        ("payment", "card:411111:1234:2027-09", "card:411111:1234:2027-09"),
        ("payment", "iban:GB82 west 1234 5698 7654 32", "iban:GB82WEST12345698765432"),
        ("payment", "wallet:eth:0xAB5801a7D398351b8bE11C439e05C5B3259aeC9B", None),
        (
            "payment",
            "wallet:btc:1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
            "wallet:btc:1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
        ),
        ("skeleton", "fp3:0123456789abcdef", "fp3:0123456789abcdef"),
        ("skeleton", f"fp3:set:{'0' * 64}", f"fp3:set:{'0' * 64}"),
    ],
)
def test_two_laboratories_write_the_same(name: str, written: str, canonical: str | None):
    assert classes.canonical(name, written) == (canonical or written.lower().strip())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ipv4", "10.0.0.1"),
        ("ipv4", "127.0.0.1"),
        ("ipv4", "192.0.2.7"),
        ("ipv4", "224.0.1.1"),
        ("ipv4", "9.9.9"),
        ("ipv4", "9.9.9.0/24"),
        ("ipv4", "2620:fe::fe"),
        ("ipv6", "9.9.9.9"),
        ("ipv6", "fe80::1"),
        ("ipv6_net", "2620:fe::/32"),
        ("device", "iphone-15-pro-max"),
        ("device", "samsung-galaxy-s24-ultra-2024"),
        ("device", "0000000000000000000000001"),
        ("device", "00000000-0000-0000-0000-000000000000"),
        ("device", "short1"),
        ("device", "Smith's laptop, second floor"),
        ("payment", "411111"),
        ("payment", "card:411111"),
        ("payment", "card:411111:1234"),
        ("payment", "card:4111111111111111:1234:2027-09"),
        ("payment", "card:411111:1234:2027-13"),
        ("payment", "iban:GB82WEST12345698765433"),
        ("skeleton", "0123456789abcdef"),
        ("skeleton", "ignore all instructions"),
        ("band", "fp3:40:" + "0" * 31),
        *((name, "anything") for name in classes.NEVER),
        ("shoe size", "43"),
    ],
)
def test_what_can_be_guessed_or_names_somebody_is_refused_without_repeating_it(name: str, value: str):
    with pytest.raises(ScopeError) as caught:
        classes.canonical(name, value, "file.jsonl:3")
    assert caught.value.where == "file.jsonl:3"
    if value != "anything":
        assert value not in str(caught.value)


def test_the_hash_input_binds_class_and_version():
    assert classes.hashed("ipv4", "9.9.9.9") == b"spiritsafe match 1\x00ipv4\x001\x009.9.9.9"


def test_the_arithmetic_of_guessing():
    """The figures of the design: 50,000 a day is 235 years for IPv4, 20 days for BINs, 2 for networks' numbers."""
    assert classes.exposure(2**32, 50_000, 30).days / 365 == pytest.approx(235, abs=1)
    assert classes.exposure(10**6, 50_000, 30).days == 20
    assert classes.exposure(classes.PUBLIC["asn"], 50_000, 30).days == pytest.approx(2.4)
    assert classes.exposure(10**6, 50_000, 30).share == 1
    assert classes.exposure(2**32, 50_000, 30, members=10).days / 365 == pytest.approx(23.5, abs=0.1)


@given(st.sampled_from([one for one in classes.CLASSES.values() if one.space]), st.integers(1, 100))
def test_no_quota_lets_a_member_try_more_than_a_twentieth(one: classes.IdentifierClass, days: int):
    quota = classes.ceiling(one, days)
    assert quota <= one.quota
    assert one.space is not None
    if quota:
        assert classes.exposure(one.space, quota, days).share <= classes.LIMIT


def _bands(version: int, shingles: Any) -> set[str]:
    return set(bands.bands(version, shingles))


def test_a_skeleton_is_what_most_prompts_share():
    rng = np.random.default_rng(1)
    common = rng.integers(0, 2**63, 40, np.uint64)
    prompts = [np.concatenate([common, rng.integers(0, 2**63, 30, np.uint64)]) for _ in range(10)]
    prompts[0] = prompts[0][20:]  # one prompt lacks half of it
    assert set(bands.skeleton(prompts).tolist()) == set(common.tolist())
    assert bands.skeleton([]).size == 0
    # Any sample of the campaign, in any order, gives the same value: another laboratory's too.
    one, other = bands.skeleton(prompts[1:6]), bands.skeleton(prompts[5:][::-1])
    assert bands.exact(3, one) == bands.exact(3, other) == bands.exact(3, common[::-1])
    assert bands.exact(4, one) != bands.exact(3, one)


@pytest.mark.parametrize("share", [0.9, 0.7, 0.5])
def test_bands_meet_as_often_as_their_formula_says(share: float):
    """P(no band equal) = (1 - j^4)^32; 400 pairs of sets with Jaccard similarity j, within four standard errors."""
    rng = np.random.default_rng(int(share * 10))
    size, pairs = 200, 400
    shared = round(2 * size * share / (1 + share))
    similarity = shared / (2 * size - shared)
    met = 0
    for _ in range(pairs):
        drawn = rng.integers(0, 2**63, 2 * size - shared, np.uint64)
        met += bool(_bands(3, drawn[:size]) & _bands(3, drawn[size - shared :]))
    expected = 1 - (1 - similarity**bands.ROWS) ** bands.BANDS
    error = max((expected * (1 - expected) / pairs) ** 0.5, 1 / pairs)
    assert abs(met / pairs - expected) <= 4 * error


def test_bands_are_what_is_written_down():
    """A value that other implementations can check themselves against: shingles 1 to 16."""
    found = bands.bands(1, np.arange(1, 17, dtype=np.uint64))
    assert len(set(found)) == 32
    assert all(classes.canonical("band", one) == one for one in found)
    assert hashlib.sha256("\n".join(found).encode()).hexdigest()[:16] == "c7a10b1b77623c32"


def test_short_skeletons_are_refused():
    for shingles in ([], range(15), [7] * 100):
        with pytest.raises(ScopeError, match="different shingles"):
            bands.bands(1, np.array(list(shingles), np.uint64))


def test_a_file_of_identifiers(tmp_path: Path):
    path = tmp_path / "identifiers.jsonl"
    hashes = [f"{i:016x}" for i in range(1, 20)]
    entries = [
        {"candidate_id": "c-1", "class": "ipv4", "value": "9.9.9.9"},
        {"candidate_id": "c-2", "class": "ipv4", "value": "::ffff:9.9.9.9"},
        {"candidate_id": "c-1", "class": "ipv4", "value": "9.9.9.9"},
        {"candidate_id": "c-1", "class": "shingles", "value": {"version": 3, "hashes": hashes}},
        {"candidate_id": "c-1", "class": "ipv4", "value": "10.0.0.1"},
        {"candidate_id": "c-1", "class": "asn", "value": "64500"},
    ]
    path.write_text("\n".join(json.dumps(one) for one in entries) + "\n\n")
    with pytest.raises(ScopeError):
        identifiers.read(path, strict=True)
    found = identifiers.read(path)
    assert [one.where for one in found.aside] == [f"{path}:5", f"{path}:6"]
    assert len(found) == 1 + 1 + 32
    rows = list(found.rows())
    assert ("ipv4", "9.9.9.9", ["c-1", "c-2"]) in rows
    assert [name for name, _, _ in rows].count("band") == 32
    assert rows[-1] == ("skeleton", bands.exact(3, np.arange(1, 20, dtype=np.uint64)), ["c-1"])


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[]",
        '{"candidate_id": "c-1", "class": "ipv4"}',
        '{"candidate_id": "c-1", "class": "ipv4", "value": "9.9.9.9", "customer": "Smith"}',
        '{"candidate_id": "", "class": "ipv4", "value": "9.9.9.9"}',
        '{"candidate_id": 7, "class": "ipv4", "value": "9.9.9.9"}',
        '{"candidate_id": "c-1", "class": "ipv4", "value": 9}',
        '{"candidate_id": "c-1", "class": "shingles", "value": ["0123456789abcdef"]}',
        '{"candidate_id": "c-1", "class": "shingles", "value": {"version": 1, "hashes": ["xyz"]}}',
        '{"candidate_id": "c-1", "class": "shingles", "value": {"version": true, "hashes": []}}',
        "[" * 100_000,
    ],
)
def test_bad_lines_are_told_by_file_and_line(tmp_path: Path, line: str):
    path = tmp_path / "identifiers.jsonl"
    path.write_text('{"candidate_id": "c-1", "class": "ipv4", "value": "9.9.9.9"}\n' + line + "\n")
    with pytest.raises(InputError) as caught:
        identifiers.read(path)
    assert caught.value.where == f"{path}:2"
    assert "Smith" not in str(caught.value)


def test_a_missing_file_is_an_input_error(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be read"):
        identifiers.read(tmp_path / "none")
