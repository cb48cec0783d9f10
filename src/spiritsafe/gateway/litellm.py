"""The guard inside LiteLLM's proxy: ``guardrail: spiritsafe.gateway.litellm.Guardrail`` in its ``config.yaml``.

The same exchanges, rules, orders and log as the gateway's; what cannot be done from inside another proxy is told in
``docs/gateway-litellm.md``. ``Guardrail`` is made when it is first asked for, so that this file is read without LiteLLM.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spiritsafe.errors import SpiritsafeError, StorageError, UsageError
from spiritsafe.gateway import _litellm as told
from spiritsafe.gateway import policy as policies
from spiritsafe.gateway.artefacts import REASONING
from spiritsafe.gateway.events import tell
from spiritsafe.gateway.exchange import Exchange, Refusing, ends
from spiritsafe.gateway.identity import Unknown
from spiritsafe.gateway.works import Works
from spiritsafe.responses import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator

MARK = "spiritsafe_exchange"
"""In the proxy's own metadata: which exchange a request is. Drawn anew for each, so that nobody can name another's."""
SWEEP = 5.0
"""Seconds between two looks for exchanges whose end LiteLLM never told."""
_MODES = {"pre_call", "post_call"}
_CLOSED = Refusal(503, "log_unavailable", "this service cannot take requests now")
_UNCHANGED = Refusal(502, "answer_unreadable", "the model's answer could not be read")


def __getattr__(name: str) -> Any:
    """``Guardrail``, made on demand (PEP 562)."""
    if name == "Guardrail":
        return guardrail_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Desk:
    """What one LiteLLM process decides with; knows exchanges, not LiteLLM's classes.

    ``workers``: processes that share budgets when they are not counted in Redis.
    """

    def __init__(self, policy: policies.Policy, naming: told.Naming, *, workers: int = 1) -> None:
        self.naming = naming
        self.works = Works(policy, processes=workers)
        self.works.inline.warm()  # compiles: before the loop serves anybody
        self._open: dict[str, tuple[Exchange, float]] = {}
        self._starting: asyncio.Lock | None = None
        self._keeper: asyncio.Task[None] | None = None
        with suppress(
            RuntimeError
        ):  # LiteLLM reads its settings in the loop that serves; else the first request starts it
            self._first = asyncio.get_running_loop().create_task(self._begin())

    async def _begin(self) -> None:
        with suppress(Refusing):  # told; the next request tries again
            await self.ready()

    async def ready(self) -> None:
        """Start what requests need, once, in the loop that serves them. Raises Refusing while that fails."""
        if self._keeper is not None:
            return
        self._starting = self._starting or asyncio.Lock()
        async with self._starting:
            if self._keeper is None:
                try:
                    await self.works.start()
                except SpiritsafeError as error:
                    tell("start_failed", why=str(error))
                    raise Refusing(_CLOSED, None) from error
                self._keeper = asyncio.create_task(self._keep())

    async def take(self, auth: Any, data: dict[str, Any], call_type: str) -> None:
        """Judge a request; ``data`` is changed in place. Raises Refusing."""
        await self.ready()
        works = self.works
        works.counts.add("requests")
        dialect = told.dialect(call_type)
        if dialect is None:
            if works.policy.paths == "known":
                raise self._refusing(404, "path_unknown", "this kind of call is not served here")
            return
        now = time.time_ns() // 1_000
        try:
            caller = self.naming.caller(auth, data)
        except Unknown as error:
            raise self._refusing(401, error.reason, error.message) from error
        if (why := told.unreadable(data)) is not None:
            raise self._refusing(400, "request_ambiguous", why)
        if dialect.makes and not works.ready():
            raise self._refusing(_CLOSED.status, _CLOSED.category, _CLOSED.message)
        before = told.body(data)
        # LiteLLM binds ids of stored responses to their owner itself, and would not know ours.
        exchange = Exchange(works, dialect, caller, before, now, kinds=(REASONING,))
        try:
            away = await exchange.decide("")
        except BaseException:
            await exchange.close()
            raise
        if away.document is not None:
            told.apply(data, before, away.document)
        if exchange.changes and dialect.id == "chat":
            data["merge_reasoning_content_in_choices"] = False  # it would hide reasoning in the text
        told.send_headers(data, away.headers)
        if "litellm_logging_obj" not in data:
            await self._unanswered(exchange)
            return
        mark = os.urandom(16).hex()
        told.bucket(data)[MARK] = mark
        self._open[mark] = (exchange, time.monotonic())

    async def _unanswered(self, exchange: Exchange) -> None:
        """A line of a batch file, say: its answer never comes by here."""
        exchange.finish = "batched"
        exchange.status = 403 if exchange.changes else None
        await self._end(exchange)
        if exchange.changes:
            raise self._refusing(
                403, "answer_out_of_reach", "the answer could not be limited as an order asks"
            )

    def _refusing(self, status: int, category: str, message: str) -> Refusing:
        self.works.counts.add(f"refused.{category}")
        return Refusing(Refusal(status, category, message), None)

    def taken(self, data: dict[str, Any]) -> Exchange | None:
        """The exchange of a request that came by before, handed out once."""
        mark = told.bucket(data).get(MARK)
        found = self._open.pop(mark, None) if isinstance(mark, str) else None
        return None if found is None else found[0]

    async def answer(self, data: dict[str, Any], response: Any) -> Any:
        """The answer in place of this one; its record is written. Raises Refusing."""
        exchange = self.taken(data)
        if exchange is None:
            return response
        exchange.status = 200
        try:
            document = _document(response)
            if document is None:
                if exchange.touches:
                    raise Refusing(_UNCHANGED, None)
                made = response
            else:
                changed = exchange.answered(document)
                made = response if changed is document else _like(response, changed)
            await exchange.write()
        except StorageError as error:
            raise Refusing(_CLOSED, None) from error
        finally:
            await exchange.close()
        return made

    async def stream(self, data: dict[str, Any], response: AsyncIterable[Any]) -> AsyncGenerator[Any]:
        """The pieces of a streamed answer as they go on; the record comes before the last. Raises Refusing."""
        exchange = self.taken(data)
        if exchange is None:
            async for piece in response:
                yield piece
            return
        exchange.status = 200
        events = exchange.events()
        try:
            async for piece in response:
                for one in self._pieces(exchange, events, piece):
                    if events.finished or ends({"type": _kind(one)}):
                        await exchange.write()
                    yield one
            if events.broken:
                raise Refusing(_UNCHANGED, None)
            rest = events.end()
            await exchange.write()
            if rest:
                yield rest
        except StorageError as error:
            raise Refusing(_CLOSED, None) from error
        except (GeneratorExit, asyncio.CancelledError):
            exchange.finish = "cancelled"
            raise
        finally:
            await exchange.close()

    @staticmethod
    def _pieces(exchange: Exchange, events: Any, piece: Any) -> tuple[Any, ...]:
        if isinstance(piece, (bytes, str)):  # events as they came from the provider
            made = events.feed(piece.encode() if isinstance(piece, str) else piece)
            if events.broken:
                raise Refusing(_UNCHANGED, None)
            return (made.decode() if isinstance(piece, str) else made,) if made else ()
        document = _document(piece)
        if document is None:
            if exchange.touches:
                raise Refusing(_UNCHANGED, None)
            return (piece,)
        changed = exchange.event(document)
        return (piece,) if changed is None else tuple(_like(piece, one) for one in changed)

    async def failed(self, data: dict[str, Any], error: Exception) -> None:
        """The record of a request that LiteLLM or the provider refused."""
        exchange = self.taken(data)
        if exchange is not None:
            status = str(getattr(error, "status_code", None) or getattr(error, "code", None))
            exchange.status = int(status) if status.isdigit() else 500
            exchange.finish = "failed"
            await self._end(exchange)

    async def _end(self, exchange: Exchange) -> None:
        with suppress(StorageError):  # counted; there is no answer to hold back
            await exchange.write()
        await exchange.close()

    async def _keep(self) -> None:
        """Close exchanges that never ended, and the log at the end of the loop."""
        limits = self.works.policy.limits
        longest = limits.answer_timeout + limits.idle_timeout
        try:
            while True:
                await asyncio.sleep(SWEEP)
                late = time.monotonic() - longest
                for mark in [mark for mark, (_, since) in self._open.items() if since < late]:
                    await self._give_up(mark)
        finally:
            for mark in [*self._open]:
                await self._give_up(mark)
            await self.works.close()

    async def _give_up(self, mark: str) -> None:
        exchange = self._open.pop(mark)[0]
        exchange.finish = "incomplete"
        await self._end(exchange)


def _document(response: Any) -> Any:
    """A model's answer or event as a JSON object, None for what is none."""
    if isinstance(response, dict):
        return response
    dump = getattr(response, "model_dump", None)
    return None if dump is None else dump(mode="json", exclude_unset=True, warnings=False)


