"""State that several gateways share, in Redis or Valkey (6.2 or newer): one atomic script a batch.

Requests that ask at the same time travel together: one script call answers up to ``BATCH`` of them, so ten thousand at
once are some tens of round trips, not ten thousand connections. The server's clock counts (``TIME``), not the gateways'.
Names become keys by hash, under one prefix that is also a cluster's hash tag, so that no name reaches the server.

When the server does not answer within ``TIMEOUT`` the *breaker* opens: for ``FIRST_REST`` … ``LONGEST_REST`` seconds nobody
asks, then one batch tries. Meanwhile ``on_failure`` answers: ``local`` (this gateway's share of each budget, from where the
shared bucket was last seen), ``open`` (allowed) or ``closed`` (refused).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions
from redis.asyncio import Redis

from spiritsafe.errors import UsageError
from spiritsafe.gateway.state import MOST_BUCKETS, Local, Taken, wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

TIMEOUT: Final = 0.05
"""Seconds that one batch may take, connecting included."""
BATCH: Final = 256
FIRST_REST: Final = 0.1
LONGEST_REST: Final = 2.0
ON_FAILURE: Final = ("local", "open", "closed")
_FAILURES = (exceptions.RedisError, OSError, TimeoutError)

# For each key three arguments: tokens a second, most tokens, cost. A bucket is "level at": tokens at that microsecond of
# the server's clock; one that would be full again is forgotten. A clock that goes back adds nothing. A level is written
# with 17 digits: as it is computed, so that no token is gained by rounding.
_TAKE: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local out = {}
for i, key in ipairs(KEYS) do
  local rate, burst, cost = tonumber(ARGV[3*i-2]), tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i])
  local level, at = burst, now
  local held = redis.call('GET', key)
  if held then
    local a, b = string.match(held, '^(%S+) (%S+)$')
    a, b = tonumber(a), tonumber(b)
    if a and b then level, at = a, b end
  end
  if now > at then level = level + (now - at) * rate / 1000000; at = now end
  if level > burst then level = burst end
  local allowed = 0
  if level >= cost then allowed = 1; level = level - cost end
  local life = 34560000000
  if rate > 0 then life = math.min(life, math.ceil((burst - level) / rate * 1000) + 1000) end
  redis.call('SET', key, string.format('%.17g %.0f', level, at), 'PX', string.format('%.0f', life))
  out[2*i-1] = allowed
  out[2*i] = string.format('%.17g', level)
end
return out
"""
_FLOOR: Final = """
local high = redis.call('GET', KEYS[1])
if not high or tonumber(ARGV[1]) > tonumber(high) then redis.call('SET', KEYS[1], ARGV[1]); return ARGV[1] end
return high
"""


