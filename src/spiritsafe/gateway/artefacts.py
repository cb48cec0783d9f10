"""Tokens that stand for a provider's artefacts and work for one owner only.

An artefact is what a provider gives out opaque and takes back: encrypted reasoning, thinking signatures, ids of stored
responses. The caller sees a token instead::

    "ssb1." + base64url( kind 1 | bound 1 | key id 6 | epoch 4 | owner tag 16 | party tag 8 | family tag 8
                         | AES-256-SIV(artefact) 16 + 1 + n | MAC 16 )

* *epoch*: days since 1970 when it was wrapped. *bound*: which of account, organization, family count.
* *Tags* are truncated HMAC-SHA-256 of length-prefixed names: ``owner`` of what is bound, ``party`` of the organization
  or, without one, the account, ``family`` of the model family.
* AES-SIV (RFC 5297) needs no nonce, so a repeat shows nothing but that it is a repeat; the associated data are the
  header and the names of the owner.
* The outer MAC (HMAC-SHA-256, 128 bits) over all before it tells "genuine, but issued to another" from "forged".

Base64 artefacts are sealed decoded: a token is about 110 characters longer than such an artefact, and 4/3 of any other
plus 110. Wrapping is deterministic for one owner, key and day.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from spiritsafe.errors import UsageError
from spiritsafe.gateway.keys import DAY, LIFETIME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from spiritsafe.gateway.keys import Key, KeyRing

Verdict = Literal["own", "foreign", "expired", "forged", "unbound"]
PREFIX: Final = "ssb1."
REASONING, RESPONSE, CONVERSATION, ITEM = "reasoning", "response", "conversation", "item"
KINDS: Final = (REASONING, RESPONSE, CONVERSATION, ITEM)
ACCOUNT, ORGANIZATION, FAMILY = 1, 2, 4
BINDS: Final = {"account": ACCOUNT, "organization": ORGANIZATION, "family": FAMILY}
_HEADER = struct.Struct(">BB6sI16s8s8s")
_MAC = 16
#: The shortest body: a header, the seal of an empty artefact with its form, the MAC.
_LEAST = _HEADER.size + 16 + 1 + _MAC
#: Names whose tags one owner keeps; a ring has a handful of keys.
_TAGS = 64


class Owner:
    """Whom artefacts are bound to: account, its organization or None, model family or None (unknown: not compared).

    Keeps its tags, so make one a request.
    """

    __slots__ = ("_tags", "account", "family", "organization")

    def __init__(self, account: str, organization: str | None = None, family: str | None = None) -> None:
        self.account = account
        self.organization = organization
        self.family = family
        self._tags: dict[tuple[bytes, int], tuple[bytes, bytes, bytes]] = {}

    def names(self, bound: int) -> bytes:
        """The bound names, unambiguous: each with its length. Without an organization the account always counts."""
        organization = self.organization if bound & ORGANIZATION else None
        account = self.account if bound & ACCOUNT or organization is None else None
        return _named(account) + _named(organization)

    def tags(self, key: Key, bound: int) -> tuple[bytes, bytes, bytes]:
        """Owner tag (16 bytes), party tag (8) and family tag (8; zeros where families do not count)."""
        tags = self._tags.get((key.id, bound))
        if tags is None:
            party = (
                _named(self.organization) if self.organization is not None else b"a" + _named(self.account)
            )
            family = _tag(key, b"family", _named(self.family))[:8] if bound & FAMILY else bytes(8)
            tags = (
                _tag(key, b"owner", bytes((bound,)) + self.names(bound)),
                _tag(key, b"party", party)[:8],
                family,
            )
            if len(self._tags) < _TAGS:
                self._tags[key.id, bound] = tags
        return tags


@dataclass(frozen=True, slots=True)
class Opened:
    """What a token turned out to be. ``artefact`` only when ``own``.

    ``crossed``: genuine, and issued to another *party*: another organization, or another account without one. An
    account's other model family, or a colleague's token, is ``foreign`` without having crossed.
    ``key_id``, ``epoch`` (days), ``owner_tag`` and ``party_tag`` are told of genuine tokens only.
    """

    verdict: Verdict
    artefact: str | None = None
    crossed: bool = False
    key_id: str | None = None
    epoch: int | None = None
    owner_tag: str | None = None
    party_tag: str | None = None


_FORGED = Opened("forged")
_UNBOUND = Opened("unbound")


class Binding:
    """Wraps artefacts for their owner and opens them for nobody else.

    ``ring`` gives the keys of now (``KeyFile.ring`` of a followed file). ``bind`` names what counts, any of ``account``,
    ``organization``, ``family``; one of the first two must be there (UsageError). ``lifetime`` is microseconds. Families
    count for reasoning only: a stored response may be continued with another model.
    """

    def __init__(
        self,
        ring: Callable[[], KeyRing],
        *,
        bind: Iterable[str] = ("account", "organization"),
        lifetime: int = LIFETIME,
    ) -> None:
        names = set(bind)
        if names - set(BINDS) or not names & {"account", "organization"}:
            raise UsageError(
                f"artefacts cannot be bound to {', '.join(sorted(names)) or 'nothing'}",
                hint="bind names account or organization, or both, and may add family",
            )
        self._ring = ring
        self._bound = sum(BINDS[name] for name in names)
        self._days = -(-lifetime // DAY)
        self._seals: dict[bytes, AESSIV] = {}

    def wrap(self, artefact: str, owner: Owner, kind: str, *, now: int) -> str:
        """The token that stands for ``artefact`` (not empty, else it is given back) with ``owner`` from now on."""
        if not artefact:
            return artefact
        key = self._ring().issuing(now)
        bound = self._bound if kind == REASONING else self._bound & ~FAMILY
        epoch = min(max(now // DAY, 0), 0xFFFFFFFF)
        header = _HEADER.pack(KINDS.index(kind), bound, key.id, epoch, *owner.tags(key, bound))
        sealed = self._seal(key).encrypt(_packed(artefact), [header, owner.names(bound)])
        body = header + sealed
        body += hmac.digest(key.mac, body, "sha256")[:_MAC]
        return PREFIX + base64.urlsafe_b64encode(body).rstrip(b"=").decode("ascii")

    def unwrap(self, token: str, owner: Owner, kind: str, *, now: int) -> Opened:
        """Open what ``owner`` hands in as an artefact of ``kind``. Takes any text; never raises.

        Reasoning that came in several pieces, each a token, may come back as their concatenation: it is as good as the
        worst of them.
        """
        if not token.startswith(PREFIX):
            return _UNBOUND
        if kind != REASONING or token.count(".") == 1:
            return self._open(token[len(PREFIX) :], owner, kind, now)
        # A dot is in no body, so the prefix is found nowhere else.
        pieces = [self._open(body, owner, kind, now) for body in token.split(PREFIX)[1:]]
        worst = max(pieces, key=lambda piece: (_WORSE[piece.verdict], piece.crossed))
        if worst.verdict != "own":
            return worst
        whole = "".join(piece.artefact or "" for piece in pieces)
        return replace(worst, artefact=whole)

    def _open(self, text: str, owner: Owner, kind: str, now: int) -> Opened:
        body = _decoded(text)
        key = self._genuine(body)
        if body is None or key is None:
            return _FORGED
        number, bound, _, epoch, owner_tag, party_tag, family_tag = _HEADER.unpack_from(body)
        own, party, family = owner.tags(key, bound)
        crossed = not hmac.compare_digest(party, party_tag)
        other_family = owner.family is not None and not hmac.compare_digest(family, family_tag)
        artefact: str | None = None
        verdict: Verdict = "own"
        if other_family or not hmac.compare_digest(own, owner_tag):
            verdict = "foreign"
        elif number != KINDS.index(kind):
            verdict = "forged"
        elif not key.open(now) or now // DAY - epoch > self._days:
            verdict = "expired"
        else:
            try:
                header, sealed = body[: _HEADER.size], body[_HEADER.size : -_MAC]
                artefact = _unpacked(self._seal(key).decrypt(sealed, [header, owner.names(bound)]))
            except InvalidTag:
                # Same tag, other names: a collision of 128 bits. Still not theirs.
                verdict = "foreign"
        crossed = crossed and verdict == "foreign"
        return Opened(verdict, artefact, crossed, key.id.hex(), epoch, owner_tag.hex(), party_tag.hex())

    def _genuine(self, body: bytes | None) -> Key | None:
        """The key whose MAC the token bears: only a gateway with that key can have made it."""
        if body is None or len(body) < _LEAST:
            return None
        key = self._ring().get(body[2:8])
        if key is None or not hmac.compare_digest(
            hmac.digest(key.mac, body[:-_MAC], "sha256")[:_MAC], body[-_MAC:]
        ):
            return None
        return key

    def _seal(self, key: Key) -> AESSIV:
        seal = self._seals.get(key.id)
        if seal is None:
            if len(self._seals) >= _TAGS:
                self._seals.clear()
            seal = self._seals[key.id] = AESSIV(key.seal)
        return seal


_WORSE: Final = {"own": 0, "unbound": 1, "expired": 2, "forged": 3, "foreign": 4}


@dataclass(frozen=True, slots=True)
class Redemption:
    """One artefact that a caller handed in.

    ``place``: where in the body, as a path. ``token_hash``: SHA-256 (hex) of the text as handed in; it equals
    ``reasoning_issued`` of the exchange that gave it out. The other fields are those of ``Opened``.
    """

    kind: str
    verdict: Verdict
    place: str
    token_hash: str
    crossed: bool = False
    key_id: str | None = None
    epoch: int | None = None
    owner_tag: str | None = None
    party_tag: str | None = None


def redemption(kind: str, opened: Opened, place: str, token: str) -> Redemption:
    """The record of ``token`` having been opened as ``opened``."""
    return Redemption(
        kind, opened.verdict, place, digest(token), opened.crossed, opened.key_id, opened.epoch,
        opened.owner_tag, opened.party_tag,
    )  # fmt: skip


def digest(token: str) -> str:
    """SHA-256 (hex) of a token or artefact as it stands in a body: what a scan computes from the same body."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _named(name: str | None) -> bytes:
    if name is None:
        return b"\xff\xff\xff\xff"
    text = name.encode("utf-8", "surrogatepass")
    return len(text).to_bytes(4, "big") + text