def _kind(event: Any) -> Any:
    return event.get("type") if isinstance(event, dict) else getattr(event, "type", None)


def _like(response: Any, document: Any) -> Any:
    """``document`` in the form of ``response``. Raises Refusing: what LiteLLM cannot read must not go out unchanged."""
    if isinstance(response, dict):
        return document
    try:
        made = type(response)(**document)
    except (TypeError, ValueError) as error:
        raise Refusing(_UNCHANGED, None) from error
    if (hidden := getattr(response, "_hidden_params", None)) is not None:
        made._hidden_params = hidden  # noqa: SLF001 - LiteLLM's own way to keep cost and headers with an answer
    return made


def _desk(
    name: str | None, modes: Any, policy: object, account: object, relations: object, workers: object
) -> Desk:
    """The desk of a guardrail's settings. Raises SpiritsafeError."""
    listed = {str(getattr(one, "value", one)) for one in modes} if isinstance(modes, list) else set[str]()
    if listed != _MODES:
        raise UsageError(
            "spiritsafe judges requests and answers: both modes are needed",
            where=name,
            hint="mode: [pre_call, post_call]",
        )
    if not isinstance(policy, str) or not policy:
        raise UsageError("no policy is named", where=name, hint="policy: policy.toml")
    if type(workers) is not int or workers < 1:
        raise UsageError(f"workers is {workers!r:.60}", where=name, hint="the number of --num_workers")
    naming = told.naming(account, {} if relations is None else relations)
    return Desk(policies.read(Path(policy), hosted=True), naming, workers=workers)


