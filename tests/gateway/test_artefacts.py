from __future__ import annotations

import base64
import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spiritsafe.errors import UsageError
from spiritsafe.gateway import keys
from spiritsafe.gateway.artefacts import KINDS, PREFIX, Binding, Owner
from spiritsafe.gateway.keys import DAY, DELAY, KeyRing

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_772_366_400_000_000
#: Lone surrogates too: JSON may hold them.
TEXT = st.text(st.characters(), max_size=60)
NAMES = st.text(st.characters(), max_size=8)
BLOBS = st.binary(min_size=1, max_size=300).flatmap(
    lambda data: st.sampled_from(
        [
            base64.b64encode(data).decode(),
            base64.urlsafe_b64encode(data).decode(),
            base64.b64encode(data).decode().rstrip("="),
            base64.urlsafe_b64encode(data).decode().rstrip("="),
            data.decode("latin-1"),
            "gAAAAA" + base64.urlsafe_b64encode(data).decode(),
        ]
    )
)
ARTEFACTS = BLOBS | TEXT.filter(bool)
OWNERS = st.builds(Owner, NAMES, st.none() | NAMES, NAMES)


@given(ARTEFACTS, OWNERS, st.sampled_from(KINDS))
def test_own_opens_to_the_same_letters(binding: Binding, artefact: str, owner: Owner, kind: str):
    token = binding.wrap(artefact, owner, kind, now=NOW)
    assert token.isascii()
    assert set(token[len(PREFIX) :]) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )
    again = Owner(owner.account, owner.organization, owner.family)
    opened = binding.unwrap(token, again, kind, now=NOW)
    assert (opened.verdict, opened.artefact) == ("own", artefact)
    assert binding.wrap(artefact, again, kind, now=NOW + 1) == token


@given(ARTEFACTS, OWNERS, OWNERS)
def test_any_other_owner_gets_nothing(binding: Binding, artefact: str, owner: Owner, other: Owner):
    same_owner = (owner.account, owner.organization) == (other.account, other.organization)
    assume(not (same_owner and owner.family == other.family))
    opened = binding.unwrap(binding.wrap(artefact, owner, "reasoning", now=NOW), other, "reasoning", now=NOW)
    assert (opened.verdict, opened.artefact) == ("foreign", None)
    party = owner.organization if owner.organization is not None else ("account", owner.account)
    other_party = other.organization if other.organization is not None else ("account", other.account)
    assert opened.crossed == (party != other_party)


@given(st.binary(min_size=1, max_size=40), st.data())
def test_any_flipped_bit_is_forged(binding: Binding, blob: bytes, data: st.DataObject):
    owner = Owner("a", "o", "f")
    token = binding.wrap(base64.b64encode(blob).decode(), owner, "reasoning", now=NOW)
    at = data.draw(st.integers(len(PREFIX), len(token) - 1))
    bit = data.draw(st.integers(0, 7))
    changed = token[:at] + chr(ord(token[at]) ^ (1 << bit)) + token[at + 1 :]
    opened = binding.unwrap(changed, owner, "reasoning", now=NOW)
    assert (opened.verdict, opened.artefact) == ("forged", None)


def test_every_bit_of_one_token_and_every_cut(binding: Binding):
    owner = Owner("a", "o", "f")
    token = binding.wrap("resp_0123456789abcdef", owner, "response", now=NOW)
    for at, bit in itertools.product(range(len(token)), range(8)):
        changed = token[:at] + chr(ord(token[at]) ^ (1 << bit)) + token[at + 1 :]
        opened = binding.unwrap(changed, owner, "response", now=NOW)
        # A changed prefix makes it a text that is none of ours.
        assert opened.verdict == ("forged" if at >= len(PREFIX) else "unbound")
    for cut in range(len(PREFIX), len(token)):
        assert binding.unwrap(token[:cut], owner, "response", now=NOW).verdict == "forged"
    for extra in ("A", "=", "==", " ", "\n", ".", "\x00", "é"):
        assert binding.unwrap(token + extra, owner, "response", now=NOW).verdict == "forged"


@given(TEXT)
def test_what_is_no_token_of_ours_is_unbound(binding: Binding, text: str):
    assume(not text.startswith(PREFIX))
    assert binding.unwrap(text, Owner("a"), "reasoning", now=NOW).verdict == "unbound"


