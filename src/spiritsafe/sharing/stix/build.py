"""One object at a time: from facts to STIX, with terms, markings and mirror; the gate has the last word on each.

``now`` is microseconds since the epoch. ``earlier`` is the version that was shared before, if any: it keeps its time of making.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spiritsafe.errors import SharingError
from spiritsafe.sharing.stix import atlas, ids, mirror, patterns
from spiritsafe.sharing.stix.ids import DISTILLATION
from spiritsafe.sharing.stix.terms import Terms, day, micros, stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_NETWORK = {"subject": "fraudulent-account-network"}


@dataclass(frozen=True, slots=True)
class Maker:
    """Who makes objects, when, and under which terms. ``author``: the member's identity."""

    author: str
    now: int
    terms: Terms

    def identity(self, public_raw: bytes) -> dict[str, Any]:
        """The member itself: a pseudonym."""
        facts = {"subject": "member"}
        fields = {"name": ids.pseudonym(public_raw), "identity_class": "organization"}
        return self._made("identity", self.author, fields, facts)

    def campaign(
        self,
        which: str,
        facts: Mapping[str, Any],
        *,
        first: int,
        last: int,
        text: str | None = None,
    ) -> dict[str, Any]:
        """A campaign. ``facts``: ``atlas``, ``roles``, ``layers``, ``volume``, ``evidence`` of the extension."""
        key = ids.object_id("campaign", self.author, {"campaign": which})
        return self._made(
            "campaign", key, {"first_seen": day(first), "last_seen": day(last)}, {**_NETWORK, **facts}, text
        )

    def indicator(
        self,
        which: str,
        campaign: str,
        values: Iterable[str],
        facts: Mapping[str, Any],
        *,
        valid_from: int,
        least: int = 1,
        version: str = "2.1",
    ) -> dict[str, Any]:
        """An indicator of the kind in ``facts``. Its values in clear are a release by whoever calls (networks: none needed)."""
        kind = facts["kind"]
        pattern = patterns.write(kind, values, least=least, version=version)
        told = {**_NETWORK, **facts, "campaign_ref": campaign}
        if kind != "asn":
            told["release"] = [self._release("pattern", pattern)]
        fields = {
            "indicator_types": ["malicious-activity"],
            "pattern": pattern,
            "pattern_type": patterns.TYPES[kind],
            "pattern_version": version,
            "valid_from": day(valid_from),
            "valid_until": self.terms.facts(self.now)["valid_until"],
        }
        key = ids.object_id(
            "indicator", self.author, {"campaign": campaign, "indicator": which, "kind": kind}
        )
        return self._made("indicator", key, fields, told)

    def infrastructure(
        self, campaign: str, facts: Mapping[str, Any], *, first: int, last: int
    ) -> dict[str, Any]:
        """The proxies that a campaign comes through, as one object: no member tells which they are in clear here."""
        key = ids.object_id("infrastructure", self.author, {"campaign": campaign})
        fields = {"infrastructure_types": ["anonymization"], "first_seen": day(first), "last_seen": day(last)}
        return self._made("infrastructure", key, fields, {**_NETWORK, "atlas": ["AML.T0008.005"], **facts})

    def sighting(
        self,
        of: str,
        outcome: str = "seen",
        *,
        first: int,
        last: int,
        volume: Mapping[str, int] | None = None,
    ) -> dict[str, Any]:
        """That the author saw ``of``, found it a false positive, or sees it no more."""
        key = ids.object_id("sighting", self.author, {"of": of, "outcome": outcome, "day": day(first)})
        facts: dict[str, Any] = {**_NETWORK, "outcome": outcome}
        if volume:
            facts["volume"] = dict(volume)
        fields = {
            "sighting_of_ref": of,
            "where_sighted_refs": [self.author],
            "first_seen": day(first),
            "last_seen": day(last),
        }
        return self._made("sighting", key, fields, facts)

    def opinion(
        self,
        of: Sequence[str],
        value: str,
        *,
        redress: Mapping[str, str] | None = None,
        text: str | None = None,
        subject: str = _NETWORK["subject"],
    ) -> dict[str, Any]:
        """A person's judgement; with ``redress`` a step of a dispute, which is one object a step."""
        step = (redress or {}).get("step", "")
        key = ids.object_id(
            "opinion", self.author, {"of": " ".join(sorted(of)), "step": step, "subject": subject}
        )
        facts: dict[str, Any] = {"subject": subject}
        if redress:
            facts["redress"] = dict(redress)
        return self._made("opinion", key, {"opinion": value, "object_refs": sorted(of)}, facts, text)

    def note(self, of: Sequence[str], text: str, *, subject: str = _NETWORK["subject"]) -> dict[str, Any]:
        """A text that a person released. The only place, with an opinion, where an extracting entity may be named."""
        digest = hashlib.sha256(text.encode()).hexdigest()
        key = ids.object_id("note", self.author, {"of": " ".join(sorted(of)), "text": digest})
        return self._made("note", key, {"object_refs": sorted(of)}, {"subject": subject}, text)

    def measure(self, campaign: str, response: str) -> dict[str, Any]:
        """What the author did against a campaign, as a course of action: a report, never a command."""
        key = ids.object_id("course-of-action", self.author, {"campaign": campaign, "response": response})
        facts = {**_NETWORK, "response": response, "atlas": [atlas.MITIGATIONS[response]]}
        return self._made("course-of-action", key, {}, facts)

    def relationship(self, kind: str, source: str, target: str) -> dict[str, Any]:
        """``indicates``, ``uses`` or ``mitigates``."""
        key = ids.object_id("relationship", self.author, {"kind": kind, "source": source, "target": target})
        fields = {"relationship_type": kind, "source_ref": source, "target_ref": target}
        return self._made("relationship", key, fields, dict(_NETWORK))

    def grouping(self, of: str, refs: Sequence[str]) -> dict[str, Any]:
        """All objects about ``of`` as one case."""
        key = ids.object_id("grouping", self.author, {"of": of})
        return self._made(
            "grouping", key, {"context": "suspicious-activity", "object_refs": sorted(refs)}, dict(_NETWORK)
        )

    def revoked(self, stix: Mapping[str, Any], reason: str, answers: str | None = None) -> dict[str, Any]:
        """The last version of an own object: revoked, for a reason, in answer to an opinion if there is one."""
        facts = {**stix["extensions"][DISTILLATION], "revocation": {"reason": reason}}
        if answers:
            facts["revocation"]["answers_ref"] = answers
        last = {
            **stix,
            "modified": _after(stix, self.now),
            "revoked": True,
            "extensions": {DISTILLATION: facts},
        }
        last["labels"] = mirror.labels(last)
        return last

    def _made(
        self,
        kind: str,
        key: str,
        fields: Mapping[str, Any],
        facts: Mapping[str, Any],
        text: str | None = None,
    ) -> dict[str, Any]:
        told = {**self.terms.facts(self.now), **facts}
        stix: dict[str, Any] = {
            "type": kind,
            "spec_version": "2.1",
            "id": key,
            "created_by_ref": self.author,
            "created": stamp(self.now),
            "modified": stamp(self.now),
            **fields,
            "object_marking_refs": self.terms.markings,
            "extensions": {DISTILLATION: told},
        }
        said = {"name": mirror.name(stix), "external_references": mirror.references(stix)}
        stix |= {field: value for field, value in said.items() if value is not None}
        made = mirror.description(stix)
        if made is not None:
            stix["description"] = made
        if text is not None:
            field = {"note": "content", "opinion": "explanation"}.get(kind, "description")
            if text != made:
                told["release"] = [*told.get("release", ()), self._release(field, text)]
            stix[field] = text
        stix["labels"] = mirror.labels(stix)
        return stix

    def _release(self, field: str, text: str) -> dict[str, str]:
        return {"field": field, "sha256": hashlib.sha256(text.encode()).hexdigest(), "day": day(self.now)}


