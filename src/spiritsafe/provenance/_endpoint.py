"""Asks a model over HTTP: chat completions and completions as OpenAI speaks them, messages as Anthropic does.

Trouble that may pass (no connection, 408, 409, 425, 429, 5xx) is tried again with growing, jittered pauses, or when
``Retry-After`` says; what stays is ``Unreachable``. The key comes from an environment variable, goes into one header and
into nothing else: what an endpoint echoes of it is blotted out.
"""

from __future__ import annotations

import os
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from spiritsafe.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

Kind = Literal["openai", "anthropic"]
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_LONGEST = 60.0  # seconds of one pause
_SHOWN = 200  # characters of an endpoint's error that are kept


class Unreachable(InputError):  # noqa: N818 - reads as the fact it states
    """The endpoint still failed after all tries; nothing is recorded for what was asked."""


class Spent(UsageError):  # noqa: N818 - the same
    """The budget of requests or tokens is used up."""


@dataclass(frozen=True, slots=True)
class Said:
    """What came of one request. ``logprob``: nats, summed over ``tokens``, where the endpoint told it.

    ``reading``: of a text that was read (``Local.read``), token ids under ``before``, ``shown`` and ``predicted``.
    """

    status: str
    text: str | None = None
    model: str | None = None
    fingerprint: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    logprob: float | None = None
    tokens: int | None = None
    detail: str | None = None
    reading: dict[str, list[int]] | None = None


@dataclass
class Budget:
    """Requests and tokens that may still be used, and the least time between two requests. Shared by threads."""

    requests: int = 1_000_000
    tokens: int = 1_000_000_000
    pause: float = 0.0

    def __post_init__(self) -> None:
        self._lock, self._next = threading.Lock(), 0.0

    def take(self) -> None:
        """Wait for this request's turn. Raises Spent."""
        with self._lock:
            if self.requests <= 0 or self.tokens <= 0:
                what = "requests" if self.requests <= 0 else "tokens"
                raise Spent(
                    f"the budget of {what} is used up", hint="raise it in the case file's [budget] of the run"
                )
            self.requests -= 1
            now = time.monotonic()
            start = max(now, self._next)
            self._next = start + self.pause
        if start > now:
            time.sleep(start - now)

    def used(self, tokens: int) -> None:
        """Count tokens of an answer."""
        with self._lock:
            self.tokens -= tokens


