"""Members tell each other, through the hub, which head of its log they were shown; two that cannot both be true are a fork."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import orjson

from spiritsafe.attest import keys as keyfile
from spiritsafe.attest import merkle
from spiritsafe.attest.canonical import jcs
from spiritsafe.errors import SharingError
from spiritsafe.sharing import seen
from spiritsafe.sharing.client import mirror
from spiritsafe.sharing.client.state import Word
from spiritsafe.sharing.stix.terms import DAY

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from spiritsafe.attest.heads import Head
    from spiritsafe.sharing.client.state import State
    from spiritsafe.sharing.client.wire import Wire

SILENT: Final = 7 * DAY
"""A member that has said nothing new for so long is told: it is away, or the hub keeps its words back."""
_PATH: Final = "/forum/log/seen"


@dataclass(slots=True)
class Heard:
    """What the others say of the log, by pseudonym.

    ``agree`` saw the beginning of the log kept here. ``silent`` have said nothing for long, or ever. ``unheard``: what the hub
    gave as a member's word is none, and why.
    """

    agree: list[str] = field(default_factory=list[str])
    silent: list[str] = field(default_factory=list[str])
    unheard: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


def exchange(wire: Wire, state: State, key: Ed25519PrivateKey, *, me: str, now: int) -> Heard:
    """Say which head was seen, and compare what the other members say with the log kept here.

    Raises Forked, with the evidence written beside the state, when the hub showed another member another log.
    """
    newest = state.head()
    if newest is None:
        return Heard()
    _say(wire, state, key, newest, me=me, now=now)
    heard, fresh = Heard(), _words(wire, state)
    words = state.words()
    members = sorted((name, who) for who, (name, standing) in state.members().items() if standing == "active")
    checked: list[tuple[str, str, Word, Head]] = []
    for name, who in members:
        if who == me:
            continue
        try:
            if who in fresh:
                word, head = _opened(wire, state, who, fresh[who], words.get(who), now)
                if who not in words or word != words[who]:
                    checked.append((name, who, word, head))
                words[who] = word
        except SharingError as error:
            heard.unheard.append((name, error.message))
        if who not in words or now - words[who].time > SILENT:
            heard.silent.append(name)
        else:
            heard.agree.append(name)
    _compare(wire, state, checked, now)
    with state.change():
        for _, who, word, _ in checked:
            state.add_word(who, word)
    return heard


def _say(wire: Wire, state: State, key: Ed25519PrivateKey, newest: str, *, me: str, now: int) -> None:
    head = mirror.verified(newest, wire.hub.log_key, wire.origin)
    last = state.words().get(me)
    if last is not None and last.size == head.size and now - last.time < DAY:
        return
    envelope = jcs(seen.statement(newest, key, audience=wire.origin, now=now))
    wire.post(_PATH, envelope)
    with state.change():
        state.add_word(me, Word(now, head.size, envelope))


def _words(wire: Wire, state: State) -> dict[str, Any]:
    """What the hub hands out, by identity; not one word of it is believed yet."""
    listed: Any = wire.get(_PATH).content.get("seen")
    try:
        found = {str(one["identity"]): one["envelope"] for one in listed}
    except (KeyError, TypeError) as error:
        raise SharingError("the hub's list of seen heads is malformed", where=wire.hub.url) from error
    return {who: found[who] for who in state.members() if who in found}


def _opened(
    wire: Wire, state: State, who: str, envelope: Any, last: Word | None, now: int
) -> tuple[Word, Head]:
    known = {
        one.keyid: keyfile.parse(one.public, one.keyid)
        for one in state.known_keys()
        if one.identity == who and one.retired is None
    }
    said = seen.opened(envelope, known, audience=wire.origin)
    if said.time > now + DAY:
        raise SharingError("the word is from the future")
    if last is not None and said.time < last.time:
        raise SharingError("the hub gave a newer word before")
    head = mirror.verified(said.head, wire.hub.log_key, wire.origin)
    return Word(said.time, head.size, jcs(envelope)), head


def _compare(wire: Wire, state: State, told: list[tuple[str, str, Word, Head]], now: int) -> None:
    """Each head must be the root over the beginning of the leaves kept here. One pass over these."""
    if any(head.size > state.size() for *_, head in told):
        mirror.follow(wire, state, wire.hub.log_key)
    tree, leaves = merkle.Tree(), state.leaves(state.size())
    for name, who, word, head in sorted(told, key=lambda one: one[3].size):
        tree = tree.extended(islice(leaves, head.size - tree.size))
        if tree.size < head.size or tree.root() != head.root:
            here = f", and shows {tree.size} here" if tree.size < head.size else " than here"
            what = f"the hub showed {name} another log of {head.size} leaves{here}"
            kept = _evidence(state, name, who, word, now)
            raise mirror.Forked(what, where=wire.origin, hint=f"{kept} is the evidence: {mirror.ASK}")


def _evidence(state: State, name: str, who: str, word: Word, now: int) -> str:
    """Both heads, each signed by the hub, theirs also by them: anybody can check it."""
    path = state.path.with_name(f"forked-{now}.json")
    told = {
        "member": name, "identity": who, "they_saw": orjson.loads(word.envelope), "we_saw": state.head(),
    }  # fmt: skip
    path.write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
    return path.name
