"""Classes of identifiers: how a value is written before it is hashed, and how long guessing them all would take.

Two laboratories match only if they hash the same bytes, so each class has one canonical form and a version. A class is
tokenised only where guessing is slow: a member may have ``quota`` evaluations a day, and in one epoch that must stay
below `LIMIT` of the class's ``space``. What is easily enumerated is public (compare it in the open) or refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, NamedTuple

from spiritsafe.errors import ScopeError

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 0.05
"""Of a class's space that one member may try within one epoch."""
DOMAIN = b"spiritsafe match 1"
_LEAST_LETTERS = 6


@dataclass(frozen=True)
class IdentifierClass:
    """``space``: how many values a guesser has to try (None: whole texts, no list to try); ``quota``: a day, at most."""

    name: str
    version: int
    canonical: Callable[[str], str]
    space: int | None
    quota: int
    of: str


class Exposure(NamedTuple):
    """What quotas leave to a guesser: days for the whole space, and the part of it within one epoch."""

    days: float
    share: float


def exposure(space: int, quota: int, days: float, members: int = 1) -> Exposure:
    """What ``members`` who put their quotas together can try of a ``space`` in an epoch of ``days``."""
    pace = quota * members
    return Exposure(space / pace, min(1.0, pace * days / space))


def ceiling(one: IdentifierClass, days: float) -> int:
    """The most evaluations a day that an epoch of ``days`` may allow for a class."""
    return one.quota if one.space is None else min(one.quota, int(LIMIT * one.space / days))


def canonical(name: str, value: str, where: str | None = None) -> str:
    """The canonical form of a value. Raises ScopeError, without the value, for what may not be tokenised."""
    if name in NEVER:
        raise ScopeError(f"{name} is not matched: {NEVER[name]}", where=where)
    if name not in CLASSES:
        raise ScopeError(
            f"there is no class of identifiers {name!r}", where=where, hint=f"classes: {', '.join(CLASSES)}"
        )
    try:
        return CLASSES[name].canonical(value.strip())
    except ValueError as error:
        raise ScopeError(f"this is no {name} that may be matched: {error}", where=where) from None


def hashed(name: str, written: str) -> bytes:
    """What is hashed to the group for a canonical value: domain, class and version are part of it."""
    return b"\0".join((DOMAIN, name.encode(), b"%d" % CLASSES[name].version, written.encode()))


def _matched(pattern: str, value: str, form: str) -> str:
    if not re.fullmatch(pattern, value, re.ASCII):
        raise ValueError(f"it is written {form}")
    return value


def _skeleton(value: str) -> str:
    return _matched(
        r"fp\d{1,6}:([0-9a-f]{16}|set:[0-9a-f]{64})",
        value,
        "fpN:HASH with 16 hex digits, or fpN:set:SHA256, N being the version of the fingerprint",
    )


def _band(value: str) -> str:
    return _matched(r"fp\d{1,6}:[0-3]\d:[0-9a-f]{32}", value, "fpN:BAND:HASH, as `bands` makes it")


def _device(value: str) -> str:
    """Random identifiers only: 16 hexadecimal digits or more, or 20 mixed letters. A model's name would be guessed."""
    text = _matched(r"[A-Za-z0-9_.:\-]{16,256}", value, "16 to 256 letters, digits, or one of _ . : -")
    letters = re.sub(r"[_.:\-]", "", text)
    varied = len(set(letters)) >= _LEAST_LETTERS
    if re.fullmatch(r"[0-9a-fA-F]{16,}", letters) and not letters.isdigit() and varied:
        return text.lower()
    kinds = (str.isdigit, str.islower, str.isupper)
    if len(letters) >= 20 and varied and all(sum(map(kind, letters)) >= 3 for kind in kinds):
        return text  # base64 knows case
    raise ValueError("it does not look random, so it could be guessed")


