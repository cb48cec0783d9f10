"""A lab's own side: from ``candidates.json`` and its tags to the statements that it signs.

Everything that was tested is committed, accused or not, promising or not: a lab that committed only what looks good would have
chosen by e-value. What is committed is rounded and clipped, so that opening it tells no volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING, Any

from spiritsafe.errors import SharingError
from spiritsafe.sharing.joint.known import CLASSES, TESTS
from spiritsafe.sharing.joint.statements import (
    COMMITMENT,
    NOTHING,
    OPENING,
    derived,
    listed,
    name_of,
    sign,
    statement_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from spiritsafe.sharing.joint.rules import Rules


PARTIES = (5, 10, 20)
"""What is told of how many parties a candidate has: at least so many."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which round of which forum, and who speaks."""

    forum: str
    round: str
    by: str


@dataclass(frozen=True, slots=True)
class Own:
    """One candidate of this lab: what is committed of it, and its ``tags`` by class, with the nonce of each."""

    candidate_id: str
    name: str
    salt: bytes
    evidence: dict[str, Any]
    tags: dict[tuple[str, str], bytes]


def prepared(
    tested: Mapping[str, Any], tags: Mapping[str, Mapping[str, Sequence[str]]], secret: bytes
) -> list[Own]:
    """Every tested candidate of ``tested`` (the content of ``candidates.json``), sorted by name.

    ``tags``: by candidate id and class, as private matching gave them to this lab. The same ``secret`` gives the same again.
    """
    made: list[Own] = []
    for entry in tested["candidates"]:
        if entry["tested"] is None:
            continue
        known = str(entry["candidate_id"])
        nonces = {
            (kind, tag): derived(secret, "tag", known, kind, tag)[:16]
            for kind, found in sorted(tags.get(known, {}).items())
            for tag in sorted(set(found))
        }
        evidence = _evidence(entry, nonces, derived(secret, "family", str(entry["family"]))[:16].hex())
        salt = derived(secret, "salt", known)
        made.append(Own(known, name_of(salt, evidence), salt, evidence, nonces))
    return sorted(made, key=lambda one: one.name)


def commitment(
    own: Sequence[Own], place: Place, rules: Rules, *, fingerprint_version: int, secret: bytes, now: int
) -> dict[str, Any]:
    """The body of a commitment. Filled up to a power of two with hashes of nothing: the number tested is not told."""
    names = [one.name for one in own]
    size = 1 << max(0, len(names) - 1).bit_length()
    names += [derived(secret, "filling", str(number)).hex() for number in range(size - len(names))]
    return {
        "by": place.by,
        "forum": place.forum,
        "round": place.round,
        "rules": rules.digest(),
        "fingerprint_version": fingerprint_version,
        "candidates": sorted(names),
        "made": now,
    }


def opening(
    own: Sequence[Own],
    matched: Mapping[str, Iterable[str]],
    met: Mapping[str, Iterable[tuple[str, str]]],
    committed: Mapping[str, Any],
) -> dict[str, Any]:
    """The body of an opening of what matched: each candidate that has a tag in ``matched``, with those tags and no others.

    ``matched``: tags that enough labs hold, by class. ``met``: by tag, who else holds it, as (identity, name of the candidate).
    ``committed``: the body of the commitment. Raises SharingError when this lab did not commit to what it would open.
    """
    wanted = {(kind, tag) for kind, found in matched.items() for tag in found}
    entries: list[dict[str, Any]] = []
    for one in own:
        mine = sorted(wanted & one.tags.keys())
        if not mine:
            continue
        if one.name not in committed["candidates"]:
            raise SharingError(
                "this candidate was not committed to",
                where=one.candidate_id,
                hint="open with the results, the tags and the secret that the commitment was made with",
            )
        entries.append(
            {
                "name": one.name,
                "salt": one.salt.hex(),
                "evidence": one.evidence,
                "tags": [
                    {
                        "class": kind,
                        "tag": tag,
                        "nonce": one.tags[kind, tag].hex(),
                        "met": [{"by": by, "name": name} for by, name in sorted(set(met.get(tag, ())))],
                    }
                    for kind, tag in mine
                ],
            }
        )
    return {
        "by": committed["by"],
        "forum": committed["forum"],
        "round": committed["round"],
        "commitment": statement_id(COMMITMENT, committed),
        "candidates": entries,
    }


def signed_commitment(body: Mapping[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    """The envelope of a commitment."""
    return sign(COMMITMENT, body, key)


def signed_opening(body: Mapping[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    """The envelope of an opening."""
    return sign(OPENING, body, key)


def _evidence(
    entry: Mapping[str, Any], nonces: Mapping[tuple[str, str], bytes], family: str
) -> dict[str, Any]:
    hashes: dict[str, list[str]] = {kind: [] for kind in CLASSES}
    for (kind, tag), nonce in nonces.items():
        hashes[kind].append(listed(nonce, kind, tag))
    tests = entry["coordination"]["tests"]
    return {
        "kind": entry["kind"],
        "intent": entry["intent"]["by"],
        "excused": entry["excused"],
        "parties": max((least for least in PARTIES if entry["parties"] >= least), default=PARTIES[0]),
        "family": family,
        "tests": {test["name"]: tenths(test["bits"]) for test in tests if test["name"] in TESTS},
        "chose": entry["coordination"]["chose"],
        "listed": {kind: sorted(found) for kind, found in hashes.items() if found},
    }


def tenths(bits: float) -> int:
    """Tenths of bits, rounded down and clipped: what is said is at most what was seen, so that it stays an e-value."""
    return floor(max(NOTHING, min(-NOTHING, 10 * bits)))


def told(tenth: int) -> float:
    """The bits that a statement says."""
    return float("-inf") if tenth <= NOTHING else tenth / 10


def adopted(
    result: Mapping[str, Any], facts: Mapping[str, Mapping[str, Any]], by: str
) -> list[dict[str, Any]]:
    """What a decision says of this lab's candidates: those accused whose own evidence speaks for it, as a scan takes them.

    ``facts``: by candidate id, with the ``commitment`` of each. A lab that opened nothing, or below one, adopts nothing.
    """
    named = {str(one["commitment"]): candidate for candidate, one in facts.items()}
    return sorted(
        (
            {
                "candidate_id": named[one["candidate"]],
                "group_id": group["group_id"],
                "bits": group["bits"],
                "labs": len(group["members"]),
            }
            for group in result["groups"]
            if group["label"] == "campaign"
            for one in group["members"]
            if one["by"] == by and one["candidate"] in named and one["bits"] is not None and one["bits"] > 0
        ),
        key=lambda entry: entry["candidate_id"],
    )
