"""The gateway's side of the escrow: which exchanges are kept, and what of them, for a second draw of the same answer.

What decides whether an exchange is kept is known before its answer is, or asked of the answer and its ghost alike. Else the
answers that were served would be a chosen lot, and the pairs would prove nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from spiritsafe.errors import SpiritsafeError, StorageError
from spiritsafe.marking.keys import read_root
from spiritsafe.provenance._escrow import Escrow, snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spiritsafe.gateway._kept import Escrowed, Marks
    from spiritsafe.gateway.figures import Figures
    from spiritsafe.provenance._escrow import Ticket

READY = 64
"""Tickets drawn ahead, so that no request waits for the ledger; refilled when half of them are gone."""
WAITING = 1_000
"""Exchanges that may wait for the disk; with ``on_failure = "open"``, more of them are lost and counted."""
#: Fields of a request that no answer hangs on, or that name somebody. All others are the sampler's: one that is not
#: known here may change how answers are drawn, and a ghost must be drawn alike.
_BESIDE = frozenset(
    (
        "messages", "model", "stream", "stream_options", "user", "safety_identifier", "metadata", "store",
        "service_tier", "prompt_cache_key", "prompt_cache_retention", "n",
    )
)  # fmt: skip
#: Ends of an answer that a provider's filter took back; a ghost that ends so is no ghost either.
_REFUSED = frozenset(("content_filter", "refusal"))


@dataclass(slots=True)
class Heard:
    """What an answer tells of the model that made it, from its document or its events."""

    model: str | None = None
    fingerprint: str | None = None
    refused: bool = False

    def add(self, document: Any) -> None:
        """Take the whole answer, or one event."""
        if not isinstance(document, dict):
            return
        told = cast("dict[str, Any]", document)
        for choice in _listed(told.get("choices")):
            said = choice.get("message") or choice.get("delta")
            if isinstance(said, dict) and cast("dict[str, Any]", said).get("refusal"):
                self.refused = True
        if told.get("type") == "message_start" and isinstance(told.get("message"), dict):
            told = told["message"]
        for name, value in (("model", told.get("model")), ("fingerprint", told.get("system_fingerprint"))):
            if isinstance(value, str) and value:
                setattr(self, name, value)

    def text(self, told: Mapping[str, Any]) -> str | None:
        """The answer's text by the columns that it told; None where there is none that a test could compare."""
        text = told.get("response")
        if self.refused or told.get("finish_reason") in _REFUSED:
            return None
        return text if isinstance(text, str) and text.strip() else None


@dataclass(slots=True)
class Pair:
    """One exchange that is kept. ``messages`` and ``sampler``: as they went to the model; ``ghost``: if drawn already."""

    ticket: Ticket
    exchange_id: str
    campaign_id: str | None
    model: str
    messages: list[Any]
    sampler: dict[str, Any]
    heard: Heard = field(default_factory=Heard)
    ghost: dict[str, Any] | None = None

    def snapshot(self, heard: Heard) -> str:
        """Model and sampler of a draw that told so much of itself."""
        return snapshot(heard.model or self.model, self.sampler, heard.fingerprint)


def parts(dialect_id: str, body: Any) -> tuple[list[Any], dict[str, Any]] | None:
    """Messages and sampler of a request that a second answer could be drawn to; None for any other."""
    if dialect_id not in {"chat", "messages"} or not isinstance(body, dict):
        return None
    said = cast("dict[str, Any]", body)
    messages: Any = said.get("messages")
    if not isinstance(messages, list) or not messages or said.get("n") not in {None, 1}:
        return None
    listed = cast("list[Any]", messages)
    if not all(isinstance(one, dict) for one in listed):
        return None
    sampler = {name: value for name, value in said.items() if name not in _BESIDE}
    if dialect_id == "messages" and "system" in sampler:
        system = sampler.pop("system")
        if isinstance(system, list) and len(cast("list[Any]", system)) == 1:
            block: Any = system[0]
            system = cast("dict[str, Any]", block).get("text") if isinstance(block, dict) else None
        if not isinstance(system, str):  # a server joins several blocks in a way of its own
            return None
        listed = [{"role": "system", "content": system}, *listed]
    return listed, sampler


