"""What the gateway's parent tells operators and their tools: ``/metrics``, ``/health``, ``/ready``. Reading only."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from spiritsafe.gateway.metrics import exposition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spiritsafe.gateway.metrics import Gathered

SILENT = 5.0
"""Seconds after which a worker that reports nothing counts as stuck."""
_JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class Worker:
    """What is known of one worker. ``silent``: seconds since its last report; ``started``: whether it ever served."""

    number: int
    pid: int
    started: bool
    ready: bool
    silent: float
    complaints: tuple[str, ...] = ()

    def wrong(self) -> list[str]:
        """Why it takes no requests; empty when it does."""
        if not self.started:
            return ["starting"]
        if self.silent > SILENT:
            return [f"silent for {self.silent:.0f} s"]
        return [] if self.ready else [*self.complaints] or ["takes no requests"]


@dataclass(frozen=True, slots=True)
class Health:
    """The state of the whole. Ready: not draining, and every worker that serves takes requests, at least one."""

    draining: bool
    workers: tuple[Worker, ...] = field(default_factory=tuple[Worker, ...])

    def alive(self) -> bool:
        """Whether a worker lives, be it that it only starts."""
        return any(not one.started or one.silent <= SILENT for one in self.workers)

    def ready(self) -> bool:
        """Whether requests should be sent here."""
        serving = [one for one in self.workers if one.started]
        return bool(serving) and not self.draining and not any(one.wrong() for one in serving)

    def told(self) -> dict[str, Any]:
        """For ``/ready``."""
        return {
            "ready": self.ready(),
            "draining": self.draining,
            "workers": [
                {
                    "worker": one.number,
                    "pid": one.pid,
                    "ready": not one.wrong(),
                    "complaints": list(dict.fromkeys([*one.wrong(), *one.complaints])),
                }
                for one in self.workers
            ],
        }


class Admin:
    """An ASGI app. ``health`` is asked at each request."""

    def __init__(self, health: Callable[[], Health], gathered: Gathered) -> None:
        self._health = health
        self._gathered = gathered

    async def __call__(
        self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """One request."""
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        status, kind, body = self._answer(scope["path"])
        headers = [(b"content-type", kind), (b"cache-control", b"no-store")]
        if status != 404 and scope["method"] not in {"GET", "HEAD"}:
            status, body = 405, b'{"error": "only GET and HEAD"}\n'
            headers = [(b"content-type", _JSON), (b"allow", b"GET, HEAD")]
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer(self, path: str) -> tuple[int, bytes, bytes]:
        if path == "/metrics":
            return 200, CONTENT_TYPE_PLAIN_0_0_4.encode(), exposition(self._gathered)
        if path == "/health":
            well = self._health().alive()
            return (200 if well else 503), _JSON, _line({"alive": well})
        if path == "/ready":
            health = self._health()
            return (200 if health.ready() else 503), _JSON, _line(health.told())
        return 404, _JSON, _line({"error": "there is nothing at this path"})


def _line(table: dict[str, Any]) -> bytes:
    return json.dumps(table).encode() + b"\n"
