"""Sealing: a case becomes one file that anybody can check. Handing on: leaves are withheld, and it can still be checked.

The file is a tar in one form only (``verify.archive``): without compression, links, owners or times, so that the same case
gives the same bytes and two readers cannot see two contents. docs/bundle.md is its specification.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import IO, TYPE_CHECKING, Any

from spiritsafe.attest import dsse, keys
from spiritsafe.attest.canonical import jcs
from spiritsafe.cases import folder, verify
from spiritsafe.cases.verify import LEDGER, PARTS, PAYLOAD, PREDICATE, SALTS, STAMPS, STATEMENT
from spiritsafe.errors import AttestError, StorageError, UsageError
from spiritsafe.orders.content import rfc3339
from spiritsafe.staging import sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from spiritsafe.cases.folder import Case

    Member = tuple[str, int, Iterable[bytes]]
    Shows = Callable[[str, int, bytes], bool]

_PIECE = 1 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A bundle that was written: ``statement`` is the hex SHA-256 of its signed statement, which a time stamp covers."""

    path: Path
    statement: str
    checked: verify.Checked


def seal(
    case_folder: Path,
    out: Path,
    signers: Sequence[Ed25519PrivateKey],
    *,
    by: str,
    why: str,
    now: int,
    code: Mapping[str, Any],
    stamper: Callable[[bytes], bytes] | None = None,
) -> Sealed:
    """Write the case as a bundle, signed by each of ``signers``, and record it in the case's ledger.

    ``code``: which program (``casework.code``). ``stamper`` takes the statement's bytes and returns an RFC 3161 token. What a
    reader would refuse is not written. Raises UsageError without signers, StorageError, AttestError when a part was changed.
    """
    if not signers:
        raise UsageError("somebody must sign the bundle", hint="--key FILE")
    case = folder.open_case(case_folder)
    when = folder.not_before(case_folder, now)
    envelope = jcs(dsse.sign(jcs(_statement(case, by, why, when, code)), PAYLOAD, *signers))
    tokens = {f"{STAMPS}1.tsr": stamper(envelope)} if stamper else {}
    write(out, _members(case, envelope, tokens))
    public = [keys.public(one) for one in signers]
    try:
        checked = check(out, public, now=when)
    except AttestError:
        out.unlink()
        raise
    digest = hashlib.sha256(envelope).hexdigest()
    body = {"statement": digest, "entries": len(case.entries), "signers": public, "by": by, "why": why}
    folder.record(case_folder, folder.SEALED, body, now=when)
    return Sealed(out, digest, checked)


def check(
    path: Path, public: Sequence[str], *, now: int, threshold: int = 1, tsa: Sequence[Any] = ()
) -> verify.Checked:
    """``verify.verify`` with this program's errors. Raises AttestError with the reason; ``now`` in microseconds."""
    try:
        moment = _EPOCH + timedelta(microseconds=now)
        return verify.verify(path, public, now=moment, threshold=threshold, tsa=tsa)
    except verify.Refused as error:
        raise AttestError(
            f"refused [{error.code}] {error.where}: {error.why}",
            where=str(path),
            hint=verify.HINTS[error.code],
        ) from error
    except OSError as error:
        raise AttestError(f"cannot be read: {error.strerror}", where=str(path)) from error


def statement_of(path: Path) -> bytes:
    """The signed statement of a bundle, which a time stamp covers. Raises AttestError when there is none."""
    with opened(path) as (file, places):
        return verify.small(file, places, STATEMENT)


def part(path: Path, name: str, most: int) -> bytes | None:
    """A part of a bundle that is a file; None when it is withheld, longer than ``most``, or of lines. Raises AttestError."""
    with opened(path) as (file, places):
        at, size = places.get(PARTS + name, (0, most + 1))
        if size > most or name not in verify.salts_of(verify.small(file, places, SALTS)):
            return None
        file.seek(at)
        return file.read(size)


def stamped(path: Path, out: Path, token: bytes) -> None:
    """The bundle with one time stamp more (an RFC 3161 response or token), as another file. Raises AttestError."""
    with opened(path) as (file, places):
        number = sum(name.startswith(STAMPS) for name in places) + 1
        members = [(name, size, _bytes(file, at, size)) for name, (at, size) in places.items()]
        write(out, sorted([*members, (f"{STAMPS}{number}.tsr", len(token), [token])], key=lambda one: one[0]))


def hand_on(
    path: Path, out: Path, *, withhold: Sequence[str] = (), shows: Shows | None = None
) -> dict[str, int]:
    """The bundle with leaves withheld, as another file that still holds. Returns how many leaves of each part were.

    ``withhold``: names or patterns (``*``) of parts, whole. ``shows(part, line number from 0, content)`` decides on each
    line of the others. No key is needed: the statement commits to roots, and hashes stay. Raises AttestError, UsageError.
    """
    with opened(path) as (file, places):
        names = [name.removeprefix(PARTS) for name in places if name.startswith(PARTS)]
        chosen = {name for name in names if any(fnmatchcase(name, pattern) for pattern in withhold)}
        for pattern in withhold:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise UsageError(
                    f"no part is called {pattern!r}", where=str(path), hint=f"parts: {', '.join(names)}"
                )
        salts = verify.salts_of(verify.small(file, places, SALTS))
        told: dict[str, int] = {}
        members: list[Member] = []
        for name, (at, size) in places.items():
            part = name.removeprefix(PARTS)
            if name == SALTS:
                kept = _salted({one: salt for one, salt in salts.items() if one not in chosen})
                members.append((name, len(kept), [kept]))
            elif not name.startswith(PARTS) or (part in salts and part not in chosen):
                members.append((name, size, _bytes(file, at, size)))
            elif part in salts:
                told[part] = 1
            else:
                hide = _never if part in chosen else shows
                rows = _rows(file, at, size, part, hide)
                length, told[part] = _measured(rows)
                members.append((name, length, (row for row, _ in _rows(file, at, size, part, hide))))
        write(out, members)
    return {name: count for name, count in told.items() if count}


