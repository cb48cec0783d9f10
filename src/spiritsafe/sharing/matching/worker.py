"""``spiritsafe share match hold``: a key holder's side, which asks the hub for work and has no open port.

One round takes part in ceremonies, answers requests, and destroys shares of epochs that are over. What a ceremony needs
in secret is in memory only: a holder that is started anew in the middle of one cannot go on with it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from spiritsafe.errors import SharingError
from spiritsafe.sharing.matching.ceremony import ROUNDS, Participant, Waiting
from spiritsafe.sharing.matching.counts import Counts
from spiritsafe.sharing.matching.epoch import DAY, Proposal, described, proposed
from spiritsafe.sharing.matching.holder import Holder, Refused
from spiritsafe.sharing.matching.remote import HubError
from spiritsafe.sharing.matching.statements import b64, opened, raw, sign

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from spiritsafe.sharing.matching.remote import Remote
    from spiritsafe.sharing.matching.roster import Roster
    from spiritsafe.sharing.matching.state import State
    from spiritsafe.sharing.matching.statements import Statement

SHARE, EPOCH, SIGNED = "share.json", "epoch.json", "signed.json"


class Terms(NamedTuple):
    """What a holder takes part in: at least this k, at most so many days, these purposes and no others."""

    least: int = 2
    days: int = 31
    purposes: frozenset[str] = frozenset({"detect-distillation"})

    def refuse(self, proposal: Proposal) -> str | None:
        """Why a proposal is not taken part in, if it is not."""
        if proposal.least < self.least:
            return f"it discloses what {proposal.least} members hold"
        if proposal.valid_until - proposal.valid_from > self.days * DAY:
            return f"it lasts more than {self.days} days"
        if not proposal.purposes <= self.purposes:
            return f"it matches for {', '.join(sorted(proposal.purposes - self.purposes))}"
        return None


@dataclass
class Worker:
    """A holder at a hub. ``memory``: shares are never written down, and are gone with the process.

    ``told`` takes one line for each thing that happened.
    """

    remote: Remote
    me: str
    key: Ed25519PrivateKey
    roster: Roster
    state: State
    forum: str
    clock: Callable[[], int]
    terms: Terms = field(default_factory=Terms)
    memory: bool = False
    told: Callable[[str], None] = lambda _: None
    _parts: dict[str, Participant] = field(default_factory=dict[str, Participant])
    _holders: dict[str, Holder] = field(default_factory=dict[str, Holder])
    _over: set[str] = field(default_factory=set[str])
    _to_say: list[Statement] = field(default_factory=list["Statement"])

    def __post_init__(self) -> None:
        self._counts = Counts(self.state.path("counts.sqlite"))
        for epoch in self.state.epochs():
            kept = self.state.read("epochs", epoch, SHARE)
            if kept:
                self._hold(
                    described(kept["epoch"]), {name: raw(text) for name, text in kept["shares"].items()}
                )

    def close(self) -> None:
        """Close the counts."""
        self._counts.close()

    def round(self) -> int:
        """Do what there is to do; how many things were done. Raises HubError when the hub does not answer."""
        return self._ceremonies() + self._work() + self._ends()

    def _ceremonies(self) -> int:
        done = 0
        for one in self.remote.ceremonies():
            name = str(one.get("id"))
            if name in self._over:
                continue
            try:
                done += self._ceremony(name, one)
            except HubError:
                raise
            except Waiting:
                continue
            except SharingError as error:
                self._end(name, f"ceremony {name[:8]}: {error}")
        return done

    def _ceremony(self, name: str, entry: dict[str, Any]) -> int:
        state, part = entry.get("state"), self._parts.get(name)
        if state == "failed" and part is not None:
            self._end(name, f"ceremony {name[:8]} failed: {entry.get('why')}")
            return 1
        if state not in {"open", "made"} or (state == "made" and part is None):
            self._over.add(name)
            return 0
        if part is None:
            return self._joined(name, entry)
        rounds = {
            kind: [opened(kind, one, self.roster) for one in envelopes]
            for kind, envelopes in self.remote.statements(name).items()
            if kind in ROUNDS
        }
        mine = {kind for kind, found in rounds.items() if any(one.by == self.me for one in found)}
        if "deal" not in mine:
            self.remote.state(part.deal(rounds["join"]))
        elif "verdict" not in mine:
            verdict = part.verdict(rounds["join"], rounds["deal"])
            self._sign_once(part.proposal)
            self.remote.state(verdict)
        elif state == "made":
            self._finished(part, rounds)
        else:
            return 0
        return 1

    def _joined(self, name: str, entry: dict[str, Any]) -> int:
        """Join, if this holder is asked for, agrees with the rules, and has not joined before it was started anew."""
        proposal = proposed(opened("proposal", entry.get("envelope"), self.roster).body, self.roster)
        if proposal.id != name or proposal.forum != self.forum or self.me not in proposal.holders:
            self._over.add(name)
            return 0
        if proposal.number <= self._signed() or proposal.valid_until <= self.clock():
            self._end(name, f"ceremony {name[:8]}: number {proposal.number} is not new")
            return 0
        against = self.terms.refuse(proposal)
        if against:
            self._end(name, f"ceremony {name[:8]}: not joined, {against}")
            return 0
        part = Participant(proposal, self.me, self.key, self.roster)
        try:
            self.remote.state(part.join())
        except HubError as error:
            if error.status == 0:
                raise
            self._end(name, f"ceremony {name[:8]}: {error.message}")
            return 0
        self._parts[name] = part
        self.told(f"joined ceremony {name[:8]}, number {proposal.number}")
        return 1

    def _finished(self, part: Participant, rounds: dict[str, list[Statement]]) -> None:
        epoch, shares = part.finish(rounds["join"], rounds["deal"], rounds["verdict"])
        if not self.memory:
            kept = {"epoch": epoch.body, "shares": {name: b64(share) for name, share in shares.items()}}
            self.state.keep(kept, "epochs", epoch.id, SHARE)
        self._hold(epoch, shares)
        self._end(
            part.proposal.id, f"holds share {epoch.proposal.index(self.me)} of epoch {epoch.proposal.number}"
        )

    def _hold(self, epoch: Any, shares: dict[str, bytes]) -> None:
        self._holders[epoch.id] = Holder(self.me, self.key, self.roster, epoch, shares, self._counts)

    def _sign_once(self, proposal: Proposal) -> None:
        """Remember, before it is signed, that this number was: no holder signs two epochs of one number."""
        if proposal.number <= self._signed():
            raise SharingError("a ceremony with this number was signed before")
        self.state.keep({"number": proposal.number}, SIGNED)

    def _signed(self) -> int:
        kept = self.state.read(SIGNED)
        return int(kept["number"]) if kept else 0

    def _end(self, name: str, line: str) -> None:
        part = self._parts.pop(name, None)
        if part is not None:
            part.forget()
        self._over.add(name)
        self.told(line)

    def _work(self) -> int:
        found = self.remote.work() if self._holders else []
        for one in found:
            try:
                statement = opened("request", one.envelope, self.roster)
            except SharingError:
                self._refuse(_claimed(one.envelope), "not a member")
                continue
            holder = self._holders.get(statement.body["epoch"])
            if holder is None:
                self._refuse(statement.id, "not in force")
                continue
            try:
                self.remote.reply(statement.id, holder.answer(one.envelope, one.elements, now=self.clock()))
            except Refused as error:
                self.told(
                    f"refused {statement.body['class']} of {self.roster.member(statement.by).name}: {error.message}"
                )
                self._refuse(statement.id, error.why)
            except HubError as error:
                if error.status == 0:
                    raise
                self.told(
                    f"an answer was not taken: {error.message}"
                )  # it came too late, and another was asked
        return len(found)

    def _refuse(self, request: str, why: str) -> None:
        statement = sign("refusal", {"by": self.me, "request": request, "why": why}, self.key)
        try:
            self.remote.refuse(statement)
        except HubError as error:
            if error.status == 0:
                raise

    def _ends(self) -> int:
        """Destroy the shares of epochs that are over, and say so."""
        over = [one for one in self._holders.values() if one.epoch.proposal.valid_until <= self.clock()]
        for holder in over:
            epoch = holder.epoch.id
            self.state.destroy(epoch)
            self._counts.forget(epoch)
            del self._holders[epoch]
            self.told(f"destroyed the share of epoch {holder.epoch.proposal.number}")
            self.remote.destroyed(
                sign("destroyed", {"by": self.me, "epoch": epoch, "at": self.clock()}, self.key)
            )
        return len(over)


def _claimed(envelope: object) -> str:
    """The id under which the hub lent an envelope that does not open: the hash of its payload, whatever it is."""
    try:
        return hashlib.sha256(raw(str(envelope["payload"]))).hexdigest()  # type: ignore[index]
    except (SharingError, TypeError, KeyError):
        return "0" * 64
