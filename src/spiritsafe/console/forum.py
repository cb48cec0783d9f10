"""What this house and the forum have of each other, from the member client's own folder. Nothing is fetched or sent here.

The client's state is for one process at a time. It is opened for a moment; while another process has it, what was read last
is shown.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from spiritsafe.attest import keys
from spiritsafe.errors import SpiritsafeError, StorageError, UsageError
from spiritsafe.features import FINGERPRINT_VERSION
from spiritsafe.sharing.client import outgoing, redress, settings, use
from spiritsafe.sharing.client.session import Session
from spiritsafe.sharing.client.state import State
from spiritsafe.sharing.scope.schemas import load
from spiritsafe.sharing.stix import ids
from spiritsafe.sharing.stix.read import facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from spiritsafe.sharing.client.settings import Member
    from spiritsafe.sharing.client.state import Kept

SHOWN: Final = 2_000
"""Objects at most; the newest ones."""


def grounds() -> tuple[str, ...]:
    """Why something may be disputed, in the words of the schemas."""
    return tuple(load()["common"]["$defs"]["redress"]["properties"]["ground"]["enum"])


@dataclass(slots=True)
class Forum:
    """The forum as the file ``config`` (``share.toml``) tells of it; None where no file is named. Safe for several threads."""

    config: Path | None
    _lock: Lock = field(default_factory=Lock)
    _last: dict[str, Any] | None = None

    def member(self) -> Member:
        """The settings; the usual ones, without key and hub, where no file is named. Raises UsageError."""
        return settings.read(self.config) if self.config else settings.Member(Path("share.toml"))

    def seen(self, now: int) -> dict[str, Any]:
        """What there is. ``busy``: another process has the state, and this is what was read before, if anything was."""
        member = self.member()
        told: dict[str, Any] = {
            "named": self.config is not None,
            "busy": "",
            "terms": _terms(member),
            "rules": _rules(member),
        }
        if member.folder is None or member.key is None:
            return {**told, **_EMPTY}
        if not (member.folder / "forum.sqlite").exists():
            return {**told, **_EMPTY}
        me = ids.identity_id(keys.public(keys.load(member.key)))
        with self._lock:
            try:
                with State(member.folder) as state:
                    self._last = _read(state, member, me, now)
            except StorageError as error:
                told["busy"] = error.message
            return {**told, **(self._last or _EMPTY)}

    def preview(self, folder: Path, campaign: str, now: int) -> dict[str, Any]:
        """The message about a campaign, byte for byte, and what stays, and why. Raises UsageError, SharingError, ScopeError."""
        member = self.member()
        result = outgoing.results(folder)
        key = keys.load(member.key) if member.key else None
        found = outgoing.about(result, campaign, member, key, now=now, where=folder.name)
        return {
            "named": self.config is not None,
            "signed": found.signed,
            "bytes": len(found.body),
            "sha256": found.digest,
            "message": found.body.decode(),
            "terms": _terms(member),
            "objects": [_object(one) for one in found.objects],
            "withheld": [asdict(one) for one in found.withheld],
        }

    def dispute(
        self, key: str, ground: str, *, by: str, reason: str, clock: Callable[[], int]
    ) -> dict[str, Any]:
        """Lay a dispute of another member's object into the outbox, and the member's ledger before. Raises SpiritsafeError."""
        if ground not in grounds():
            raise UsageError(f"{ground!r} is no ground", hint=f"one of: {', '.join(grounds())}")
        with self._lock, Session(self._file(), clock=clock) as one:
            known = one.known(key)
            step = {"step": "dispute", "ground": ground}
            made = one.maker.opinion([known], "strongly-disagree", redress=step)
            body = one.sealed([made])
            with one.ledger() as ledger:
                ledger.append(
                    "forum-dispute",
                    {"object": known, **step, "by": by, "reason": reason, "opinion": made["id"]},
                    time=clock(),
                )
            one.put(body, "dispute")
            return {"object": known, "ground": ground, "opinion": made["id"]}

    def withdraw(
        self, key: str, why: str, *, by: str, reason: str, clock: Callable[[], int]
    ) -> dict[str, Any]:
        """Lay the revocation of an own object, with all that hangs on it, into the outbox. Raises SpiritsafeError."""
        with self._lock, Session(self._file(), clock=clock) as one:
            made = redress.revoke(one.state, one.maker, [key], why, None)
            body = one.sealed(made)
            gone = [stix["id"] for stix in made]
            with one.ledger() as ledger:
                ledger.append(
                    "forum-revocation",
                    {"objects": gone, "why": why, "by": by, "reason": reason},
                    time=clock(),
                )
            one.put(body, "revocation")
            return {"objects": gone, "why": why}

    def decide(
        self, key: str, decision: str, cause: str, *, by: str, reason: str, clock: Callable[[], int]
    ) -> dict[str, Any]:
        """Close a review with an own decision; the message to the others waits in the outbox. Raises SpiritsafeError."""
        with self._lock, Session(self._file(), clock=clock) as one:
            one.decide(key, decision, by=by, reason=reason, cause=cause or None)
            return {"object": key, "decision": decision, "cause": cause}

    def _file(self) -> Path:
        if self.config is None:
            raise UsageError("no forum is named", hint='share = "share.toml" in console.toml')
        return self.config


_EMPTY: Final[dict[str, Any]] = {
    "me": None, "name": "", "members": [], "objects": [], "indicators": [], "matches": [], "sightings": [], "reviews": [],
    "refused": [], "waiting": 0, "head": None, "left_off": 0,
}  # fmt: skip


def _read(state: State, member: Member, me: str, now: int) -> dict[str, Any]:
    kept = state.here()
    known = state.members()
    said = use.judgements(kept)
    used, received = use.weigh(state, member.rules, me, now=now, fingerprint_version=FINGERPRINT_VERSION)

    def name(identity: str) -> str:
        return known.get(identity, (identity[-12:], ""))[0]

    newest = sorted(kept, key=lambda one: (-one.taken, one.stix["id"]))
    return {
        "me": me,
        "name": name(me),
        "members": [
            {"identity": who, "name": pseudonym, "state": how, "me": who == me} for who, (pseudonym, how) in sorted(known.items())
        ],
        "objects": [_row(one, me, name, said) for one in newest[:SHOWN]],
        "left_off": max(0, len(newest) - SHOWN),
        "indicators": [
            {
                "id": one.indicator.indicator_id, "kind": one.indicator.kind, "values": len(one.indicator.values),
                "author": name(one.author), "use": one.use, "why": one.why, "seen_by": len(one.judged.seen_by),
                "false_by": len(one.judged.false_by), "disputed": one.judged.disputed,
            }
            for one in used
        ],
        "unusable": [{"id": key, "why": why} for key, why in received.unusable],
        "matches": [
            {"id": key, "first": first, "last": last, "accounts": accounts, "exchanges": exchanges}
            for key, (first, last, accounts, exchanges) in sorted(state.matched().items())
        ],
        "sightings": [one for kept_one in newest if (one := _sighting(kept_one, me, name)) is not None][:200],
        "reviews": [
            {**asdict(one), "decisions": list(redress.OWN_DECISIONS if one.mine else redress.DECISIONS), "late": one.due <= now}
            for one in redress.reviews(state, me)
        ],
        "refused": [{"id": key, "why": why} for key, why in state.refused()[:500]],
        "waiting": len(state.waiting()),
        "head": state.head(),
    }  # fmt: skip


def _row(one: Kept, me: str, name: Callable[[str], str], said: Mapping[str, use.Judged]) -> dict[str, Any]:
    judged = said.get(one.stix["id"])
    return {
        **_object(one.stix),
        "author": name(one.author),
        "mine": one.author == me,
        "taken": one.taken,
        "seen_by": len(judged.seen_by) if judged else 0,
        "false_by": len(judged.false_by) if judged else 0,
        "disputed": bool(judged and judged.disputed),
    }


def _object(stix: Mapping[str, Any]) -> dict[str, Any]:
    """What a page says of one object: its type, what it says, whether it holds still, until when, and all of it."""
    told = facts(stix) or {}
    ends = ""
    if stix["type"] == "relationship":
        ends = f"{stix['source_ref'][:24]}… {stix['relationship_type']} {stix['target_ref'][:24]}…"
    said = next((stix[key] for key in ("description", "content", "explanation", "name") if stix.get(key)), "")
    return {
        "id": stix["id"],
        "type": stix["type"],
        "says": str(said or ends),
        "pattern": str(stix.get("pattern", "")),
        "modified": stix.get("modified"),
        "until": told.get("valid_until"),
        "revoked": stix.get("revoked") is True,
        "json": json.dumps(stix, indent=1, ensure_ascii=False, sort_keys=True),
    }


def _sighting(one: Kept, me: str, name: Callable[[str], str]) -> dict[str, Any] | None:
    told = facts(one.stix)
    if one.stix["type"] != "sighting" or told is None or one.stix.get("revoked"):
        return None
    return {
        "by": name(one.author), "mine": one.author == me, "of": one.stix["sighting_of_ref"], "outcome": told.get("outcome"),
        "first": one.stix.get("first_seen"), "last": one.stix.get("last_seen"), "volume": told.get("volume"),
    }  # fmt: skip


def _terms(member: Member) -> dict[str, str]:
    terms = member.terms
    return {"tlp": terms.tlp, "pap": terms.pap, "purpose": terms.purpose, "legal_basis": terms.legal_basis}


def _rules(member: Member) -> list[dict[str, Any]]:
    rows: Iterable[settings.Rule] = member.rules
    return [
        {
            "members": sorted(one.members), "kinds": sorted(one.kinds), "use": one.use,
            "newer_than_days": one.newer_than / 86_400_000_000, "sightings": one.sightings, "disputed": one.disputed,
        }
        for one in rows
    ]  # fmt: skip


def fault(error: SpiritsafeError) -> str:
    """An error in one line, with its hint."""
    return f"{error.message}{f' ({error.hint})' if error.hint else ''}"
