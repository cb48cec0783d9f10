"""What was sealed holds for a stranger, byte for byte; what is handed on with leaves withheld still holds."""

from __future__ import annotations

import hashlib
import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe.attest import keys
from spiritsafe.cases import folder, seal, stamps, verify
from spiritsafe.errors import AttestError, StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Generator

NOW = 1_800_000_000_000_000
CODE = {"spiritsafe": "0.1.0", "source": "00" * 32}
ANNA, BEN = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
HERE = Path(__file__).parent


def made(where: Path, rows: list[bytes]) -> Path:
    case = where / "case"
    folder.create(case, case_id="case-1", title="T", claim="C", by="anna", why="w", now=NOW)
    folder.add(
        case, "note", by="anna", why="w", now=NOW, about={}, files={"a.txt": b"secret words", "b.txt": b"open"},
        lines={"rows.jsonl": rows},
    )  # fmt: skip
    return case


def sealed(where: Path, rows: list[bytes], *signers: Ed25519PrivateKey, **how: Any) -> seal.Sealed:
    case = made(where, rows)
    told: dict[str, Any] = {"by": "anna", "why": "court", "now": NOW + 5, "code": CODE} | how
    return seal.seal(case, where / "out.tar", signers or (ANNA,), **told)


def check(path: Path, **how: Any) -> verify.Checked:
    return seal.check(path, [keys.public(ANNA)], now=NOW + 10, **how)


