"""The verifier accepts what holds, refuses every forgery for the stated reason, and reads nothing else."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.cases import verify

HERE = Path(__file__).parent
BUNDLES = HERE.parent / "conformance"
EXPECTED: list[dict[str, Any]] = json.loads((BUNDLES / "expected.json").read_text())
WHEN = datetime(2027, 1, 15, 8, 10, tzinfo=UTC)


def load(path: Path) -> Any:
    """The tests are no package: a file of theirs is loaded by its path."""
    spec = importlib.util.spec_from_file_location(f"spiritsafe_test_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run(one: dict[str, Any], path: Path | None = None) -> verify.Checked:
    roots = x509.load_pem_x509_certificates((BUNDLES / one["tsa"]).read_bytes()) if one["tsa"] else []
    now = verify.moment(one["at"], "--at")
    return verify.verify(
        path or BUNDLES / one["bundle"], one["keys"], now=now, threshold=one["threshold"], tsa=roots
    )


@pytest.mark.parametrize("one", EXPECTED, ids=lambda one: one["bundle"])
def test_every_conformance_bundle_is_judged_as_expected(one: dict[str, Any]):
    if one["code"] is None:
        found = run(one)
        assert found.facts["case"]["id"] == "case-0"
        assert len(found.signers) >= one["threshold"]
        return
    with pytest.raises(verify.Refused) as caught:
        run(one)
    assert caught.value.code == one["code"]
    assert caught.value.where
    assert verify.HINTS[one["code"]] in str(caught.value)


def test_every_reason_has_a_bundle_that_shows_it():
    shown = {one["code"] for one in EXPECTED} - {None}
    # A key is what the caller gives; a limit is shown below, since no file of its size is kept.
    assert shown == verify.HINTS.keys() - {"key", "too-large"}
    assert {p.relative_to(BUNDLES).as_posix() for p in BUNDLES.glob("*/*.tar")} == {
        one["bundle"] for one in EXPECTED
    }


def test_the_bundles_are_what_their_maker_makes(tmp_path: Path):
    load(BUNDLES / "make.py").write(tmp_path)
    for one in EXPECTED:
        assert (tmp_path / one["bundle"]).read_bytes() == (BUNDLES / one["bundle"]).read_bytes(), one[
            "bundle"
        ]
    assert (tmp_path / "expected.json").read_text() == (BUNDLES / "expected.json").read_text()


def test_a_stranger_runs_the_one_file_alone(tmp_path: Path):
    alone = tmp_path / "verify.py"
    alone.write_bytes(Path(verify.__file__).read_bytes())
    chosen = [one for one in EXPECTED if one["bundle"].split("/")[1] in {"stamped.tar", "forged.tar"}]
    (tmp_path / "expected.json").write_text(json.dumps(chosen))
    runner = load(BUNDLES / "run.py")
    for one in chosen:
        # -I: no package of ours is found, whatever the environment says.
        command = [sys.executable, "-I", str(alone), *runner.arguments(one)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert runner.wrong(one, ended.returncode, ended.stderr) == ""
        if one["code"] is None:
            assert ended.stdout.startswith('holds: "case-0"')
            assert "stamped 2027-01-15T08:00:05Z" in ended.stdout
        else:
            assert ended.stderr.startswith("refused [signature] statement.dsse.json")
            assert "hint:" in ended.stderr


def test_what_is_withheld_and_unchecked_is_told():
    told = {one["bundle"]: one for one in EXPECTED}
    part = run(told["good/records-withheld.tar"])
    assert {one.name: (one.withheld, one.leaves) for one in part.parts if one.withheld} == {
        "0001-note/facts.jsonl": (7, 11)
    }
    assert "withheld: 7 of 11 of 0001-note/facts.jsonl" in verify.words(part)
    bare = run(told["good/all-withheld.tar"])
    assert all(one.withheld == one.leaves for one in bare.parts)
    assert bare.excerpts == ()
    plain = run(told["good/plain.tar"])
    assert any("no time stamp" in one for one in plain.unchecked)
    assert [(one["entries"], one["size"]) for one in plain.excerpts] == [(2, 7)]
    assert any("--tsa" in one for one in run(told["good/stamp-unchecked.tar"]).unchecked)
    assert run(told["good/stamped.tar"]).unchecked == ()


PLAIN = next(one for one in EXPECTED if one["bundle"] == "good/plain.tar")
BYTES = (BUNDLES / PLAIN["bundle"]).read_bytes()


@given(at=st.integers(0, len(BYTES) - 1), bit=st.integers(0, 7))
def test_no_bit_can_be_changed(at: int, bit: int, tmp_path_factory: pytest.TempPathFactory):
    data = bytearray(BYTES)
    data[at] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "flipped.tar"
    path.write_bytes(data)
    try:
        found = run(PLAIN, path)
    except verify.Refused:
        return
    # Only what is no content: the name of the key beside the signature, spare bits of Base64.
    assert found == run(PLAIN)
    begin = BYTES.rindex(b'{"payload"')
    assert begin <= at


@given(cut=st.integers(0, len(BYTES) - 1))
def test_no_beginning_is_accepted(cut: int, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.getbasetemp() / "cut.tar"
    path.write_bytes(BYTES[:cut])
    with pytest.raises(verify.Refused):
        run(PLAIN, path)


@given(data=st.binary(max_size=3000))
def test_noise_is_refused_and_never_breaks_it(data: bytes, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.getbasetemp() / "noise.tar"
    path.write_bytes(data)
    with pytest.raises(verify.Refused):
        run(PLAIN, path)


def test_limits_hold(tmp_path: Path):
    with pytest.raises(verify.Refused) as caught:
        verify.verify(BUNDLES / PLAIN["bundle"], PLAIN["keys"], now=WHEN, most=1000)
    assert caught.value.code == "too-large"
    # A sparse file with a small member that claims too much.
    path = tmp_path / "large.tar"
    size = verify.MOST_SMALL + 1
    with path.open("wb") as file:
        file.write(verify.header("statement.dsse.json", size))
        file.seek(512 + size + (-size % 512) + 1023)
        file.write(b"\0")
    with pytest.raises(verify.Refused) as caught:
        run(PLAIN, path)
    assert caught.value.code == "too-large"
    with pytest.raises(verify.Refused) as caught:
        verify.verify(BUNDLES / PLAIN["bundle"], ["ed25519:short"], now=WHEN)
    assert caught.value.code == "key"
    with pytest.raises(verify.Refused) as caught:
        verify.verify(BUNDLES / PLAIN["bundle"], [], now=WHEN)
    assert caught.value.code == "signature"


def test_a_deep_json_is_refused():
    for data in (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b'{"a":NaN}', b'{"a":1,"a":2}', b"[1]"):
        with pytest.raises(verify.Refused) as caught:
            verify.parse(data, "x")
        assert caught.value.code == "json"


STAMPS = load(HERE / "tsa.py")
ENVELOPE = b"a signed statement"
SEALED = datetime(2027, 1, 15, 8, tzinfo=UTC)


def stamped(token: bytes, roots: list[x509.Certificate], sealed: datetime = SEALED) -> dict[str, Any]:
    return verify._stamp(token, "stamps/1.tsr", ENVELOPE, sealed, roots)


def refused(token: bytes, roots: list[x509.Certificate], sealed: datetime = SEALED) -> str:
    with pytest.raises(verify.Refused) as caught:
        stamped(token, roots, sealed)
    return caught.value.why


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_stamps_of_both_kinds_of_keys_hold(kind: str):
    one, other = STAMPS.authority(kind), STAMPS.authority(kind)
    token = one.stamp(ENVELOPE, SEALED + timedelta(hours=1), 12345678901234567890)
    told = stamped(token, [one.root])
    assert told == {
        "file": "stamps/1.tsr", "time": "2027-01-15T09:00:00Z", "by": "CN=Test Authority", "trusted": True,
    }  # fmt: skip
    assert not stamped(token, [])["trusted"]
    assert "no authority that you trust" in refused(token, [other.root])
    assert "something else" in refused(one.stamp(b"another", SEALED), [one.root])
    for at in range(0, len(token), 7):
        changed = bytearray(token)
        changed[at] ^= 1
        try:
            again = stamped(bytes(changed), [one.root])
        except verify.Refused:
            continue
        assert again == told, at  # a byte that says nothing, as a version


def test_a_stamp_says_no_more_than_its_certificate_may():
    after = SEALED + timedelta(minutes=1)
    for_servers = STAMPS.authority("ec", uses=(ExtendedKeyUsageOID.SERVER_AUTH,))
    assert "not for time stamps" in refused(for_servers.stamp(ENVELOPE, after), [for_servers.root])
    both = (ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.SERVER_AUTH)
    for_both = STAMPS.authority("ec", uses=both)
    assert "not for time stamps" in refused(for_both.stamp(ENVELOPE, after), [for_both.root])
    later = STAMPS.authority("ec", begins=SEALED + timedelta(days=2))
    assert "not of that time" in refused(later.stamp(ENVELOPE, after), [later.root])
    unable = STAMPS.authority("ec", able=False)
    assert "no authority" in refused(unable.stamp(ENVELOPE, after), [unable.root])


def test_the_time_of_the_seal_stands_by_the_stamp():
    one = STAMPS.authority("ec")
    for moved in (timedelta(minutes=-6), timedelta(days=1, minutes=1)):
        assert "not within a day" in refused(one.stamp(ENVELOPE, SEALED + moved), [one.root])
    for moved in (timedelta(minutes=-4), timedelta(hours=23)):
        assert stamped(one.stamp(ENVELOPE, SEALED + moved), [one.root])["trusted"]


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_stamps_that_openssl_made_hold(kind: str):
    # rsa: imprint by SHA-256, certificate named by SHA-256. ec: SHA-512 and the older naming by SHA-1.
    token = (HERE / "openssl" / f"{kind}.tsr").read_bytes()
    roots = x509.load_pem_x509_certificates((HERE / "openssl" / f"{kind}.pem").read_bytes())
    told = verify._stamp(token, "x", b"a statement\n", datetime(2026, 11, 26, 21, tzinfo=UTC), roots)
    assert told["by"] == f"CN=openssl {kind} stamps"
    assert told["time"].startswith("2026-11-26T21:00:2")


def test_our_stamps_hold_for_another_verifier():
    from rfc3161_client import VerifierBuilder, decode_timestamp_response  # noqa: PLC0415

    one = STAMPS.authority("ec")
    response = decode_timestamp_response(one.stamp(ENVELOPE, SEALED))
    oracle = VerifierBuilder().add_root_certificate(one.root).build()
    assert oracle.verify_message(response, ENVELOPE)
