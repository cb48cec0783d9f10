"""Which trials a tier has, by section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compose import INNOCENT
from golden import cost
from golden.trials import Trial

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHETYPES = tuple(f"A{number}" for number in range(1, 17))
FLOORS = {"A11": "what is kept are real customers' answers", "A12": "few accounts with nothing in common"}
"""Archetypes that the design calls hard floors; they are counted like the others and named."""

WORDED = tuple(f"A{number}" for number in range(1, 11) if number != 8)
"""Archetypes that are one queue behind one router, so that every evasion knob acts; A8 has no words of its own to change."""

CAREFUL: dict[str, Any] = {
    "rate": 26.0, "text": "template", "routing": "topic_affine", "paraphrase": "account", "timing": "diurnal",
    "payment": 0.0, "device": 0.0, "network": 0.0, "client": 0.0, "mail": 0.0, "cohort_days": 700.0,
}  # fmt: skip
"""The hard floor of the design: topics kept apart by account, own words, cards, devices, addresses and sign-up days."""

FLOOR_KNOBS: dict[str, tuple[str, dict[str, Any]]] = {
    "careful": ("A1", CAREFUL),
    "A11": ("A11", {"rate": 26.0}),
    "A12": ("A12", {"rate": 260.0}),
}
FEW: dict[str, Any] = {"accounts": 4, "rate": 860.0}
NOT_SCALED = {"chat_users"}
HARNESS_ITEMS = 80


@dataclass(frozen=True)
class Tier:
    """How much is run. ``seeds`` by section; ``background`` innocent exchanges of most logs."""

    name: str
    background: int
    sizes: tuple[int, ...]
    rates: tuple[float, ...]
    archetype_seeds: int
    lookalike_seeds: int
    curve_seeds: int
    curve_archetypes: tuple[str, ...]
    shares: tuple[float, ...]
    accounts: tuple[int, ...]
    backgrounds: tuple[int, ...]
    pools: int
    singles: int
    cheap: int
    dear: int
    fdr: int
    floors: tuple[tuple[str, tuple[int, ...]], ...]
    fdr_background: int = 5_000


QUICK = Tier(
    name="quick", background=12_000, sizes=(50, 500), rates=(26.0,), archetype_seeds=1, lookalike_seeds=0,
    curve_seeds=1, curve_archetypes=("A1",), shares=(1.0, 0.25, 0.1), accounts=(10, 50), backgrounds=(1,),
    pools=1, singles=0, cheap=16, dear=10, fdr=20,
    floors=(("careful", (50, 200)), ("A11", (200,)), ("A12", (4,))),
)  # fmt: skip
FULL = Tier(
    name="full", background=12_000, sizes=(50, 500), rates=(26.0, 4.0), archetype_seeds=2, lookalike_seeds=2,
    curve_seeds=2, curve_archetypes=("A1", "A3", "A9"), shares=(1.0, 0.5, 0.25, 0.1, 0.05),
    accounts=(10, 20, 50, 100, 500, 5_000), backgrounds=(1, 10, 100), pools=3, singles=1, cheap=40, dear=40, fdr=300,
    floors=(("careful", (10, 20, 50, 100, 200, 500)), ("A11", (20, 50, 200, 500)), ("A12", (4, 10, 20, 50))),
)  # fmt: skip
TIERS = {tier.name: tier for tier in (QUICK, FULL)}


def menu(tier: Tier, seed: int) -> dict[str, list[Trial]]:
    """Section -> trials. The same log in two sections has one key, so it is made once."""
    return {
        "archetype": list(_archetypes(tier, seed)),
        "lookalike": list(_lookalikes(tier, seed)),
        "share": list(_shares(tier, seed)),
        "accounts": list(_accounts(tier, seed)),
        "background": list(_backgrounds(tier, seed)),
        "floor": list(_floors(tier, seed)),
        "pool": list(_pools(tier, seed)),
        "single": list(_singles(tier, seed)),
        "attack": list(_attacks(tier, seed)),
        "static": list(_discovery(tier, seed, drift=False)),
        "drift": list(_discovery(tier, seed, drift=True)),
    }


def _one(tier: Tier, archetype: str, seed: int, facts: dict[str, Any], **knobs: Any) -> Trial:
    options = {"accounts": 500, "rate": 26.0, **knobs}
    return Trial(((archetype, options),), tier.background, seed, facts={"archetype": archetype, **facts})


def _archetypes(tier: Tier, seed: int) -> Iterator[Trial]:
    for number in range(tier.archetype_seeds):
        for archetype in ARCHETYPES:
            for accounts in tier.sizes:
                for rate in tier.rates:
                    facts = {"accounts": accounts, "rate": rate}
                    yield _one(tier, archetype, seed + number, facts, accounts=accounts, rate=rate)
        yield _one(tier, "A12", seed + number, dict(FEW), **FEW)


def _lookalikes(tier: Tier, seed: int) -> Iterator[Trial]:
    """Each family at a campaign's size: as it is, and once more as clones (equal loads, no bursts)."""
    families = [name for name, _, _ in INNOCENT if name not in NOT_SCALED]
    if not tier.lookalike_seeds:
        # Several families a log, 50 accounts each: minutes, not an hour.
        for start in range(0, len(families), 7):
            part = families[start : start + 7]
            yield Trial(
                tuple((name, _scaled(name, 50)) for name in part), tier.background, seed, without=tuple(part)
            )
    for number in range(tier.lookalike_seeds):
        for name in families:
            facts = {"family": name, "clones": bool(number % 2)}
            clones = {"sigma": 0.0, "burst": 0.0} if number % 2 else {}
            knobs = {**_scaled(name, 500), **clones}
            yield Trial(((name, knobs),), tier.background, seed + number, without=(name,), facts=facts)


