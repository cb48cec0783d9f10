"""The signed snapshot: what is forged, old, rolled back or torn is refused; keys stay secret; two persons are two."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.attest import keys
from spiritsafe.errors import AttestError, OrderError, StorageError
from spiritsafe.model import Exemption, Order
from spiritsafe.orders import approvals, snapshot
from spiritsafe.orders.approvals import Rules
from spiritsafe.orders.content import canonical, from_order, microseconds, rfc3339, to_order

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    Keys = dict[str, Ed25519PrivateKey]
    Make = Callable[..., Order]

NOW = 1_790_000_000_000_000
HOUR = 3_600_000_000
SPARED = Exemption("org-7", None, "our partner", "anna", NOW, NOW + HOUR)
FROZEN = Exemption(None, "a", "appeal AP-1", "anna", NOW, NOW + HOUR, "budget")


def written(path: Path, key: Ed25519PrivateKey, *orders: Order, **changed: Any) -> str:
    fields: dict[str, Any] = {
        "version": 3,
        "issuer": "desk",
        "exempt": [SPARED, FROZEN],
        "now": NOW,
        "expires": NOW + 48 * HOUR,
    }
    snapshot.write(path, key, orders=orders, **(fields | changed))
    return keys.public(key)


def rules(private: Keys) -> Rules:
    return Rules({name: keys.public(private[name]) for name in ("anna", "ben")})


def test_what_was_written_is_read(tmp_path: Path, private: Keys, make_order: Make):
    path = tmp_path / "orders.json"
    orders = (make_order(1), make_order(2, scope="accounts", accounts=frozenset({"b", "ä", "a"})))
    signer = written(path, private["signer"], *orders)
    found = snapshot.read(path, signer, now=NOW, at_least_version=3)
    assert (found.orders, found.exempt, found.withheld) == (orders, (SPARED, FROZEN), ())
    assert (found.version, found.issuer, found.expires) == (3, "desk", NOW + 48 * HOUR)
    assert [one.name for one in tmp_path.iterdir()] == ["orders.json"]


def test_a_snapshot_cut_at_any_byte_is_refused(tmp_path: Path, private: Keys, make_order: Make):
    path = tmp_path / "orders.json"
    signer = written(path, private["signer"], make_order())
    whole = path.read_bytes()
    for end in range(len(whole) - 1):  # without the last line break it is still whole
        path.write_bytes(whole[:end])
        with pytest.raises(OrderError, match=r"orders\.json"):
            snapshot.read(path, signer, now=NOW)


def test_a_snapshot_with_any_byte_changed_is_refused(tmp_path: Path, private: Keys, make_order: Make):
    path = tmp_path / "orders.json"
    signer = written(path, private["signer"], make_order())
    whole = path.read_bytes()
    for at in range(len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(OrderError):
            snapshot.read(path, signer, now=NOW)


def test_another_key_an_old_version_and_an_old_file_are_refused(
    tmp_path: Path, private: Keys, make_order: Make
):
    path = tmp_path / "orders.json"
    signer = written(path, private["signer"], make_order())
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"signer": keys.public(private["mallory"]), "now": NOW}, "signature does not fit"),
        ({"signer": signer, "now": NOW, "at_least_version": 4}, "rolled back"),
        ({"signer": signer, "now": NOW + 48 * HOUR}, "expired at 2026-"),
        ({"signer": "ed25519:AAAA", "now": NOW}, "no public key"),
    )
    for kwargs, text in cases:
        with pytest.raises((OrderError, AttestError), match=text):
            snapshot.read(path, **kwargs)
    with pytest.raises(OrderError, match="cannot be read"):
        snapshot.read(tmp_path / "none.json", signer, now=NOW)
    assert snapshot.read(path, signer, now=None).version == 3


def test_a_signed_file_that_makes_no_sense_is_refused(tmp_path: Path, private: Keys, make_order: Make):
    path, key = tmp_path / "orders.json", private["signer"]
    signer = written(path, key, make_order())
    good = json.loads(path.read_bytes())
    del good["signature"]

    def order(**changed: Any) -> dict[str, Any]:
        return {**good, "orders": [{**good["orders"][0], **changed}]}

    for bad, text in (
        ({**good, "schema": 2}, "schema 1"),
        ({**good, "version": True}, "version is a number"),
        ({**good, "more": 1}, "schema 1"),
        ({**good, "expires": "soon"}, "expires is no time"),
        ({**good, "orders": good["orders"] * 2}, "same id"),
        ({**good, "orders": {}}, "are lists"),
        (order(response="charm"), "no response 'charm'"),
        (order(response=["budget"]), "no response"),
        (order(scope="accounts"), "with at least one"),
        (order(accounts=["a"]), "without accounts"),
        (order(expires=good["issued"]), "expires after its start"),
        (order(parameters={"rate": [1]}), "parameters"),
        (order(extra=1), "extra"),
        ({**good, "exempt": [{**good["exempt"][0], "account_id": "a"}]}, "one organization or one account"),
        ({**good, "exempt": [{**good["exempt"][0], "above": "frown"}]}, "no response 'frown'"),
    ):
        signature = keys.sign(key, snapshot.DOMAIN, canonical(bad))
        path.write_bytes(canonical({**bad, "signature": signature}))
        with pytest.raises(OrderError, match=text):
            snapshot.read(path, signer, now=NOW)
    path.write_bytes(path.read_bytes().replace(b'{"exempt"', b'{"version":9,"exempt"'))
    with pytest.raises(OrderError, match="stands twice"):
        snapshot.read(path, signer, now=NOW)


def test_what_a_reader_would_refuse_is_not_written(tmp_path: Path, private: Keys, make_order: Make):
    path = tmp_path / "orders.json"
    written(path, private["signer"], make_order())
    before = path.read_bytes()
    for orders, changed in (
        ([make_order(expires=NOW)], {}),
        ([make_order(parameters={"rate": float("inf")})], {}),
        ([], {"expires": NOW}),
    ):
        with pytest.raises(OrderError):
            written(path, private["signer"], *orders, **changed)
    with pytest.raises(StorageError):
        written(tmp_path / "no" / "orders.json", private["signer"])
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_suspend_needs_two_persons_and_one_person_is_one(tmp_path: Path, private: Keys, make_order: Make):
    path, allowed = tmp_path / "orders.json", rules(private)
    order = make_order(response="suspend")

    def read(signed: Order, who: Rules = allowed) -> snapshot.Snapshot:
        signer = written(path, private["signer"], signed)
        return snapshot.read(path, signer, now=NOW, rules=who)

    one = approvals.approve(order, "anna", private["anna"], now=NOW)
    two = approvals.approve(one, "ben", private["ben"], now=NOW + 1)
    assert read(two).orders == (two,)
    assert "needs 2 approvals and has none" in read(order).withheld[0].why
    assert "1 of them valid" in read(one).withheld[0].why
    with pytest.raises(OrderError, match="this person's approval already"):
        approvals.approve(one, "anna", private["anna"], now=NOW + 5)
    with pytest.raises(OrderError, match="this person's approval already"):
        approvals.approve(one, "ben", private["anna"], now=NOW + 5)
    twice = replace(one, approvals=one.approvals * 2)
    assert "'anna' counts once" in read(twice).withheld[0].why
    # One person under two names, with the same key or by herself, is one person.
    names = Rules({"anna": keys.public(private["anna"]), "ann": keys.public(private["anna"])})
    other = approvals.approve(order, "ann", private["anna"], now=NOW)
    both = replace(one, approvals=one.approvals + other.approvals)
    assert "counts once" in read(both, names).withheld[0].why
    forged = approvals.approve(one, "ben", private["mallory"], now=NOW)
    assert "'ben' is not for this order" in read(forged).withheld[0].why
    stranger = approvals.approve(one, "eve", private["mallory"], now=NOW)
    assert "'eve' is no approver" in read(stranger).withheld[0].why
    # Approved was another order: longer is not what they agreed to.
    longer = replace(two, expires=two.expires + HOUR)
    assert "as it stands" in read(longer).withheld[0].why
    assert read(replace(two, response="budget", approvals=())).withheld == ()


def test_what_another_member_found_carries_no_more_than_observe(
    tmp_path: Path, private: Keys, make_order: Make
):
    path, allowed = tmp_path / "orders.json", rules(private)
    theirs = make_order(
        campaign_id="campaign--967ad7ce-3a06-59de-a97c-2dc330ac3f22", response="suspend", parameters={}
    )
    order = approvals.approve(theirs, "anna", private["anna"], now=NOW)
    order = approvals.approve(order, "ben", private["ben"], now=NOW)
    watched = replace(theirs, order_id="o-2", response="observe")
    signer = written(path, private["signer"], order, watched)
    found = snapshot.read(path, signer, now=NOW, rules=allowed)
    assert found.orders == (watched,)
    assert "own scan" in found.withheld[0].why


def test_the_issuers_process_is_no_person(tmp_path: Path, private: Keys, make_order: Make):
    path = tmp_path / "orders.json"
    order = approvals.approve(make_order(response="suspend"), "anna", private["anna"], now=NOW)
    order = approvals.approve(order, "robot", private["signer"], now=NOW)
    signer = written(path, private["signer"], order)
    who = Rules({"anna": keys.public(private["anna"]), "robot": signer})
    assert "no second person" in snapshot.read(path, signer, now=NOW, rules=who).withheld[0].why
    written(path, private["signer"], order, issuer="anna")
    assert "'anna' issues" in snapshot.read(path, signer, now=NOW, rules=who).withheld[0].why


def test_no_policy_lowers_the_two_persons_and_every_policy_may_ask_for_more(make_order: Make):
    low, high = Rules({}, {"suspend": 0, "refuse": 0}), Rules({}, {"suspend": 3, "budget": 1})
    assert [low.persons(name) for name in ("suspend", "refuse", "budget")] == [2, 0, 0]
    assert [high.persons(name) for name in ("suspend", "refuse", "budget")] == [3, 1, 1]


def test_a_key_that_others_can_read_is_refused_and_no_error_shows_it(
    tmp_path: Path, key_files: dict[str, Path]
):
    path = tmp_path / "key"
    shown = keys.make(path)
    secret = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert keys.public(keys.load(path)) == shown
    with pytest.raises(StorageError, match="exists already"):
        keys.make(path)
    assert path.read_text() == secret
    for mode in (0o640, 0o604, 0o660, 0o644):
        path.chmod(mode)
        with pytest.raises(AttestError, match="others can use this key"):
            keys.load(path)
    path.chmod(0o600)
    for end in range(len(secret.rstrip())):
        path.write_text(secret[:end])
        with pytest.raises(AttestError, match="no Ed25519 private key") as caught:
            keys.load(path)
        assert not any(part in str(caught.value) for part in secret.split() if len(part) > 12)
    assert key_files.keys() == {"signer", "anna", "ben", "mallory"}


def test_a_new_key_is_private_whatever_the_umask(tmp_path: Path):
    before = os.umask(0)
    try:
        keys.make(tmp_path / "key")
    finally:
        os.umask(before)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


@given(st.integers(min_value=-2_000_000_000_000_000, max_value=4_000_000_000_000_000))
def test_times_survive_being_written(time: int):
    assert microseconds(rfc3339(time), "", "") == time


@given(
    st.frozensets(st.text(min_size=1, max_size=8), max_size=5),
    st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.booleans(), st.text(max_size=5))),
)
def test_orders_survive_being_written(accounts: frozenset[str], parameters: dict[str, Any]):
    order = Order(
        "o", "c", "cap_output", "accounts" if accounts else "streams", accounts, "r", "e", NOW, NOW + 1
    )
    order = replace(order, parameters=parameters)
    assert to_order(json.loads(canonical(from_order(order))), "") == order