@cache
def guardrail_class() -> type:  # noqa: C901 - many hooks, each simple
    """LiteLLM's view of a ``Desk``. Raises ImportError without LiteLLM."""
    from litellm.integrations.custom_guardrail import CustomGuardrail  # noqa: PLC0415 # pyright: ignore[reportMissingModuleSource]
    from litellm.proxy._types import ProxyException  # noqa: PLC0415 # pyright: ignore[reportMissingModuleSource]

    class Problem(ProxyException):
        """A refusal. LiteLLM's endpoints look for its status in either of two places."""

        def __init__(self, refusing: Refusing) -> None:
            super().__init__(**told.refused(refusing.refusal))
            self.status_code = int(self.code)

    class Guardrail(CustomGuardrail):
        """``policy``: its file. ``account``: key or user. ``relations``: by organization. ``workers``: of this proxy."""

        def __init__(
            self, *, guardrail_name: str | None = None, event_hook: Any = None, policy: str | None = None,
            account: str = "key", relations: dict[str, str] | None = None, workers: int = 1, **more: Any,
        ) -> None:  # fmt: skip
            try:
                self.desk = _desk(guardrail_name, event_hook, policy, account, relations, workers)
                for name in ("run_in_parallel", "scan_raw_request"):
                    if more.get(name):
                        raise UsageError(f"{name}: what an order changes would be lost", where=guardrail_name)
                more |= {"guardrail_name": guardrail_name, "event_hook": event_hook, "default_on": True}
                super().__init__(**more)
            except (TypeError, ValueError) as error:
                # At these two LiteLLM starts all the same, without its guard; at ours it does not start.
                raise UsageError(f"the guardrail cannot be made: {error}", where=guardrail_name) from error

        def should_run_guardrail(self, data: Any, event_type: Any) -> bool:
            """Always: no key, team or request can opt out."""
            return getattr(event_type, "value", event_type) in _MODES

        async def async_pre_call_hook(
            self,
            user_api_key_dict: Any,
            cache: Any,
            data: Any,
            call_type: Any,
        ) -> Any:
            """Before the call."""
            try:
                await self.desk.take(user_api_key_dict, data, str(getattr(call_type, "value", call_type)))
            except Refusing as refusing:
                raise Problem(refusing) from refusing
            return data

        async def async_post_call_success_hook(self, data: Any, user_api_key_dict: Any, response: Any) -> Any:
            """A whole answer."""
            try:
                return await self.desk.answer(data, response)
            except Refusing as refusing:
                raise Problem(refusing) from refusing

        async def async_post_call_streaming_iterator_hook(
            self,
            user_api_key_dict: Any,
            response: Any,
            request_data: Any,
        ) -> AsyncIterator[Any]:
            """A streamed answer."""
            pieces = self.desk.stream(request_data, response)
            try:
                async for piece in pieces:
                    yield piece
            except Refusing as refusing:
                raise Problem(refusing) from refusing
            finally:
                await pieces.aclose()

        async def async_post_call_failure_hook(
            self,
            request_data: Any,
            original_exception: Any,
            user_api_key_dict: Any,
            traceback_str: Any = None,
        ) -> None:
            """No answer."""
            await self.desk.failed(request_data, original_exception)

        async def async_pre_call_deployment_hook(self, kwargs: Any, call_type: Any) -> Any:
            """Each try at a provider: the request was judged before."""
            return kwargs

        async def async_post_call_success_deployment_hook(
            self,
            request_data: Any,
            response: Any,
            call_type: Any,
        ) -> None:
            """The same for answers."""

    return Guardrail
