"""The escrow: for a share of traffic, what a second draw of the same answer will need, and whose coin was committed before.

A writer opens a *batch*: it derives the batch's secret from the root key and hashes it into the ledger. Only then does
it hand out *tickets*. A ticket's coin is HMAC-SHA256(secret, pair id), and pair ids are counted, so all coins of a
batch are fixed by one ledger entry that is older than the answers. What was kept is one line of JSON, on disk when ``keep``
returns. A batch ends when its tickets are used up or its writer ends; ``seal`` then hashes its lines into the ledger.

Nothing here imports an analytics engine: the gateway may call it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from spiritsafe.errors import StorageError, UsageError
from spiritsafe.ledger import Ledger, entries
from spiritsafe.provenance import _seal
from spiritsafe.provenance._lines import Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

OPENED, SEALED = "escrow", "escrow-seal"
_PATIENCE = 40  # looks at a ledger that another process is writing to, 50 ms apart


@dataclass(frozen=True, slots=True)
class Ticket:
    """A pair's name and its coin: 0 when the served answer stands first."""

    pair_id: str
    coin: int


def batch_secret(root: bytes, batch: str) -> bytes:
    """The secret that gives all coins of a batch."""
    return _seal.secret(root, "escrow", batch)


def commitment(batch: str, secret: bytes) -> str:
    """What the ledger holds of a batch's secret."""
    return _seal.salted("escrow", batch, "", secret)


def coin(secret: bytes, pair_id: str) -> int:
    """0 or 1, fixed by secret and name."""
    return hmac.new(secret, b"coin\0" + pair_id.encode(), hashlib.sha256).digest()[0] & 1


def ghost_seed(secret: bytes, pair_id: str) -> int:
    """The seed of the one ghost that may be drawn: 31 bits, fixed like the coin, so that nobody draws until one pleases."""
    return int.from_bytes(hmac.new(secret, b"ghost\0" + pair_id.encode(), hashlib.sha256).digest()[:4]) >> 1


def snapshot(model: str, sampler: Mapping[str, Any], fingerprint: str | None = None) -> str:
    """Model and sampler in one canonical text: two draws are exchangeable only where these are equal."""
    told = {"model": model, "fingerprint": fingerprint, "sampler": dict(sampler)}
    return _seal.canonical(told).decode("ascii")


class Escrow:
    """Writes one process's batches into ``folder``. Safe for threads; ``keep`` waits for the disk.

    ``share``: of all traffic, chosen by a keyed hash of the exchange's id; of ``campaigns`` (None: of every one) everything
    is kept. A plan of marks says both (``share`` and ``kept``), and ``batch``.
    ``clock``: microseconds since the epoch, UTC.
    """

    def __init__(
        self, folder: Path, book: Path, *, root: bytes, share: float,
        campaigns: frozenset[str] | None = frozenset(), batch: int = 10_000,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:  # fmt: skip
        self._folder, self._book, self._root, self._size, self._clock = folder, book, root, batch, clock
        self._campaigns, self._bar = campaigns, round(share * 2**64)
        self._choice = _seal.secret(root, "escrow share")
        self._lock = threading.Lock()
        self._name, self._secret, self._used = "", b"", 0
        self._lines: Lines | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wants(self, exchange_id: str, campaign_id: str | None = None) -> bool:
        """Whether this exchange belongs in the escrow."""
        if campaign_id is not None and (self._campaigns is None or campaign_id in self._campaigns):
            return True
        chosen = hmac.new(self._choice, exchange_id.encode(), hashlib.sha256).digest()[:8]
        return int.from_bytes(chosen) < self._bar

    def ticket(self) -> Ticket:
        """The next pair, before its answer leaves; its coin is in the ledger. Raises StorageError when it cannot be."""
        with self._lock:
            if self._lines is None or self._used >= self._size:
                self._open()
            pair = f"{self._name}-{self._used:07d}"
            self._used += 1
            return Ticket(pair, coin(self._secret, pair))

    def keep(
        self, ticket: Ticket, *, messages: Sequence[Mapping[str, Any]], snapshot: str, served: str,
        campaign_id: str | None = None, with_text: bool = True, exchange_id: str | None = None,
        ghost: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Put down what was served; on disk when this returns.

        ``messages``: the whole request as roles and contents; ``snapshot``: as ``snapshot`` writes it, of the draw
        that was served. Without ``with_text`` only the answer's digest is kept, and its text must come from the log.
        ``exchange_id``: of the exchange log. ``ghost``: ``status``, ``text`` and ``snapshot`` of the other draw, where it
        was made together with the served one: both stand in one line, so that no pair is half kept.
        Raises StorageError; the batch then ends, and the next ticket begins another. UsageError for a ticket of no batch.
        """
        row: dict[str, Any] = {
            "pair_id": ticket.pair_id,
            "coin": ticket.coin,
            "campaign_id": campaign_id,
            "messages": [dict(one) for one in messages],
            "snapshot": snapshot,
            "sha256": text_digest(served),
            "text": served if with_text else None,
            "time": self._clock(),
        }
        if exchange_id is not None:
            row["exchange_id"] = exchange_id
        if ghost is not None:
            row["ghost"] = dict(ghost)
        with self._lock:
            if self._lines is None or not ticket.pair_id.startswith(self._name + "-"):
                # Its batch was used up while the answer was being made: its file is whole, and takes one more line.
                with Lines(self._file(ticket.pair_id.rpartition("-")[0])) as late:
                    late.append([row])
                return
            try:
                self._lines.append([row])
            except StorageError:
                self._end()
                raise

    def close(self) -> None:
        """End the batch. Closing twice is allowed."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def _open(self) -> None:
        now = self._clock()
        name = f"b{now:016d}-{os.urandom(4).hex()}"
        secret = batch_secret(self._root, name)
        body = {"batch": name, "commitment": commitment(name, secret), "coins": self._size}
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot be made: {error.strerror}", where=str(self._folder)) from error
        with _writer(self._book) as book:
            book.append(OPENED, body, time=now)
        self._end()
        self._name, self._secret, self._used = name, secret, 0
        self._lines = Lines(self._file(name))

    def _file(self, batch: str) -> Path:
        if not batch.startswith("b") or "/" in batch:
            raise UsageError("this ticket is of no batch")
        return self._folder / f"{batch}.jsonl"


def text_digest(text: str) -> str:
    """SHA-256 of a text; halves of surrogate pairs are kept apart, whatever they are."""
    return _seal.digest(text.encode("utf-8", "surrogatepass"))


def seal(folder: Path, book: Path, *, now: int) -> list[str]:
    """Hash the lines of every batch that no writer holds into the ledger, once for each state of them. Returns the batches."""
    known = (
        {(one.body["batch"], one.body["sha256"]) for one in entries(book) if one.kind == SEALED}
        if book.exists()
        else set[tuple[str, str]]()
    )
    sealed: list[str] = []
    for path in sorted(folder.glob("b*.jsonl")):
        if path.name.endswith(".ghosts.jsonl"):
            continue
        with suppress(StorageError):  # held by its writer: another time
            Lines(path).close()
            body = {"batch": path.stem, "sha256": _seal.file_digest(path)}
            if (body["batch"], body["sha256"]) in known:
                continue
            with _writer(book) as ledger:
                ledger.append(SEALED, body, time=now)
            sealed.append(path.stem)
    return sealed


def _writer(path: Path) -> Ledger:
    """The ledger, after waiting a moment for another process."""
    for _ in range(_PATIENCE):
        with suppress(StorageError):
            return Ledger(path)
        time.sleep(0.05)
    return Ledger(path)
