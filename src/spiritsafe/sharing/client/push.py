"""Push: messages into the outbox, and from there to the hub.

A message is on disk before it is sent, and is sent until it is answered.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from spiritsafe.errors import AttestError, UsageError
from spiritsafe.sharing import scope
from spiritsafe.sharing.client.outgoing import envelope
from spiritsafe.sharing.client.wire import TAXII, Refused
from spiritsafe.sharing.signed import verify_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from spiritsafe.sharing.client.state import State
    from spiritsafe.sharing.client.wire import Wire

AT_ONCE: Final = 2_000
_FINAL = (400, 403, 404, 413, 415, 422)
"""What is refused so is refused for ever: sending it again would not help."""


@dataclass(slots=True)
class Pushed:
    """What became of the objects. ``failed``: (id, what the hub says)."""

    sent: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


def put(state: State, body: bytes, keys: Mapping[str, Ed25519PublicKey], *, now: int) -> int:
    """Lay a message into the outbox, in parts that a hub takes; how many objects. The gate looks at it once more.

    Raises ScopeError; UsageError when an object is not signed with one of ``keys``.
    """
    objects = scope.read(body, at="sender")
    for stix in objects:
        try:
            verify_object(stix, keys)
        except AttestError as error:
            raise UsageError(
                "an object is not signed by this member", where=error.where, hint="preview it with the key"
            ) from error
    with state.change():
        for at in range(0, len(objects), AT_ONCE):
            part = objects[at : at + AT_ONCE]
            state.put(body if len(objects) <= AT_ONCE else envelope(part), now)
        for stix in objects:
            state.take(stix, stix["created_by_ref"], now)
    return len(objects)


def flush(wire: Wire, state: State) -> Pushed:
    """Send what waits. A message that the hub refuses as a whole leaves the outbox, too, and is told. Raises SharingError."""
    found = Pushed()
    if state.waiting() and not wire.origin:
        wire.about()
    for seq, body in state.waiting():
        try:
            status: dict[str, Any] = wire.post(wire.objects, bytes(body), media=TAXII).content
        except Refused as error:
            if error.status not in _FINAL:
                raise
            status = {"success_count": 0, "failures": [{"id": "message", "message": error.message}]}
        _count(found, status)
        with state.change():
            state.sent(seq, json.dumps(status, sort_keys=True)[:100_000], wire.clock())
    return found


def _count(found: Pushed, status: Mapping[str, Any]) -> None:
    good = status.get("success_count")
    found.sent += good if type(good) is int else 0
    failures: Any = status.get("failures")
    for one in failures if isinstance(failures, list) else ():
        if isinstance(one, dict):
            text = str(one.get("message", "refused"))[:300]
            found.failed.append(
                (str(one.get("id", ""))[:128], "".join(c if c.isprintable() else "?" for c in text))
            )
