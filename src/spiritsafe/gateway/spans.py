"""Exports spans to an OpenTelemetry collector over OTLP/HTTP, from a thread of its own.

Best effort: the segments are the durable log. A request pays for one append to a queue; when the queue is full its span is
dropped and counted. Answers of a collector are treated as the protocol says: 429, 502, 503 and 504 are tried again, later and
later; 413 is sent again in halves; anything else is dropped.
"""

from __future__ import annotations

import gzip
import http.client
import os
import random
import re
import ssl
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from spiritsafe import __version__
from spiritsafe.errors import UsageError
from spiritsafe.gateway import otlp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spiritsafe.gateway.policy import Otlp

BATCH = 256
"""Spans of one request."""
EVERY = 1.0
"""Seconds after which what is there is sent."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds until a batch is tried again, doubled each time; a collector's ``Retry-After`` goes before, up to the longest."""
PATIENCE = 3.0
"""Seconds that the end waits for the last spans."""
SLICE = 16
"""Spans made in a row before the thread steps back from the interpreter's lock."""
_AGAIN = {429, 502, 503, 504}
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Spans:
    """``offer`` never waits and belongs to the server's loop; ``start`` and ``close`` begin and end the thread.

    Raises UsageError when the headers' variable, the certificate or the encoding cannot be had.
    """

    def __init__(self, settings: Otlp, writer: str, environment: Mapping[str, str] = os.environ) -> None:
        self._settings, self._writer = settings, writer
        self._headers = {
            "content-type": otlp.CONTENT_TYPES[settings.encoding],
            "content-encoding": "gzip",
            "user-agent": f"spiritsafe/{__version__}",
            **_headers(settings, environment),
        }
        parts = urlsplit(settings.endpoint)
        self._path = parts.path if parts.path.strip("/") else "/v1/traces"
        self._host, self._port = parts.hostname or "", parts.port
        self._tls = _tls(settings) if parts.scheme == "https" else None
        if settings.encoding == "protobuf":
            try:
                otlp.encoded(otlp.request([], writer), "protobuf")
            except ImportError as error:
                raise UsageError(
                    "protobuf needs the package opentelemetry-proto",
                    where=settings.where,
                    hint="pip install 'spiritsafe[otlp]', or leave encoding at json",
                ) from error
        self._queue: deque[tuple[bytes, float]] = deque()
        self._wake, self._leave = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._connection: http.client.HTTPConnection | None = None
        self._counts: Counter[str] = Counter()
        self._last = float("inf")  # no try begins after it
        self.complaint: str | None = None

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def offer(self, line: bytes, seconds: float) -> None:
        """Take one line of the log, whose exchange took so long; drops it when the queue is full."""
        if len(self._queue) >= self._settings.queue:
            self._counts["spans_dropped.queue_full"] += 1
            return
        self._queue.append((line, seconds))
        if len(self._queue) == BATCH:
            self._wake.set()

    def close(self) -> None:
        """Send what is left, for ``PATIENCE`` seconds at most; blocks. The rest is dropped."""
        self._last = time.monotonic() + PATIENCE
        self._leave.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE + 1)
        self._counts["spans_dropped.end"] += len(self._queue)
        self._queue.clear()

    def figures(self) -> dict[str, float]:
        """Flat names and numbers for the metrics."""
        return {"spans_exported": 0, "spans_failures": 0, **self._counts}

    def _run(self) -> None:
        while True:
            self._wake.wait(EVERY)
            self._wake.clear()
            while self._queue:
                taken = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                try:
                    self._deliver(self._made(taken))
                except Exception as error:  # noqa: BLE001 - the thread must outlive what nobody thought of
                    self._drop("broken", len(taken))
                    self.complaint = f"spans could not be made: {type(error).__name__}"
            if self._leave.is_set():
                if self._connection is not None:
                    self._connection.close()
                return

    def _made(self, taken: Sequence[tuple[bytes, float]]) -> list[otlp.Json]:
        text = self._settings.content == "full"
        made: list[otlp.Json] = []
        for number, (line, seconds) in enumerate(taken):
            if number % SLICE == 0 and not self._leave.is_set():
                time.sleep(0.001)  # requests go first
            made.append(otlp.span(line, seconds, text=text))
        return made

    def _deliver(self, spans: list[otlp.Json]) -> None:
        """Send one batch until it is taken, refused, or the end has come."""
        body = gzip.compress(
            otlp.encoded(otlp.request(spans, self._writer), self._settings.encoding), compresslevel=1
        )
        wait = FIRST_WAIT
        while time.monotonic() < self._last:
            status, answer, asked = self._send(body)
            if status is not None and status // 100 == 2:
                lost = min(otlp.rejected(answer, self._settings.encoding), len(spans))
                self._counts["spans_exported"] += len(spans) - lost
                self._drop("rejected", lost)
                self.complaint = f"the collector did not take {lost} spans" if lost else None
                return
            self._counts["spans_failures"] += 1
            self.complaint = (
                f"spans are not exported: {answer.decode() if status is None else f'status {status}'}"
            )
            if status == 413 and len(spans) > 1:
                half = len(spans) // 2
                self._deliver(spans[:half])
                self._deliver(spans[half:])
                return
            if status is not None and status not in _AGAIN:
                self._drop("too_large" if status == 413 else "refused", len(spans))
                return
            pause = asked if asked is not None else wait * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
            self._leave.wait(min(pause, LONGEST_WAIT))
            if self._leave.is_set():
                time.sleep(max(0.0, min(0.2, self._last - time.monotonic())))
            wait = min(wait * 2, LONGEST_WAIT)
        self._drop("end", len(spans))

    def _drop(self, reason: str, many: int) -> None:
        if many:
            self._counts[f"spans_dropped.{reason}"] += many

    def _send(self, body: bytes) -> tuple[int | None, bytes, float | None]:
        """Status, body and ``Retry-After``; no status, and what was wrong, when there was no answer."""
        kept = self._connection is not None
        try:
            connection = self._connection or self._connected()
            self._connection = connection
            connection.request("POST", self._path, body, self._headers)
            answer = connection.getresponse()
            data = answer.read(1 << 20)
            if not answer.isclosed():  # longer than any answer that means something
                self._let_go()
            return answer.status, data, _seconds(answer.getheader("retry-after"))
        except (OSError, http.client.HTTPException) as error:
            self._let_go()
            if kept and isinstance(error, (http.client.RemoteDisconnected, ConnectionError)):
                return self._send(body)  # the collector closed a connection that was idle
            # Only what kind of problem: its text may hold what was sent.
            return None, type(error).__name__.encode(), None

    def _let_go(self) -> None:
        if self._connection is not None:
            with suppress(OSError):
                self._connection.close()
            self._connection = None

    def _connected(self) -> http.client.HTTPConnection:
        timeout = self._settings.timeout
        if self._tls is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)


def _headers(settings: Otlp, environment: Mapping[str, str]) -> dict[str, str]:
    """The headers in the environment variable: ``name=value,name=value``, values with escapes (%20)."""
    if settings.headers_from is None:
        return {}
    text = environment.get(settings.headers_from, "")
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        plain = unquote(value.strip())
        if not equals or not _NAME.fullmatch(name.strip()) or not (plain.isascii() and plain.isprintable()):
            # The text is a secret: it is not shown.
            raise UsageError(
                f"the environment variable {settings.headers_from} "
                + ("holds no headers" if text else "is not set"),
                where=settings.where,
                hint="write it as authorization=Bearer%20TOKEN,x-other=value",
            )
        found[name.strip().lower()] = plain
    return found


def _tls(settings: Otlp) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"the certificates cannot be read: {type(error).__name__}", where=settings.where
        ) from error


def _seconds(value: str | None) -> float | None:
    return float(value) if value is not None and value.isdigit() else None
