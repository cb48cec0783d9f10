"""Who asks: from headers that a trusted peer set, or from a signed token; never from what a caller can forge.

A header is believed when the connection comes from a listed network. A token (compact JWS, RFC 7515; EdDSA or HS256) is
believed by its signature, whoever carries it. Both are taken off before the request goes on.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spiritsafe.gateway import tokens
from spiritsafe.model import Caller

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    Headers = Iterable[tuple[bytes, bytes]]

#: Key in [identity], and claim of a token: the canonical column.
COLUMNS = {
    "account": "account_id",
    "organization": "organization_id",
    "api_key": "api_key_id",
    "session": "session_id",
    "end_user": "end_user_id",
    "device": "device_id",
    "client_ip": "client_ip",
    "asn": "asn",
    "user_agent": "user_agent",
    "plan": "plan",
    "account_created": "account_created",
    "email_domain": "email_domain",
    "payment": "payment_id",
    "relation": "relation",
}
LONGEST = 512  # characters of one value
_PEERS = 4_096  # addresses whose trust is remembered
_CALLERS, _FIELDS = 4_096, 1_024  # callers that are remembered, and bytes of the fields that name one


@dataclass(frozen=True, slots=True)
class Trust:
    """What is believed. ``headers``: column to header name, lower case; ``token``: the header that carries one."""

    headers: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    unix: bool = False
    token: bytes | None = None
    token_keys: Path | None = None
    once: bool = False
    leeway: int = 5


class Unknown(Exception):  # noqa: N818 - reads as the fact it states
    """Nobody can be named; ``reason`` is machine-readable."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Named:
    """The caller, and what makes a token usable once: its id and the second it expires."""

    caller: Caller
    token_id: str | None = None
    expires: int = 0


class Identity:
    """Reads callers by ``trust``; ``keys`` are what tokens are verified with."""

    def __init__(self, trust: Trust, keys: Mapping[str, tokens.Key] | None = None) -> None:
        self.trust = trust
        self._keys = keys or {}
        self._columns = {name: column for column, name in trust.headers.items()}
        kept = {b"user-agent"}  # read as a column, and of use to the upstream, too
        self.stripped: frozenset[bytes] = frozenset(
            ({*self._columns} | ({trust.token} if trust.token else set())) - kept
        )
        self._peers: dict[str, bool] = {}
        self._read = frozenset({*self._columns, b"user-agent"})
        self._callers: dict[tuple[tuple[bytes, bytes], ...], Named] = {}

    def name(self, peer: str | None, headers: Headers, now: int) -> Named:
        """The caller behind ``headers`` of a connection from ``peer`` (None: a unix socket); ``now`` in µs.

        Raises Unknown.
        """
        if self.trust.token:
            return self._by_token(headers, now)
        if not self._trusted(peer):
            raise Unknown("peer_not_trusted", "this peer is not trusted to say who asks")
        told = tuple([pair for pair in headers if pair[0] in self._read])
        known = self._callers.get(told)
        if known is None:
            known = self._told(told)
            if sum(len(value) for _, value in told) <= _FIELDS:
                if len(self._callers) >= _CALLERS:
                    self._callers.clear()
                self._callers[told] = known
        return known

    def _told(self, headers: Headers) -> Named:
        """The caller that these fields of a trusted peer name."""
        found: dict[str, Any] = {}
        agent = b""
        for name, value in headers:
            column = self._columns.get(name)
            if column is None:
                agent = value
                continue
            if column in found:
                raise Unknown("identity_twice", f"the header {name.decode()} came twice")
            found[column] = _text(value, name.decode())
        if agent and "user_agent" not in found:
            found["user_agent"] = agent.decode("latin-1")[:LONGEST]
        return Named(_caller(found))

    def _trusted(self, peer: str | None) -> bool:
        if peer is None:
            return self.trust.unix
        known = self._peers.get(peer)
        if known is None:
            if len(self._peers) >= _PEERS:
                self._peers.clear()
            known = self._peers[peer] = self._listed(peer)
        return known

    def _listed(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self.trust.networks)

    def _by_token(self, headers: Headers, now: int) -> Named:
        carried = [value for name, value in headers if name == self.trust.token]
        if len(carried) != 1:
            raise Unknown(*(("identity_twice", "two tokens came") if carried else _MISSING))
        token = carried[0][7:] if carried[0][:7].lower() == b"bearer " else carried[0]
        try:
            claims = tokens.verified(token, self._keys, now // 1_000_000, self.trust.leeway)
        except tokens.BadToken as error:
            raise Unknown(error.reason, str(error)) from error
        token_id = claims.get("jti")
        if self.trust.once and not (isinstance(token_id, str) and 0 < len(token_id) <= LONGEST):
            raise Unknown("token_without_id", "tokens are used once here: a jti is needed")
        found = {column: claims[key] for key, column in COLUMNS.items() if claims.get(key) is not None}
        if "account_id" not in found and isinstance(claims.get("sub"), str):
            found["account_id"] = claims["sub"]
        for column, value in found.items():
            if column not in {"asn", "account_created"} and not isinstance(value, str):
                raise Unknown("identity_malformed", f"the token's {column} is no text")
        return Named(_caller(found), token_id if self.trust.once else None, int(claims["exp"]))


_MISSING = ("identity_missing", "nobody says who asks")


def _text(value: bytes, name: str) -> str:
    try:
        text = value.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise Unknown("identity_malformed", f"the header {name} is not UTF-8") from error
    if len(text) > LONGEST or not text.isprintable():
        raise Unknown("identity_malformed", f"the header {name} makes no sense")
    return text


def _caller(found: dict[str, Any]) -> Caller:
    if not found.get("account_id"):
        raise Unknown(*_MISSING)
    try:
        if found.get("asn") is not None:
            found["asn"] = int(found["asn"])
        if found.get("account_created") is not None:
            found["account_created"] = int(found["account_created"])
    except (ValueError, TypeError) as error:
        raise Unknown("identity_malformed", "asn and account_created are whole numbers") from error
    return Caller(**{column: value for column, value in found.items() if value != ""})
