"""Makes the conformance bundles: good ones, and forgeries of each kind with the reason for which they must be refused.

    python tests/conformance/make.py FOLDER

Everything is fixed (keys, salts, times), so that the same bytes come out each time; tests compare them with those beside
this file. The keys are test keys and known to everybody.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from spiritsafe.attest import dsse, keys
from spiritsafe.attest.canonical import jcs
from spiritsafe.cases import folder, measures, seal, verify
from spiritsafe.cases.verify import LEDGER, PARTS, PAYLOAD, SALTS, STATEMENT, header
from spiritsafe.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
NOW = 1_800_000_000_000_000
AT = "2027-01-15T08:10:00Z"
ANNA, BEN, MALLORY = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
KEY = keys.public(ANNA)
CODE = {"spiritsafe": "0.1.0", "source": "0" * 64}
FACTS, LETTER, HOUSE = "0001-note/facts.jsonl", "0001-note/letter.txt", "0002-orders/house.json"


@dataclass
class Case:
    """One bundle and what a verifier must say of it: ``code`` empty when it holds."""

    name: str
    data: bytes
    code: str
    why: str
    keys: list[str] = field(default_factory=lambda: [KEY])
    threshold: int = 1
    tsa: bool = False

    def told(self) -> dict[str, Any]:
        return {
            "bundle": f"{'bad' if self.code else 'good'}/{self.name}.tar", "keys": self.keys, "threshold": self.threshold,
            "tsa": "tsa.pem" if self.tsa else None, "at": AT, "code": self.code or None, "why": self.why,
        }  # fmt: skip


def salts() -> Callable[[int], bytes]:
    number = 0

    def next_one(size: int) -> bytes:
        nonlocal number
        number += 1
        return hashlib.sha256(b"%d" % number).digest()[:size]

    return next_one


def record(number: int) -> bytes:
    return json.dumps(
        {"exchange_id": f"ex-{number}", "account_id": f"acct-{number % 3}", "prompt": "?" * number}
    ).encode()


def build(where: Path) -> bytes:
    """The bundle of a small case: a letter, eleven records, an excerpt of a house ledger, an empty table."""
    case, salt = where / "case", salts()
    folder.create(
        case,
        case_id="case-0",
        title="Conformance",
        claim="A claim in plain words.",
        by="anna",
        why="test",
        now=NOW,
    )
    folder.add(
        case, "note", by="anna", why="records", now=NOW + 1, about={"settings": "ab" * 32}, salt=salt,
        files={"letter.txt": b"To whom it may concern.\n"},
        lines={"facts.jsonl": [record(n) for n in range(11)], "none.jsonl": []},
    )  # fmt: skip
    with Ledger(where / "house.jsonl") as book:
        for number in range(7):
            book.append("order", {"order_id": f"o-{number % 4}", "number": number}, time=NOW + number)
    house = measures.excerpt(where / "house.jsonl", lambda one: one.body["order_id"] == "o-2")
    folder.add(
        case, "orders", by="ben", why="measures", now=NOW + 2, about={}, salt=salt, files={"house.json": jcs(house)}
    )  # fmt: skip
    told: dict[str, Any] = {"by": "anna", "why": "test", "now": NOW + 3, "code": CODE}
    seal.seal(case, where / "out.tar", [ANNA], **told)
    return (where / "out.tar").read_bytes()


def members(data: bytes) -> dict[str, bytes]:
    file = io.BytesIO(data)
    return {name: data[at : at + size] for name, (at, size) in verify.archive(file).items()}


def pack(found: dict[str, bytes] | list[tuple[str, bytes]], *, ordered: bool = True) -> bytes:
    rows = list(found.items()) if isinstance(found, dict) else found
    if ordered:
        rows = sorted(rows)
    body = b"".join(header(name, len(one)) + one + b"\0" * (-len(one) % 512) for name, one in rows)
    return body + b"\0" * 1024


def payload(found: dict[str, bytes]) -> dict[str, Any]:
    return json.loads(base64.b64decode(json.loads(found[STATEMENT])["payload"]))


def signed(statement: dict[str, Any] | bytes, *signers: Ed25519PrivateKey, kind: str = PAYLOAD) -> bytes:
    data = statement if isinstance(statement, bytes) else jcs(statement)
    return jcs(dsse.sign(data, kind, *(signers or (ANNA,))))


def changed(found: dict[str, bytes], **more: bytes) -> dict[str, bytes]:
    return {**found, **{name.replace("__", "/"): one for name, one in more.items()}}


def chained(rows: list[dict[str, Any]]) -> bytes:
    """A ledger with the same content and a chain of its own."""
    with tempfile.TemporaryDirectory() as scratch, Ledger(Path(scratch) / "l") as book:
        for row in rows:
            book.append(row["kind"], row["body"], time=row["time"])
        return book.path.read_bytes()


def rebuilt(found: dict[str, bytes], ledger: bytes, **predicate: Any) -> dict[str, bytes]:
    """The bundle with another ledger, rightly signed over it."""
    statement = payload(found)
    last = json.loads(ledger.splitlines()[-1])
    statement["predicate"] |= {"ledger": {"entries": last["seq"] + 1, "head": last["hash"]}, **predicate}
    return {**found, LEDGER: ledger, STATEMENT: signed(statement)}


def made() -> list[Case]:
    with tempfile.TemporaryDirectory() as scratch:
        where = Path(scratch)
        plain = build(where)
        whole = where / "out.tar"
        seal.hand_on(whole, where / "a.tar", withhold=["*/letter.txt"])
        seal.hand_on(whole, where / "b.tar", shows=lambda part, number, _: part != FACTS or number % 3 == 0)
        seal.hand_on(whole, where / "c.tar", withhold=["*"])
        handed = [(where / name).read_bytes() for name in ("a.tar", "b.tar", "c.tar")]
    found = members(plain)
    two = {**found, STATEMENT: signed(payload(found), ANNA, BEN)}
    good = [
        Case("plain", plain, "", "as it was sealed"),
        Case("file-withheld", handed[0], "", "a file is withheld; its hash stays"),
        Case("records-withheld", handed[1], "", "two records of three are withheld; their hashes stay"),
        Case("all-withheld", handed[2], "", "only hashes are left"),
        Case("two-signers", pack(two), "", "two of two keys signed", [KEY, keys.public(BEN)], 2),
        Case("stamped", stamped(found), "", "with a time stamp that leads to a known authority", tsa=True),
        Case("stamp-unchecked", stamped(found), "", "no authority is given: the stamp is told as unchecked"),
    ]
    return [
        *good,
        *archives(plain, found),
        *contents(found, members(handed[1])),
        *ledgers(found),
        *statements(found),
        *times(found),
    ]


def stamped(found: dict[str, bytes]) -> bytes:
    return pack({**found, "stamps/1.tsr": (HERE / "stamp.tsr").read_bytes()})


def archives(plain: bytes, found: dict[str, bytes]) -> list[Case]:
    rows = sorted(found.items())
    link = tarfile.TarInfo("parts/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    padded = bytearray(plain)
    padded[512 + len(found[LEDGER])] = 65
    long = pack([("a.txt", b"x")])[:1024]
    pax = tarfile.TarInfo("parts/x")
    pax.pax_headers = {"path": "elsewhere"}
    huge = header("ledger.jsonl", (1 << 33) - 1) + b"\0" * 1024
    return [
        Case("truncated", plain[: len(plain) // 2 // 512 * 512], "truncated", "the second half is missing"),
        Case("truncated-in-file", plain[:700], "truncated", "it ends inside a file"),
        Case("empty", b"", "truncated", "a file of no bytes"),
        Case("end-cut", plain[:-512], "trailing", "the last block is missing"),
        Case("appended", plain + b"\0" * 512, "trailing", "something was appended"),
        Case("second-archive", plain + plain, "trailing", "another archive stands behind the end"),
        Case("padding-used", bytes(padded), "truncated", "data hides in the padding of a block"),
        Case(
            "re-ordered",
            pack([rows[1], rows[0], *rows[2:]], ordered=False),
            "order",
            "two files changed places",
        ),
        Case(
            "name-twice", pack([rows[0], rows[0], *rows[1:]], ordered=False), "order", "one name stands twice"
        ),
        Case("compressed", gzip.compress(plain, mtime=0), "archive", "compressed archives can be bombs"),
        Case("huge", huge, "truncated", "a size of 8 GiB is declared and nothing is there"),
        Case("climbing", pack({**found, "../evil": b"x"}), "archive", "a name that climbs out of the folder"),
        Case("absolute", pack({**found, "/evil": b"x"}), "archive", "an absolute name"),
        Case("hidden", pack({**found, ".evil": b"x"}), "archive", "a hidden name"),
        Case("link", link.tobuf(tarfile.USTAR_FORMAT) + plain, "archive", "a symbolic link"),
        Case(
            "pax",
            pax.tobuf(tarfile.PAX_FORMAT) + plain,
            "archive",
            "a header of another dialect, which may rename what follows",
        ),
        Case(
            "other-mode",
            long.replace(b"0000644", b"0004755") + b"\0" * 1024,
            "archive",
            "a header that we never write",
        ),
    ]


def contents(found: dict[str, bytes], handed: dict[str, bytes]) -> list[Case]:
    name, letter = PARTS + FACTS, PARTS + LETTER
    rows = found[name].splitlines(keepends=True)
    other = b"+" + b"0" * 32 + b" " + rows[4][34:]
    hidden = handed[name].splitlines(keepends=True)
    at = next(n for n, row in enumerate(hidden) if row.startswith(b"-"))
    flipped = b"-" + (b"0" if hidden[at][1:2] != b"0" else b"1") + hidden[at][2:]

    def lined(lines: list[bytes]) -> bytes:
        return pack({**found, name: b"".join(lines)})

    def without(*names: str) -> bytes:
        return pack({key: one for key, one in found.items() if key not in names})

    salted = found[SALTS].decode().splitlines(keepends=True)
    unsalted = "".join(row for row in salted if LETTER not in row).encode()
    return [
        Case(
            "record-changed",
            lined([*rows[:3], rows[3].replace(b"acct-0", b"acct-9"), *rows[4:]]),
            "root",
            "an account was renamed",
        ),
        Case("record-swapped", lined([rows[1], rows[0], *rows[2:]]), "root", "two records changed places"),
        Case("record-removed", lined(rows[:-1]), "root", "the last record is missing"),
        Case("record-twice", lined([*rows, rows[-1]]), "root", "the last record stands twice"),
        Case(
            "record-salted-anew",
            lined([*rows[:4], other, *rows[5:]]),
            "root",
            "the same record with another salt",
        ),
        Case(
            "hash-changed",
            pack({**handed, name: b"".join([*hidden[:at], flipped, *hidden[at + 1 :]])}),
            "root",
            "a withheld record's hash was changed",
        ),
        Case(
            "line-malformed",
            lined([*rows[:2], b"no leaf at all\n", *rows[3:]]),
            "line",
            "a line is neither shown nor withheld",
        ),
        Case("line-unended", lined([*rows[:-1], rows[-1][:-1]]), "line", "the last line has no end"),
        Case("file-changed", pack({**found, letter: b"To nobody.\n"}), "leaf", "the letter is another"),
        Case(
            "salt-changed",
            pack({**found, SALTS: found[SALTS].replace(found[SALTS][:2], b"00", 1)}),
            "leaf",
            "a salt is another",
        ),
        Case("salt-missing", pack({**found, SALTS: unsalted}), "salt", "a file is shown and its salt is not"),
        Case("salt-malformed", pack({**found, SALTS: b"zz\n"}), "salt", "a line of the salts makes no sense"),
        Case("salt-alone", without(letter), "extra", "a salt is shown and its file is not"),
        Case(
            "extra-file",
            pack({**found, "parts/0001-note/more.txt": b"x"}),
            "extra",
            "a file that nobody sealed",
        ),
        Case("extra-beside", pack({**found, "readme.txt": b"x"}), "extra", "a file beside what a bundle has"),
        Case("records-missing", without(name), "missing", "records must be there, if only as hashes"),
        Case("statement-missing", without(STATEMENT), "missing", "nobody signed it"),
        Case("ledger-missing", without(LEDGER), "missing", "who added what is not told"),
    ]


def ledgers(found: dict[str, bytes]) -> list[Case]:
    rows = found[LEDGER].splitlines(keepends=True)
    told = [json.loads(row) for row in rows]
    house = json.loads(found[PARTS + HOUSE])

    def excerpt(**how: Any) -> bytes:
        """The excerpt changed, and all else rightly sealed around it."""
        data, salt = jcs({**house, **how}), b"\1" * 16
        root = hashlib.sha256(b"\0" + salt + data).hexdigest()
        entries = json.loads(json.dumps(told))
        entries[2]["body"]["parts"][HOUSE]["root"] = root
        new = rebuilt({**found, PARTS + HOUSE: data}, chained(entries))
        statement = payload(new)
        next(one for one in statement["subject"] if one["name"] == HOUSE)["digest"]["rfc6962-sha256"] = root
        lines = [row for row in found[SALTS].decode().splitlines() if HOUSE not in row] + [
            f"{salt.hex()} {HOUSE}"
        ]
        return pack({**new, STATEMENT: signed(statement), SALTS: ("\n".join(lines) + "\n").encode()})

    first, *rest = house["entries"]
    line = {**first, "line": first["line"].replace('"number":2', '"number":9')}
    path = {**first, "path": [first["path"][1], first["path"][0], *first["path"][2:]]}
    longer = {**first, "path": [*first["path"], "00" * 32]}
    return [
        Case(
            "entry-changed",
            pack({**found, LEDGER: found[LEDGER].replace(b'"why":"records"', b'"why":"nothing"')}),
            "entry",
            "an entry's reason was changed",
        ),
        Case(
            "entry-spaced",
            pack({**found, LEDGER: rows[0].replace(b",", b", ", 1) + b"".join(rows[1:])}),
            "entry",
            "an entry is not in its one form",
        ),
        Case("entry-removed", pack({**found, LEDGER: rows[0] + rows[2]}), "chain", "an entry is missing"),
        Case(
            "entries-swapped",
            pack({**found, LEDGER: rows[0] + rows[2] + rows[1]}),
            "chain",
            "two entries changed places",
        ),
        Case("ledger-cut", pack({**found, LEDGER: b"".join(rows[:-1])}), "head", "the last entry is missing"),
        Case("ledger-torn", pack({**found, LEDGER: found[LEDGER][:-1]}), "head", "the last line has no end"),
        Case(
            "ledger-anew",
            pack({**found, LEDGER: chained([{**one, "time": one["time"] - 10**9} for one in told])}),
            "head",
            "all times were shifted and the chain was made anew",
        ),
        Case(
            "left-out",
            pack(
                rebuilt(
                    found,
                    chained(
                        [
                            *told,
                            {
                                "kind": "case-item",
                                "time": NOW + 3,
                                "body": {
                                    "item": "0003-note",
                                    "parts": {
                                        "0003-note/x": {"kind": "file", "leaves": 1, "root": "00" * 32}
                                    },
                                },
                            },
                        ]
                    ),
                )
            ),
            "subject",
            "what was added was left out of the statement",
        ),
        Case(
            "unrecorded",
            pack(rebuilt(found, chained(told[:2]))),
            "subject",
            "a part that the ledger knows nothing of",
        ),
        Case(
            "excerpt-changed",
            excerpt(entries=[line, *rest]),
            "entry",
            "an entry of the house's ledger was changed",
        ),
        Case(
            "excerpt-path", excerpt(entries=[path, *rest]), "proof", "the proof of an entry leads elsewhere"
        ),
        Case("excerpt-long", excerpt(entries=[longer, *rest]), "proof", "the proof of an entry is too long"),
        Case(
            "excerpt-size", excerpt(size=2), "proof", "the house's ledger is shorter than its entry's number"
        ),
        Case("excerpt-root", excerpt(root="ab" * 32), "proof", "the root is another"),
        Case(
            "excerpt-malformed",
            excerpt(entries=[{"line": first["line"]}]),
            "malformed",
            "an entry without its proof",
        ),
    ]


def statements(found: dict[str, bytes]) -> list[Case]:
    statement = payload(found)
    envelope = json.loads(found[STATEMENT])
    shifted = {
        **statement,
        "predicate": {
            **statement["predicate"],
            "sealed": {**statement["predicate"]["sealed"], "time": "2026-01-01T00:00:00Z"},
        },
    }
    forged = {**envelope, "payload": base64.b64encode(jcs(shifted)).decode()}
    doubled = jcs(statement).replace(b'{"_type"', b'{"_type":"x","_type"', 1)
    swapped = json.loads(json.dumps(statement))
    one, other = swapped["subject"][0], swapped["subject"][1]
    one["digest"], other["digest"] = other["digest"], one["digest"]
    nothing = {**statement, "predicate": {**statement["predicate"], "case": {"id": 5}}}
    return [
        Case(
            "forged",
            pack({**found, STATEMENT: jcs(forged)}),
            "signature",
            "the time of the seal was changed under its signature",
        ),
        Case(
            "re-signed",
            pack({**found, STATEMENT: signed(statement, MALLORY)}),
            "signature",
            "another key signed it",
        ),
        Case(
            "re-signed-as",
            pack(
                {
                    **found,
                    STATEMENT: signed(statement, MALLORY).replace(
                        keys.keyid(MALLORY.public_key()).encode(), keys.keyid(ANNA.public_key()).encode()
                    ),
                }
            ),
            "signature",
            "another key signed it under the right key's name",
        ),
        Case(
            "one-of-two",
            pack(found),
            "signature",
            "two keys are asked for and one signed",
            [KEY, keys.public(BEN)],
            2,
        ),
        Case(
            "key-twice",
            pack({**found, STATEMENT: signed(statement, ANNA, ANNA)}),
            "signature",
            "one key signed twice and counts once",
            [KEY, keys.public(BEN)],
            2,
        ),
        Case(
            "subject-swapped",
            pack({**found, STATEMENT: signed(swapped)}),
            "subject",
            "two digests changed places, rightly signed",
        ),
        Case(
            "other-payload-type",
            pack({**found, STATEMENT: signed(statement, kind="application/json")}),
            "type",
            "it was signed as something else",
        ),
        Case(
            "other-predicate",
            pack(
                {**found, STATEMENT: signed({**statement, "predicateType": "https://slsa.dev/provenance/v1"})}
            ),
            "type",
            "it states something else",
        ),
        Case(
            "name-twice-in-json",
            pack({**found, STATEMENT: signed(doubled)}),
            "json",
            "a name stands twice, so it has two readings",
        ),
        Case("no-json", pack({**found, STATEMENT: b"\xff"}), "json", "the statement is no JSON"),
        Case(
            "malformed",
            pack({**found, STATEMENT: signed(nothing)}),
            "malformed",
            "the statement lacks what it must tell",
        ),
        Case(
            "no-signatures",
            pack({**found, STATEMENT: jcs({**envelope, "signatures": []})}),
            "signature",
            "nobody signed",
        ),
    ]


def times(found: dict[str, bytes]) -> list[Case]:
    told = [json.loads(row) for row in found[LEDGER].splitlines()]
    sealed = payload(found)["predicate"]["sealed"]
    token = (HERE / "stamp.tsr").read_bytes()

    def at(time: str) -> dict[str, bytes]:
        return rebuilt(found, found[LEDGER], sealed={**sealed, "time": time})

    back = [told[0], {**told[1], "time": told[0]["time"] - 1}, told[2]]
    return [
        Case("future", pack(at("2027-01-16T08:00:00Z")), "time-future", "it was sealed tomorrow"),
        Case(
            "sealed-early",
            pack(at("2027-01-15T07:59:59Z")),
            "time-order",
            "it was sealed before its last entry",
        ),
        Case(
            "entry-earlier",
            pack(rebuilt(found, chained(back))),
            "time-order",
            "an entry is older than the one before",
        ),
        Case("time-malformed", pack(at("yesterday")), "malformed", "the time of the seal is no time"),
        Case(
            "stamp-of-another",
            pack({**at("2027-01-15T08:00:01Z"), "stamps/1.tsr": token}),
            "stamp",
            "the stamp is of another statement",
            tsa=True,
        ),
        Case(
            "stamp-forged",
            pack({**found, "stamps/1.tsr": token[:-4] + bytes(4)}),
            "stamp",
            "the stamp's signature was changed",
            tsa=True,
        ),
        Case("stamp-cut", pack({**found, "stamps/1.tsr": token[:300]}), "stamp", "the stamp is cut"),
        Case(
            "stamp-untrusted",
            pack({**found, "stamps/1.tsr": (HERE / "other.tsr").read_bytes()}),
            "stamp",
            "an authority that is not trusted stamped it",
            tsa=True,
        ),
        Case(
            "stamp-late",
            pack({**found, "stamps/1.tsr": (HERE / "late.tsr").read_bytes()}),
            "stamp-time",
            "stamped long after the time that it tells: back-dated",
            tsa=True,
        ),
    ]


def write(where: Path) -> None:
    found = made()
    for kind in ("good", "bad"):
        (where / kind).mkdir(parents=True, exist_ok=True)
    for one in found:
        (where / one.told()["bundle"]).write_bytes(one.data)
    rows = [one.told() for one in found]
    (where / "expected.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