def unpack(path: Path, target: Path, item: str) -> list[Path]:
    """Write an item's parts below ``target``, lines without their salts; withheld ones are left out. Returns the files.

    For bundles that were checked. Raises AttestError, StorageError.
    """
    made: list[Path] = []
    with opened(path) as (file, places):
        salts = verify.salts_of(verify.small(file, places, SALTS))
        for name, (at, size) in places.items():
            part = name.removeprefix(PARTS)
            if not part.startswith(f"{item}/"):
                continue
            place = target / part.partition("/")[2]
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("wb") as out:
                if part in salts:
                    out.writelines(_bytes(file, at, size))
                else:
                    contents = (content for _, content, _ in verify.lines(file, at, size, part))
                    out.writelines(content + b"\n" for content in contents if content is not None)
            made.append(place)
    return made


def write(out: Path, members: Iterable[Member]) -> None:
    """Write an archive; members come in the order of their names. It appears whole or not at all. Raises StorageError."""
    part = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        try:
            with part.open("wb") as file:
                for name, size, pieces in members:
                    file.write(verify.header(name, size))
                    _fill(file, name, size, pieces)
                file.write(b"\0" * (2 * verify.BLOCK))
                file.flush()
                os.fsync(file.fileno())
            part.replace(out)
            sync(out.parent)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
    except OSError as error:
        raise StorageError(f"cannot be written: {error.strerror}", where=str(out)) from error


def _fill(file: IO[bytes], name: str, size: int, pieces: Iterable[bytes]) -> None:
    begin = file.tell()
    file.writelines(pieces)
    if file.tell() - begin != size:
        raise StorageError("a part changed while it was sealed", where=name)
    file.write(b"\0" * (-size % verify.BLOCK))


class opened:  # noqa: N801 - reads as a word of the language where it is used
    """A bundle's file and the places of its members. Raises AttestError when it is no bundle."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> tuple[IO[bytes], dict[str, tuple[int, int]]]:
        try:
            self._file = self._path.open("rb")
        except OSError as error:
            raise AttestError(f"cannot be read: {error.strerror}", where=str(self._path)) from error
        try:
            return self._file, verify.archive(self._file)
        except verify.Refused as error:
            self._file.close()
            raise AttestError(error.why, where=f"{self._path}, {error.where}") from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._file.close()
        if isinstance(error, verify.Refused):
            raise AttestError(error.why, where=f"{self._path}, {error.where}") from error


def _statement(case: Case, by: str, why: str, when: int, code: Mapping[str, Any]) -> dict[str, Any]:
    parts = sorted((name, told["root"]) for item in case.items for name, told in item.parts.items())
    settings = sorted({str(one.about["settings"]) for one in case.items if "settings" in one.about})
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"rfc6962-sha256": root}} for name, root in parts],
        "predicateType": PREDICATE,
        "predicate": {
            "case": {"id": case.case_id, "title": case.title, "claim": case.claim},
            "sealed": {"time": rfc3339(when), "by": by, "why": why},
            "ledger": {"entries": len(case.entries), "head": case.head},
            "code": dict(code),
            "settings": settings,
        },
    }


def _members(case: Case, envelope: bytes, tokens: Mapping[str, bytes]) -> Iterator[Member]:
    """All members, in the order of their names."""
    with folder.reading(case.folder / LEDGER) as file:
        # As far as the statement goes: an entry that came meanwhile belongs to the next seal.
        entries = b"".join(line for line, _ in zip(file, case.entries, strict=False))
    yield LEDGER, len(entries), [entries]
    for part in sorted(name for item in case.items for name in item.parts):
        path = case.path(part)
        with folder.reading(path) as file:
            size = os.fstat(file.fileno()).st_size
            yield PARTS + part, size, _bytes(file, 0, size)
    salts = _salted({name: salt for item in case.items for name, salt in folder.salts(case, item).items()})
    yield SALTS, len(salts), [salts]
    for name, token in sorted(tokens.items()):
        yield name, len(token), [token]
    yield STATEMENT, len(envelope), [envelope]


def _salted(salts: Mapping[str, bytes]) -> bytes:
    return "".join(f"{salt.hex()} {name}\n" for name, salt in sorted(salts.items())).encode()


def _bytes(file: IO[bytes], at: int, size: int) -> Iterator[bytes]:
    end = at + size
    while at < end:
        file.seek(at)
        piece = file.read(min(_PIECE, end - at))
        if not piece:
            return
        at += len(piece)
        yield piece


def _rows(
    file: IO[bytes], at: int, size: int, part: str, shows: Shows | None
) -> Iterator[tuple[bytes, bool]]:
    """Each line as it is handed on, and whether it was shown before and is withheld now."""
    for number, (leaf, content, line) in enumerate(verify.lines(file, at, size, part)):
        if content is None or shows is None or shows(part, number, content):
            yield line, False
        else:
            yield b"-" + leaf.hex().encode() + b"\n", True


def _measured(rows: Iterable[tuple[bytes, bool]]) -> tuple[int, int]:
    length = withheld = 0
    for row, hidden in rows:
        length, withheld = length + len(row), withheld + hidden
    return length, withheld


def _never(_part: str, _number: int, _content: bytes) -> bool:
    return False
