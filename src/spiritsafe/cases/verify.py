"""Checks a sealed case without trusting who sealed it: offline, with this one file, Python 3.11 and ``cryptography``.

    python verify.py BUNDLE --key ed25519:… [--tsa ROOTS.pem]

A bundle is an uncompressed tar of known shape (docs/bundle.md). ``verify`` returns what it found or raises ``Refused``; it
never returns a doubt. The order of this file is that of the checks: the archive, the signature, the chain of the case's
ledger, every leaf of every Merkle tree, excerpts of other ledgers, the time stamps. Nothing is unpacked or executed.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    Places = Mapping[str, tuple[int, int]]

PREDICATE = "urn:spiritsafe:case-bundle:1"
PAYLOAD = "application/vnd.in-toto+json"
STATEMENT, LEDGER, SALTS = "statement.dsse.json", "ledger.jsonl", "salts.txt"
PARTS, STAMPS, HOUSE = "parts/", "stamps/", "/house.json"
GENESIS = "0" * 64
BLOCK, MOST_MEMBERS, MOST_SMALL, MOST_LINE, MOST = 512, 100_000, 256 << 20, 64 << 20, 64 << 30
SKEW, LATE = timedelta(minutes=5), timedelta(days=1)  # clocks differ; a stamp is fetched soon after sealing
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_HEX, _SALT = re.compile(rb"[0-9a-f]{64}"), re.compile(rb"[0-9a-f]{32}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Why a bundle is refused, by code, and what to do then.
HINTS = {
    "archive": "this is no bundle; do not unpack it",
    "too-large": "no bundle is as large; raise the limit if you expect so",
    "truncated": "ask for it again and compare the lengths",
    "order": "a file stands twice or in another place; ask for the bundle as it was sealed",
    "trailing": "what stands behind the end was not sealed; ask for the bundle as it was sealed",
    "json": "ask for the bundle as it was sealed",
    "malformed": "ask for the bundle as it was sealed",
    "missing": "ask for the whole bundle",
    "extra": "a file was put in that nobody sealed; ask for the bundle as it was sealed",
    "key": 'a public key is written "ed25519:" and base64 of 32 bytes',
    "type": "this is no sealed case, or one of another version",
    "signature": "it was changed, or another key sealed it; get the key from who you trust, never from the bundle",
    "time-future": "compare the clocks; the time of the seal was shifted",
    "time-order": "a time was shifted; ask who sealed it for the ledger",
    "entry": "an entry of a ledger was changed after it was written",
    "chain": "an entry of the ledger was removed, moved or put in",
    "head": "entries of the ledger were cut off or added",
    "subject": "something was left out, swapped, or put in without being recorded",
    "leaf": "the file was changed or swapped",
    "salt": "ask for the bundle as it was handed on",
    "line": "a line is +SALT CONTENT or -HASH; ask for the bundle as it was handed on",
    "root": "lines were changed, moved, cut or swapped",
    "proof": "the excerpt of the ledger was made up or changed",
    "stamp": "the time stamp is no proof of time; ask for another",
    "stamp-time": "the time of the seal was shifted; rely on the stamp and ask why",
}


class Refused(Exception):  # noqa: N818 - reads as the fact it states
    """The bundle does not hold. ``code`` is one of ``HINTS``; ``where`` names the file, and the line if there is one."""

    def __init__(self, code: str, where: str, why: str) -> None:
        super().__init__(f"refused [{code}] {where}: {why}\n  hint: {HINTS[code]}")
        self.code, self.where, self.why = code, where, why


def refuse(code: str, where: str, why: str) -> NoReturn:
    """Raise Refused."""
    raise Refused(code, where, why) from None


@dataclass(frozen=True, slots=True)
class Part:
    """A sealed file (one leaf) or file of lines: how many leaves its tree has, how many of them are withheld."""

    name: str
    kind: str
    leaves: int
    withheld: int
    root: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What was checked. ``facts``: the statement's predicate; ``entries``: the case's ledger, each entry as its object.

    ``excerpts``, ``stamps``: proven entries of other ledgers, and times by third parties. ``unchecked``: in words.
    """

    facts: Mapping[str, Any]
    signers: tuple[str, ...]
    parts: tuple[Part, ...]
    entries: tuple[Mapping[str, Any], ...]
    excerpts: tuple[Mapping[str, Any], ...]
    stamps: tuple[Mapping[str, Any], ...]
    unchecked: tuple[str, ...]


