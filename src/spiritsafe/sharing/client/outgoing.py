"""What would leave: made, passed through the gate, signed, and laid out as the very bytes of the message.

``share preview`` shows these bytes and may keep them; ``share push`` sends them. There is no other way out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spiritsafe.attest import keys
from spiritsafe.attest.canonical import jcs
from spiritsafe.errors import UsageError
from spiritsafe.sharing import scope
from spiritsafe.sharing.signed import sign_object
from spiritsafe.sharing.stix import ids
from spiritsafe.sharing.stix.build import Maker, renewed
from spiritsafe.sharing.stix.export import Export, Withheld, to_stix
from spiritsafe.sharing.stix.release import NOTHING, Release

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from spiritsafe.sharing.client.settings import Member

_NOBODY = "identity--00000000-0000-4000-8000-000000000000"
"""In place of a member in a preview without a key."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """``body``: the message, byte for byte. ``local``: ids here by STIX id; stays. ``signed``: whether a key was there."""

    body: bytes
    objects: tuple[dict[str, Any], ...]
    withheld: tuple[Withheld, ...]
    local: Mapping[str, str]
    signed: bool

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the body."""
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True, slots=True)
class Result:
    """A scan's folder: ``campaigns.json``, ``indicators.json`` and, of a watch, which case a campaign is."""

    told: Mapping[str, Any]
    found: Mapping[str, Any]
    cases: Mapping[str, str]

    def entry(self, name: str, where: str) -> Mapping[str, Any]:
        """The campaign whose id begins with ``name``. Raises UsageError when there is none, or more than one."""
        fits = [one for one in self.told["campaigns"] if one["campaign_id"].startswith(name)]
        if len(fits) != 1:
            known = ", ".join(
                one["campaign_id"] for one in self.told["campaigns"] if one["label"] == "campaign"
            )
            raise UsageError(
                f"{'no' if not fits else 'more than one'} campaign begins with {name!r}",
                where=where,
                hint=f"campaigns here: {known or 'none'}",
            )
        return fits[0]


def results(folder: Path) -> Result:
    """The results in a folder that a scan or a watch wrote. Raises UsageError."""
    told, found = (_json(folder / name, needed=True) for name in ("campaigns.json", "indicators.json"))
    watched = _json(folder / "watch.json", needed=False)
    if told.get("schema") != 1 or found.get("schema") != 1:
        raise UsageError("this is not a scan's result", where=str(folder), hint="scan again")
    try:
        cases = {one["campaign_id"]: one["case"] for one in watched.get("cases", ())}
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError("this is not a watch's result", where=str(folder / "watch.json")) from error
    return Result(told, found, cases)


def about(
    result: Result,
    campaign: str,
    member: Member,
    key: Ed25519PrivateKey | None,
    *,
    now: int,
    release: Release = NOTHING,
    earlier: Mapping[str, Mapping[str, Any]] | None = None,
    where: str = "results",
) -> Outgoing:
    """The message about one campaign. Raises UsageError, SharingError, and ScopeError when the gate refuses it."""
    entry = result.entry(campaign, where)
    maker = maker_of(member, key, now)
    out = to_stix(
        entry,
        result.found,
        maker,
        release=release,
        fdr=result.told["scanned"].get("fdr", 0.01),
        case=result.cases.get(entry["campaign_id"]),
        earlier=earlier,
    )
    if key is not None:
        me = maker.identity(key.public_key().public_bytes_raw())
        out.objects.insert(0, renewed(me, (earlier or {}).get(me["id"])))
    return sealed(out, key)


def maker_of(member: Member, key: Ed25519PrivateKey | None, now: int) -> Maker:
    """Who makes objects: the owner of ``key``, under the member's terms."""
    return Maker(_NOBODY if key is None else ids.identity_id(keys.public(key)), now, member.terms)


def sealed(out: Export, key: Ed25519PrivateKey | None) -> Outgoing:
    """What was made, through the gate, signed, as a message. Raises ScopeError."""
    scope.check(out.objects, at="sender")
    objects = out.objects if key is None else [sign_object(one, key) for one in out.objects]
    scope.check(objects, at="sender")
    return Outgoing(envelope(objects), tuple(objects), tuple(out.withheld), out.local, key is not None)


def envelope(objects: Sequence[Mapping[str, Any]]) -> bytes:
    """A TAXII envelope: canonical JSON, so that the same objects are the same bytes."""
    return jcs({"objects": list(objects)})


def _json(path: Path, *, needed: bool) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        if not needed:
            return {}
        raise UsageError(
            "no scan result here", where=str(path.parent), hint="spiritsafe scan LOGS --out DIR"
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError("this cannot be read as a scan's result", where=str(path)) from error
    if not isinstance(found, dict):
        raise UsageError("this is not a scan's result", where=str(path))
    return found
