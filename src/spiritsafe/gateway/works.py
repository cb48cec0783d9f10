"""What one gateway process holds: sketches, rules, counters, keys and the exchange log. ``Exchange`` uses it."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from spiritsafe.errors import SpiritsafeError, StorageError
from spiritsafe.features.inline import Inline
from spiritsafe.gateway.artefacts import Binding
from spiritsafe.gateway.escrow import Keeper
from spiritsafe.gateway.figures import Figures
from spiritsafe.gateway.keys import KeyFile
from spiritsafe.gateway.record import key_id, key_secret
from spiritsafe.gateway.rules import RuleFiles, lacking, responses
from spiritsafe.gateway.segments import Segments, recover
from spiritsafe.gateway.segments import writer as new_writer
from spiritsafe.gateway.spans import Spans
from spiritsafe.gateway.state import Local
from spiritsafe.ledger import Ledger
from spiritsafe.marking.choice import choose
from spiritsafe.marking.keyring import read_keyring

if TYPE_CHECKING:
    from collections.abc import Callable

    from spiritsafe.features.inline import Sketch
    from spiritsafe.gateway.artefacts import Redemption
    from spiritsafe.gateway.policy import Policy
    from spiritsafe.gateway.rules import Rules
    from spiritsafe.gateway.state import State
    from spiritsafe.model import Caller, Order

LOOK = 0.25
"""Seconds between two looks at the files."""
LONG = 1 << 16
"""Characters of a text, or bytes of a body, above which it is read in a thread: the loop is others', too."""
T = TypeVar("T")
_TAIL = re.compile(r"(-\d{8}|-\d{4}-\d{2}-\d{2}|@\w+|-latest)$")
_MOST_TOLD = 100_000


