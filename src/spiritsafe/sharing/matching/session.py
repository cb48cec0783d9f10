"""A member's run: tokens for its identifiers, a posted set, checked matches, disclosures sealed and opened.

All that is secret of an epoch (tokens, the key to seal to) stays in the state's folder of that epoch and ends with it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from spiritsafe.errors import SharingError
from spiritsafe.sharing.matching import disclosure, matches, psi, sealed, tags
from spiritsafe.sharing.matching.asking import Asking
from spiritsafe.sharing.matching.epoch import DAY, Epoch, certified, described
from spiritsafe.sharing.matching.frames import pack, unpack
from spiritsafe.sharing.matching.remote import HubError
from spiritsafe.sharing.matching.result import grouped
from spiritsafe.sharing.matching.statements import b64, opened, raw
from spiritsafe.sharing.matching.tags import Place
from spiritsafe.sharing.matching.worker import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from spiritsafe.sharing.matching.identifiers import Identifiers
    from spiritsafe.sharing.matching.remote import Remote
    from spiritsafe.sharing.matching.roster import Roster
    from spiritsafe.sharing.matching.state import State

TOKENS = "tokens.json"
VALID = 7 * DAY
"""How long a set holds; post it anew before."""


class Own(NamedTuple):
    """The member's own, by tag: class and token, the candidates that hold the identifier, its canonical value."""

    tokens: dict[bytes, tuple[str, bytes]]
    candidates: dict[bytes, list[str]]
    values: dict[bytes, str]


class Collected(NamedTuple):
    """``content`` of matches.json; who else holds each shared tag; what each counterpart told."""

    content: dict[str, Any]
    shared: dict[bytes, set[str]]
    told: dict[str, list[dict[str, Any]]]


class _Secrets(NamedTuple):
    """Made once an epoch and purpose: the key to seal to, the seed of chance rows, the secret of references."""

    seal: str
    filler: str
    reference: str
    version: int