def verify(
    path: Path,
    keys: Sequence[str],
    *,
    now: datetime,
    threshold: int = 1,
    tsa: Sequence[x509.Certificate] = (),
    most: int = MOST,
) -> Checked:
    """Check all of the bundle at ``path``. ``keys``: public keys ("ed25519:…") that may have sealed it, got elsewhere.

    ``tsa``: authorities that time stamps may lead to; without them their signers are told as unchecked. Raises Refused.
    """
    with path.open("rb") as file:
        places = archive(file, most)
        envelope = small(file, places, STATEMENT)
        statement, signers = _signed(envelope, keys, threshold)
        facts = statement["predicate"]
        sealed = moment(facts["sealed"]["time"], STATEMENT)
        if sealed > now + SKEW:
            refuse("time-future", STATEMENT, "it was sealed in the future")
        entries, added = _chain(small(file, places, LEDGER), facts["ledger"], sealed)
        _subjects(statement["subject"], added)
        salts = salts_of(small(file, places, SALTS))
        stamps = [name for name in places if name.startswith(STAMPS)]
        _nothing_else(places, salts, {STATEMENT, LEDGER, SALTS, *stamps, *(PARTS + name for name in added)})
        parts = tuple(_part(file, places, salts, name, told) for name, told in sorted(added.items()))
        excerpts = tuple(
            _excerpt(parse(small(file, places, name), name), name) for name in places if name.endswith(HOUSE)
        )
        seen = tuple(_stamp(small(file, places, one), one, envelope, sealed, tsa) for one in stamps)
    unchecked = [f"who signed {one['file']}, for want of --tsa" for one in seen if not one["trusted"]]
    if not seen:
        unchecked.append("times, beyond the word of who sealed: there is no time stamp")
    return Checked(facts, signers, parts, entries, excerpts, seen, tuple(unchecked))


# The archive: a tar in one form only. No compression, so no bomb; no links, no second name, no room for anything unseen.


def header(name: str, size: int) -> bytes:
    """The one tar header (POSIX ustar) of a member."""
    head = name.encode("ascii").ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2
    head += b"%011o\0" % size + b"0" * 11 + b"\0" + b" " * 8 + b"0" + b"\0" * 100 + b"ustar\x0000"
    head = (head + b"\0" * 64 + b"0000000\0" * 2).ljust(BLOCK, b"\0")
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


