"""One exchange on its way through: what was asked, what was decided, what was answered, and its record.

The record is on disk before the last byte of the answer goes out, so a complete answer is a record, whatever kills us.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from spiritsafe.errors import StorageError
from spiritsafe.gateway import decide, drafts
from spiritsafe.gateway._places import gives_out, hands_in, may_touch
from spiritsafe.gateway.artefacts import KINDS, Owner
from spiritsafe.gateway.escrow import Pair, parts
from spiritsafe.gateway.record import Decided, record
from spiritsafe.gateway.stream import Stream
from spiritsafe.gateway.walker import CATEGORIES, Handed, Issuer, handed, handed_path
from spiritsafe.responses import Call, Changes, Refusal
from spiritsafe.responses.mark import HEADER, unnamed

if TYPE_CHECKING:
    from collections.abc import Collection

    from spiritsafe.features.inline import Sketch
    from spiritsafe.gateway.artefacts import Redemption
    from spiritsafe.gateway.works import Works
    from spiritsafe.model import Caller, Order
    from spiritsafe.responses import Dialect, Taken

#: Events after which a stream says nothing more, by their ``type``; chat streams end with ``[DONE]``.
_LAST = frozenset({"message_stop", "response.completed", "response.failed", "response.incomplete", "error"})
_DONE = b"[DONE]"


def ends(document: Any) -> bool:
    """Whether a stream says nothing more after this event."""
    return isinstance(document, dict) and document.get("type") in _LAST


class Away(NamedTuple):
    """What goes to the model: ``document`` None when it is as it came; ``target`` the path; ``headers`` to add."""

    document: Any
    target: str
    headers: tuple[tuple[bytes, bytes], ...]


class Refusing(Exception):  # noqa: N818 - reads as the fact it states
    """The request is answered by us."""

    def __init__(self, refusal: Refusal, dialect: Dialect | None, *, streamed: bool = False) -> None:
        super().__init__(refusal.category)
        self.refusal = refusal
        self.dialect = dialect
        self.streamed = streamed


class Exchange:
    """Made for each guarded request; ``decide`` first, then the answer's methods, and ``close`` whatever happens.

    ``kinds``: the artefacts that are bound here.
    """

    def __init__(
        self, works: Works, dialect: Dialect, caller: Caller, body: Any, now: int, *,
        kinds: Collection[str] = KINDS,
    ) -> None:  # fmt: skip
        self.works, self.dialect, self.caller, self.now = works, dialect, caller, now
        self._began = time.perf_counter()
        self._kinds = kinds
        # Our own: of two records with one id a scan counts one, and nothing makes a model server give each answer its own.
        self.id = f"gw-{os.urandom(12).hex()}"
        self.body = body
        self.asked = dialect.asked(body)
        self._sketch: Sketch | None = None
        self._orders: tuple[Order, ...] = ()
        self._campaigns: tuple[str, ...] = ()
        self._handed = Handed(body)
        self._category: str | None = None
        self._response: str | None = None
        self.changes: Changes | None = None
        self.drafts: drafts.Drafts | None = None
        self._pair: Pair | None = None
        self._owner = Owner(caller.account_id, caller.organization_id, works.family(self.asked.model))
        self.issuer: Issuer | None = None
        self._tally = dialect.tally()
        self._written = False
        self.status: int | None = None
        self.finish: str | None = None

    async def decide(self, path: str) -> Away:
        """Hear artefacts and orders. Raises Refusing, the record then written."""
        works = self.works
        await self._match()
        target = self._open(path)
        self._orders = works.rules.book.applying(self._campaigns, self.caller, self.now)
        if (foreign := self._not_theirs()) is not None:
            raise await self._refuse_artefact(foreign)
        if works.binding is not None:
            echoes = self._handed.echoes
            self.issuer = Issuer(self._owner, works.binding, now=self.now, echoes=echoes, kinds=self._kinds)
        body = unnamed(self._handed.document or {})
        call = Call(self.dialect, body, self.caller, url=works.policy.contest)
        if self._orders:
            judged = await self._judged(call)
            if judged.refusal is not None and not works.policy.shadow:
                raise await self._refused(judged.refusal)
            if not works.policy.shadow:
                call = judged.call
                self.changes = Changes(
                    self.dialect,
                    [(works.responses[order.response], order) for order in judged.applied],
                    streamed=self.asked.stream,
                )
        if works.keeper is not None or call.draws is not None:
            await self._escrow(call)
        extra = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in call.headers)
        changed = bool(self.body) and call.body is not self.body
        return Away(call.body if changed else None, target, extra)

    async def _escrow(self, call: Call) -> None:
        """Take a ticket, if this exchange is to be kept or drawn several times. Raises StorageError (``closed``)."""
        works, draws = self.works, call.draws
        if draws is not None:
            why = drafts.reason(works, self.asked, call.body, draws.key)
            if why is not None:
                works.counts.add(f"best_of.{why}")
                draws = None
        keeper = works.keeper
        if keeper is None or not self.dialect.makes:
            return
        named = (*self._campaigns, *(order.campaign_id for order in self._orders))
        campaign = draws.campaign_id if draws is not None else named[0] if named else None
        if draws is None and not keeper.wants(self.id, campaign):
            return
        held = parts(self.dialect.id, call.body)
        # A key that only a header names is in no sampler: a ghost could not be drawn alike later.
        if held is None or (draws is None and any(name == HEADER for name, _ in call.headers)):
            keeper.outcome("unsuited")
            if draws is not None:
                works.counts.add("best_of.unsuited")
            return
        ticket = await keeper.ticket()
        if ticket is None:
            if draws is not None:
                works.counts.add("best_of.no_ticket")
            return
        self._pair = Pair(ticket, self.id, campaign, self.asked.model or "", *held)
        if draws is not None:
            self.drafts = drafts.Drafts(draws.drafts, works.mark_keys[draws.key], self._pair)

    async def _match(self) -> None:
        """Sketch the request, and see which campaigns' indicators it has."""
        works, index = self.works, self.works.rules.index
        if self.dialect.makes and (works.policy.log.content != "none" or len(index)):
            asked = self.asked
            self._sketch = await works.sketch(asked.prompt or "", asked.system, minhash=index.wants_minhash)
            index = works.rules.index  # a long text may have outlived the rules
        if not len(index):
            return
        caller = self.caller
        matched = index.match(self._sketch, device=caller.device_id, network=caller.client_ip, now=self.now)
        if matched:
            self._campaigns = decide.campaigns(index, matched)
            works.counts.add("matched")

    async def _judged(self, call: Call) -> decide.Judged:
        """What the orders say. Who is refused anyway takes no token: decided first as if there were enough."""
        works = self.works
        left: dict[str, Taken] = {}
        judged = decide.judge(call, self._orders, left, works.responses, now=self.now)
        if judged.refusal is None:
            for order, bucket in decide.buckets(judged.applied, works.responses):
                taken = await works.state.take(bucket.name, bucket.rate, bucket.burst, self.now)
                left[order.order_id] = taken
                if not taken.allowed:
                    judged = decide.judge(call, self._orders, left, works.responses, now=self.now)
                    break
        if judged.order is not None and judged.refusal is not None:
            self._response, self._category = judged.order.response, judged.refusal.category
        elif judged.applied:
            self._response = judged.applied[-1].response
        return judged

    def _open(self, path: str) -> str:
        """Artefacts in the request, opened for their owner. Raises nothing: a refusal is an order's affair or ours."""
        works = self.works
        if works.binding is None:
            return path
        target = path
        if self.body and hands_in(self.body):
            self._handed = handed(self.body, self._owner, works.binding, now=self.now, kinds=self._kinds)
        if not self.dialect.makes:
            target, by_path = handed_path(path, self._owner, works.binding, now=self.now)
            self._handed = replace(
                self._handed,
                redemptions=(*self._handed.redemptions, *by_path.redemptions),
                echoes=self._handed.echoes | by_path.echoes,
            )
        for one in self._handed.redemptions:
            works.counts.add(f"artefacts.{one.verdict}")
            if one.crossed:
                works.tell(one, self.caller, self.now)
        return target

    def _not_theirs(self) -> Redemption | None:
        """The artefact for which the request must be refused."""
        if self.works.policy.shadow:
            return None
        return self._handed.refused(unbound=self.works.policy.artefacts.unbound == "refuse")

    async def _refuse_artefact(self, one: Redemption) -> Refusing:
        """The refusal of an artefact that is not the caller's, recorded."""
        category = CATEGORIES[one.verdict]
        self._category, self._response = category, "artefacts"
        contest = self.works.policy.contest
        how = f" To contest this, see {contest}." if contest else ""
        message = f"A reasoning artefact or response id in this request cannot be used by this caller ({one.verdict}).{how}"
        return await self._refused(Refusal(403, category, message, contest=contest, reason=category))

    async def _refused(self, refusal: Refusal) -> Refusing:
        self.works.counts.add(f"refused.{refusal.category}")
        self.status = 200 if refusal.answer else refusal.status
        self.finish = "refusal" if refusal.answer else None
        await self.write()
        return Refusing(refusal, self.dialect, streamed=self.asked.stream)

    @property
    def to_its_end(self) -> bool:
        """Whether the answer is drawn to its end even when the caller leaves.

        Callers leave because of what they read. Were such answers not kept, the served ones would be a chosen lot beside
        their ghosts. Drafts are all drawn before one is served: who leaves then has read none.
        """
        return self._pair is not None and self.drafts is None

    @property
    def touches(self) -> bool:
        """Whether the answer may have to be changed."""
        return self.issuer is not None or bool(self.changes)

    def answer(self, data: bytes) -> bytes:
        """A whole JSON answer as it goes out: the same bytes when nothing in it changes."""
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError:
            return data
        changed = self.answered(document, artefacts=gives_out(document) and may_touch(data))
        return data if changed is document else orjson.dumps(changed)

    def answered(self, document: Any, *, artefacts: bool = True) -> Any:
        """A whole answer as it goes out: the very object when nothing in it changes. ``artefacts``: it may hold some."""
        self._hear(document)
        changed = self.changes(document) if self.changes else document
        if self.issuer is not None and artefacts:
            changed = self.issuer.answer(changed)
        return changed

    def events(self) -> Events:
        """What a stream of events goes through."""
        return Events(self)

    def event(self, document: Any) -> tuple[Any, ...] | None:
        """The events in place of this one: None for itself, () for none."""
        self._hear(document)
        changed = document
        if self.changes:
            changed = self.changes(document)
            if changed is None:
                return ()
        if self.issuer is not None:
            made = self.issuer.event(changed)
            if made is not None:
                return made
        return None if changed is document else (changed,)

    def _hear(self, document: Any) -> None:
        self._tally.add(document)
        if self._pair is not None:
            self._pair.heard.add(document)

    async def _kept(self) -> None:
        """What the escrow keeps of it, once. Raises StorageError (``closed``)."""
        pair, self._pair = self._pair, None
        keeper = self.works.keeper
        if pair is None or keeper is None:
            return
        if self.status != 200:
            keeper.outcome("failed")
        elif self.finish is not None:
            keeper.outcome("cut")
        elif self.drafts is not None and pair.ghost is None:
            keeper.outcome("no_choice")  # what was served is no longer one draw among equals
        elif (text := pair.heard.text(self._tally.record())) is None:
            keeper.outcome("no_text")
        else:
            await keeper.keep(pair, text)

    async def write(self) -> None:
        """What the escrow keeps, and the record; once. Raises StorageError where one cannot be written (``closed``)."""
        if self._written or not self.dialect.makes:
            return
        await self._kept()
        self._written = True
        works = self.works
        told = self._tally.record()
        told["reasoning_redeemed"] = self._handed.redeemed
        told["reasoning_issued"] = self.issuer.issued if self.issuer is not None else None
        if self.finish is not None:
            told["finish_reason"] = self.finish
        content = works.policy.log.content
        packed = None
        if content == "skeleton" and self._sketch is not None:
            text = told.get("response")
            packed = self._sketch.pack(None if text is None else len(text))
        caller = self.caller
        if caller.api_key_id is not None:
            caller = replace(caller, api_key_id=works.key_id(caller.api_key_id))
        line = record(
            self.asked,
            caller,
            packed,
            told,
            exchange_id=self.id,
            now=self.now,
            status=self.status,
            content=content,
            decided=Decided(
                self._campaigns,
                tuple(order.order_id for order in self._orders),
                self._response,
                self._category,
                works.policy.shadow,
            ),
        )
        works.segments.append(line)
        if works.spans is not None:
            works.spans.offer(line, time.perf_counter() - self._began)
        if works.policy.log.sync == "disk":
            await works.segments.durable()

    async def close(self) -> None:
        """The end, whatever it was: a record there is."""
        works = self.works
        if not self._written and self.dialect.makes:
            if self.finish is None:
                self.finish = "incomplete"
            try:
                await self.write()
            except StorageError:
                works.counts.add("records_refused")
        works.counts.add(f"answered.{self.status or 0}")
        works.counts.took(time.perf_counter() - self._began)


class Events:
    """A stream of events: read for the record, and changed where something must be.

    ``feed`` gives the bytes that may go on. ``finished``: its last event was seen, so that the record is due before it goes.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._stream = Stream(self)  # type: ignore[arg-type] - it asks for needs and event only
        self._through = not exchange.touches
        self.finished = False

    @property
    def broken(self) -> bool:
        """An event was too long to be read."""
        return self._stream.broken and not self._through

    def feed(self, chunk: bytes) -> bytes:
        """Bytes that arrived -> bytes that go on; the very same where no measure applies."""
        made = self._stream.feed(chunk)
        return chunk if self._through else made

    def end(self) -> bytes:
        """What is left at the end."""
        made = self._stream.end()
        return b"" if self._through else made

    def needs(self, raw: bytes) -> bool:
        """Whether an event must be parsed."""
        if _DONE in raw and raw.rstrip().endswith(_DONE):
            self.finished = True
            return False
        return b"data:" in raw

    def event(self, document: Any) -> tuple[Any, ...] | None:
        """The events in place of this one."""
        if ends(document):
            self.finished = True
        return self._exchange.event(document)
