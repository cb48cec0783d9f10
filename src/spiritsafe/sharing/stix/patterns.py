"""What an indicator lists, as a pattern that says honestly how it is to be matched.

Addresses and networks have a pattern in STIX's own language, which any tool can run. A template's anchors and a skeleton's
hash have none: there the pattern type is our own, and a tool that does not know it must leave the indicator alone.

    spiritsafe-template   ``2 of 0c54635dd6890d3c 10782066345232ba 3f…``   at least 2 of these anchors stand in one request
    spiritsafe-skeleton   ``1 of 91c7…``                                   the request's skeleton is one of these
    stix                  ``[ipv4-addr:value IN ('198.51.100.7')]``        or ipv6-addr, or both joined with OR
    stix                  ``[autonomous-system:number IN (64500)]``

``pattern_version`` of our own types is the version of the fingerprints, which must be the reader's. Values are sorted and
distinct, so that one set has one pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from spiritsafe.errors import SharingError

if TYPE_CHECKING:
    from collections.abc import Iterable

TEMPLATE, SKELETON, STIX = "spiritsafe-template", "spiritsafe-skeleton", "stix"
TYPES: Final = {"template": TEMPLATE, "skeleton": SKELETON, "address": STIX, "asn": STIX}
LEAST_ANCHORS, MOST_ANCHORS = 3, 8
"""Fewer anchors are a phrase that innocent prompts have, too; more tell more of the words than matching needs."""
MOST = {"template": MOST_ANCHORS, "skeleton": 100, "address": 100, "asn": 20}
_STIX_VERSION = "2.1"
_HEX = re.compile(r"([1-9]) of ([0-9a-f]{16}(?: [0-9a-f]{16}){0,99})")
_LIST = re.compile(
    r"\[(ipv4-addr:value|ipv6-addr:value|autonomous-system:number) IN \(([0-9a-f.:', ]{1,5000})\)\]"
)
_OR = " OR "
#: Nobody reaches a provider from there, or everybody inside does: such an address names no one.
_INNER = {
    4: (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
        "224.0.0.0/4",
    ),
    6: ("::/127", "fc00::/7", "fe80::/10", "ff00::/8", "::ffff:0:0/96"),
}  # fmt: skip
_INNER_NETWORKS = {version: tuple(map(ip_network, listed)) for version, listed in _INNER.items()}


@dataclass(frozen=True, slots=True)
class Matched:
    """What a pattern lists. ``version``: of the fingerprints, or of STIX's patterns."""

    kind: str
    values: tuple[str, ...]
    least: int
    version: str


def write(kind: str, values: Iterable[str], *, least: int = 1, version: str = _STIX_VERSION) -> str:
    """The pattern for values of ``kind`` ("template", "skeleton", "address", "asn"). Raises SharingError when there is none."""
    chosen = sorted(set(values))
    if kind in ("template", "skeleton"):
        text = f"{least} of {' '.join(chosen)}"
    elif kind == "asn":
        text = f"[autonomous-system:number IN ({', '.join(map(str, sorted(map(int, chosen))))})]"
    else:
        parsed = sorted((ip_address(one) for one in chosen), key=lambda one: (one.version, int(one)))
        parts = [[str(one) for one in parsed if one.version == version] for version in (4, 6)]
        text = _OR.join(
            f"[ipv{number}-addr:value IN ({', '.join(repr(one) for one in part)})]"
            for number, part in zip((4, 6), parts, strict=True)
            if part
        )
    read(kind, text, version)
    return text


def read(kind: str, text: str, version: str) -> Matched:
    """What the pattern of an indicator of ``kind`` lists. Raises SharingError that says why it is none."""
    values, least = _prints(kind, text) if kind in ("template", "skeleton") else (_listed(kind, text), 1)
    if len(values) > MOST[kind]:
        raise SharingError(f"more than {MOST[kind]} values of one {kind}", hint="share the most telling ones")
    if (version == _STIX_VERSION) != (TYPES[kind] == STIX):
        raise SharingError("pattern_version is of another pattern type")
    return Matched(kind, tuple(values), least, version)


def _prints(kind: str, text: str) -> tuple[list[str], int]:
    found = _HEX.fullmatch(text)
    if found is None:
        raise SharingError("no pattern of its type", hint='written as "2 of" and 64-bit hexadecimal numbers')
    values, least = found[2].split(" "), int(found[1])
    if sorted(set(values)) != values:
        raise SharingError("the values are not sorted and distinct")
    if kind == "skeleton" and least != 1:
        raise SharingError("a request has one skeleton, so one is enough", hint='begin with "1 of"')
    if kind == "template" and (len(values) < LEAST_ANCHORS or least < 2 or least > len(values)):
        raise SharingError(
            f"a template has at least {LEAST_ANCHORS} anchors, of which at least 2 must match",
            hint="fewer are a phrase that innocent prompts have, too",
        )
    return values, least


def _listed(kind: str, text: str) -> list[str]:
    names = ("autonomous-system:number",) if kind == "asn" else ("ipv4-addr:value", "ipv6-addr:value")
    values: list[str] = []
    at = -1
    for part in text.split(_OR, 1):
        found = _LIST.fullmatch(part)
        if found is None or found[1] not in names[at + 1 :]:
            raise SharingError(f"no pattern for an {kind}", hint="[ipv4-addr:value IN ('198.51.100.7')]")
        at = names.index(found[1])
        listed = found[2].split(", ")
        order = (
            [_number(one) for one in listed]
            if kind == "asn"
            else [_address(one, 4 + 2 * at) for one in listed]
        )
        if sorted(set(order)) != order:
            raise SharingError("the values are not sorted and distinct")
        values += [str(one) if kind == "asn" else str(ip_address(one[1:-1])) for one in listed]
    return values


def _number(text: str) -> int:
    if (
        not text.isascii()
        or not text.isdecimal()
        or len(text) > 10
        or text[0] == "0"
        or int(text) >= 2**32 - 1
    ):
        raise SharingError("an autonomous system has a number from 1 to 4294967294")
    return int(text)


def _address(text: str, version: int) -> int:
    bare = text[1:-1]
    try:
        address = ip_address(bare)
    except ValueError:
        address = None
    if address is None or text != f"'{address}'" or address.version != version:
        raise SharingError("an address is written in quotes and in its shortest form")
    if any(address in network for network in _INNER_NETWORKS[version]):
        raise SharingError(
            "a private or local address names no one outside", hint="share public addresses only"
        )
    return int(address)