class Shared:
    """State of several gateways. ``gateways`` counts their processes: the local share is 1 / gateways.

    ``floors`` is a file as for ``Local``: versions seen outlive a server that forgets. Nothing connects until it is used,
    and nothing raises when the server is down. Must be made and used in one event loop.
    """

    def __init__(
        self,
        url: str,
        *,
        on_failure: str,
        gateways: int = 1,
        floors: Path | None = None,
        prefix: str = "spiritsafe",
        timeout: float = TIMEOUT,
    ) -> None:
        if on_failure not in ON_FAILURE:
            raise UsageError(f"on_failure is one of {', '.join(ON_FAILURE)}, not {on_failure}")
        try:
            self._redis: Any = Redis.from_url(
                url, socket_timeout=timeout, socket_connect_timeout=timeout, max_connections=8, retry=None
            )
        except ValueError as error:
            raise UsageError(
                "the address of the state server makes no sense", hint="redis://host:6379/0"
            ) from error
        self._on_failure = on_failure
        self._local = Local(share=1 / gateways, floors=floors)
        self._prefix = f"{{{prefix}}}:"
        self._timeout = timeout
        self._waiting: list[tuple[bytes, float, float, float, asyncio.Future[Taken | None]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._known: dict[bytes, float] = {}
        self._scripts: dict[str, str] = {}
        self._rest = 0.0
        self._closed_until = 0.0
        self._probing = False
        self.failures = 0

    async def take(self, bucket: str, rate: float, burst: float, now: int, cost: float = 1) -> Taken:
        """As ``State``; by the server's clock. ``now`` counts only where the server does not answer."""
        key = self._key("b", bucket)
        taken = await self._asked(key, rate, burst, cost) if self._ready() else None
        if taken is not None:
            return taken
        if self._on_failure == "local":
            return self._local.buckets.take(bucket, rate, burst, now, cost, known=self._known.get(key))
        allowed = self._on_failure == "open"
        return Taken(allowed, 0.0, 0.0 if allowed else max(1.0, self._rest))

    async def once(self, token_id: str, expires: int, now: int) -> bool:
        """As ``State``."""
        if expires <= now:
            return False
        mine = await self._local.once(token_id, expires, now)
        if not mine:
            return False
        life = max(1, (expires - now) // 1000 + 1)

        def call() -> Awaitable[Any]:
            return self._redis.set(self._key("o", token_id), b"1", nx=True, px=life)

        done, answer = await self._guarded(call)
        return bool(answer) if done else self._on_failure != "closed"

    async def floor(self, name: str, version: int) -> int:
        """As ``State``: the higher of what the server and the file of this gateway have seen."""
        high = await self._local.floor(name, version)

        def call() -> Awaitable[Any]:
            return self._script(_FLOOR, [self._key("v", name)], [high])

        done, answer = await self._guarded(call)
        return await self._local.floor(name, int(answer)) if done else high

    def complaint(self) -> str | None:
        """That the server does not answer, or what ``Local`` says."""
        if self._rest:
            return f"the state server does not answer; budgets are {self._on_failure}"
        return self._local.complaint()

    async def close(self) -> None:
        """Let the connections go. What still waits is answered as if the server were down."""
        if self._flusher is not None:
            self._flusher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._flusher
        for *_, future in self._waiting:
            if not future.done():
                future.set_result(None)
        with contextlib.suppress(*_FAILURES):
            await self._redis.aclose()

    def _key(self, room: str, name: str) -> bytes:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return f"{self._prefix}{room}:{digest}".encode()

    def _ready(self) -> bool:
        """Whether to ask the server now: the breaker is closed, or it is time for one try."""
        if not self._rest:
            return True
        if self._probing or asyncio.get_running_loop().time() < self._closed_until:
            return False
        self._probing = True
        return True

    async def _asked(self, key: bytes, rate: float, burst: float, cost: float) -> Taken | None:
        future: asyncio.Future[Taken | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, rate, burst, max(cost, 0.0), future))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        return await future

    async def _flush(self) -> None:
        """Send what waits, batch by batch; what comes in meanwhile makes the next one."""
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            answers: list[Taken | None] = [None] * len(batch)
            try:
                if not self._rest or self._probing:
                    answers = await self._batch(batch)
            finally:
                for (*_, future), answer in zip(batch, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)

    async def _batch(self, batch: list[Any]) -> list[Taken | None]:
        keys = [entry[0] for entry in batch]
        arguments = [repr(float(value)) for entry in batch for value in entry[1:4]]

        def call() -> Awaitable[Any]:
            return self._script(_TAKE, keys, arguments)

        done, answer = await self._tried(call)
        if not done:
            return [None] * len(batch)
        if len(self._known) > MOST_BUCKETS:
            self._known.clear()
        out: list[Taken | None] = []
        for (key, rate, _, cost, _), allowed, left in zip(batch, answer[::2], answer[1::2], strict=True):
            level = float(left)
            self._known[key] = level
            out.append(Taken(bool(allowed), level, 0.0 if allowed else wait(cost - level, rate)))
        return out

    async def _script(self, text: str, keys: list[bytes], arguments: list[Any]) -> Any:
        """EVALSHA; after SCRIPT FLUSH or a restart the script is sent once more."""
        sha = self._scripts.setdefault(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
        try:
            return await self._redis.evalsha(sha, len(keys), *keys, *arguments)
        except exceptions.NoScriptError:
            return await self._redis.eval(text, len(keys), *keys, *arguments)

    async def _guarded(self, call: Callable[[], Awaitable[Any]]) -> tuple[bool, Any]:
        return await self._tried(call) if self._ready() else (False, None)

    async def _tried(self, call: Callable[[], Awaitable[Any]]) -> tuple[bool, Any]:
        """Whether the server answered in time, and what. Opens and closes the breaker."""
        answered = False
        try:
            async with asyncio.timeout(self._timeout):
                answer = await call()
            answered = True
        except _FAILURES:
            self.failures += 1
            self._rest = min(max(self._rest * 2, FIRST_REST), LONGEST_REST)
            self._closed_until = asyncio.get_running_loop().time() + self._rest
            return False, None
        else:
            self._rest = 0.0
            return True, answer
        finally:
            self._probing = False
            if not answered:
                # Half an exchange may be on the wire: its connections must not serve the next one.
                await self._drop()

    async def _drop(self) -> None:
        with contextlib.suppress(*_FAILURES):
            await self._redis.connection_pool.disconnect()
