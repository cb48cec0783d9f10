"""The desk: where people's writes are made. One transaction, then one entry in the ledger, then the answer.

A write and the ledger's entry stand in two places, so the transaction also leaves the entry in ``writes``. What has no
``seq`` there yet is appended to the ledger before anybody is answered, and, after a ``kill -9`` in between, when the console
starts again: nothing is lost. Each entry carries its write's id, which is looked for in the ledger first: nothing stands
there twice. A form sent again finds its id in ``writes`` and is answered like the first time.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from spiritsafe import ledger
from spiritsafe.console import schema
from spiritsafe.errors import SpiritsafeError, StorageError, UsageError
from spiritsafe.sharing.hub import store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from spiritsafe.sharing.hub.store import Store, Tx

T = TypeVar("T")
REASON = 2_000
"""Characters of a reason."""


class Repeated(SpiritsafeError):  # noqa: N818 - reads as the fact it states
    """The very same write was done before; nothing was done again."""


class Stale(SpiritsafeError):  # noqa: N818 - reads as the fact it states
    """What was to be changed has changed meanwhile. ``changes`` are the writes since, oldest first."""

    def __init__(self, message: str, changes: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message, hint="look at what changed, then decide again; nothing was done")
        self.changes = list(changes)


@dataclass(frozen=True, slots=True)
class Write:
    """Who does what to which subject, and why. ``id`` makes it one write however often it arrives."""

    person: str
    kind: str
    subject: str
    reason: str
    id: str = ""

    def checked(self) -> Write:
        """The same, ready to be made. Raises UsageError without a reason."""
        reason = self.reason.strip()
        if len(reason) < 3:
            raise UsageError("a reason is needed", hint="say why in a few words: it stands in the ledger")
        if len(reason) > REASON:
            raise UsageError(f"the reason is longer than {REASON} characters")
        if len(self.id) > 64:
            raise UsageError("the id of this write makes no sense", hint="load the page again")
        return Write(self.person, self.kind, self.subject, reason, self.id or secrets.token_urlsafe(18))


class Desk:
    """The console's store and its ledger. ``book`` None: entries wait for the process that holds the ledger."""

    def __init__(self, database: Store, book: Path | None) -> None:
        self.store = database
        self.path = book
        self._ledger: ledger.Ledger | None = None
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Make the tables, open the ledger, and bring to it what was left. Raises StorageError, LedgerError."""
        await store.migrate(self.store, schema.PART, schema.STEPS)
        if self.path is not None:
            self._ledger = await asyncio.to_thread(ledger.Ledger, self.path)
            await self._recall()
            await self.settle()

    async def close(self) -> None:
        """Close both."""
        await self.store.close()
        if self._ledger is not None:
            self._ledger.close()

    @property
    def head(self) -> str:
        """The ledger's head, to be kept elsewhere."""
        return self._ledger.head if self._ledger else ""

    async def read(self, job: Callable[[Tx], Awaitable[T]]) -> T:
        """See `sharing.hub.store.Store.read`."""
        return await self.store.read(job)

    async def quietly(self, job: Callable[[Tx], Awaitable[T]], *, durable: bool = True) -> T:
        """A write that is no person's decision: sessions, what was noticed. It leaves no entry in the ledger."""
        return await self.store.write(job, durable=durable)

    async def write(
        self,
        what: Write,
        body: Mapping[str, Any],
        job: Callable[[Tx], Awaitable[T]],
        *,
        now: int,
        more: Callable[[T], Mapping[str, Any]] | None = None,
    ) -> T:
        """Do ``job``, keep ``what`` with ``body`` (and ``more`` of what the job returned) in the ledger, return what it returned.

        Raises Repeated when this write was done already, UsageError without a reason, whatever the job raises, and
        StorageError when the ledger cannot be written: then, unless the message says otherwise, nothing was done.
        """
        what = what.checked()
        await self.settle()

        async def made(tx: Tx) -> T:
            if await tx.one("SELECT n FROM writes WHERE id = $1", what.id):
                raise Repeated("this was done already", hint="nothing was done twice")
            value = await job(tx)
            whole = {**body, **(more(value) if more else {})}
            await _keep(tx, what, whole, now)
            return value

        value = await self.store.write(made)
        try:
            await self.settle()
        except StorageError as error:
            raise StorageError(
                f"it was done, but the ledger could not be written: {error.message}",
                where=error.where,
                hint="it will be in the ledger as soon as that can be written; until then nothing else is done",
            ) from error
        return value

    async def settle(self) -> None:
        """Append to the ledger what is not in it. Raises StorageError."""
        if self._ledger is None:
            return
        async with self._turn:
            left = await self.store.read(_left)
            if not left:
                return
            places = await asyncio.to_thread(self._append, left)
            await self.store.write(lambda tx: _placed(tx, places))

    def _append(self, left: list[tuple[Any, ...]]) -> list[tuple[int, int]]:
        if self._ledger is None:
            return []
        places: list[tuple[int, int]] = []
        for n, name, time, person, kind, subject, reason, body in left:
            entry = {**json.loads(body), "write": name, "by": person, "subject": subject, "why": reason}
            try:
                places.append((self._ledger.append(kind, entry, time=time).seq, n))
            except StorageError:
                self._ledger.close()
                self._ledger = ledger.Ledger(self._ledger.path)  # what is on disk is looked at again
                raise
        return places

    async def _recall(self) -> None:
        """After a kill between the ledger and the store: what the ledger has is not appended again."""
        left = {row[1]: row[0] for row in await self.store.read(_left)}
        if left and self.path is not None:
            path = self.path
            places = await asyncio.to_thread(
                lambda: [
                    (one.seq, left[name])
                    for one in ledger.entries(path)
                    if (name := one.body.get("write")) in left
                ]
            )
            await self.store.write(lambda tx: _placed(tx, places))


