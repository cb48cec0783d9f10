"""The key file for artefact binding: several keys, each with a window, shared by all gateways.

::

    {"schema": 1, "keys": [{"id": "9f…", "secret": "…", "not_before": "2026-03-01T00:00:00Z", "not_after": null}]}

``id`` is 12 hexadecimal digits, ``secret`` 32 random bytes in url-safe base64. A key issues from ``not_before`` until a
later key begins, and redeems until ``not_after``; null stands for "until a rotation sets it". The file is mode 0600 and
is replaced whole. No secret is ever part of an error, a ``repr`` or what ``show`` gives.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
import re
import secrets
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from spiritsafe.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

SECOND = 1_000_000
DAY = 86_400 * SECOND
DELAY = 300 * SECOND
"""A new key begins to issue this long after it was made, so that every gateway has read it by then."""
LIFETIME = 30 * DAY
"""How long a rotated key still redeems, unless told otherwise."""
KEPT = 365 * DAY
MOST = 1 << 20
"""Bytes of a key file: thousands of keys."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS = {"id", "secret", "not_before", "not_after"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key. ``not_before`` and ``not_after`` are microseconds UTC, ``not_after`` None while open-ended.

    ``tag``, ``seal`` and ``mac`` are the subkeys (HKDF-SHA-256, RFC 5869) for owner tags (32 bytes), AES-256-SIV (64)
    and the outer MAC (32).
    """

    id: bytes
    not_before: int
    not_after: int | None
    secret: bytes = field(repr=False)
    tag: bytes = field(repr=False)
    seal: bytes = field(repr=False)
    mac: bytes = field(repr=False)

    def open(self, now: int) -> bool:
        """Whether tokens of this key may be redeemed at ``now``.

        A token of a key that has not begun yet is genuine all the same: a clock is off, this one or another.
        """
        return self.not_after is None or now < self.not_after

    def state(self, now: int) -> str:
        """``future``, ``current`` (in its window) or ``expired``."""
        return "expired" if not self.open(now) else "future" if now < self.not_before else "current"


class KeyRing:
    """The keys of one file; never changes. Raises UsageError without keys or with two of one id."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = tuple(sorted(keys, key=lambda key: (key.not_before, key.id)))
        self._by_id = {key.id: key for key in self.keys}
        if not self.keys or len(self._by_id) < len(self.keys):
            raise UsageError("a key file needs at least one key, each with an id of its own")

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(key.id.hex() for key in self.keys)})"

    def get(self, id: bytes) -> Key | None:
        """The key of that id, or None."""
        return self._by_id.get(id)

    def issuing(self, now: int) -> Key:
        """The key that wraps at ``now``: the latest begun one in its window.

        When none is (a clock jumped, a rotation was forgotten), the latest begun one, else the first to begin:
        an artefact never leaves unbound. ``complaint`` then tells.
        """
        begun = [key for key in self.keys if key.not_before <= now]
        alive = [key for key in begun if key.open(now)]
        return alive[-1] if alive else begun[-1] if begun else self.keys[0]

    def complaint(self, now: int) -> str | None:
        """What a health check must say: no key is in its window. None when all is well."""
        key = self.issuing(now)
        if key.state(now) == "current":
            return None
        word = "has expired" if key.state(now) == "expired" else "has not begun"
        return f"artefact key {key.id.hex()} {word} by this clock and no other is valid: rotate, or set the clock"


def load(path: Path) -> KeyRing:
    """Read a key file.

    Raises UsageError when others may read it (mode beyond 0600) or its content makes no sense, StorageError when it
    cannot be read. Neither ever holds a part of the content.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise UsageError("the key file is no regular file", where=str(path))
            if mode & 0o077:
                raise UsageError(
                    f"others may read this key file (mode {stat.S_IMODE(mode):04o})",
                    where=str(path),
                    hint=f"chmod 600 {path}; if others had access, rotate",
                )
            content = file.read(MOST + 1)
    except OSError as error:
        raise StorageError(
            f"the key file cannot be read: {error.strerror}",
            where=str(path),
            hint="spiritsafe gateway keys make writes one",
        ) from error
    return KeyRing(_parsed(content, str(path)))


def make(path: Path, *, now: int, not_after: int | None = None) -> KeyRing:
    """Write a new key file with one key, valid from ``now``. Raises UsageError when there is one already."""
    if path.exists():
        raise UsageError(
            "the key file exists already", where=str(path), hint="rotate it, or name another file"
        )
    ring = KeyRing([_new(now, not_after)])
    with _alone(path):
        _write(path, ring, fresh=True)
    return ring


def rotate(path: Path, *, now: int, lifetime: int = LIFETIME, delay: int = DELAY) -> KeyRing:
    """Add a key that issues from ``now + delay``; the others redeem ``lifetime`` longer, then end.

    Keys are removed a year after their end: until then their tokens are told to be expired, not forged. ``lifetime``
    and ``delay`` are microseconds. Raises what ``load`` raises.
    """
    with _alone(path):
        begin = now + delay
        kept = [
            _key(key.id, key.secret, key.not_before, min(begin + lifetime, key.not_after or begin + lifetime))
            for key in load(path).keys
            if key.open(now - KEPT)
        ]
        ring = KeyRing([*kept, _new(begin, None)])
        _write(path, ring)
    return ring


def show(path: Path, *, now: int) -> list[dict[str, str | None]]:
    """Each key's id, window and state; no secret. Raises what ``load`` raises."""
    return [
        {
            "id": key.id.hex(),
            "not_before": _text(key.not_before),
            "not_after": None if key.not_after is None else _text(key.not_after),
            "state": key.state(now),
        }
        for key in load(path).keys
    ]