def _scaled(name: str, accounts: int) -> dict[str, Any]:
    return {"accounts": accounts, "rate": 26.0 / HARNESS_ITEMS if name == "evaluation_harness" else 26.0}


def _shares(tier: Tier, seed: int) -> Iterator[Trial]:
    accounts = max(tier.sizes)
    for number in range(tier.curve_seeds):
        for archetype in tier.curve_archetypes:
            for share in tier.shares:
                knobs = {"accounts": accounts} if share == 1.0 else {"accounts": accounts, "share": share}
                yield _one(tier, archetype, seed + number, {"x": share}, **knobs)


def _accounts(tier: Tier, seed: int) -> Iterator[Trial]:
    for number in range(tier.curve_seeds):
        for archetype in tier.curve_archetypes:
            for accounts in tier.accounts:
                if accounts <= 500 or (archetype, number) == (tier.curve_archetypes[0], 0):
                    yield _one(tier, archetype, seed + number, {"x": accounts}, accounts=accounts)


def _backgrounds(tier: Tier, seed: int) -> Iterator[Trial]:
    """The baselines are left out where their memory or time would be the question."""
    for archetype in tier.curve_archetypes:
        for times in tier.backgrounds:
            if times <= 10 or archetype == tier.curve_archetypes[0]:
                one = _one(tier, archetype, seed, {"x": times}, accounts=max(tier.sizes))
                yield Trial(
                    one.populations, one.background * times, seed, baselines=times == 1, facts=one.facts
                )


def _floors(tier: Tier, seed: int) -> Iterator[Trial]:
    for number in range(tier.curve_seeds):
        for name, sizes in tier.floors:
            archetype, knobs = FLOOR_KNOBS[name]
            for accounts in sizes:
                yield _one(
                    tier, archetype, seed + number, {"x": accounts, "floor": name}, **knobs, accounts=accounts
                )


def _pools(tier: Tier, seed: int) -> Iterator[Trial]:
    """A tenth of a pool's traffic harvests; the rest is other people's conversations."""
    for number in range(tier.pools):
        for archetype in WORDED if tier.name == "full" else WORDED[:1]:
            yield _one(tier, archetype, seed + number, {}, accounts=500, share=0.1, cover="real")


def _singles(tier: Tier, seed: int) -> Iterator[Trial]:
    for number in range(tier.singles):
        for place, (name, one) in enumerate(cost.single()):
            archetype = WORDED[(place + number) % len(WORDED)]
            for which in (archetype, "A1"):
                yield _evading(tier, which, one, seed + number, {"single": name})


def _attacks(tier: Tier, seed: int) -> Iterator[Trial]:
    found = [*cost.search(seed, tier.cheap, 1.0, 3.0), *cost.search(seed, tier.dear, 3.0, 24.0)]
    for place, one in enumerate(found):
        yield _evading(tier, WORDED[place % len(WORDED)], one, seed + place, {})


def _evading(tier: Tier, archetype: str, one: cost.Attack, seed: int, facts: dict[str, Any]) -> Trial:
    told = {"archetype": archetype, "cost": one.cost, "knobs": one.knobs, "accounts": one.accounts, **facts}
    return Trial(((archetype, one.options()),), tier.background, seed, facts=told)


def _discovery(tier: Tier, seed: int, *, drift: bool) -> Iterator[Trial]:
    """Many small logs: every third without a campaign, the others with one of 50 accounts; baselines on the first 40."""
    kinds = [archetype for archetype in ARCHETYPES if archetype not in FLOORS]
    for number in range(tier.fdr):
        archetype = kinds[number % len(kinds)]
        made = () if number % 3 == 0 else ((archetype, {"accounts": 50, "rate": 26.0}),)
        yield Trial(
            made, tier.fdr_background, seed + 1_000 + number, drift=drift, baselines=number < 40,
            facts={"archetype": archetype if made else ""},
        )  # fmt: skip
