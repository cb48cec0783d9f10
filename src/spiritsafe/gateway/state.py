"""What gateways count: budgets, tokens used once, the highest version of an order file.

``Local`` keeps it in one process; ``spiritsafe.gateway.redis.Shared`` in Redis or Valkey, for several.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol, cast

from spiritsafe.errors import StorageError, UsageError
from spiritsafe.responses import Taken

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000
LONGEST_WAIT = 86_400.0
"""Seconds that ``retry_after`` may at most say: who must wait longer asks again tomorrow."""
MOST_BUCKETS = 100_000
MOST_ONCE = 200_000


class State(Protocol):
    """What a gateway needs; none of it raises for a store that is down.

    ``take``: ``cost`` tokens from a bucket that holds ``burst`` and gains ``rate`` a second. ``once``: whether this token
    is used for the first time; ``expires`` is microseconds. ``floor``: the highest version seen under this name, with
    ``version`` itself counted: a file whose version is lower was rolled back. ``complaint``: what a health check says.
    """

    async def take(self, bucket: str, rate: float, burst: float, now: int, cost: float = 1) -> Taken:
        """See above."""
        ...

    async def once(self, token_id: str, expires: int, now: int) -> bool:
        """See above."""
        ...

    async def floor(self, name: str, version: int) -> int:
        """See above."""
        ...

    def complaint(self) -> str | None:
        """See above."""
        ...

    async def close(self) -> None:
        """Let go of what is held open."""
        ...


class Buckets:
    """Token buckets of one process: at most ``most`` at a time; the one unused longest makes room.

    A bucket that made room is full when it comes back; with ``most`` far above the number of campaigns under a budget none
    has to. A clock that goes back adds nothing.
    """

    def __init__(self, *, share: float = 1.0, most: int = MOST_BUCKETS) -> None:
        self._share = share
        self._most = most
        self._held: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def take(
        self, bucket: str, rate: float, burst: float, now: int, cost: float = 1, *, known: float | None = None
    ) -> Taken:
        """One answer. ``known``: what the whole bucket, of all gateways, was last known to hold; a new one starts there."""
        rate, burst, cost = rate * self._share, max(burst * self._share, 0.0), max(cost, 0.0)
        held = self._held.get(bucket)
        if held is None:
            level, at = (burst if known is None else min(burst, known * self._share)), now
        else:
            level, at = held
            if now > at:
                level, at = min(burst, level + (now - at) * rate / SECOND), now
        level = min(level, burst)
        allowed = level >= cost
        if allowed:
            level -= cost
        self._held[bucket] = (level, at)
        self._held.move_to_end(bucket)
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        return Taken(allowed, level, 0.0 if allowed else wait(cost - level, rate))


def wait(missing: float, rate: float) -> float:
    """Seconds until a bucket has gained ``missing`` tokens, at most ``LONGEST_WAIT``."""
    return LONGEST_WAIT if rate <= 0 else min(missing / rate, LONGEST_WAIT)


class Once:
    """Tokens that were used, until they expire. When it is full a new one counts as used: refusing is safe."""

    def __init__(self, most: int = MOST_ONCE) -> None:
        self._most = most
        self._used: set[str] = set()
        self._ends: list[tuple[int, str]] = []
        self.full = 0

    def once(self, token_id: str, expires: int, now: int) -> bool:
        """Whether ``token_id`` is new and not expired."""
        while self._ends and self._ends[0][0] <= now:
            self._used.discard(heapq.heappop(self._ends)[1])
        if token_id in self._used or expires <= now:
            return False
        if len(self._used) >= self._most:
            self.full += 1
            return False
        self._used.add(token_id)
        heapq.heappush(self._ends, (expires, token_id))
        return True


class Floors:
    """Highest versions seen, in a file so that they outlive a restart; in memory only without one.

    Raises UsageError when the file makes no sense (it must not be ignored: it protects against a rollback) and
    StorageError when it cannot be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._versions = {} if path is None else _read(path)

    def floor(self, name: str, version: int) -> int:
        """The highest version seen, this one counted. On disk when this returns, else StorageError."""
        high = self._versions.get(name)
        if high is None or version > high:
            high = version
            # Another worker may have seen a higher one.
            known = {} if self._path is None else _read(self._path)
            self._versions = {**self._versions, **known, name: max(high, known.get(name, high))}
            if self._path is not None:
                _write(self._path, self._versions)
        return self._versions[name]


class Local:
    """State of one process. ``share``: its part of each budget, 1 / (gateways × workers). ``floors``: a file, or None."""

    def __init__(
        self, *, share: float = 1.0, floors: Path | None = None, most_buckets: int = MOST_BUCKETS
    ) -> None:
        if not 0 < share <= 1:
            raise UsageError(f"share must be above 0 and at most 1, not {share}")
        self.buckets = Buckets(share=share, most=most_buckets)
        self._once = Once()
        self._floors = Floors(floors)

    async def take(self, bucket: str, rate: float, burst: float, now: int, cost: float = 1) -> Taken:
        """As ``State``; ``remaining`` is of this process's share."""
        return self.buckets.take(bucket, rate, burst, now, cost)

    async def once(self, token_id: str, expires: int, now: int) -> bool:
        """As ``State``."""
        return self._once.once(token_id, expires, now)

    async def floor(self, name: str, version: int) -> int:
        """As ``State``; StorageError when the file cannot be written."""
        return self._floors.floor(name, version)

    def complaint(self) -> str | None:
        """Only that the table of used tokens was full."""
        return f"the replay table was full {self._once.full} times" if self._once.full else None

    async def close(self) -> None:
        """Nothing to close."""


def _read(path: Path) -> dict[str, int]:
    try:
        document: object = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StorageError(f"the versions seen cannot be read: {error.strerror}", where=str(path)) from error
    except (ValueError, RecursionError):
        document = None
    versions = cast("dict[str, int]", document)
    if not isinstance(document, dict) or not all(type(version) is int for version in versions.values()):
        raise UsageError(
            "this is not a file of versions seen",
            where=str(path),
            hint="restore it; without it an order file that was rolled back would pass",
        )
    return versions


def _write(path: Path, versions: dict[str, int]) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with aside.open("w") as file:
            json.dump(versions, file, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise StorageError(
            f"the versions seen cannot be written: {error.strerror}", where=str(path)
        ) from error