@given(TEXT, st.sampled_from(KINDS))
def test_whatever_stands_behind_the_prefix_is_forged(binding: Binding, text: str, kind: str):
    assert binding.unwrap(PREFIX + text, Owner("a"), kind, now=NOW).verdict == "forged"


NAMES_OF_A_SMALL_WORLD = (None, "", "a", "b", "a|b", "b|c", "c", "a\x00", "\x00", "ab", "\xff\xff\xff\xff")


@pytest.mark.parametrize("bind", [("account",), ("organization",), ("account", "organization"),
                                  ("account", "family"), ("organization", "family"),
                                  ("account", "organization", "family")])  # fmt: skip
def test_in_a_small_world_nobody_is_served_anothers(ring: KeyRing, bind: tuple[str, ...]):
    binding = Binding(lambda: ring, bind=bind)
    world = [
        Owner(account, organization, family)
        for account in NAMES_OF_A_SMALL_WORLD
        if account is not None
        for organization in NAMES_OF_A_SMALL_WORLD
        for family in ("", "f", "a|b")
    ]

    def names(owner: Owner) -> tuple[object, ...]:
        # What the words of the policy say; without an organization the account always counts.
        organization = (owner.organization,) if "organization" in bind else (None,)
        account = (owner.account,) if "account" in bind or organization == (None,) else (None,)
        return (*organization, *account, owner.family if "family" in bind else None)

    key = ring.keys[0]
    tags: dict[bytes, tuple[object, ...]] = {}
    for issued_to in world:
        token = binding.wrap("secret", issued_to, "reasoning", now=NOW)
        tag = b"".join(
            issued_to.tags(key, sum({"account": 1, "organization": 2, "family": 4}[b] for b in bind))
        )
        for redeemer in world:
            opened = binding.unwrap(token, redeemer, "reasoning", now=NOW)
            same = names(issued_to) == names(redeemer)
            assert (opened.verdict == "own") == same
            assert (opened.artefact is not None) == same
        assert tags.setdefault(tag[:16] + tag[24:], names(issued_to)) == names(issued_to)


def test_families_do_not_count_for_ids(binding: Binding):
    token = binding.wrap("resp_1", Owner("a", "o", "large"), "response", now=NOW)
    assert binding.unwrap(token, Owner("a", "o", "small"), "response", now=NOW).artefact == "resp_1"


def test_a_token_of_one_kind_is_none_of_another(binding: Binding):
    owner = Owner("a", None, "f")
    for kind, other in itertools.permutations(KINDS, 2):
        token = binding.wrap("x", owner, kind, now=NOW)
        assert binding.unwrap(token, Owner("a"), other, now=NOW).verdict == "forged"


def test_another_family_of_ones_own_is_refused_but_has_not_crossed(binding: Binding):
    token = binding.wrap("x", Owner("a", "o", "large"), "reasoning", now=NOW)
    opened = binding.unwrap(token, Owner("a", "o", "small"), "reasoning", now=NOW)
    assert (opened.verdict, opened.crossed) == ("foreign", False)
    colleague = binding.unwrap(token, Owner("b", "o", "large"), "reasoning", now=NOW)
    assert (colleague.verdict, colleague.crossed) == ("foreign", False)
    stranger = binding.unwrap(token, Owner("a", "p", "large"), "reasoning", now=NOW)
    assert (stranger.verdict, stranger.crossed) == ("foreign", True)


@pytest.mark.parametrize("bind", [(), ("family",), ("account", "device")])
def test_a_binding_that_binds_nobody_is_refused(ring: KeyRing, bind: tuple[str, ...]):
    with pytest.raises(UsageError, match="cannot be bound"):
        Binding(lambda: ring, bind=bind)


def test_a_change_of_what_is_bound_leaves_old_tokens_alive(ring: KeyRing):
    before = Binding(lambda: ring, bind=("account",))
    after = Binding(lambda: ring, bind=("account", "organization", "family"))
    token = before.wrap("x", Owner("a", None, "f"), "reasoning", now=NOW)
    assert after.unwrap(token, Owner("a", "o", "g"), "reasoning", now=NOW).artefact == "x"
    assert after.unwrap(token, Owner("b", "o", "g"), "reasoning", now=NOW).verdict == "foreign"


