"""A key holder: answers members' signed requests with its share of a class's key, within their quotas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spiritsafe.errors import SharingError
from spiritsafe.sharing.matching import voprf
from spiritsafe.sharing.matching.counts import Counts, OverQuota
from spiritsafe.sharing.matching.evaluation import Answer, digest
from spiritsafe.sharing.matching.statements import Statement, b64, opened, sign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from spiritsafe.sharing.matching.epoch import Epoch
    from spiritsafe.sharing.matching.roster import Roster


class Refused(SharingError):  # noqa: N818 - reads as the fact it states
    """A request that this holder does not answer; ``why`` is a word of the statement ``refusal``."""

    def __init__(self, why: str, message: str) -> None:
        super().__init__(message)
        self.why = why


@dataclass
class Holder:
    """A holder in one epoch. It keeps its ``shares`` (by class) and ``counts``; requests come from anywhere."""

    me: str
    key: Ed25519PrivateKey
    roster: Roster
    epoch: Epoch
    shares: Mapping[str, bytes]
    counts: Counts

    def answer(self, envelope: object, elements: bytes, *, now: int) -> Answer:
        """Evaluate a request. Raises Refused: no member's, not in force, over quota, not what was signed, no points."""
        request = self._request(envelope, elements, now)
        name = request.body["class"]
        quota = self.epoch.proposal.classes[name].quota
        try:
            self.counts.take(self.epoch.id, request.id, request.by, name, request.body["count"], quota, now)
        except OverQuota as error:
            raise Refused("quota", error.message) from None
        public = self.epoch.share_public(name, self.me)
        try:
            found = voprf.evaluate(self.shares[name], public, elements)
        except SharingError as error:
            raise Refused("malformed", error.message) from None
        body = {
            "by": self.me,
            "request": request.id,
            "elements": digest(found.elements),
            "proof": b64(found.proof),
        }
        return Answer(sign("answer", body, self.key).envelope, found.elements)

    def refuse(self, request: str, why: str) -> Statement:
        """The signed refusal of a request."""
        return sign("refusal", {"by": self.me, "request": request, "why": why}, self.key)

    def _request(self, envelope: object, elements: bytes, now: int) -> Statement:
        try:
            request = opened("request", envelope, self.roster)
        except SharingError as error:
            raise Refused("not a member", error.message) from None
        body = request.body
        try:
            self.epoch.live(now)
        except SharingError as error:
            raise Refused("not in force", error.message) from None
        if body["epoch"] != self.epoch.id or body["class"] not in self.epoch.proposal.classes:
            raise Refused("not in force", "this holder has no such key")
        if now >= body["expires"]:
            raise Refused("expired", "the request is too old")
        if body["elements"] != digest(elements) or len(elements) != 32 * body["count"]:
            raise Refused("malformed", "these are not the elements that were signed")
        if not 0 < body["count"] <= voprf.MOST:
            raise Refused("malformed", f"a batch has 1 to {voprf.MOST} elements")
        return request