def renewed(stix: dict[str, Any], earlier: Mapping[str, Any] | None) -> dict[str, Any]:
    """The next version of an object that was shared before; the earlier one itself when nothing but time went by.

    An object is renewed (a new version with a new end) in the second half of its life only. Raises SharingError when it was
    revoked: STIX has no way back.
    """
    if earlier is None:
        return stix
    if earlier.get("revoked"):
        raise SharingError(
            "what was revoked is revoked for good", where=str(stix["id"]), hint="share what a new scan finds"
        )
    bare = {key: value for key, value in earlier.items() if key != "extensions"}
    bare["extensions"] = {DISTILLATION: earlier["extensions"][DISTILLATION]}
    begin, end = micros(bare["modified"]), micros(bare["extensions"][DISTILLATION]["valid_until"])
    if (
        not bare.get("revoked")
        and _lasting(bare) == _lasting(stix)
        and micros(stix["modified"]) < (begin + end) // 2
    ):
        return bare
    return {**stix, "created": earlier["created"], "modified": _after(bare, micros(stix["modified"]))}


def _after(stix: Mapping[str, Any], now: int) -> str:
    """A time of change that is later than the version before: two versions of one time would be one."""
    return stamp(max(now, micros(stix["modified"]) + 1_000))


def _lasting(stix: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of an object does not change by time alone; labels follow from it."""
    passing = ("created", "modified", "valid_until", "labels", "extensions")
    facts = {key: value for key, value in stix["extensions"][DISTILLATION].items() if key != "valid_until"}
    if "release" in facts:
        facts["release"] = [(one["field"], one["sha256"]) for one in facts["release"]]
    return {key: value for key, value in stix.items() if key not in passing}, facts