def test_a_seal_is_an_in_toto_statement_that_other_tools_read(tmp_path: Path):
    from securesystemslib.dsse import Envelope  # noqa: PLC0415
    from securesystemslib.signer import SSlibKey  # noqa: PLC0415  # pyright: ignore[reportPrivateImportUsage]

    done = sealed(tmp_path, [b"{}"])
    with seal.opened(done.path) as (file, places):
        data = verify.small(file, places, verify.STATEMENT)
    envelope = Envelope.from_dict(json.loads(data))
    name = keys.keyid(ANNA.public_key())
    public = SSlibKey(name, "ed25519", "ed25519", {"public": ANNA.public_key().public_bytes_raw().hex()})
    assert set(envelope.verify([public], 1)) == {name}
    statement = json.loads(envelope.payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert {one["name"] for one in statement["subject"]} == {
        f"0001-note/{n}" for n in ("a.txt", "b.txt", "rows.jsonl")
    }
    assert done.statement == hashlib.sha256(data).hexdigest()
    entry = folder.open_case(tmp_path / "case").entries[-1]
    assert (entry.kind, entry.body["statement"]) == (folder.SEALED, done.statement)


def test_it_is_a_tar_that_other_tools_read(tmp_path: Path):
    import tarfile  # noqa: PLC0415

    done = sealed(tmp_path, [b"one"])
    with tarfile.open(done.path, "r:") as archive:
        assert archive.getnames() == sorted(archive.getnames())
        member = archive.extractfile("parts/0001-note/b.txt")
        assert member is not None
        assert member.read() == b"open"


def test_two_must_sign_where_two_are_asked_for(tmp_path: Path):
    done = sealed(tmp_path, [], ANNA, BEN)
    both = [keys.public(ANNA), keys.public(BEN)]
    assert set(seal.check(done.path, both, now=NOW + 10, threshold=2).signers) == set(both)
    with pytest.raises(UsageError, match="must sign"):
        seal.seal(tmp_path / "case", tmp_path / "x.tar", [], by="a", why="b", now=NOW, code=CODE)


def test_a_case_that_was_changed_is_not_sealed(tmp_path: Path):
    case = made(tmp_path, [b"one", b"two"])
    path = case / "parts" / "0001-note" / "rows.jsonl"
    path.write_bytes(path.read_bytes().replace(b"two", b"too"))
    with pytest.raises(AttestError, match=r"refused \[root\]"):
        seal.seal(case, tmp_path / "out.tar", [ANNA], by="a", why="b", now=NOW, code=CODE)
    assert not (tmp_path / "out.tar").exists()
    assert folder.open_case(case).status == "open"
    with pytest.raises(StorageError):
        seal.seal(case, tmp_path / "no" / "out.tar", [ANNA], by="a", why="b", now=NOW, code=CODE)


def test_withheld_words_are_gone_and_the_rest_holds(tmp_path: Path):
    done = sealed(tmp_path, [b"row %d" % n for n in range(9)])
    out = tmp_path / "handed.tar"
    told = seal.hand_on(done.path, out, withhold=["*/a.txt"], shows=lambda _, number, __: number != 4)
    assert told == {"0001-note/a.txt": 1, "0001-note/rows.jsonl": 1}
    data = out.read_bytes()
    assert b"secret words" not in data
    assert b"row 4" not in data
    assert b"row 5" in data
    assert folder.salts(folder.open_case(tmp_path / "case"), folder.open_case(tmp_path / "case").items[0])[
        "0001-note/a.txt"
    ].hex() not in data.decode("latin-1")
    found = check(out)
    assert sum(one.withheld for one in found.parts) == 2
    # Handing on what was handed on: what is withheld stays so.
    again = tmp_path / "again.tar"
    assert seal.hand_on(out, again, withhold=["*/rows.jsonl"]) == {"0001-note/rows.jsonl": 8}
    assert sum(one.withheld for one in check(again).parts) == 10
    with pytest.raises(UsageError, match="no part is called"):
        seal.hand_on(out, again, withhold=["*/a.txt"])


@settings(max_examples=15)
@given(
    rows=st.lists(st.binary(max_size=20).filter(lambda row: b"\n" not in row), max_size=12),
    hidden=st.sets(st.integers(0, 11)),
)
def test_any_leaves_can_be_withheld(
    rows: list[bytes], hidden: set[int], tmp_path_factory: pytest.TempPathFactory
):
    where = tmp_path_factory.mktemp("any")
    done = sealed(where, rows)
    out = where / "handed.tar"
    seal.hand_on(done.path, out, shows=lambda _, number, __: number not in hidden)
    found = next(one for one in check(out).parts if one.name.endswith("rows.jsonl"))
    assert (found.leaves, found.withheld) == (len(rows), len(hidden & set(range(len(rows)))))
    # The same root as before: the signed statement is the same, too.
    assert seal.statement_of(out) == seal.statement_of(done.path)


def test_unpacking_gives_the_files_back(tmp_path: Path):
    done = sealed(tmp_path, [b"one", b"two"])
    seal.unpack(done.path, tmp_path / "there", "0001-note")
    assert (tmp_path / "there" / "rows.jsonl").read_bytes() == b"one\ntwo\n"
    assert (tmp_path / "there" / "a.txt").read_bytes() == b"secret words"


def test_what_is_no_bundle_is_told_with_its_name(tmp_path: Path):
    (tmp_path / "x.tar").write_bytes(b"no")
    with pytest.raises(AttestError, match=r"x\.tar"):
        seal.statement_of(tmp_path / "x.tar")
    with pytest.raises(AttestError, match=r"x\.tar.*truncated"):
        check(tmp_path / "x.tar")
    with pytest.raises(AttestError, match="cannot be read"):
        check(tmp_path / "none.tar")


@pytest.fixture
def authority() -> Generator[tuple[str, Any]]:
    """An authority on loopback, and its root."""
    from importlib import util  # noqa: PLC0415

    spec = util.spec_from_file_location("spiritsafe_test_tsa", HERE / "tsa.py")
    assert spec is not None
    assert spec.loader is not None
    tsa = util.module_from_spec(spec)
    import sys  # noqa: PLC0415

    sys.modules[spec.name] = tsa
    spec.loader.exec_module(tsa)
    own = tsa.authority("ec")
    when = datetime.fromtimestamp((NOW + 5) / 1e6, UTC)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.headers["content-type"] == "application/timestamp-query"
            digest, nonce = tsa.request(body)
            answer = own.answer(digest, when, nonce)
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", own.root
    server.shutdown()
    server.server_close()


def test_an_authority_stamps_the_seal_at_once_or_later(tmp_path: Path, authority: tuple[str, Any]):
    url, root = authority
    done = sealed(tmp_path, [], stamper=stamps.authority(url))
    assert check(done.path, tsa=[root]).stamps[0]["trusted"]
    (tmp_path / "later").mkdir()
    bare = sealed(tmp_path / "later", [])
    token = stamps.authority(url)(seal.statement_of(bare.path))
    seal.stamped(bare.path, tmp_path / "stamped.tar", token)
    found = check(tmp_path / "stamped.tar", tsa=[root])
    assert found.unchecked == ()
    assert found.stamps[0]["time"] == "2027-01-15T08:00:00Z"
    seal.stamped(done.path, tmp_path / "two.tar", token)
    with pytest.raises(AttestError, match="stamp is of something else"):
        check(tmp_path / "two.tar", tsa=[root])


def test_an_authority_that_does_not_answer_is_named():
    with pytest.raises(UsageError, match="no address"):
        stamps.authority("file:///etc/passwd")
    with pytest.raises(AttestError, match="did not answer"):
        stamps.authority("http://127.0.0.1:9/")(b"x")