async def history(tx: Tx, subject: str, *, after: int = 0) -> list[dict[str, Any]]:
    """The writes about ``subject`` later than number ``after``, oldest first."""
    rows = await tx.all(
        "SELECT n, time, person, kind, reason, body FROM writes WHERE subject = $1 AND n > $2 ORDER BY n",
        subject,
        after,
    )
    return [_told(row) for row in rows]


async def lately(tx: Tx, since: int, *, limit: int = 200) -> list[dict[str, Any]]:
    """The writes since a time, newest first."""
    rows = await tx.all(
        "SELECT n, time, person, kind, reason, body, subject FROM writes WHERE time >= $1 ORDER BY n DESC LIMIT $2",
        since, limit,
    )  # fmt: skip
    return [{**_told(row[:6]), "subject": row[6]} for row in rows]


async def generation(tx: Tx) -> int:
    """A number that grows with every write."""
    row = await tx.one("SELECT coalesce(max(n), 0) FROM writes")
    return int(row[0]) if row else 0


def _told(row: tuple[Any, ...]) -> dict[str, Any]:
    n, time, person, kind, reason, body = row
    return {"n": n, "time": time, "by": person, "kind": kind, "reason": reason, "body": json.loads(body)}


async def _keep(tx: Tx, what: Write, body: Mapping[str, Any], now: int) -> None:
    n = await generation(tx) + 1
    await tx.run(
        "INSERT INTO writes (n, id, time, person, kind, subject, reason, body, seq) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL)",
        n, what.id, now, what.person, what.kind, what.subject, what.reason, json.dumps(body),
    )  # fmt: skip


async def _left(tx: Tx) -> list[tuple[Any, ...]]:
    return await tx.all(
        "SELECT n, id, time, person, kind, subject, reason, body FROM writes WHERE seq IS NULL ORDER BY n LIMIT 500"
    )


async def _placed(tx: Tx, places: list[tuple[int, int]]) -> None:
    await tx.many("UPDATE writes SET seq = $1 WHERE n = $2", places)