def archive(file: IO[bytes], most: int = MOST) -> dict[str, tuple[int, int]]:
    """Where each member begins and how long it is. Raises Refused for anything but the one form of such an archive."""
    found: dict[str, tuple[int, int]] = {}
    end = file.seek(0, 2)
    if end > most:
        refuse("too-large", "the bundle", f"it has {end} bytes, more than {most}")
    at, last = 0, ""
    while True:
        file.seek(at)
        head = file.read(BLOCK)
        if len(head) < BLOCK:
            refuse("truncated", last or "the bundle", "the archive ends too soon")
        if head == b"\0" * BLOCK:
            break
        name, length = head[:100].rstrip(b"\0").decode("ascii", "replace"), head[124:135]
        size = int(length, 8) if re.fullmatch(rb"[0-7]{11}", length) else -1
        if size < 0 or not NAME.fullmatch(name) or head != header(name, size):
            refuse("archive", f"behind {last}" if last else "the bundle", "no plain file as a bundle has it")
        if name <= last:
            refuse("order", name, f"it stands behind {last}")
        if len(found) == MOST_MEMBERS:
            refuse("too-large", name, f"there are more than {MOST_MEMBERS} files")
        found[name], last = (at + BLOCK, size), name
        stop = at + BLOCK + size
        at = -(-stop // BLOCK) * BLOCK
        file.seek(min(stop, end))
        if at > end or file.read(at - stop).strip(b"\0"):
            refuse(
                "truncated", name, "the archive ends inside this file, or what fills its last block is used"
            )
    if file.read(BLOCK + 1) != b"\0" * BLOCK:
        refuse("trailing", last or "the bundle", "the archive does not end behind this file")
    return found


def small(file: IO[bytes], places: Places, name: str) -> bytes:
    """A whole member that must be there. Raises Refused."""
    if name not in places:
        refuse("missing", name, "the bundle does not have it")
    at, size = places[name]
    if size > MOST_SMALL:
        refuse("too-large", name, f"it has {size} bytes, more than {MOST_SMALL}")
    file.seek(at)
    return file.read(size)


def _nothing_else(places: Places, salts: Mapping[str, bytes], known: set[str]) -> None:
    for name in (*places, *(PARTS + one for one in salts)):
        if name not in known or name not in places:
            refuse("extra", name, "nothing that was sealed is called so, or only its salt is there")


# The signature: DSSE over an in-toto statement.


def _signed(data: bytes, keys: Sequence[str], threshold: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    known = [(text, public(text)) for text in dict.fromkeys(keys)]
    envelope = parse(data, STATEMENT)
    with shaped(STATEMENT):
        kind, payload = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"], validate=True)
        marks = [base64.b64decode(one["sig"], validate=True) for one in envelope["signatures"][:64]]
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    signers = tuple(text for text, key in known if any(_holds(key.verify, mark, message) for mark in marks))
    if len(signers) < max(1, threshold):
        refuse("signature", STATEMENT, f"{len(signers)} of {max(1, threshold)} signatures hold for your keys")
    statement = parse(payload, STATEMENT)
    with shaped(STATEMENT):
        facts = statement["predicate"] if kind.decode() == PAYLOAD else {}
        if (statement["_type"], statement["predicateType"]) != ("https://in-toto.io/Statement/v1", PREDICATE):
            facts = {}
        texts = [facts["case"][name] for name in ("id", "title", "claim")] if facts else []
        texts += [facts["sealed"][name] for name in ("time", "by")] if facts else []
        if facts and not (all(isinstance(one, str) for one in texts) and isinstance(facts["code"], dict)):
            raise TypeError
    if not facts:
        refuse("type", STATEMENT, "it is signed, and no statement of a sealed case")
    return statement, signers


def public(text: str) -> Ed25519PublicKey:
    """A public key as it is printed. Raises Refused."""
    try:
        raw = base64.b64decode(text.strip().removeprefix("ed25519:"), validate=True)
        return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        refuse("key", text[:60], "this is no public key")


def _holds(check: Callable[..., object], *arguments: object) -> bool:
    try:
        check(*arguments)
    except InvalidSignature:
        return False
    return True


# The case's ledger: who added what, when and why. Each entry commits to all before it.


def entry(line: bytes, where: str) -> dict[str, Any]:
    """One entry of a ledger, checked by its own hash. Raises Refused."""
    one = parse(line, where)
    bare = {name: one.get(name) for name in ("seq", "prev", "time", "kind", "body")}
    digest = hashlib.sha256(b"spiritsafe ledger 1\n" + _plain(bare)).hexdigest()
    if one.get("hash") != digest or _plain({**bare, "hash": digest}) != line:
        refuse("entry", where, "it does not fit its hash, or is not in its one form")
    if [type(one[name]) for name in ("seq", "prev", "time", "kind", "body")] != [int, str, int, str, dict]:
        refuse("entry", where, "this is no entry of a ledger")
    return one


def _chain(
    data: bytes, told: Mapping[str, Any], sealed: datetime
) -> tuple[tuple[dict[str, Any], ...], dict[str, tuple[str, int, str]]]:
    head, clock = GENESIS, 0
    entries: list[dict[str, Any]] = []
    added: dict[str, tuple[str, int, str]] = {}
    for number, line in enumerate(data.split(b"\n")[:-1]):
        where = f"{LEDGER}:{number + 1}"
        one = entry(line, where)
        if (one["prev"], one["seq"]) != (head, number):
            refuse("chain", where, "it does not follow the entry before")
        if one["time"] < clock:
            refuse("time-order", where, "it is older than the entry before")
        head, clock = one["hash"], one["time"]
        entries.append(one)
        with shaped(where):
            for name, part in one["body"].get("parts", {}).items():
                if name in added or not NAME.fullmatch(name):
                    raise ValueError
                added[name] = part["kind"], int(part["leaves"]), str(part["root"])
    with shaped(STATEMENT):
        if (head, len(entries)) != (told["head"], told["entries"]) or data[-1:] not in {b"", b"\n"}:
            refuse("head", LEDGER, "it does not end where the statement says")
    if clock > (sealed - _EPOCH) / timedelta(microseconds=1):
        refuse("time-order", LEDGER, "its last entry is later than the seal")
    return tuple(entries), added


def _subjects(subjects: Any, added: Mapping[str, tuple[str, int, str]]) -> None:
    with shaped(STATEMENT):
        told = {one["name"]: one["digest"]["rfc6962-sha256"] for one in subjects}
    for name in sorted(told.keys() | added.keys()):
        if name not in added or told.get(name) != added[name][2] or added[name][0] not in {"file", "lines"}:
            refuse("subject", name, "the statement and the case's ledger differ on it")


# The parts: a Merkle tree (RFC 6962) each. A file is one leaf, a file of lines one leaf a line; leaves are salted.


def _part(
    file: IO[bytes], places: Places, salts: Mapping[str, bytes], name: str, told: tuple[str, int, str]
) -> Part:
    kind, leaves, root = told
    if kind == "file" and PARTS + name not in places:
        return Part(name, kind, 1, 1, root)
    if PARTS + name not in places:
        refuse("missing", name, "a file of lines must be there, if only as hashes")
    if kind == "lines":
        return _tree(file, *places[PARTS + name], Part(name, kind, leaves, 0, root))
    if name not in salts:
        refuse("salt", name, "the file is there and its salt is not")
    at, left = places[PARTS + name]
    digest = hashlib.sha256(b"\0" + salts[name])
    file.seek(at)
    while left:
        piece = file.read(min(left, 1 << 20))
        digest.update(piece)
        left -= len(piece)
    if (leaves, digest.hexdigest()) != (1, root):
        refuse("leaf", name, "this is not the file that was sealed")
    return Part(name, kind, 1, 0, root)


def _tree(file: IO[bytes], at: int, size: int, told: Part) -> Part:
    peaks: list[tuple[int, bytes]] = []  # roots of perfect trees, from large to small, with their heights
    count = withheld = 0
    for leaf, content, _ in lines(file, at, size, told.name):
        height, node = 0, leaf
        while peaks and peaks[-1][0] == height:
            height, node = height + 1, _node(peaks.pop()[1], node)
        peaks.append((height, node))
        count, withheld = count + 1, withheld + (content is None)
    top = peaks.pop()[1] if peaks else hashlib.sha256(b"").digest()
    while peaks:
        top = _node(peaks.pop()[1], top)
    if (count, top.hex()) != (told.leaves, told.root):
        refuse("root", told.name, f"its {count} lines are not the {told.leaves} that were sealed")
    return Part(told.name, told.kind, count, withheld, told.root)


def lines(file: IO[bytes], at: int, size: int, name: str) -> Iterator[tuple[bytes, bytes | None, bytes]]:
    """Leaf hash, content (None where only the hash is shown) and the line as it stands. Raises Refused."""
    file.seek(at)
    number, end = 0, at + size
    while at < end:
        line, number = file.readline(min(MOST_LINE, end - at)), number + 1
        at += len(line)
        if line[:1] == b"+" and _SALT.fullmatch(line[1:33]) and line[33:34] == b" " and line[-1:] == b"\n":
            salt, content = bytes.fromhex(line[1:33].decode()), line[34:-1]
            yield hashlib.sha256(b"\0" + salt + content).digest(), content, line
        elif line[:1] == b"-" and _HEX.fullmatch(line[1:65]) and line[65:] == b"\n":
            yield bytes.fromhex(line[1:65].decode()), None, line
        else:
            refuse("line", f"{name}:{number}", "this line is neither shown nor withheld")


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def salts_of(data: bytes) -> dict[str, bytes]:
    """The salts of the files that are shown. Raises Refused."""
    found: dict[str, bytes] = {}
    for number, line in enumerate(data.decode("ascii", "replace").split("\n")[:-1], 1):
        salt, _, name = line.partition(" ")
        if not _SALT.fullmatch(salt.encode()) or not NAME.fullmatch(name) or name in found:
            refuse("salt", f"{SALTS}:{number}", "a line is SALT NAME, each name once")
        found[name] = bytes.fromhex(salt)
    return found


# Excerpts: entries of another ledger (orders, commitments), each proven to stand in it without showing the others.


def _excerpt(told: dict[str, Any], name: str) -> dict[str, Any]:
    with shaped(name):
        size, root, found = int(told["size"]), bytes.fromhex(told["root"]), list(told["entries"])
        for number, row in enumerate(found):
            where = f"{name}, entry {number}"
            one = entry(row["line"].encode(), where)
            if not 0 <= one["seq"] < size or (one["seq"] == size - 1 and one["hash"] != told["head"]):
                refuse("proof", where, "the ledger is not as long, or ends otherwise")
            leaf = hashlib.sha256(b"\0" + bytes.fromhex(one["hash"])).digest()
            if _led_to(one["seq"], size - 1, leaf, [bytes.fromhex(part) for part in row["path"]]) != root:
                refuse("proof", where, "its proof does not lead to the root")
        kept = {key: told[key] for key in ("name", "size", "head", "root")}
    return {**kept, "entries": len(found)}


def _led_to(place: int, last: int, node: bytes, path: Sequence[bytes]) -> bytes | None:
    """The root that an inclusion proof leads to: RFC 9162, 2.1.3.2."""
    for part in path:
        if last == 0:
            return None
        if place & 1 or place == last:
            node = _node(part, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = _node(node, part)
        place, last = place >> 1, last >> 1
    return node if last == 0 else None


# Time stamps (RFC 3161) over the signed statement: it existed at that time, on the word of a third party.

_HASHES = {"2.16.840.1.101.3.4.2.1": hashes.SHA256(), "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
           "2.16.840.1.101.3.4.2.3": hashes.SHA512()}  # fmt: skip
_TIMES, _DIGEST = "1.2.840.113549.1.9.16.1.4", "1.2.840.113549.1.9.4"
_CERTIFICATE, _OLDER = "1.2.840.113549.1.9.16.2.47", "1.2.840.113549.1.9.16.2.12"
_UNFIT = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm)
Der = tuple[int, bytes, bytes]


def _stamp(
    data: bytes, name: str, envelope: bytes, sealed: datetime, tsa: Sequence[x509.Certificate]
) -> dict[str, Any]:
    try:
        outer = _in(_der(data)[0])
        token = outer if outer[0][0] == 6 else _in(outer[1])  # bare, or inside a response
        signed = _in(_in(token[1])[0])
        kind, inside = _in(signed[2])
        octets = _in(inside)[0][1]
        info = _in(_der(octets)[0])
        imprint, when = _in(info[2]), datetime.strptime(info[4][1][:14].decode() + "Z", "%Y%m%d%H%M%S%z")
        certificates = [x509.load_der_x509_certificate(one[2]) for one in _in(signed[3])]
        signer = _in(_in(signed[-1])[0])
        mode, attributes, mark = _HASHES[_oid(_in(signer[2])[0])], signer[3], signer[5][1]
        about = {_oid(pair[0]): _in(pair[1])[0] for pair in map(_in, _in(attributes))}
        older = _CERTIFICATE not in about
        ids = _in(_in(_in(about[_OLDER if older else _CERTIFICATE])[0])[0])
        named = next(one[1] for one in ids if one[0] == 4)
        hashed = _HASHES[_oid(_in(imprint[0])[0])]
    except (ValueError, IndexError, KeyError, StopIteration):
        refuse("stamp", name, "this is no time stamp of RFC 3161 with SHA-2 and its certificate")
    if imprint[1][1] != _hash(hashed, envelope):
        refuse("stamp", name, "the time stamp is of something else")
    how = hashes.SHA1() if older else hashes.SHA256()  # noqa: S303 - RFC 2634 names certificates so; nothing is signed
    own = next((one for one in certificates if one.fingerprint(how) == named), None)
    if own is None or about.get(_DIGEST, (0, b""))[1] != _hash(mode, octets) or _oid(kind) != _TIMES:
        refuse("stamp", name, "its certificate or its content is another")
    if not _may_stamp(own, when):
        refuse("stamp", name, "its certificate is not for time stamps, or not of that time")
    if not _marked(own.public_key(), mark, b"\x31" + attributes[2][1:], mode):
        refuse("stamp", name, "its signature does not hold")
    if tsa and not _rooted(own, certificates, tsa, when):
        refuse("stamp", name, "its certificate leads to no authority that you trust")
    if not sealed - SKEW <= when <= sealed + LATE:
        refuse(
            "stamp-time",
            name,
            f"stamped {when:%Y-%m-%dT%H:%M:%SZ}, not within a day of the time that is told",
        )
    signer_name = own.subject.rfc4514_string()
    return {"file": name, "time": f"{when:%Y-%m-%dT%H:%M:%SZ}", "by": signer_name, "trusted": bool(tsa)}


def _marked(key: object, mark: bytes, message: bytes, mode: hashes.HashAlgorithm) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return _holds(key.verify, mark, message, padding.PKCS1v15(), mode)
    return isinstance(key, ec.EllipticCurvePublicKey) and _holds(key.verify, mark, message, ec.ECDSA(mode))


def _may_stamp(one: x509.Certificate, when: datetime) -> bool:
    try:
        use = one.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False
    alone = use.critical and list(use.value) == [ExtendedKeyUsageOID.TIME_STAMPING]
    return alone and one.not_valid_before_utc <= when <= one.not_valid_after_utc


def _rooted(
    one: x509.Certificate,
    among: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    when: datetime,
) -> bool:
    for _ in range(8):
        if one in roots:
            return True
        above = next(
            (other for other in (*roots, *among) if other != one and _issued(one, other, when)), None
        )
        if above is None:
            return False
        one = above
    return False


def _issued(one: x509.Certificate, other: x509.Certificate, when: datetime) -> bool:
    try:
        one.verify_directly_issued_by(other)
        able = other.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (*_UNFIT, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False
    return able and other.not_valid_before_utc <= when <= other.not_valid_after_utc


def _der(data: bytes) -> list[Der]:
    """Tag, content and whole of the DER values that stand one after the other. Raises ValueError, IndexError."""
    found: list[Der] = []
    at = 0
    while at < len(data):
        size, begin = data[at + 1], at + 2
        if size & 128:
            begin += size & 127
            size = int.from_bytes(data[at + 2 : begin])
        if begin + size > len(data):
            raise ValueError
        found.append((data[at], data[begin : begin + size], data[at : begin + size]))
        at = begin + size
    return found


def _in(one: Der) -> list[Der]:
    return _der(one[1])


def _oid(one: Der) -> str:
    numbers, value = [one[1][0] // 40, one[1][0] % 40], 0
    for byte in one[1][1:]:
        value = value << 7 | byte & 127
        if not byte & 128:
            numbers, value = [*numbers, value], 0
    return ".".join(map(str, numbers))


def _hash(how: hashes.HashAlgorithm, data: bytes) -> bytes:
    return hashlib.new(how.name, data).digest()


# Reading strictly: one value, one meaning.


@contextmanager
def shaped(where: str) -> Generator[None]:
    """What is not there inside the block, or of another type, is a malformed file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        refuse("malformed", where, "something is missing or of the wrong type")


def parse(data: bytes, where: str) -> dict[str, Any]:
    """A JSON object in which no name stands twice. Raises Refused."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError
        return dict(pairs)

    def never(_text: str) -> NoReturn:
        raise ValueError

    try:
        found: Any = json.loads(data.decode(), object_pairs_hook=once, parse_constant=never)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        refuse("json", where, "this is no JSON object, or a name stands twice in it")
    return cast("dict[str, Any]", found)


def moment(text: Any, where: str) -> datetime:
    """A time as RFC 3339, UTC. Raises Refused."""
    with shaped(where):
        if not text.endswith("Z"):
            raise ValueError
        return datetime.fromisoformat(text)


def _plain(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def words(found: Checked) -> str:
    """What holds, what is withheld and what was not checked; texts of the bundle in ASCII, so that none plays tricks."""
    title, by = (json.dumps(one) for one in (found.facts["case"]["title"], found.facts["sealed"]["by"]))
    rows = [
        f"holds: {json.dumps(found.facts['case']['id'])} {title}, sealed {found.facts['sealed']['time']} by {by}"
    ]
    rows.append(f"signed by {', '.join(found.signers)}; {len(found.entries)} entries in the case's ledger")
    rows.append(f"{len(found.parts)} parts with {sum(one.leaves for one in found.parts)} leaves")
    rows += [f"stamped {one['time']} by {one['by']}" for one in found.stamps]
    rows += [
        f"{one['entries']} of {one['size']} entries of the ledger {one['name']!r}" for one in found.excerpts
    ]
    rows += [f"withheld: {one.withheld} of {one.leaves} of {one.name}" for one in found.parts if one.withheld]
    return "\n".join([*rows, *(f"not checked: {one}" for one in found.unchecked)]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: exit status 0 when everything holds, 2 when something does not."""
    asks = argparse.ArgumentParser(description="Check a sealed case, offline.")
    asks.add_argument("bundle", type=Path)
    asks.add_argument("--key", action="append", required=True, help="public key that may have sealed it")
    asks.add_argument("--threshold", type=int, default=1, help="how many of the keys must have signed")
    asks.add_argument("--tsa", type=Path, help="PEM of authorities whose time stamps you trust")
    asks.add_argument("--at", help="take this time (RFC 3339, Z) as now")
    asks.add_argument("--json", action="store_true", help="print all that was found as JSON")
    told = asks.parse_args(arguments)
    try:
        roots = x509.load_pem_x509_certificates(told.tsa.read_bytes()) if told.tsa else []
        now = moment(told.at, "--at") if told.at else datetime.now(UTC)
        found = verify(told.bundle, told.key, now=now, threshold=told.threshold, tsa=roots)
    except (Refused, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(asdict(found), sort_keys=True) + "\n" if told.json else words(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
