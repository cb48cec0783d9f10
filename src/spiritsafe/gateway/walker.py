"""Requests unwrapped, answers and stream events wrapped. Documents come and go as parsed JSON; none is changed in place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, unquote

from spiritsafe.gateway._places import in_answer, in_event, in_request, may_touch, replaced
from spiritsafe.gateway.artefacts import KINDS, REASONING, RESPONSE, Redemption, digest, redemption

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from spiritsafe.gateway._places import Place
    from spiritsafe.gateway.artefacts import Binding, Owner

_STORED_RESPONSES = "/v1/responses/"
#: Parts of signatures held back at once; an answer that goes on without closing its blocks is cut.
MOST_HELD = 32 << 20


def touches(document: Any) -> bool:
    """Whether a whole answer holds an artefact. ``may_touch`` asks the same of its bytes, more cheaply."""
    return bool(in_answer(document))


@dataclass(frozen=True, slots=True)
class Handed:
    """A request with its owner's artefacts opened.

    ``document``: to send on; the very object that came when nothing was opened. ``redemptions``: every artefact handed
    in, in order. ``redeemed``: the canonical column, SHA-256 (hex) of the last one *as handed in*, or None. ``echoes``:
    artefact and kind → token, so that an answer which names them again names them alike.
    """

    document: Any
    redemptions: tuple[Redemption, ...] = ()
    redeemed: str | None = None
    echoes: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str], repr=False)

    def refused(self, *, unbound: bool = False) -> Redemption | None:
        """The artefact for which the request must be refused, the gravest first, or None.

        ``unbound``: refuse what was never bound, too (ids of items aside: most are never bound).
        """
        grave = [entry for entry in self.redemptions if entry.verdict in _GRAVE]
        if unbound:
            grave += [e for e in self.redemptions if e.verdict == "unbound" and e.kind != "item"]
        return min(grave, key=lambda entry: (_GRAVE.get(entry.verdict, 9), not entry.crossed), default=None)


_GRAVE = {"foreign": 0, "forged": 1, "expired": 2}
CATEGORIES = {
    "foreign": "artefact_not_yours",
    "forged": "artefact_not_valid",
    "expired": "artefact_expired",
    "unbound": "artefact_not_bound",
}
"""What a refusal tells the caller, by verdict."""


def handed(
    document: Any, owner: Owner, binding: Binding, *, now: int, kinds: Collection[str] = KINDS
) -> Handed:
    """Open the artefacts of these kinds in a request body for ``owner``. What is not theirs stays as it is, with its verdict."""
    places = [place for place in in_request(document) if place.kind in kinds]
    if not places:
        return Handed(document)
    changes: list[tuple[tuple[str | int, ...], str]] = []
    told: list[Redemption] = []
    echoes: dict[tuple[str, str], str] = {}
    for place in places:
        opened = binding.unwrap(place.text, owner, place.kind, now=now)
        told.append(redemption(place.kind, opened, _where(place.path), place.text))
        if opened.artefact is not None:
            changes.append((place.path, opened.artefact))
            echoes[opened.artefact, place.kind] = place.text
    new = replaced(document, changes) if changes else document
    return Handed(new, tuple(told), _column(places, [place.text for place in places]), echoes)


def handed_path(path: str, owner: Owner, binding: Binding, *, now: int) -> tuple[str, Handed]:
    """Open the response id in ``/v1/responses/{id}…``; other paths, and other ids, come back as they are."""
    head, mark, rest = path.partition(_STORED_RESPONSES)
    if not mark or not rest:
        return path, Handed(None)
    segment, slash, tail = rest.partition("/")
    token = unquote(segment)
    opened = binding.unwrap(token, owner, RESPONSE, now=now)
    told = Handed(None, (redemption(RESPONSE, opened, "path", token),))
    if opened.artefact is None:
        return path, told
    told.echoes[opened.artefact, RESPONSE] = token
    return f"{head}{mark}{quote(opened.artefact, safe='')}{slash}{tail}", told


class Issuer:
    """Wraps what one answer gives out, whole or as a stream of events, for the owner who asked.

    ``issued``: the canonical column so far, SHA-256 (hex) of the last token as the caller sees it, or None; ``count``:
    artefacts wrapped, of the given ``kinds`` only.
    """

    def __init__(
        self,
        owner: Owner,
        binding: Binding,
        *,
        now: int,
        echoes: dict[tuple[str, str], str] | None = None,
        kinds: Collection[str] = KINDS,
    ) -> None:
        self._owner, self._binding, self._now, self._kinds = owner, binding, now, kinds
        self._tokens = dict(echoes or {})
        self._held: dict[int, list[str]] = {}
        self._size = 0
        self._scanned: str | None = None
        self._other: str | None = None
        self.count = 0

    @property
    def issued(self) -> str | None:
        """SHA-256 (hex) of the last reasoning token; of one that a scan reads when there is one."""
        last = self._scanned or self._other
        return digest(last) if last else None

    @property
    def holds(self) -> bool:
        """Whether a part of a signature is held back."""
        return bool(self._held)

    def answer(self, document: Any) -> Any:
        """The answer with its artefacts wrapped; the very object when there are none."""
        return self._wrapped(document, in_answer(document))

    def event(self, document: Any) -> tuple[Any, ...] | None:
        """The events that take the place of this one: None for itself unchanged, () for none yet.

        Anthropic's ``signature_delta`` may come in parts: they are held until the block stops, then go out as one token
        before its ``content_block_stop``.
        """
        if not isinstance(document, dict):
            return None
        kind, index = document.get("type"), document.get("index")
        block = index if isinstance(index, int) else -1
        if kind == "content_block_delta" and self._hold(document, block):
            return ()
        if kind == "content_block_stop" and block in self._held:
            signature = self._token("".join(self._held.pop(block)), REASONING)
            self._scanned = signature
            delta = {"type": "signature_delta", "signature": signature}
            return ({"type": "content_block_delta", "index": index, "delta": delta}, document)
        changed = self._wrapped(document, in_event(document))
        return None if changed is document else (changed,)

    def needs(self, data: bytes) -> bool:
        """Whether the event with these bytes must be parsed; False is certain."""
        return may_touch(data) or (bool(self._held) and b"content_block_stop" in data)

    def _hold(self, document: Any, index: int) -> bool:
        delta = document.get("delta")
        if not isinstance(delta, dict) or cast("dict[str, Any]", delta).get("type") != "signature_delta":
            return False
        part = cast("dict[str, Any]", delta).get("signature")
        if isinstance(part, str):
            self._size += len(part)
            if self._size <= MOST_HELD:
                self._held.setdefault(index, []).append(part)
        return True

    def _wrapped(self, document: Any, found: Sequence[Place]) -> Any:
        places = [place for place in found if place.kind in self._kinds]
        if not places:
            return document
        tokens = [self._token(place.text, place.kind) for place in places]
        scanned = [t for t, place in zip(tokens, places, strict=True) if place.scanned]
        self._scanned = scanned[-1] if scanned else self._scanned
        other = [t for t, place in zip(tokens, places, strict=True) if place.kind == REASONING]
        self._other = other[-1] if other else self._other
        return replaced(document, [(place.path, t) for place, t in zip(places, tokens, strict=True)])

    def _token(self, artefact: str, kind: str) -> str:
        """One answer names the same artefact several times (``added``, ``done``, ``completed``): wrapped once."""
        token = self._tokens.get((artefact, kind))
        if token is None:
            token = self._tokens[artefact, kind] = self._binding.wrap(
                artefact, self._owner, kind, now=self._now
            )
            self.count += 1
        return token


def _column(places: Sequence[Place], texts: Sequence[str]) -> str | None:
    """The hash of the text that a scan would take; of another place's only when no place is read by a scan."""
    reasoning = [
        (place.scanned, text) for place, text in zip(places, texts, strict=True) if place.kind == REASONING
    ]
    last = [text for scanned, text in reasoning if scanned] or [text for _, text in reasoning]
    return digest(last[-1]) if last else None


def _where(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
