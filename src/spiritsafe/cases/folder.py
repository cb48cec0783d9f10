"""A case: a folder to which things are added and from which nothing is taken away, with a ledger of who, when and why.

::

    CASE/ledger.jsonl          who added what, when and why: hash-chained, the order of events
    CASE/parts/0003-campaign/  what was added by entry 3: files, and files of lines (one record a line)
    CASE/parts/…/.salts.txt    the salt of each file; lines carry their own
    CASE/secret.key            makes the references that customers are told; never sealed

What is added is committed to at once: each part is a Merkle tree of salted leaves whose root stands in the ledger's entry, so
that any leaf may later be withheld, and none can be guessed from its hash (docs/bundle.md).
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from spiritsafe import ledger
from spiritsafe.attest.merkle import Tree, leaf_hash
from spiritsafe.cases.verify import LEDGER, NAME, SALTS
from spiritsafe.errors import LedgerError, SpiritsafeError, StorageError, UsageError
from spiritsafe.ledger import Ledger
from spiritsafe.orders.snapshot import replace_file
from spiritsafe.staging import place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from spiritsafe.ledger import Entry

    Salt = Callable[[int], bytes]

OPENED, ITEM, SEALED = "case-opened", "case-item", "case-sealed"
REVIEW, FROZEN, DECIDED = "case-review", "case-frozen", "case-decided"
#: What a case may hold. ``note`` is any other file.
KINDS = ("campaign", "finding", "opinion", "orders", "sighting", "loss", "appeal", "note")
OUTCOMES = ("confirmed", "overturned")
"""What an appeal ends in: the first decision stands, or it does not."""
SALT = 16
_MAKING, _SALTS, _SECRET = ".making", f".{SALTS}", "secret.key"
_LONGEST = 90  # a tar header holds names of 100 bytes, "parts/" included
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Item:
    """One addition. ``about`` says in a few public words what it is; ``parts``: name → kind, leaves, root (hex)."""

    name: str
    kind: str
    time: int
    by: str
    why: str
    about: Mapping[str, Any]
    parts: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Appeal:
    """An appeal and how it stands. ``frozen`` until (µs, 0: no measure was frozen); ``outcome`` empty while undecided."""

    item: Item
    reviewer: str
    frozen: int
    outcome: str
    decided: int


@dataclass(frozen=True, slots=True)
class Case:
    """A case as its ledger tells it; times are microseconds since the epoch, UTC."""

    folder: Path
    case_id: str
    title: str
    claim: str
    opened: int
    by: str
    items: tuple[Item, ...]
    appeals: tuple[Appeal, ...]
    entries: tuple[Entry, ...]

    @property
    def head(self) -> str:
        """Hash of the last entry."""
        return self.entries[-1].hash

    @property
    def status(self) -> str:
        """``appealed`` while an appeal is undecided, else the last appeal's outcome, else ``sealed`` or ``open``."""
        if any(not one.outcome for one in self.appeals):
            return "appealed"
        if self.appeals:
            return max(self.appeals, key=lambda one: one.decided).outcome
        return "sealed" if any(one.kind == SEALED for one in self.entries) else "open"

    def of(self, kind: str) -> list[Item]:
        """The items of one kind, oldest first."""
        return [one for one in self.items if one.kind == kind]

    def path(self, part: str) -> Path:
        """Where a part is, by its name as in ``Item.parts``."""
        return self.folder / "parts" / part

    def lines(self, part: str) -> Iterator[bytes]:
        """The contents of a part of lines. Raises StorageError."""
        with reading(self.path(part)) as file:
            for line in file:
                yield line[2 * SALT + 2 : -1]

    def item(self, name: str) -> Item:
        """The item called ``name``, or whose name begins so. Raises UsageError."""
        fits = [one for one in self.items if one.name.startswith(name)]
        if len(fits) != 1:
            known = ", ".join(one.name for one in self.items) or "none"
            raise UsageError(
                f"{'no' if not fits else 'more than one'} item begins with {name!r}",
                where=str(self.folder),
                hint=f"items here: {known}",
            )
        return fits[0]


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of a list of cases. ``fault``: why the case cannot be opened, else empty."""

    folder: Path
    case_id: str
    title: str
    status: str
    opened: int
    changed: int
    items: int
    fault: str = ""


def create(folder: Path, *, case_id: str, title: str, claim: str, by: str, why: str, now: int) -> Case:
    """Open a new case in ``folder``, which is made. Raises UsageError when something is there, StorageError."""
    _said(by=by, why=why, title=title, case_id=case_id)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError("the folder is not empty", where=str(folder), hint="name a new one")
    try:
        (folder / "parts").mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot be made: {error.strerror}", where=str(folder)) from error
    replace_file(folder / _SECRET, secrets.token_bytes(32))
    (folder / _SECRET).chmod(0o600)
    with Ledger(folder / LEDGER) as book:
        body = {"case": case_id, "title": title, "claim": claim, "by": by, "why": why}
        book.append(OPENED, body, time=now)
    return open_case(folder)


def open_case(folder: Path) -> Case:
    """The case in ``folder``, its ledger checked. Raises UsageError when there is none, LedgerError when it was changed."""
    path = folder / LEDGER
    if not path.is_file():
        raise UsageError("there is no case here", where=str(folder), hint="spiritsafe case new FOLDER")
    found = tuple(ledger.entries(path))
    if not found or found[0].kind != OPENED:
        raise LedgerError("this is no ledger of a case", where=str(path))
    try:
        items = tuple(_item(one) for one in found if one.kind == ITEM)
        first = found[0].body
        return Case(
            folder, first["case"], first["title"], first["claim"], found[0].time, first["by"], items,
            tuple(_appeal(one, found) for one in items if one.kind == "appeal"), found,
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise LedgerError(f"an entry lacks {error}", where=str(path)) from error


def listed(root: Path) -> list[Summary]:
    """The cases in the folders below ``root``, the one changed last first; one that cannot be opened says why."""
    found: list[Summary] = []
    for path in sorted(root.glob(f"*/{LEDGER}")):
        try:
            case = open_case(path.parent)
        except SpiritsafeError as error:
            found.append(Summary(path.parent, path.parent.name, "", "broken", 0, 0, 0, str(error)))
        else:
            last = case.entries[-1].time
            found.append(
                Summary(
                    path.parent, case.case_id, case.title, case.status, case.opened, last, len(case.items)
                )
            )
    return sorted(found, key=lambda one: -one.changed)


def add(
    folder: Path,
    kind: str,
    *,
    by: str,
    why: str,
    now: int,
    about: Mapping[str, Any],
    files: Mapping[str, Path | bytes] | None = None,
    lines: Mapping[str, Iterable[bytes]] | None = None,
    salt: Salt = secrets.token_bytes,
) -> Item:
    """Add an item: ``files`` as they are (copied), ``lines`` as records without line ends. On disk when this returns.

    ``about`` is JSON that may be shown to whoever is given the bundle: no customer's name, no text. Raises UsageError for a
    name that a bundle cannot hold, StorageError when the disk refuses or another process adds; then nothing was added.
    """
    _said(by=by, why=why)
    if kind not in KINDS:
        raise UsageError(f"there is no kind {kind!r}", hint=f"there are: {', '.join(KINDS)}")
    open_case(folder)
    making = folder / "parts" / _MAKING
    with Ledger(folder / LEDGER) as book:
        name = f"{book.count:04d}-{kind}"
        final = folder / "parts" / name
        try:
            for left in (making, final):  # of a process that was killed before its entry was written
                shutil.rmtree(left, ignore_errors=True)
            making.mkdir(mode=0o700)
            parts, salts = _written(making, name, files or {}, lines or {}, salt)
            (making / _SALTS).write_text("".join(f"{one.hex()} {part}\n" for part, one in salts.items()))
            place(making, final)
        except OSError as error:
            raise StorageError(
                f"cannot be added: {error.strerror or error}", where=str(error.filename or final)
            ) from error
        finally:
            shutil.rmtree(making, ignore_errors=True)
        body = {"item": name, "kind": kind, "by": by, "why": why, "about": dict(about), "parts": parts}
        return _item(book.append(ITEM, body, time=not_before(folder, now)))


def record(folder: Path, kind: str, body: Mapping[str, Any], *, now: int) -> Entry:
    """Add an entry without parts (a seal, a review, a decision). Raises StorageError, LedgerError."""
    _said(by=str(body.get("by", "")), why=str(body.get("why", "")))
    open_case(folder)
    with Ledger(folder / LEDGER) as book:
        return book.append(kind, body, time=not_before(folder, now))


def not_before(folder: Path, now: int) -> int:
    """``now``, or the time of the last entry where the clock went back: times in a case never do."""
    return max([now, *(one.time for one in ledger.entries(folder / LEDGER))])


def salts(case: Case, item: Item) -> dict[str, bytes]:
    """The salt of each file of an item. Raises StorageError."""
    with reading(case.folder / "parts" / item.name / _SALTS) as file:
        rows = [line.decode().rstrip("\n").partition(" ") for line in file]
    return {name: bytes.fromhex(salt) for salt, _, name in rows}


def secret(case: Case) -> bytes:
    """The key of this case's references. Raises StorageError."""
    with reading(case.folder / _SECRET) as file:
        return file.read(32)


