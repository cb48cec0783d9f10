"""Accounts and their infrastructure: organizations, cards, devices, addresses, clients, sign-up facts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.simulate._timing import DAY, shapes
from spiritsafe.simulate._world import COMMON

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spiritsafe.simulate._world import Hand, World

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

ZONES = (-8.0, -7.0, -6.0, -5.0, -3.0, 0.0, 1.0, 2.0, 3.0, 5.5, 8.0, 9.0)
ZONE_WEIGHTS = (0.08, 0.03, 0.07, 0.14, 0.06, 0.10, 0.15, 0.06, 0.05, 0.12, 0.09, 0.05)
PLANS = ("free", "pro", "team", "api", "enterprise")
ADDRESS_BASE = 240 << 24
HISTORY = 730 * DAY
SHARED = 1 << 40
"""Values at or above this belong to a pool that other families draw from too (a cafe's NAT, a cloud gateway)."""
BLANKABLE = (
    "payment_id", "device_id", "client_ip", "asn", "user_agent", "email_domain", "account_created", "session_id",
)  # fmt: skip
"""Columns that the knob ``nulls`` can blank for an account."""


@dataclass
class Accounts:
    """Columns about accounts, one row an account. Codes are local to their family unless >= ``SHARED``.

    ``address`` and ``network`` have one column for each of an account's usual places; ``places`` weighs them.
    -1 is null. ``zone`` is hours from UTC, ``created`` microseconds from the start of the log (negative).
    """

    organization: Ints
    payment: Ints
    device: Ints
    address: Ints
    network: Ints
    places: tuple[float, ...]
    agent: Ints
    mail: Ints
    created: Ints
    plan: Ints
    zone: Floats
    keys: Ints
    temperature: Floats
    max_tokens: Ints
    model: Ints
    relation: str | None = None
    declares: NDArray[np.bool_] | None = None
    """Which accounts declare the relation (default: all)."""
    blank: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Accounts for which a column of ``BLANKABLE`` is null."""
    fresh: int = 0
    """How many accounts, the last ones, were opened later in the place of others."""
    rotating: Ints | None = None
    """Addresses that exchanges of the accounts marked by ``rotates`` are sent over at random (a proxy pool)."""
    rotates: NDArray[np.bool_] | None = None
    replaces: Ints | None = None
    """The account in whose place each one works; -1: nobody's (default: all)."""

    def __len__(self) -> int:
        return len(self.organization)


def network(rng: np.random.Generator, kind: str, size: int) -> Ints:
    """AS numbers of ``size`` places in networks of a class, by the fitted Zipf sizes."""
    fitted = shapes()["networks"][kind]
    weight = np.arange(1, fitted["count"] + 1, dtype=np.float64) ** -fitted["zipf"]
    return fitted["first"] + rng.choice(fitted["count"], size=size, p=weight / weight.sum())


def address(rng: np.random.Generator, autonomous: Ints) -> Ints:
    """An IPv4 address (as integer, in 240.0.0.0/4) inside each network: each has its own /16 blocks."""
    block = (autonomous * 2_654_435_761) % 4_096
    return ADDRESS_BASE + block * 65_536 + rng.integers(1, 65_535, len(autonomous))


def people(rng: np.random.Generator, size: int, *, api: bool = False) -> Accounts:
    """Unrelated persons: own organization, card, device, home and mobile address; popular mail domains.

    A few percent share a card with somebody (families), some sit behind carrier NAT, as people do.
    """
    own = np.arange(size, dtype=np.int64)
    home = network(rng, "eyeball", size)
    mobile = network(rng, "eyeball", size)
    addresses = np.stack([address(rng, home), address(rng, mobile)], axis=1)
    behind_nat = rng.random(size) < 0.3  # noqa: PLR2004 - carrier NAT: 64 public addresses a network
    addresses[behind_nat, 1] = (
        ADDRESS_BASE
        + ((mobile * 2_654_435_761) % 4_096 * 65_536)[behind_nat]
        + (rng.integers(0, 64, int(behind_nat.sum())) * 7 + 1)
    )
    family = rng.random(size) < 0.03  # noqa: PLR2004
    payment = np.where(family, rng.permutation(own), own)
    payment[rng.random(size) < (0.1 if api else 0.55)] = -1
    table = shapes()["agents"]["sdk" if api else "browser"]
    weight = np.array([row[1] for row in table])
    offset = len(shapes()["agents"]["browser"]) if api else 0
    mail = np.array([row[1] for row in shapes()["mail"]["people"]])
    age = rng.beta(1.0, 2.2, size) * HISTORY
    return Accounts(
        organization=own.copy(),
        payment=payment,
        device=np.where(rng.random(size) < 0.02, rng.permutation(own), own),  # noqa: PLR2004 - resold machines
        address=addresses,
        network=np.stack([home, mobile], axis=1),
        places=(0.72, 0.28),
        agent=offset + rng.choice(len(table), size=size, p=weight / weight.sum()),
        mail=rng.choice(len(mail), size=size, p=mail / mail.sum()),
        created=-(age.astype(np.int64) + DAY // 8),
        plan=rng.choice(2, size=size, p=(0.6, 0.4)) if not api else np.full(size, 3),
        zone=rng.choice(ZONES, size=size, p=ZONE_WEIGHTS),
        keys=np.where(rng.random(size) < 0.2, 2, 1),  # noqa: PLR2004
        temperature=rng.choice([np.nan, 0.0, 0.2, 0.7, 1.0], size=size, p=(0.45, 0.2, 0.1, 0.2, 0.05)),
        max_tokens=rng.choice(
            [-1, 256, 512, 1024, 2048, 4096], size=size, p=(0.4, 0.1, 0.1, 0.15, 0.1, 0.15)
        ),
        model=rng.choice(3, size=size, p=(0.45, 0.4, 0.15)),
    )


def companies(
    rng: np.random.Generator, size: int, *, accounts_each: int = 1, hand: Hand | None = None
) -> Accounts:
    """``size`` accounts of companies, ``accounts_each`` to an organization that shares card, domain and network.

    ``hand``: all are accounts of this one company, of which other parts have more.
    """
    firm, tag = (rng, 0) if hand is None else (hand.rng, COMMON)
    made = people(rng, size, api=True)
    made.organization = np.arange(size) // max(1, accounts_each)
    firms = int(made.organization[-1]) + 1 if size else 0
    made.payment = made.organization + tag
    hosted = network(firm, "hosting", firms)
    office = network(firm, "office", firms)
    cloud = address(firm, hosted)
    gateway = firm.random(firms) < 0.08  # noqa: PLR2004 - serverless platforms: one gateway, many strangers
    cloud[gateway] = ADDRESS_BASE + ((hosted * 2_654_435_761) % 4_096 * 65_536)[gateway] + 9
    made.address = np.stack([cloud, address(firm, office)], axis=1)[made.organization]
    made.network = np.stack([hosted, office], axis=1)[made.organization]
    made.places = (0.9, 0.1)
    made.device = np.full(size, -1)
    made.mail = -2 - made.organization - tag
    age = firm.beta(1.0, 2.2, firms) * HISTORY
    made.created = -(age[made.organization] * rng.uniform(0.3, 1.0, size)).astype(np.int64) - DAY // 8
    made.plan = firm.choice([2, 3, 4], size=firms, p=(0.2, 0.6, 0.2))[made.organization]
    made.keys = rng.integers(1, 5, size)
    usual = first(made, hand, 1)
    per_firm = firm.integers(0, size or 1, firms) if hand is None else made.organization[:firms]
    for column in ("agent", "temperature", "max_tokens", "model", "zone"):
        setattr(made, column, getattr(usual, column)[per_firm][made.organization])
    return made


def first(made: Accounts, hand: Hand | None, size: int, *, api: bool = True) -> Accounts:
    """Accounts whose first ``size`` set what is usual for all of a hand: ours, or some that all its parts agree on."""
    return made if hand is None else people(hand.rng, size, api=api)


def site(world: World, made: Accounts, kind: str, addresses: int, share: float) -> None:
    """Put all accounts behind the few addresses of one site (campus, venue, relay host) for ``share`` of traffic."""
    rng = world.rng
    place = network(world.agreed, kind, 1)
    doors = address(world.agreed, np.repeat(place, addresses))
    pick = rng.integers(addresses, size=len(made))
    made.address = np.stack([doors[pick], made.address[:, 0]], axis=1)
    made.network = np.stack([np.repeat(place, len(made)), made.network[:, 0]], axis=1)
    made.places = (share, 1.0 - share)


def one_firm(made: Accounts) -> None:
    """Make all accounts one organization's: one card, one mail domain, one plan."""
    for column in ("organization", "payment"):
        setattr(made, column, np.zeros(len(made), dtype=np.int64))
    made.mail = np.full(len(made), -2)
    made.plan = np.full(len(made), 4)


OPENED = 1 << 30
"""Codes of what accounts that were opened later have of their own; below ``SHARED``."""


def siblings(
    rng: np.random.Generator, made: Accounts, like: Ints, created: Ints, *, shared: bool
) -> Accounts:
    """The accounts with a fresh one for each row of ``like``, opened at ``created`` by the same operator.

    What an account has from a common stock its sibling has too; what it has alone the sibling has anew.
    ``shared``: the operator's organizations are kept as well.
    """
    originals, now = len(made) - made.fresh, len(made)
    grown = {
        name: np.concatenate([getattr(made, name), getattr(made, name)[like]])
        for name in (
            "organization", "payment", "device", "address", "network", "agent", "mail", "created", "plan", "zone",
            "keys", "temperature", "max_tokens", "model",
        )
    }  # fmt: skip
    alone = OPENED + np.arange(now, now + len(like))
    for name in ("payment", "device", *(() if shared else ("organization",))):
        old = grown[name][now:]
        stock = (name != "organization") & (old >= originals) & ((old < OPENED) | (old >= COMMON))
        grown[name][now:] = np.where(stock | (old < 0), old, alone)
    for place in range(grown["network"].shape[1]):
        grown["address"][now:, place] = address(rng, grown["network"][now:, place])
    grown["created"][now:] = created - (rng.uniform(0.1, 0.9, len(like)) * DAY / 24).astype(np.int64)
    marks = {name: np.concatenate([mask, mask[like]]) for name, mask in made.blank.items()}
    masks = {
        name: None if mask is None else np.concatenate([mask, mask[like]])
        for name, mask in (("declares", made.declares), ("rotates", made.rotates))
    }
    before = np.full(now, -1) if made.replaces is None else made.replaces
    heirs = np.concatenate([before, like])
    return replace(made, **grown, **masks, blank=marks, fresh=made.fresh + len(like), replaces=heirs)
