"""The hub's log as a member sees it: all leaf hashes, so that no proof need be asked for.

A head is believed when it is signed, is not older than one that is kept, and is the root over the leaf hashes that are kept
and those that came since. So the log has only grown (consistency), and an object is in it when its hash is among them
(inclusion). A hub that shows two members two logs is found out when they compare heads (`gossip`): the shorter must be a
beginning of the longer, which each can compute from its own leaf hashes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from spiritsafe.attest import heads, keys, merkle
from spiritsafe.errors import AttestError, SharingError
from spiritsafe.sharing.client.wire import Refused

if TYPE_CHECKING:
    from spiritsafe.attest.heads import Head
    from spiritsafe.sharing.client.state import State
    from spiritsafe.sharing.client.wire import Wire

_AT_ONCE: Final = 10_000
MOST_LEAVES: Final = 100_000_000
_HASH: Final = 32
_FORKED = "the hub shows a log that is not the one it showed before"
ASK = "keep both heads and show them to the other members: the hub is not honest, or was restored from a copy"


class Forked(SharingError):  # noqa: N818 - reads as the fact it states
    """The hub's log is not what it was, or not what others see."""


def follow(wire: Wire, state: State, log_key: str) -> Head | None:
    """Bring the mirror to the hub's newest head; None when the log is empty. One transaction. Raises SharingError."""
    try:
        text = wire.get("/forum/log/head").content.get("head")
    except Refused as error:
        if error.status == 404 and state.size() == 0:
            return None
        raise
    if not isinstance(text, str):
        raise SharingError("the hub gives no head of its log", where=wire.hub.url)
    head = verified(text, log_key, wire.origin)
    kept = state.size()
    if head.size < kept:
        raise Forked(f"{_FORKED}: {head.size} leaves, {kept} before", where=wire.origin, hint=ASK)
    if head.size > MOST_LEAVES:
        raise SharingError("the log is larger than can be", where=wire.origin)
    fresh: list[bytes] = []
    while kept + len(fresh) < head.size:
        fresh += _leaves(wire, kept + len(fresh), head.size)
    tree = _tree(state).extended(fresh)
    if tree.root() != head.root:
        raise Forked(f"{_FORKED}: another root over {head.size} leaves", where=wire.origin, hint=ASK)
    with state.change():
        state.add_leaves(kept, fresh)
        state.note("peaks", b"".join(tree.peaks).hex())
        state.add_head(head.size, head.time, text)
    return head


def verified(text: str, log_key: str, origin: str) -> Head:
    """The head in ``text``. Raises SharingError when the log's key did not sign it."""
    try:
        return heads.verify(text, keys.parse(log_key, "log_key"), origin)
    except AttestError as error:
        raise SharingError(
            error.message, where=origin, hint="compare log_key with what the operator gives out"
        ) from error


def compare(state: State, text: str, log_key: str, origin: str) -> str:
    """What another member's head says beside the log kept here, in words. Raises Forked when both cannot be true."""
    head = verified(text, log_key, origin)
    kept = state.size()
    if head.size > kept:
        return f"theirs has {head.size} leaves, ours {kept}: pull, then compare again"
    if merkle.Tree().extended(state.leaves(head.size)).root() != head.root:
        raise Forked(f"the hub showed them another log of {head.size} leaves", where=origin, hint=ASK)
    return f"one log: their {head.size} leaves are the beginning of our {kept}"


def _tree(state: State) -> merkle.Tree:
    raw = bytes.fromhex(state.fact("peaks") or "")
    return merkle.Tree(state.size(), [raw[at : at + _HASH] for at in range(0, len(raw), _HASH)])


def _leaves(wire: Wire, start: int, end: int) -> list[bytes]:
    count = min(_AT_ONCE, end - start)
    listed: Any = wire.get("/forum/log/leaves", {"start": str(start), "count": str(count)}).content.get(
        "hashes"
    )
    try:
        hashes = [bytes.fromhex(one) for one in listed]
    except (TypeError, ValueError):
        hashes = []
    if not 0 < len(hashes) <= count or any(len(one) != _HASH for one in hashes):
        raise SharingError("the hub gives no leaf hashes", where=wire.hub.url)
    return hashes