class KeyFile:
    """A key file followed while it changes. ``ring`` is always a good one.

    Raises what ``load`` raises when made; later a bad file changes nothing and stands in ``complaint``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.complaint: str | None = None
        self._seen = self._look()
        self.ring = load(path)

    def refresh(self) -> bool:
        """Read the file again if it changed; True when there are new keys. One ``stat`` when it did not."""
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self.ring = load(self.path)
        except (UsageError, StorageError) as error:
            self.complaint = str(error)
            return False
        self.complaint = None
        return True

    def _look(self) -> tuple[int, ...]:
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


def _key(id: bytes, secret: bytes, not_before: int, not_after: int | None) -> Key:
    made = HKDF(algorithm=SHA256(), length=128, salt=b"spiritsafe binding 1", info=id).derive(secret)
    return Key(id, not_before, not_after, secret, made[:32], made[32:96], made[96:])


def _new(not_before: int, not_after: int | None) -> Key:
    return _key(secrets.token_bytes(6), secrets.token_bytes(32), not_before, not_after)


def _parsed(content: bytes, where: str) -> list[Key]:
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        # The original error carries the whole content: it must not be told, nor chained.
        raise UsageError("the key file is not JSON", where=f"{where}:{line}") from None
    listed = cast("dict[str, Any]", document).get("keys") if isinstance(document, dict) else None
    if len(content) > MOST or not isinstance(listed, list) or not listed or document.get("schema") != 1:
        raise UsageError('a key file is {"schema": 1, "keys": [...]}', where=where)
    keys: list[Key] = []
    for number, entry in enumerate(cast("list[Any]", listed), 1):
        try:
            keys.append(_entry(entry))
        except (ValueError, TypeError, KeyError, OverflowError, binascii.Error):
            raise UsageError(
                f"key {number} makes no sense",
                where=where,
                hint="id: 12 hex digits; secret: 32 bytes, base64; not_before: RFC 3339; not_after: later, or null",
            ) from None
    return keys


def _entry(entry: Any) -> Key:
    if not isinstance(entry, dict) or set(cast("dict[str, Any]", entry)) != _FIELDS:
        raise ValueError
    if not re.fullmatch("[0-9a-f]{12}", entry["id"]):
        raise ValueError
    secret = base64.b64decode(entry["secret"], altchars=b"-_", validate=True)
    begin = _time(entry["not_before"])
    end = None if entry["not_after"] is None else _time(entry["not_after"])
    if len(secret) != 32 or (end is not None and end <= begin):
        raise ValueError
    return _key(bytes.fromhex(entry["id"]), secret, begin, end)


def _time(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _text(time: int) -> str:
    return (_EPOCH + timedelta(microseconds=time)).isoformat().replace("+00:00", "Z")


@contextmanager
def _alone(path: Path) -> Generator[None]:
    """One writer at a time, by a lock file beside the key file."""
    try:
        lock = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise StorageError(f"the key file cannot be written: {error.strerror}", where=str(path)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(path: Path, ring: KeyRing, *, fresh: bool = False) -> None:
    listed = [
        {
            "id": key.id.hex(),
            "secret": base64.urlsafe_b64encode(key.secret).decode(),
            "not_before": _text(key.not_before),
            "not_after": None if key.not_after is None else _text(key.not_after),
        }
        for key in ring.keys
    ]
    aside = path.with_name(f".{path.name}.partial")
    try:
        aside.unlink(missing_ok=True)
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(json.dumps({"schema": 1, "keys": listed}, indent=1).encode() + b"\n")
            file.flush()
            os.fsync(fd)
        if fresh:
            os.link(aside, path)
            aside.unlink()
        else:
            aside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise StorageError(f"the key file cannot be written: {error.strerror}", where=str(path)) from error