@settings(max_examples=30)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(5, 40))
def test_rotations_keep_tokens_alive_until_their_key_ends(
    tmp_path_factory: pytest.TempPathFactory, gaps: list[int], lifetime: int
):
    path: Path = tmp_path_factory.mktemp("rotations") / "keys.json"
    held = [keys.make(path, now=NOW)]
    binding = Binding(lambda: held[0], bind=("account",), lifetime=400 * DAY)
    owner, now = Owner("a"), NOW
    tokens: list[tuple[str, str]] = []
    for gap in gaps:
        token = binding.wrap(f"at {now}", owner, "response", now=now)
        tokens.append((token, f"at {now}"))
        now += gap * DAY
        held[0] = keys.rotate(path, now=now, lifetime=lifetime * DAY)
        now += DELAY
        for old, artefact in tokens:
            opened = binding.unwrap(old, owner, "response", now=now)
            key = held[0].get(bytes.fromhex(opened.key_id or ""))
            assert key is not None
            alive = key.not_after is None or now < key.not_after
            assert (opened.verdict, opened.artefact) == (("own", artefact) if alive else ("expired", None))
    # The key in use until the last rotation is still good for its lifetime, whatever came before.
    last = binding.unwrap(tokens[-1][0], owner, "response", now=now)
    assert last.verdict == "own"


def test_lifetime_and_clocks_that_jump(ring: KeyRing):
    binding = Binding(lambda: ring, lifetime=30 * DAY)
    owner = Owner("a", "o", "f")
    token = binding.wrap("x", owner, "reasoning", now=NOW)
    verdicts = {days: binding.unwrap(token, owner, "reasoning", now=NOW + days * DAY).verdict
                for days in (-4000, -1, 0, 30, 31, 4000)}  # fmt: skip
    assert verdicts == {-4000: "own", -1: "own", 0: "own", 30: "own", 31: "expired", 4000: "expired"}
    ahead = binding.wrap("x", owner, "reasoning", now=NOW + 4000 * DAY)
    assert binding.unwrap(ahead, owner, "reasoning", now=NOW).artefact == "x"
    for odd in (-(10**20), 10**30):
        assert binding.wrap("x", owner, "reasoning", now=odd).startswith(PREFIX)


def test_gateways_with_other_keys_call_it_forged_and_with_the_same_file_open_it(
    ring: KeyRing, tmp_path: Path
):
    owner = Owner("a", "o", "f")
    token = Binding(lambda: ring).wrap("x", owner, "reasoning", now=NOW)
    same = KeyRing(ring.keys)
    assert Binding(lambda: same).unwrap(token, owner, "reasoning", now=NOW).artefact == "x"
    other = keys.make(tmp_path / "other.json", now=NOW)
    assert Binding(lambda: other).unwrap(token, owner, "reasoning", now=NOW).verdict == "forged"


@given(st.lists(ARTEFACTS, min_size=2, max_size=4))
def test_pieces_come_back_as_one(binding: Binding, pieces: list[str]):
    owner = Owner("a", "o", "f")
    tokens = [binding.wrap(piece, owner, "reasoning", now=NOW) for piece in pieces]
    assert binding.unwrap("".join(tokens), owner, "reasoning", now=NOW).artefact == "".join(pieces)
    foreign = binding.wrap("x", Owner("b", "p", "f"), "reasoning", now=NOW)
    for at in range(len(tokens) + 1):
        mixed = "".join([*tokens[:at], foreign, *tokens[at:]])
        opened = binding.unwrap(mixed, owner, "reasoning", now=NOW)
        assert (opened.verdict, opened.artefact, opened.crossed) == ("foreign", None, True)


def test_overhead_is_as_stated(binding: Binding):
    owner = Owner("a" * 100, "o" * 100, "f")
    for size in (30, 300, 30_000):
        blob = base64.b64encode(bytes(size)).decode()
        token = binding.wrap(blob, owner, "reasoning", now=NOW)
        assert 100 <= len(token) - len(blob) <= 112
    assert len(binding.wrap("resp_" + "0" * 48, owner, "response", now=NOW)) == 179
