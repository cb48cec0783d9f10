"""Work outside the store: a case's folder, the signed orders of an appeal. Decided first, then done, once, whatever happens.

A person's decision and the job are one write. The job runs at once; after a kill it runs when the console starts again. So
each kind of job looks first at what is there already, and does only what is missing.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spiritsafe.console.desk import Write
from spiritsafe.errors import SpiritsafeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from spiritsafe.console.desk import Desk
    from spiritsafe.sharing.hub.store import Tx


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work: who decided it, why, and what it needs."""

    id: str
    kind: str
    subject: str
    person: str
    reason: str
    body: Mapping[str, Any]
    time: int


class Work:
    """Runs jobs, one at a time. ``kinds``: kind → an async function of the job and of a teller ``(stage, share)``."""

    def __init__(
        self, desk: Desk, kinds: Mapping[str, Callable[[Job, Callable[[str, float], None]], Awaitable[None]]]
    ) -> None:
        self._desk, self._kinds = desk, kinds
        self._turn = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.progress: dict[str, tuple[str, float]] = {}

    async def decide(
        self, what: Write, told: Mapping[str, Any], body: Mapping[str, Any], *, now: int
    ) -> asyncio.Task[None]:
        """Keep a person's decision and begin its job; ``told`` is what the ledger says of it, ``body`` what the job needs."""
        what = what.checked()

        async def job(tx: Tx) -> None:
            await tx.run(
                "INSERT INTO jobs (id, kind, subject, person, reason, body, state, note, time) "
                "VALUES ($1, $2, $3, $4, $5, $6, 'waiting', '', $7)",
                what.id, what.kind, what.subject, what.person, what.reason, json.dumps(dict(body)), now,
            )  # fmt: skip

        await self._desk.write(what, told, job, now=now)
        return self._begin(Job(what.id, what.kind, what.subject, what.person, what.reason, body, now))

    async def resume(self) -> None:
        """Begin what was decided and is not done."""

        async def left(tx: Tx) -> list[tuple[Any, ...]]:
            return await tx.all(
                "SELECT id, kind, subject, person, reason, body, time FROM jobs WHERE state = 'waiting' ORDER BY time LIMIT 50"
            )

        for row in await self._desk.read(left):
            if row[0] not in self._tasks and row[1] in self._kinds:
                name, kind, subject, person, reason, body, time = row
                self._begin(Job(name, kind, subject, person, reason, json.loads(body), time))

    async def of(self, subject: str) -> list[dict[str, Any]]:
        """The jobs about a subject that are not done: waiting ones with how far they are, and the last that failed."""

        async def found(tx: Tx) -> list[tuple[Any, ...]]:
            return await tx.all(
                "SELECT id, kind, state, note, time FROM jobs WHERE subject = $1 ORDER BY time DESC LIMIT 10",
                subject,
            )

        rows = await self._desk.read(found)
        told: list[dict[str, Any]] = []
        for n, (name, kind, state, note, time) in enumerate(rows):
            if state == "waiting" or (state == "failed" and n == 0):
                stage, share = self.progress.get(name, ("", 0.0))
                told.append(
                    {"kind": kind, "state": state, "note": note, "time": time, "stage": stage, "share": share}
                )
        return told

    async def end(self) -> None:
        """Wait for what runs: a thread cannot be stopped half-way, and what is not begun waits for the next start."""
        running = list(self._tasks.values())
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _begin(self, job: Job) -> asyncio.Task[None]:
        task = asyncio.create_task(self._run(job))
        self._tasks[job.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.id, None))
        return task

    async def _run(self, job: Job) -> None:
        async with self._turn:
            state, note = "done", ""
            try:
                await self._kinds[job.kind](
                    job, lambda stage, share: self.progress.__setitem__(job.id, (stage, share))
                )
            except SpiritsafeError as error:
                state, note = "failed", str(error)
            except Exception as error:  # noqa: BLE001 - a fault of ours: tried again it would fail again
                state, note = "failed", f"a fault of the console: {type(error).__name__}: {error}"
            finally:
                self.progress.pop(job.id, None)

            async def ended(tx: Tx) -> None:
                await tx.run(
                    "UPDATE jobs SET state = $1, note = $2, body = '{}' WHERE id = $3", state, note, job.id
                )

            if state == "failed":
                what = Write(
                    job.person,
                    f"{job.kind}-failed",
                    job.subject,
                    note[:500] or "it failed",
                    f"failed-{job.id}"[:64],
                )
                await self._desk.write(what, {"job": job.id}, ended, now=job.time)
            else:
                await self._desk.quietly(ended)
