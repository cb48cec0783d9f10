"""One sitting of a member: its settings, key, state and connection, and the steps that its verbs are made of."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from spiritsafe.attest import keys
from spiritsafe.errors import UsageError
from spiritsafe.ledger import Ledger
from spiritsafe.orders.content import rfc3339
from spiritsafe.sharing.client import gossip, incoming, outgoing, push, redress, settings, use
from spiritsafe.sharing.client.state import State
from spiritsafe.sharing.client.wire import Wire
from spiritsafe.sharing.stix.export import Export
from spiritsafe.sharing.stix.terms import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from pathlib import Path

    from spiritsafe.sharing.client.gossip import Heard
    from spiritsafe.sharing.client.incoming import Pulled
    from spiritsafe.sharing.client.push import Pushed
    from spiritsafe.sharing.client.use import Used
    from spiritsafe.sharing.stix.read import Received
    from spiritsafe.sharing.stix.release import Release


KEPT: Final = 30 * DAY
"""How long an object of others is kept beyond its end, where no match and no review needs it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pull brought, what others saw of the log, what the rules make of it, and how many reviews it opened."""

    pulled: Pulled
    heard: Heard
    used: list[Used]
    received: Received
    opened: int


class Session:
    """The member whose settings are in ``config``. ``clock`` gives microseconds since the epoch.

    Raises UsageError for settings without key, hub or folder; StorageError when another process has the state.
    """

    def __init__(self, config: Path, *, clock: Callable[[], int]) -> None:
        self.member = settings.read(config)
        self.key = keys.load(self.member.needs_key())
        self.hub, self.folder = self.member.needs_hub(), self.member.needs_folder()
        self.clock = clock
        self._stack = ExitStack()
        self.state = self._stack.enter_context(State(self.folder))
        try:
            self.wire = self._stack.enter_context(Wire(self.hub, self.key, clock=clock))
        except BaseException:
            self._stack.close()
            raise
        self.maker = outgoing.maker_of(self.member, self.key, clock())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def ledger(self) -> Generator[Ledger]:
        """The member's ledger: what is decided is recorded, or not decided. Raises UsageError when none is named."""
        if self.member.ledger is None:
            raise UsageError("a decision needs a ledger", where=str(self.member.path), hint="[member] ledger")
        with Ledger(self.member.ledger) as ledger:
            yield ledger

    def known(self, beginning: str) -> str:
        """The id of an object that is here, from its beginning. Raises UsageError."""
        fits = sorted(one.stix["id"] for one in self.state.here() if one.stix["id"].startswith(beginning))
        if len(fits) != 1:
            raise UsageError(
                f"{'no' if not fits else 'more than one'} object begins with {beginning!r}", hint="pull first"
            )
        return fits[0]

    def own(self) -> dict[str, Mapping[str, Any]]:
        """Own objects as they were shared last, by id."""
        return {one.stix["id"]: one.stix for one in self.state.here() if one.author == self.maker.author}

    def sealed(self, made: Iterable[dict[str, Any]]) -> bytes:
        """A message with these objects, through the gate and signed. Raises ScopeError."""
        return outgoing.sealed(Export(objects=list(made)), self.key).body

    def put(self, body: bytes, what: str, releases: Mapping[str, Release] | None = None) -> int:
        """Lay a message into the outbox. The ledger, where there is one, has before what leaves and who released it."""
        if self.member.ledger is not None:
            released = {name: {"by": one.by, "reason": one.reason} for name, one in (releases or {}).items()}
            told = {
                "what": what,
                "sha256": hashlib.sha256(body).hexdigest(),
                "bytes": len(body),
                "released": released,
            }
            with self.ledger() as ledger:
                ledger.append("forum-share", told, time=self.clock())
        public = self.key.public_key()
        return push.put(self.state, body, {keys.keyid(public): public}, now=self.clock())

    def decide(self, key: str, decided: str, *, by: str, reason: str, cause: str | None = None) -> None:
        """Close a review: an entry of the ledger, then the decision and the message to the others, both or neither.

        ``by`` and ``reason`` stay in the ledger. Raises UsageError.
        """
        review, made = redress.decision(self.state, self.maker, key, decided, cause)
        body = self.sealed(made)
        told = {
            "object": review.object, "cause": review.cause, "why": review.why, "decision": decided, "by": by,
            "reason": reason, "due": rfc3339(review.due), "matched": review.matched,
        }  # fmt: skip
        now = self.clock()
        with self.ledger() as ledger:
            entry = ledger.append("forum-review", told, time=now)
        with self.state.change():
            self.state.decide(review.object, review.cause, decided, entry=entry.hash, now=now)
            self.put(body, "decision")

    def send(self) -> Pushed:
        """Send what waits in the outbox. Raises SharingError when the hub is away; it goes on waiting then."""
        return push.flush(self.wire, self.state)

    def pull(self, *, fingerprint_version: int, whole: bool = False) -> Outcome:
        """Take what is new, open the reviews that follow, and write what the rules allow. Nothing is applied by it."""
        now, me = self.clock(), self.maker.author
        pulled = incoming.pull(self.wire, self.state, now=now, whole=whole)
        heard = gossip.exchange(self.wire, self.state, self.key, me=me, now=now)
        opened = redress.open_reviews(self.state, me, now=now, within=self.member.review_within)
        with self.state.change():
            self.state.forget(now - KEPT, me)
        used, received = use.weigh(
            self.state, self.member.rules, me, now=now, fingerprint_version=fingerprint_version
        )
        use.write(self.folder, used, received, now=now, fingerprint_version=fingerprint_version)
        return Outcome(pulled, heard, used, received, opened)
