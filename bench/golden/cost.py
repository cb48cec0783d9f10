"""What evasion costs: an explicit model, in US dollars for one account of a campaign of 45 days, and a seeded search.

A campaign wants a fixed number of *distinct* answers. The plain one (no evasion) sends ``RATE`` requests an account and day
from accounts opened in bulk. Evasion multiplies what an answer costs. For the knobs ``k``:

    cost(k) = [ requests(k) · QUERY + accounts(k) + time(k) ] / [ the same for the plain campaign ]

* ``requests(k)`` for one distinct answer: ``1 / share`` (cover traffic is bought like any other) × ``waste`` of the overlap
  (draws with replacement over a pool as large as the harvest give 1 − 1/e of it: 1.58; Zipf draws over it about 3) ×
  ``1 + rewriting``: a paraphrase for each call is a short request to a cheap model (0.15 of a request), one for each
  account is one request of its own spread over the account's answers.
* ``accounts(k)``: what one account costs (opening, and its own card, device, residential address, client, mail domain, age as
  far as the knobs ask), over the distinct answers it gives in its life, ``rate · share · DAYS / pace / waste``. Uneven load
  (``sigma``) leaves capacity idle: × exp(sigma²/2), the mean of a lognormal over its median.
* ``time(k)``: staff and machines run ``1 / pace`` as long, ``STAFF`` of the plain campaign's other cost for each 45 days.
* Topic-affine routing has every item classified (0.02 of a request); office hours and random routing cost nothing.

The prices are our estimates of 2026 street and list prices, not measurements; they stand here so that a reader can put in
others and run again. What the model leaves out favours the attacker: stolen cards, customers who pay for the cover.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

DAYS = 45.0
RATE = 26.0
QUERY = 0.015
"""Dollars for one request: about 1,000 output tokens of a large model."""

ACCOUNT = 1.5
"""Dollars to open one account with a confirmed mail address and telephone number, in bulk."""

OWN = {"payment": 3.0, "device": 2.0, "network": 9.0, "client": 0.5, "mail": 1.0}
"""Dollars for a card, an emulated device, 45 days of a residential address, an own client and a mail domain of one's own."""

AGED = 4.0
"""Dollars more for an account opened at a time of its own, long ago (cohort of 700 days in place of 21)."""

WASTE = {"shard": 1.0, "partition": 1.0, "iid": 1.0 / (1.0 - math.exp(-1.0)), "zipf": 3.0}
REWRITE = {"none": 0.0, "slots": 0.0, "account": 0.0, "call": 0.15}
CLASSIFY = 0.02
STAFF = 0.2

PLAIN: dict[str, Any] = {
    "share": 1.0, "rate": RATE, "pace": 1.0, "sigma": 0.0, "routing": "round_robin", "overlap": "shard",
    "paraphrase": "none", "timing": "jitter", "payment": 0.3, "device": 0.2, "network": 0.5, "client": 0.8,
    "mail": 0.3, "cohort_days": 21.0,
}  # fmt: skip
"""The plain campaign: the simulator's defaults. Shares of infrastructure are of accounts that use the common stock."""

CHOICES: dict[str, tuple[Any, ...]] = {
    "share": (1.0, 0.7, 0.5, 0.35, 0.25, 0.1, 0.05),
    "rate": (60.0, 26.0, 13.0, 4.0),
    "pace": (1.0, 0.5, 0.25),
    "sigma": (0.0, 0.5, 1.0, 1.5),
    "routing": ("round_robin", "random", "sticky", "topic_affine"),
    "overlap": ("shard", "partition", "iid", "zipf"),
    "paraphrase": ("none", "slots", "account", "call"),
    "timing": ("jitter", "diurnal"),
    "payment": (0.3, 0.0),
    "device": (0.2, 0.0),
    "network": (0.5, 0.0),
    "client": (0.8, 0.0),
    "mail": (0.3, 0.0),
    "cohort_days": (21.0, 700.0),
}
"""What the attacker may choose, the plain value first (the rate's plain value is ``RATE``)."""