def _payment(value: str) -> str:
    kind, _, rest = value.partition(":")
    if kind == "card":
        found = re.fullmatch(r"(\d{6})\d{0,2}:(\d{4}):(20\d\d-(?:0[1-9]|1[0-2]))", rest, re.ASCII)
        if not found:
            raise ValueError(
                "a card is card:BIN:LAST4:YYYY-MM, with all three parts: a BIN alone is guessed in days"
            )
        return "card:" + ":".join(found.groups())
    if kind == "iban":
        text = _matched(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", rest.replace(" ", "").upper(), "iban:IBAN")
        digits = "".join(str(int(letter, 36)) for letter in text[4:] + text[:4])
        if int(digits) % 97 != 1:
            raise ValueError("the check digits of the IBAN do not fit")
        return "iban:" + text
    if kind == "wallet":
        chain, _, address = rest.partition(":")
        _matched(r"[a-z0-9]{2,20}", chain, "wallet:CHAIN:ADDRESS")
        _matched(r"[A-Za-z0-9]{26,100}", address, "wallet:CHAIN:ADDRESS")
        # Hexadecimal and bech32 addresses know no case, base58 does.
        folds = re.fullmatch(r"0[xX][0-9a-fA-F]+|bc1[a-z0-9]+|BC1[A-Z0-9]+", address)
        return f"wallet:{chain}:{address.lower() if folds else address}"
    raise ValueError("it starts with card:, iban: or wallet:")


def _of(version: int, value: str) -> str:
    """An address of one version in its shortest form (RFC 5952)."""
    try:
        found: IPv4Address | IPv6Address = ip_address(value)
    except ValueError:
        raise ValueError("this is no address") from None  # the library's message repeats it
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    if not found.is_global or found.is_multicast:
        raise ValueError("only addresses of the public internet are matched")
    if found.version != version:
        raise ValueError(f"this is an IPv{found.version} address")
    return str(found)


def _ipv4(value: str) -> str:
    return _of(4, value)


def _ipv6(value: str) -> str:
    return _of(6, value)


def _ipv6_net(value: str) -> str:
    address, _, length = value.partition("/")
    if length not in {"", "64"}:
        raise ValueError("networks of other lengths than 64 bits do not compare")
    return str(IPv6Network((_ipv6(address), 64), strict=False))


CLASSES = {
    one.name: one
    for one in (
        IdentifierClass(
            "skeleton", 1, _skeleton, None, 250_000, "a campaign's or prompt's text without its items"
        ),
        IdentifierClass("band", 1, _band, None, 250_000, "a band of MinHash over a campaign's shingles"),
        IdentifierClass("device", 1, _device, 2**64, 100_000, "a random identifier of a device"),
        # Who knows the bank tries four digits and sixty months: the space is that of one BIN, not of all cards.
        IdentifierClass(
            "payment", 1, _payment, 10_000 * 60, 1_000, "a means of payment; here: cards of one BIN"
        ),
        # 2^32 without what IANA keeps for private, multicast and other special use.
        IdentifierClass("ipv4", 1, _ipv4, 3_702_258_432, 50_000, "a full IPv4 address"),
        IdentifierClass("ipv6", 1, _ipv6, 2**64, 50_000, "a full IPv6 address; here: hosts of one network"),
        # 80,000 networks announce about a /32 each.
        IdentifierClass("ipv6_net", 1, _ipv6_net, 2**48, 50_000, "an IPv6 network of 64 bits"),
    )
}
"""The classes that are matched."""

PUBLIC = {"asn": 120_000, "email_domain": 1_000_000}
"""Small and known to all: share them in the open, or not at all. How many there are, roughly."""

NEVER = {
    "asn": "there are so few that a token hides nothing; it may be shared in the open",
    "email_domain": "the domains that matter are known to all; it may be shared in the open",
    "bin": "a BIN alone is guessed in days",
    "email": "it identifies a customer",
    "phone": "it identifies a customer",
    "name": "it identifies a customer",
    "account": "it identifies a customer",
    "prompt": "text is not matched; its skeleton is",
    "country": "geography is never evidence",
}