def _tag(key: Key, label: bytes, names: bytes) -> bytes:
    return hmac.digest(key.tag, label + b"\0" + names, "sha256")[:16]


def _decoded(text: str) -> bytes | None:
    """The bytes of canonical unpadded base64url, else None: each token has one spelling."""
    try:
        ascii_text = text.encode("ascii")
        body = base64.urlsafe_b64decode(ascii_text + b"=" * (-len(ascii_text) % 4))
    except ValueError:
        return None
    return body if base64.urlsafe_b64encode(body).rstrip(b"=") == ascii_text else None


#: Forms of an artefact: text, or base64 with either alphabet, padded or not, which is sealed decoded.
_FORMS: Final = ((None, True), (b"+/", True), (b"-_", True), (b"+/", False), (b"-_", False))


def _packed(artefact: str) -> bytes:
    text = artefact.encode("utf-8", "surrogatepass")
    padded = len(text) % 4 == 0
    url = b"-" in text or b"_" in text
    form = (2 if url else 1) + (0 if padded else 2)
    try:
        body = base64.b64decode(text + b"=" * (-len(text) % 4), b"-_" if url else None)
    except ValueError:
        return b"\0" + text
    packed = bytes((form,)) + body
    # Only what comes back letter for letter may be sealed decoded.
    return packed if _unpacked(packed) == artefact else b"\0" + text


def _unpacked(packed: bytes) -> str:
    letters, padded = _FORMS[packed[0]]
    if letters is None:
        return packed[1:].decode("utf-8", "surrogatepass")
    text = base64.b64encode(packed[1:], letters).decode("ascii")
    return text if padded else text.rstrip("=")