class Works:
    """Made once a process, inside no loop; ``start`` and ``close`` belong to the server's loop.

    ``writer`` is unique among all processes that write to one log folder; None: one is made. ``processes``: gateways times
    workers, that share budgets when they are not counted in Redis.
    """

    def __init__(self, policy: Policy, *, writer: str | None = None, processes: int = 1) -> None:
        self.policy = policy
        self.writer = writer or new_writer()
        self.responses = responses()
        self.inline, self.long = Inline(), Inline()
        self.files = RuleFiles(policy, lack=self._lack)
        self.counts = Figures()
        self.keys = KeyFile(policy.artefacts.keys) if policy.artefacts.keys else None
        keys = self.keys
        self.binding = (
            Binding(lambda: keys.ring, bind=policy.artefacts.bind, lifetime=policy.artefacts.lifetime)
            if keys
            else None
        )
        marks = policy.marks
        ring = read_keyring(marks.keyring) if marks is not None and marks.keyring else ()
        self.mark_keys = {key.key_id: key for key in ring}
        self.keeper = (
            Keeper(policy.escrow, marks, closed=policy.log.on_failure == "closed", counts=self.counts)
            if policy.escrow is not None and marks is not None
            else None
        )
        self.spans = Spans(policy.log.otlp, self.writer) if policy.log.otlp else None
        self._processes = processes
        self._families: dict[str, str] = {}
        self._thread = ThreadPoolExecutor(1, "gateway")
        self._apart = ThreadPoolExecutor(1, "long")
        self._ledger: Ledger | None = None
        self._told: set[tuple[str, str]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._secret = b""
        self.segments: Segments
        self.state: State
        self._evidence_failed: str | None = None

    @property
    def rules(self) -> Rules:
        """The rules of now."""
        return self.files.rules

    async def start(self) -> None:
        """Mend what dead writers left, read the files, load the kernel. Raises SpiritsafeError."""
        policy = self.policy
        try:
            policy.log.folder.mkdir(parents=True, exist_ok=True)
            recover(policy.log.folder)
            own = policy.log.folder / "_gateway"
            own.mkdir(exist_ok=True)
            self._secret = key_secret(own / "key-secret")
        except OSError as error:
            if policy.log.on_failure == "closed":
                raise StorageError(
                    f"the log folder cannot be used: {error}", where=str(policy.log.folder)
                ) from error
        self.segments = Segments(
            policy.log.folder,
            self.writer,
            on_failure=policy.log.on_failure,
            rotate=policy.log.rotate,
            rotate_every=policy.log.rotate_every,
            sync=policy.log.sync,
        )
        floors = policy.log.folder / "_gateway" / "versions.json"
        if policy.state.redis:
            from spiritsafe.gateway.redis import Shared  # noqa: PLC0415 - only where it is used

            self.state = Shared(
                policy.state.redis,
                on_failure=policy.state.on_failure,
                gateways=self._processes,
                floors=floors,
                timeout=policy.state.timeout,
            )
        else:
            self.state = Local(share=1 / self._processes, floors=floors)
        self.inline.warm()
        if self.keeper is not None:
            await self.keeper.start()
        if key := next(iter(self.mark_keys.values()), None):
            await self.apart(lambda: choose(("one two three four five", "five four three two one"), key, 0))
        await self._load()
        if self.spans is not None:
            self.spans.start()
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self.segments.run())]

    async def close(self) -> None:
        """Publish the log; the files stay as they are."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.state.close()
        loop = asyncio.get_running_loop()
        if self.keeper is not None:
            await self.keeper.close()
        if self.spans is not None:
            await loop.run_in_executor(None, self.spans.close)
        await loop.run_in_executor(None, self.segments.close)
        self._thread.shutdown(wait=True)
        self._apart.shutdown(wait=True)
        if self._ledger is not None:
            self._ledger.close()

    async def sketch(self, prompt: str, system: str | None, *, minhash: bool) -> Sketch:
        """The sketch of a request. A long text goes to a thread, one at a time: the kernel needs no lock, and others go on."""
        if len(prompt) + len(system or "") <= LONG:
            return self.inline.sketch(prompt, system, minhash=minhash)
        return await self.apart(lambda: self.long.sketch(prompt, system, minhash=minhash))

    async def apart(self, work: Callable[[], T]) -> T:
        """What ``work`` gives, done in the thread for what is long."""
        return await asyncio.get_running_loop().run_in_executor(self._apart, work)

    def _lack(self, order: Order) -> str | None:
        """What an order's response needs and this gateway does not have, in words."""
        if not getattr(self.responses[order.response].module, "DRAWS", False):
            return lacking(order)
        if not self.mark_keys or self.keeper is None:
            return "answers pass unmarked: [marks] keyring and [escrow] are needed"
        key = str(order.parameters["key"])
        return None if key in self.mark_keys else f"answers pass unmarked: the keyring has no key {key:.60}"

    def ready(self) -> bool:
        """Whether a request may be taken."""
        return self.segments.ready()

    def complaints(self) -> list[str]:
        """What is wrong now, in words; nothing of it stops the gateway by itself."""
        found = [*self.files.complaints.values()]
        found += [f"not in force: {note}" for note in self.rules.notes]
        for one in (
            self.segments.figures.failure,
            self.state.complaint(),
            self.keys.complaint if self.keys else None,
            self.keys.ring.complaint(time.time_ns() // 1000) if self.keys else None,
            self._evidence_failed,
            self.spans.complaint if self.spans else None,
            self.keeper.complaint if self.keeper else None,
        ):
            if one:
                found.append(one)
        return found

    def figures(self) -> dict[str, float]:
        """Flat names and numbers for the metrics."""
        log = self.segments.figures
        return {
            **self.counts.flat(),
            **(self.spans.figures() if self.spans else {}),
            "records": log.records,
            "records_lost": log.lost,
            "log_bytes": log.bytes,
            "log_failures": log.failures,
            "segments_published": log.published,
            "orders_in_force": self.rules.orders,
            "orders_version": self.rules.version,
            "orders_withheld": len(self.rules.notes),
            "indicators": len(self.rules.index),
            "complaints": len(self.complaints()),
        }

    def family(self, model: str | None) -> str | None:
        """A model's family: by the policy's longest prefix, else its name without date or version tail."""
        if model is None:
            return None
        known = self._families.get(model)
        if known is None:
            fits = [prefix for prefix in self.policy.families if model.startswith(prefix)]
            known = self.policy.families[max(fits, key=len)] if fits else _TAIL.sub("", model[:200])
            if len(self._families) > _MOST_TOLD:
                self._families.clear()
            self._families[model] = known
        return known

    def key_id(self, key: str) -> str:
        """What stands for an API key in the log."""
        return key_id(key, self._secret)

    def tell(self, redemption: Redemption, caller: Caller, now: int) -> None:
        """Write down that a caller handed in another party's artefact: evidence, once a pair, off the loop."""
        pair = (redemption.token_hash, caller.account_id)
        if pair in self._told or len(self._told) >= _MOST_TOLD:
            return
        self._told.add(pair)
        body: dict[str, object] = {
            "kind": redemption.kind,
            "verdict": redemption.verdict,
            "place": redemption.place,
            "token_hash": redemption.token_hash,
            "owner_tag": redemption.owner_tag,
            "party_tag": redemption.party_tag,
            "key_id": redemption.key_id,
            "epoch": redemption.epoch,
            "account_id": caller.account_id,
            "organization_id": caller.organization_id,
        }
        self._thread.submit(self._write, body, now)

    def _write(self, body: dict[str, object], now: int) -> None:
        try:
            if self._ledger is None:
                folder = self.policy.log.folder / "_gateway"
                folder.mkdir(parents=True, exist_ok=True)
                self._ledger = Ledger(folder / f"evidence-{self.writer}.jsonl")
            self._ledger.append("artefact_crossing", body, time=now)
            self._evidence_failed = None
        except SpiritsafeError as error:
            self._ledger = None
            self._evidence_failed = f"evidence was not written: {error}"

    async def _load(self) -> None:
        now = time.time_ns() // 1000
        orders = self.policy.orders
        name = f"orders {orders.file}"
        floor = await self.state.floor(name, 0) if orders.file else 0
        loop = asyncio.get_running_loop()
        rules = await loop.run_in_executor(self._thread, self.files.load, now, floor)
        await loop.run_in_executor(self._thread, _trim)
        if orders.file and rules.version > floor:
            try:
                await self.state.floor(name, rules.version)
            except StorageError as error:
                self.files.complaints[name] = str(error)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            if self.keys is not None:
                self.keys.refresh()
            if self.files.changed():
                with suppress(SpiritsafeError):
                    await self._load()


def _trim() -> None:
    """Give back what reading a large file took: a million indicators are far larger as text than as a table.

    What is left stays until the next reading; that the collector need not look at it again saves some 5 % of a request.
    """
    gc.collect()
    gc.freeze()
    with suppress(OSError, AttributeError):  # glibc only
        ctypes.CDLL(None).malloc_trim(0)