class reading:  # noqa: N801 - reads as a word of the language where it is used
    """A file opened for reading; an OSError becomes a StorageError that names it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> IO[bytes]:
        try:
            self._file = self._path.open("rb")
        except OSError as error:
            raise StorageError(f"cannot be read: {error.strerror}", where=str(self._path)) from error
        return self._file

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _written(
    where: Path,
    item: str,
    files: Mapping[str, Path | bytes],
    lines: Mapping[str, Iterable[bytes]],
    salt: Salt,
) -> tuple[dict[str, dict[str, Any]], dict[str, bytes]]:
    parts: dict[str, dict[str, Any]] = {}
    salts: dict[str, bytes] = {}
    for name in (*files, *lines):
        if not NAME.fullmatch(name) or len(f"{item}/{name}") > _LONGEST or (name in files and name in lines):
            raise UsageError(
                f"a file called {name[:120]!r} cannot be sealed",
                hint="letters, digits, dots, dashes and underscores, at most 70 in all",
            )
        (where / name).parent.mkdir(parents=True, exist_ok=True)
    for name, source in files.items():
        salts[f"{item}/{name}"] = own = salt(SALT)
        parts[f"{item}/{name}"] = {"kind": "file", "leaves": 1, "root": _copied(source, where / name, own)}
    for name, contents in lines.items():
        tree = _lined(contents, where / name, salt)
        parts[f"{item}/{name}"] = {"kind": "lines", "leaves": tree.size, "root": tree.root().hex()}
    return parts, salts


def _copied(source: Path | bytes, target: Path, salt: bytes) -> str:
    from hashlib import sha256  # noqa: PLC0415 - `leaf_hash` takes whole leaves, and a file may be long

    digest = sha256(b"\0" + salt)
    with target.open("wb") as out:
        if isinstance(source, bytes):
            digest.update(source)
            out.write(source)
        else:
            with source.open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
                    out.write(piece)
    os.chmod(target, 0o600)  # noqa: PTH101 - of what was just written
    return digest.hexdigest()


def _lined(contents: Iterable[bytes], target: Path, salt: Salt) -> Tree:
    """A leaf for each record: the one loop over records here, since SHA-256 takes one at a time."""
    tree = Tree()
    with target.open("wb") as out:
        for content in contents:
            own = salt(SALT)
            if b"\n" in content:
                raise UsageError("a record has a line end inside", where=target.name)
            out.write(b"+" + own.hex().encode() + b" " + content + b"\n")
            tree.append(leaf_hash(own + content))
    os.chmod(target, 0o600)  # noqa: PTH101 - of what was just written
    return tree


def _item(entry: Entry) -> Item:
    body = entry.body
    return Item(body["item"], body["kind"], entry.time, body["by"], body["why"], body["about"], body["parts"])


def _appeal(item: Item, found: Sequence[Entry]) -> Appeal:
    reviewer, frozen, outcome, decided = "", 0, "", 0
    for one in found:
        if one.body.get("appeal") != item.name:
            continue
        if one.kind == REVIEW:
            reviewer = one.body["by"]
        elif one.kind == FROZEN:
            frozen = one.body["until"]
        elif one.kind == DECIDED:
            outcome, decided = one.body["outcome"], one.time
    return Appeal(item, reviewer, frozen, outcome, decided)


def _said(**texts: str) -> None:
    for name, text in texts.items():
        if not text.strip():
            raise UsageError(f"{name} is empty", hint="a case records who, when and why")
