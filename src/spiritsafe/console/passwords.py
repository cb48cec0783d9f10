"""Passwords and passphrases: argon2id for both, and a slowdown for those who guess.

A passphrase seals the key with which a person approves orders: the console holds it, and cannot use it without the person.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from starlette.concurrency import run_in_threadpool

from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

P = ParamSpec("P")
T = TypeVar("T")

LEAST: Final = 12
MOST: Final = 256
"""Characters of a password; longer ones would only cost time."""
_HASHER: Final = PasswordHasher()  # RFC 9106, the profile for little memory: 64 MiB, 3 passes
_SEAL: Final = b"spiritsafe console key 1"
_NOBODY: Final = (
    "$argon2id$v=19$m=65536,t=3,p=4$c3Bpcml0c2FmZS1ub2JvZHk$rcI1Yb9HcE3qhVr0zPDo8BRaVZJDwK0TtS0LmGh2bgs"
)


def hashed(password: str) -> str:
    """The hash of a new password. Raises UsageError when it is too short or too long."""
    good(password)
    return _HASHER.hash(password)


def good(password: str) -> None:
    """Raise UsageError for a password that is too short, too long or one letter over and over."""
    if not LEAST <= len(password) <= MOST or len(set(password)) < 4:
        raise UsageError(
            f"a password has {LEAST} to {MOST} characters, not all the same",
            hint="take four words that nobody would put together",
        )


def fits(known: str | None, password: str) -> bool:
    """Whether the password is the one hashed as ``known``; takes as long when there is none."""
    try:
        return _HASHER.verify(known or _NOBODY, password[:MOST]) and known is not None
    except (VerificationError, InvalidHashError):
        return False


def seal(key: Ed25519PrivateKey, passphrase: str) -> bytes:
    """The private key, readable with the passphrase only."""
    good(passphrase)
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    return (
        salt
        + nonce
        + ChaCha20Poly1305(_stretched(passphrase, salt)).encrypt(nonce, key.private_bytes_raw(), _SEAL)
    )


def unseal(sealed: bytes, passphrase: str) -> Ed25519PrivateKey | None:
    """The private key; None when the passphrase is another one."""
    salt, nonce, content = sealed[:16], sealed[16:28], sealed[28:]
    try:
        raw = ChaCha20Poly1305(_stretched(passphrase[:MOST], salt)).decrypt(nonce, content, _SEAL)
    except (InvalidTag, ValueError):
        return None
    return Ed25519PrivateKey.from_private_bytes(raw)


async def slowly(request: Request, function: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """Run one of these in a thread, two at a time: each takes 64 MiB, and strangers may ask for many."""
    async with request.app.state.slow:
        return await run_in_threadpool(function, *args, **more)


def _stretched(passphrase: str, salt: bytes) -> bytes:
    return hash_secret_raw(
        passphrase.encode(), salt, time_cost=3, memory_cost=65_536, parallelism=4, hash_len=32, type=Type.ID
    )


@dataclass(slots=True)
class Throttle:
    """Slows down who guesses: after ``free`` failures each further one doubles the wait, up to ``longest`` (µs)."""

    free: int = 5
    longest: int = 900_000_000
    keys: int = 10_000
    _failures: OrderedDict[str, tuple[int, int]] = field(default_factory=OrderedDict[str, tuple[int, int]])

    def wait(self, key: str, now: int) -> int:
        """Microseconds until ``key`` may try again; 0 when it may now."""
        count, last = self._failures.get(key, (0, 0))
        if count < self.free:
            return 0
        pause = min(self.longest, 1_000_000 << min(count - self.free, 30))
        return max(0, last + pause - now)

    def failed(self, key: str, now: int) -> None:
        """Count a failure."""
        count, last = self._failures.pop(key, (0, 0))
        self._failures[key] = (1 if now - last > 4 * self.longest else count + 1, now)
        while len(self._failures) > self.keys:
            self._failures.popitem(last=False)

    def passed(self, key: str) -> None:
        """Forget the failures of ``key``."""
        self._failures.pop(key, None)
