"""Labs with keys, candidates with tags, and the statements that they sign: real envelopes, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from spiritsafe.campaigns import coordination, multiplicity
from spiritsafe.sharing.joint import own
from spiritsafe.sharing.joint.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

FORUM, ROUND = "forum", "2026-10"
Pair = tuple[str, str]


@dataclass
class Forum:
    """Labs of one round. ``add`` candidates, then ``envelopes``; what is silent or lies is said there."""

    rules: Rules = field(default_factory=Rules)
    forum: str = FORUM
    round: str = ROUND
    tested: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    tags: dict[str, dict[str, dict[str, list[str]]]] = field(default_factory=dict)

    @staticmethod
    def key(lab: str) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(lab.encode().rjust(32, b"\0"))

    @staticmethod
    def identity(lab: str) -> str:
        return f"identity--{lab.encode().hex().rjust(8, '0')[:8]}-0000-4000-8000-000000000000"

    def members(self) -> dict[str, Any]:
        return {self.identity(lab): (self.key(lab).public_key(),) for lab in self.tested}

    def add(
        self,
        lab: str,
        tests: Mapping[str, float] | None = None,
        *,
        tags: Mapping[str, Iterable[str]] | None = None,
        kind: str = "template",
        intent: str = "role",
        excused: bool = False,
        chose: Iterable[str] = (),
        family: str = "",
        screened: bool = True,
        parties: int = 12,
    ) -> str:
        """One candidate of ``lab`` with bits by test and tags by class. Returns its id."""
        mine = self.tested.setdefault(lab, [])
        name = f"k-{lab}-{len(mine):04}"
        mine.append(
            {
                "candidate_id": name,
                "kind": kind,
                "tested": "scan" if screened else None,
                "parties": parties,
                "family": family or name,
                "intent": {"by": intent if screened else None},
                "excused": excused,
                "coordination": {
                    "tests": [{"name": test, "bits": bits} for test, bits in (tests or {}).items()],
                    "chose": list(chose),
                },
            }
        )
        whole = {name: [_tag(tag) for tag in found] for name, found in (tags or {}).items()}
        self.tags.setdefault(lab, {})[name] = whole
        return name

    def own(self, lab: str) -> list[own.Own]:
        return own.prepared({"candidates": self.tested[lab]}, self.tags[lab], lab.encode().rjust(32, b"s"))

    def all_own(self) -> dict[str, list[own.Own]]:
        """What every lab prepared, by lab."""
        return {lab: self.own(lab) for lab in self.tested}

    def commitment(
        self, lab: str, *, now: int = 1, every: dict[str, list[own.Own]] | None = None
    ) -> dict[str, Any]:
        place = own.Place(self.forum, self.round, self.identity(lab))
        secret = lab.encode().rjust(32, b"s")
        mine = self.own(lab) if every is None else every[lab]
        return own.commitment(mine, place, self.rules, fingerprint_version=1, secret=secret, now=now)

    def matched(
        self, every: dict[str, list[own.Own]] | None = None
    ) -> tuple[dict[str, set[str]], dict[str, dict[str, list[tuple[str, str, str]]]]]:
        """What private matching discloses: tags that two labs hold by class, and by tag who holds them."""
        holders: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
        for lab, prepared in (self.all_own() if every is None else every).items():
            for one in prepared:
                for kind, tag in one.tags:
                    holders.setdefault((kind, tag), []).append((lab, self.identity(lab), one.name))
        shared: dict[str, set[str]] = {}
        met: dict[str, dict[str, list[tuple[str, str, str]]]] = {}
        for (kind, tag), found in holders.items():
            if len({lab for lab, _, _ in found}) > 1:
                shared.setdefault(kind, set()).add(tag)
                met.setdefault(tag, {})["all"] = found
        return shared, met

    def opening(
        self,
        lab: str,
        *,
        hide: Iterable[str] = (),
        commitment: Any = None,
        every: dict[str, list[own.Own]] | None = None,
    ) -> dict[str, Any]:
        """The body of an opening; candidates in ``hide`` stay closed."""
        prepared = self.all_own() if every is None else every
        shared, met = self.matched(prepared)
        others = {
            tag: [(by, name) for other, by, name in found["all"] if other != lab]
            for tag, found in met.items()
        }
        hidden = set(hide)
        kept = [one for one in prepared[lab] if one.candidate_id not in hidden]
        return own.opening(kept, shared, others, commitment or self.commitment(lab, every=prepared))

    def envelopes(self, *, silent: Iterable[str] = (), hide: Iterable[str] = ()) -> list[dict[str, Any]]:
        """All statements: labs in ``silent`` commit and do not open."""
        quiet, every = set(silent), self.all_own()
        committed = {lab: self.commitment(lab, every=every) for lab in self.tested}
        made = [own.signed_commitment(body, self.key(lab)) for lab, body in committed.items()]
        made += [
            own.signed_opening(
                self.opening(lab, hide=hide, commitment=committed[lab], every=every), self.key(lab)
            )
            for lab in self.tested
            if lab not in quiet
        ]
        return made

    def decide(self, envelopes: Iterable[object] | None = None, **more: Any) -> dict[str, Any]:
        from spiritsafe.sharing.joint.decide import decide  # noqa: PLC0415 - only where it is asked for

        statements = self.envelopes(**more) if envelopes is None else envelopes
        return decide(statements, self.members(), self.rules, forum=self.forum, round=self.round)


def _tag(text: str) -> str:
    """A tag as private matching writes it: long enough, of its alphabet."""
    return text.rjust(20, "-")


def _scan_null(rng: np.random.Generator) -> dict[str, float]:
    """Bits of a scan's own tests for one innocent candidate: customers of unequal rates, in any order, from a pool."""
    parties, n = int(rng.integers(5, 12)), int(rng.integers(20, 80))
    rates = rng.gamma(2.0, size=parties)
    who = rng.choice(parties, n, p=rates / rates.sum())
    pool = int(rng.integers(5, 200))
    popular = rng.gamma(1.0, size=pool) + 1e-9
    items = rng.choice(pool, n, p=popular / popular.sum()).astype(np.uint64)
    times = np.sort(rng.integers(0, 12 * 3_600_000_000, n))
    grid = rng.multinomial(n, np.full(15, 1 / 15), size=2)
    found = {
        "taken_in_turn": coordination.taken_in_turn(who, times),
        "swept_items": coordination.swept(items),
        "even_arrivals": coordination.even_arrivals(grid),
        "regular_multiplicity": multiplicity.regularity(items, who).log_e,
    }
    return {name: value / float(np.log(2)) for name, value in found.items()}


@pytest.fixture
def forum() -> Callable[..., Forum]:
    return Forum


@pytest.fixture(scope="session")
def scan_null() -> Callable[[np.random.Generator], dict[str, float]]:
    return _scan_null