class Keeper:
    """The escrow of one process: tickets ahead of need, and a thread that writes.

    ``closed``: what cannot be kept is an error (StorageError); else it is counted, told in ``complaint``, and the exchange
    goes on without. ``counts``: ``escrow.<outcome>``.
    """

    def __init__(self, policy: Escrowed, marks: Marks, *, closed: bool, counts: Figures) -> None:
        self._closed, self._counts = closed, counts
        self._escrow = Escrow(
            policy.folder, policy.ledger, root=read_root(marks.root), share=policy.share,
            campaigns=policy.campaigns, batch=policy.batch,
        )  # fmt: skip
        self._thread = ThreadPoolExecutor(1, "escrow")
        self._ready: deque[Ticket] = deque()
        self._refilling: asyncio.Future[None] | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self.complaint: str | None = None

    async def start(self) -> None:
        """The first tickets. Raises StorageError when there are none and the policy says ``closed``."""
        await self._refilled()
        if self.complaint is not None and self._closed:
            raise StorageError(self.complaint)

    async def close(self) -> None:
        """What waits is written, and the batch ends."""
        await asyncio.gather(*self._waiting, return_exceptions=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._escrow.close)
        await loop.run_in_executor(None, self._thread.shutdown)

    def wants(self, exchange_id: str, campaign_id: str | None) -> bool:
        """Whether an exchange belongs in the escrow, by what is known before it is answered."""
        return self._escrow.wants(exchange_id, campaign_id)

    def outcome(self, name: str) -> None:
        """Count what became of an exchange that was wanted."""
        self._counts.add(f"escrow.{name}")

    async def ticket(self) -> Ticket | None:
        """A ticket whose coin is in the ledger; None when there is none to be had. Raises StorageError (``closed``)."""
        if not self._ready and self._closed:
            await self._refilled()
        ticket = self._ready.popleft() if self._ready else None
        if len(self._ready) <= READY // 2:
            self._refill()
        if ticket is None:
            if self._closed:
                raise StorageError(self.complaint or "the escrow gives no ticket")
            self.outcome("no_ticket")
        return ticket

    async def keep(self, pair: Pair, served: str) -> None:
        """Put a pair down. Under ``closed`` it is on disk when this returns (else StorageError); under ``open`` soon."""
        if not self._closed and len(self._waiting) >= WAITING:
            self.outcome("lost")
            return
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._keep, pair, served)
        self._waiting.add(work)
        work.add_done_callback(self._kept)
        if self._closed:
            await asyncio.shield(work)

    def _keep(self, pair: Pair, served: str) -> None:
        self._escrow.keep(
            pair.ticket,
            messages=pair.messages,
            snapshot=pair.snapshot(pair.heard),
            served=served,
            campaign_id=pair.campaign_id,
            exchange_id=pair.exchange_id,
            ghost=pair.ghost,
        )

    def _kept(self, work: asyncio.Future[None]) -> None:
        self._waiting.discard(work)
        error = work.exception()
        self.outcome("kept" if error is None else "lost")
        self._tell(error)

    def _refill(self) -> asyncio.Future[None]:
        if self._refilling is None:
            loop = asyncio.get_running_loop()
            self._refilling = loop.run_in_executor(self._thread, self._draw)
            self._refilling.add_done_callback(self._drawn)
        return self._refilling

    async def _refilled(self) -> None:
        await asyncio.wait([self._refill()])

    def _draw(self) -> None:
        while len(self._ready) < READY:
            self._ready.append(self._escrow.ticket())

    def _drawn(self, work: asyncio.Future[None]) -> None:
        self._refilling = None
        self._tell(work.exception())

    def _tell(self, error: BaseException | None) -> None:
        # Of an error that is not ours only the kind: its words may hold what the exchange said.
        why = str(error) if isinstance(error, SpiritsafeError) else type(error).__name__
        self.complaint = None if error is None else f"the escrow is not written: {why}"


def _listed(value: Any) -> list[dict[str, Any]]:
    listed = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", one) for one in listed if isinstance(one, dict)]