class Endpoint:
    """One model behind one address. Safe for threads. Raises UsageError when the key's variable is not set."""

    def __init__(
        self, kind: Kind, url: str, model: str, *, key_env: str | None, budget: Budget, retries: int = 5,
        timeout: float = 120.0, first_pause: float = 1.0,
    ) -> None:  # fmt: skip
        try:
            import httpx  # noqa: PLC0415 - an extra, and slow to load
        except ImportError as error:
            raise UsageError(
                "asking an endpoint needs httpx", hint="pip install 'spiritsafe[provenance]'"
            ) from error
        parts = httpx.URL(url)
        if parts.scheme not in {"http", "https"} or parts.userinfo or parts.query:
            raise UsageError(
                "an endpoint's address is http(s)://host/… without user, key or query", where="url"
            )
        self._key = os.environ.get(key_env) if key_env else None
        if key_env and not self._key:
            raise UsageError(f"the environment variable {key_env} is not set", hint="it holds the key")
        self.kind, self.model, self._budget = kind, model, budget
        self._retries, self._first = retries, first_pause
        self._base = str(parts).rstrip("/")
        headers = {"anthropic-version": "2023-06-01"} if kind == "anthropic" else {}
        if self._key:
            headers |= (
                {"x-api-key": self._key} if kind == "anthropic" else {"authorization": f"Bearer {self._key}"}
            )
        self._client: httpx.Client = httpx.Client(headers=headers, timeout=timeout, trust_env=True)
        self._trouble = (httpx.TransportError,)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, messages: Sequence[Mapping[str, Any]], sampler: Mapping[str, Any]) -> Said:
        """One answer. ``sampler``: max_tokens, temperature, top_p, seed …, as the endpoint takes them."""
        if self.kind == "anthropic":
            system = "\n\n".join(str(one["content"]) for one in messages if one.get("role") == "system")
            body = {
                "model": self.model,
                "messages": [dict(one) for one in messages if one.get("role") != "system"],
                **({"system": system} if system else {}),
                **{name: value for name, value in sampler.items() if name not in {"seed", "logprobs"}},
            }
            body.setdefault("max_tokens", 1024)
            return self._read("/messages", body, _message)
        body = {"model": self.model, "messages": [dict(one) for one in messages], **sampler}
        return self._read("/chat/completions", body, _chat)

    def score(self, before: str, text: str) -> Said:
        """Log-probability of ``text`` behind ``before``, from an endpoint of completions that echoes its prompt.

        A token that lies across the border counts as the text's. Status "failed" when log-probabilities are missing.
        """
        if self.kind != "openai":
            raise UsageError("only completions that echo their prompt give log-probabilities of a text")
        body = {
            "model": self.model, "prompt": before + text, "max_tokens": 1, "echo": True, "logprobs": 1,
            "temperature": 0,
        }  # fmt: skip
        return self._read("/completions", body, lambda table: _echo(table, len(before), len(before + text)))

    def _read(self, path: str, body: Mapping[str, Any], parse: Any) -> Said:
        answer = self._post(path, body)
        if isinstance(answer, Said):
            return answer
        try:
            said = cast("Said", parse(answer))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            return Said("failed", detail="the answer has another shape than the protocol's")
        self._budget.used(said.tokens_in + said.tokens_out)
        return said

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any] | Said:
        pause, problem = self._first, ""
        for attempt in range(self._retries + 1):
            self._budget.take()
            wait: float | None = None
            try:
                reply = self._client.post(self._base + path, json=body)
            except self._trouble as error:
                problem = type(error).__name__
            else:
                if reply.status_code == 200:
                    try:
                        table: Any = reply.json()
                    except ValueError:
                        problem = "an answer that is not JSON"
                    else:
                        return (
                            cast("dict[str, Any]", table)
                            if isinstance(table, dict)
                            else Said("failed", detail="not an object")
                        )
                elif reply.status_code not in PASSING:
                    return self._refused(reply)
                else:
                    problem = f"status {reply.status_code}"
                    wait = _after(reply.headers.get("retry-after"))
            if attempt < self._retries:
                time.sleep(min(_LONGEST, wait if wait is not None else pause * random.uniform(0.5, 1.0)))  # noqa: S311 - jitter
                pause = min(_LONGEST, pause * 2)
        raise Unreachable(
            f"the endpoint fails: {problem}, {self._retries + 1} times in a row",
            where=self._base,
            hint="what was answered is kept; the same command goes on from there",
        )

    def _refused(self, reply: httpx.Response) -> Said:
        shown = reply.text[:_SHOWN]
        if self._key:
            shown = shown.replace(self._key, "…")
        if reply.status_code in {401, 403, 404}:
            raise InputError(
                f"the endpoint refuses us with status {reply.status_code}: {shown}",
                where=self._base,
                hint="check address, model and the key's variable",
            )
        if "content_filter" in shown or "content_policy" in shown:
            return Said("refused", detail=f"status {reply.status_code}: {shown}")
        return Said("failed", detail=f"status {reply.status_code}: {shown}")


def _chat(table: Mapping[str, Any]) -> Said:
    choice, usage = table["choices"][0], table.get("usage") or {}
    message = choice["message"]
    text, why = message.get("content"), choice.get("finish_reason")
    parts = (choice.get("logprobs") or {}).get("content") or []
    return Said(
        _status(text, cut=why == "length", refused=why == "content_filter" or bool(message.get("refusal"))),
        text, table.get("model"), table.get("system_fingerprint"), int(usage.get("prompt_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
        float(sum(one["logprob"] for one in parts)) if parts else None, len(parts) or None, message.get("refusal"),
    )  # fmt: skip


def _message(table: Mapping[str, Any]) -> Said:
    usage, why = table.get("usage") or {}, table.get("stop_reason")
    # Joined as the exchange log and the escrow join them: a served answer and its ghost must not differ by a line end.
    text = "\n".join(part["text"] for part in table["content"] if part.get("type") == "text")
    return Said(
        _status(text, cut=why == "max_tokens", refused=why == "refusal"), text, table.get("model"), None,
        int(usage.get("input_tokens") or 0), int(usage.get("output_tokens") or 0),
    )  # fmt: skip


def _echo(table: Mapping[str, Any], begin: int, end: int) -> Said:
    choice, usage = table["choices"][0], table.get("usage") or {}
    told = choice.get("logprobs") or {}
    values, offsets = told.get("token_logprobs"), told.get("text_offset")
    model, tokens = table.get("model"), int(usage.get("prompt_tokens") or 0)
    if not values or not offsets:
        return Said("failed", None, model, tokens_in=tokens, detail="no log-probabilities in the answer")
    ends = [*offsets[1:], offsets[-1] + 1]
    counted = [
        value for value, low, high in zip(values, offsets, ends, strict=True) if low < end and high > begin
    ]
    if not counted or any(value is None for value in counted):
        return Said("failed", None, model, tokens_in=tokens, detail="a log-probability is missing")
    return Said("ok", None, model, None, tokens, 0, float(sum(counted)), len(counted))


def _status(text: object, *, cut: bool, refused: bool) -> str:
    if refused:
        return "refused"
    if not isinstance(text, str) or not text.strip():
        return "empty"
    return "truncated" if cut else "ok"


def _after(header: str | None) -> float | None:
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None