HARVEST = 2_600
"""Distinct answers a day at pace 1: 100 plain accounts."""

LEAST_ACCOUNTS = 50
"""Fewer accounts than this are a hard floor of their own (docs/limits.md), not an evasion."""

MOST_EXCHANGES = 30_000
_TRIES = 1_000


def cost(knobs: Mapping[str, Any]) -> float:
    """How many times the plain campaign's cost an answer costs with these knobs (those left out are plain)."""
    return _dollars({**PLAIN, **knobs}) / _dollars(PLAIN)


def _dollars(k: Mapping[str, Any]) -> float:
    """Dollars for one distinct answer."""
    waste = WASTE[k["overlap"]]
    answers = k["rate"] * k["share"] * DAYS / k["pace"] / waste
    extra = REWRITE[k["paraphrase"]] + (CLASSIFY if k["routing"] == "topic_affine" else 0.0)
    requests = waste / k["share"] + extra * waste
    if k["paraphrase"] == "account":
        requests += 1.0 / answers
    account = ACCOUNT + sum(price * (1.0 - k[name] / PLAIN[name]) for name, price in OWN.items())
    account += AGED if k["cohort_days"] > PLAIN["cohort_days"] else 0.0
    account *= math.exp(k["sigma"] ** 2 / 2.0)
    plain = QUERY + ACCOUNT / (RATE * DAYS)
    return requests * QUERY + account / answers + STAFF * plain / k["pace"]


@dataclass(frozen=True)
class Attack:
    """One choice of knobs: its cost, and its size in a log of one day."""

    knobs: dict[str, Any]
    cost: float
    accounts: int
    exchanges: int

    def options(self) -> dict[str, Any]:
        """The knobs as the simulator takes them."""
        kept = {name: value for name, value in self.knobs.items() if name != "pace"}
        made: dict[str, Any] = {**kept, "accounts": self.accounts, "age_days": 60.0, "text": "template"}
        if self.knobs["overlap"] == "partition":
            made["routing"] = "round_robin"
        return made


def attack(knobs: Mapping[str, Any]) -> Attack:
    """The attack that these knobs make: as many accounts as the harvest needs."""
    full = {**PLAIN, **knobs}
    each = full["rate"] * full["share"] / WASTE[full["overlap"]]
    accounts = max(1, round(HARVEST * full["pace"] / each))
    return Attack(full, cost(full), accounts, round(accounts * full["rate"]))


def search(seed: int, count: int, low: float, high: float) -> list[Attack]:
    """``count`` random attacks of a cost in (low, high], on at least ``LEAST_ACCOUNTS`` accounts, all knobs drawn apart.

    Each knob is plain with a chance drawn anew for each attack, so that few and many evasions at once are tried.
    """
    rng = np.random.default_rng([seed, round(low * 100), round(high * 100)])
    found: list[Attack] = []
    for _ in range(_TRIES * count):
        if len(found) == count:
            break
        plainness = rng.random()
        knobs = {
            name: PLAIN[name] if rng.random() < plainness else values[int(rng.integers(len(values)))]
            for name, values in CHOICES.items()
        }
        one = attack(knobs)
        fits = low < one.cost <= high and one.accounts >= LEAST_ACCOUNTS and one.exchanges <= MOST_EXCHANGES
        if fits and one not in found:
            found.append(one)
    return found


def single() -> list[tuple[str, Attack]]:
    """Each evasion alone, by name; and all infrastructure of one's own."""
    own = dict.fromkeys(OWN, 0.0)
    made = [
        (f"{name} {value}", attack({name: value}))
        for name, values in CHOICES.items()
        for value in values
        if value != PLAIN[name] and name not in OWN
    ]
    return [
        ("none", attack({})),
        *made,
        ("own cards, devices, addresses", attack({**own, "cohort_days": 700.0})),
    ]