@dataclass
class Session:
    """A member at a hub, for one purpose. ``least``: members that must have an identifier, if more than the forum's k."""

    remote: Remote
    me: str
    key: Ed25519PrivateKey
    roster: Roster
    state: State
    forum: str
    purpose: str
    clock: Callable[[], int]
    sleep: Callable[[float], None]
    least: int = 0
    processes: int = 1
    patience: float = 120.0
    told: Callable[[str], None] = lambda _: None
    _epoch: Epoch | None = field(default=None, repr=False)

    @property
    def epoch(self) -> Epoch:
        """The epoch in force, signed by each of its holders. Raises SharingError: none, or one that was swapped."""
        if self._epoch is None:
            self._epoch = self._found()
        self._epoch.live(self.clock())
        return self._epoch

    @property
    def place(self) -> Place:
        """Where tags are compared."""
        if self.purpose not in self.epoch.proposal.purposes:
            raise SharingError(
                f"the members did not agree to match for {self.purpose!r}",
                hint=f"purposes: {', '.join(sorted(self.epoch.proposal.purposes))}",
            )
        return Place(self.epoch.id, self.purpose)

    @property
    def k(self) -> int:
        """How many members must have an identifier, this one included."""
        return max(self.epoch.proposal.least, self.least)

    def own(self, found: Identifiers) -> Own:
        """Tokens of all identifiers; those evaluated before in this epoch are kept, and cost no quota again."""
        here, known = self.place, self._known()
        wanted: dict[str, list[str]] = {}
        for name, value, _ in found.rows():
            if name not in self.epoch.proposal.classes:
                raise SharingError(
                    f"this epoch has no class {name!r}",
                    hint=f"it has {', '.join(sorted(self.epoch.proposal.classes))}",
                )
            if (name, value) not in known:
                wanted.setdefault(name, []).append(value)
        if wanted:
            asking = Asking(
                self.remote, self.epoch, self.me, self.key, self.roster, self.clock, self.sleep, self.patience, self.processes
            )  # fmt: skip

            def keep(some: dict[tuple[str, str], bytes]) -> None:
                known.update(some)
                self.told(f"{len(some)} tokens")

            try:
                asking.tokens(wanted, keep)
            finally:
                self._evidence(asking.blamed)
                self.state.keep(
                    [[name, value, b64(token)] for (name, value), token in sorted(known.items())],
                    "epochs", self.epoch.id, TOKENS,
                )  # fmt: skip
        own = Own({}, {}, {})
        for name, value, candidates in found.rows():
            token = known[name, value]
            tag = here.tag(name, token)
            own.tokens[tag] = (name, token)
            own.candidates[tag] = candidates
            own.values[tag] = value
        return own

    def post(self, own: Own) -> int:
        """Post the set of all own tags in the place of an earlier one; how many rows it has, chance included."""
        rows = tags.rows(self.place, self.me, own.tokens, raw(self._secrets().filler))
        self._posted(rows)
        return len(rows) // tags.ROW

    def withdraw(self) -> None:
        """Take back all that was posted in this epoch for this purpose. What others have read already, they have read."""
        self._posted(b"")

    def collect(self, own: Own, facts: Mapping[str, Mapping[str, Any]]) -> Collected:
        """What is shared, checked; disclosures to those who share it, and theirs, opened."""
        answer, told = self.remote.matches(self.place, self.me)
        now = self.clock()
        found = matches.checked(answer, self.place, self.me, own.tokens, self.roster, now)
        self.state.keep(
            told["told"], *self._at(f"told-{now}.json")
        )  # the hub's word, should it have left something out
        shared = found.shared(self.k)
        for member in sorted({other for names in shared.values() for other in names}):
            self._disclose(member, found, shared, own, facts)
        opened_, unread = self._opened(shared)
        content = {
            "schema": 1,
            "forum": self.forum,
            "epoch": self.epoch.id,
            "number": self.epoch.proposal.number,
            "purpose": self.purpose,
            "k": self.k,
            "groups": grouped(shared, own.tokens, own.candidates, opened_, self.roster),
            "waiting": sorted(
                self.roster.member(one).name
                for one in {other for names in shared.values() for other in names} - opened_.keys()
            ),
            "wrong": {self._called(one): why for one, why in sorted({**found.wrong, **unread}.items())},
        }
        return Collected(content, shared, opened_)

    def offer(self, own: Own, to: str) -> None:
        """Ask another member to compare, without the hub knowing what. Raises SharingError when it has posted nothing."""
        made = psi.offer(self.place, self._items(own))
        kept = {
            "secret": b64(made.secret),
            "items": [b64(one) for one in made.items],
            "offer": disclosure.sealed_digest(made.points),
        }
        self.state.keep(kept, *self._at(f"offer-{to}.json"))
        self._send(to, "offer", made.points)

    def asked(self) -> list[str]:
        """Who offers to compare. To answer shows them what both hold, even where the forum's k is larger than two."""
        return sorted(self._read("offer")[0])

    def reply(self, own: Own, to: str) -> None:
        """Answer the offer of one member. Raises SharingError when there is none."""
        offers, _ = self._read("offer")
        if to not in offers:
            raise SharingError("this member has not asked", where=self._called(to))
        answer = psi.reply(self.place, self._items(own), offers[to])
        self._send(
            to, "reply", pack({"offer": disclosure.sealed_digest(offers[to])}, answer.doubled, answer.own)
        )

    def compared(self, own: Own) -> dict[str, list[bytes]]:
        """The own tags that others have, by who answered the last offer to them."""
        by_item = {self.place.item(name, token): tag for tag, (name, token) in own.tokens.items()}
        found: dict[str, list[bytes]] = {}
        for sender, message in self._read("reply")[0].items():
            kept = self.state.read(*self._at(f"offer-{sender}.json"))
            header, parts = unpack(message)
            if kept is None or header.get("offer") != kept["offer"] or len(parts) != 2:
                continue  # an answer to an earlier offer, whose secret is gone
            made = psi.Offer(raw(kept["secret"]), [raw(one) for one in kept["items"]], b"")
            common = psi.common(made, psi.Reply(*parts))
            found[sender] = sorted(by_item[item] for item in common if item in by_item)
        return found

    def end(self) -> list[str]:
        """Destroy what is kept of epochs that are over; which."""
        done: list[str] = []
        for name in list(self.state.epochs()):
            kept = self.state.read("epochs", name, EPOCH)
            if kept is not None and described(kept).proposal.valid_until <= self.clock():
                self.state.destroy(name)
                done.append(name)
        return done

    def _at(self, name: str) -> tuple[str, ...]:
        """Where something of this epoch and purpose is kept."""
        return ("epochs", self.epoch.id, self.purpose, name)

    def _found(self) -> Epoch:
        now = self.clock()
        known: dict[int, str] = {}
        for name in self.state.epochs():
            kept = self.state.read("epochs", name, EPOCH)
            if kept is not None:
                known[described(kept).proposal.number] = name
        listed = [
            (described(one.get("epoch") if isinstance(one, dict) else None), one)
            for one in self.remote.epochs()
        ]
        for epoch, certificate in sorted(listed, key=lambda pair: -pair[0].proposal.number):
            proposal = epoch.proposal
            if not proposal.valid_from <= now < proposal.valid_until or proposal.forum != self.forum:
                continue
            if known.setdefault(proposal.number, epoch.id) != epoch.id:
                raise SharingError(
                    f"epoch {proposal.number} is another than before: its holders signed two, or the hub lies",
                    hint="compare certificates with the other members before going on",
                )
            if self.state.read("epochs", epoch.id, EPOCH) is None:
                accepted = certified(certificate, self.roster)
                self.state.keep(accepted.body, "epochs", accepted.id, EPOCH)
                self.told(f"accepted epoch {proposal.number}")
            return epoch
        raise SharingError(
            "no epoch is in force", hint="key holders make one: `spiritsafe share match propose`, `… hold`"
        )

    def _known(self) -> dict[tuple[str, str], bytes]:
        kept = self.state.read("epochs", self.epoch.id, TOKENS)
        return {(name, value): raw(token) for name, value, token in kept or []}

    def _secrets(self) -> _Secrets:
        kept = self.state.read(*self._at("secrets.json"))
        if kept is not None:
            return _Secrets(**kept)
        made = _Secrets(
            b64(sealed.private().private_bytes_raw()),
            b64(secrets.token_bytes(32)),
            b64(secrets.token_bytes(32)),
            0,
        )
        self.state.keep(made._asdict(), *self._at("secrets.json"))
        return made

    def _sealing(self) -> X25519PrivateKey:
        return sealed.private(raw(self._secrets().seal))

    def _posted(self, rows: bytes) -> None:
        kept = self._secrets()
        version, now = kept.version + 1, self.clock()
        statement = tags.post(
            self.place,
            self.me,
            self.key,
            rows,
            version=version,
            seal_to=sealed.public(self._sealing()),
            made=now,
            until=min(now + VALID, self.epoch.proposal.valid_until),
        )
        self.state.keep(kept._replace(version=version)._asdict(), *self._at("secrets.json"))
        self.remote.post(statement, rows)

    def _disclose(
        self,
        member: str,
        found: matches.Matches,
        shared: Mapping[bytes, set[str]],
        own: Own,
        facts: Mapping[str, Mapping[str, Any]],
    ) -> None:
        by_candidate: dict[str, list[bytes]] = {}
        for tag, names in shared.items():
            if member in names:
                for candidate in own.candidates[tag]:
                    by_candidate.setdefault(candidate, []).append(tag)
        message = disclosure.write(
            self.place, self.me, self.key, member, by_candidate, facts, raw(self._secrets().reference)
        )
        self._send(member, "disclosure", message, raw(found.sets[member].body["key"]))

    def _opened(
        self, shared: Mapping[bytes, set[str]]
    ) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
        """What others disclosed, and whose messages do not hold."""
        told: dict[str, list[dict[str, Any]]] = {}
        messages, wrong = self._read("disclosure")
        for sender, message in messages.items():
            try:
                told[sender] = disclosure.read_disclosure(
                    message, self.place, sender, self.me, shared, self.roster
                )
            except SharingError as error:
                wrong[sender] = error.message
        return told, wrong

    def _items(self, own: Own) -> list[bytes]:
        """Items to compare, filled up with chance."""
        real = [self.place.item(name, token) for name, token in own.tokens.values()]
        return real + [
            secrets.token_bytes(32) for _ in range(sealed.padme(len(real), tags.SMALLEST) - len(real))
        ]

    def _send(self, to: str, about: str, message: bytes, key: bytes | None = None) -> None:
        if key is None:
            key = self._key_of(to)
        now = self.clock()
        cover, box = disclosure.seal(message, self.place, self.me, self.key, to, key, about, now=now)
        try:
            self.remote.send(cover, box)
        except HubError as error:
            if error.status != 409:  # a newer one of ours is there
                raise

    def _key_of(self, member: str) -> bytes:
        """The key of a member's valid set. Raises SharingError."""
        for envelope in self.remote.sets(self.place):
            try:
                body = opened("set", envelope, self.roster).body
            except SharingError:
                continue
            if (
                body["by"] == member
                and (body["epoch"], body["purpose"]) == self.place
                and self.clock() < body["until"]
            ):
                return raw(body["key"])
        raise SharingError("this member has posted no set that is valid", where=self._called(member))

    def _read(self, about: str) -> tuple[dict[str, bytes], dict[str, str]]:
        """Messages by sender, and whose do not open."""
        found: dict[str, bytes] = {}
        wrong: dict[str, str] = {}
        for cover, box in self.remote.messages(self.place, about):
            try:
                statement, message = disclosure.unseal(
                    cover, box, self.place, self.me, self._sealing(), about, self.roster
                )
                found[statement.by] = message
            except SharingError as error:
                wrong[error.where or "a message"] = error.message
        return found, wrong

    def _called(self, name: str) -> str:
        return self.roster.members[name].name if name in self.roster.members else name

    def _evidence(self, blamed: list[dict[str, Any]]) -> None:
        if blamed:
            self.state.keep(blamed, "evidence", f"blamed-{self.clock()}.json")
        for one in blamed:
            self.told(f"{self._called(one['holder'])} {one['why']}; what it signed is kept")
