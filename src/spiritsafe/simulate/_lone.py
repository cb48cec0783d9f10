"""Single customers who do alone what a campaign does together: nothing that one account shows tells them apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.simulate._people import address, network
from spiritsafe.simulate._timing import DAY
from spiritsafe.simulate._wordings import tasks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._people import Accounts
    from spiritsafe.simulate._world import Block, Traffic

    Ints = NDArray[np.int64]

APART = 1 << 29
"""Codes of what lone customers have are told from those of their family by this."""
GONE = -1
AGE, SPREAD = 70.0, 1.0
"""Median age in days and spread of its logarithm: as young as a campaign's accounts, opened at no common time; ours."""
MORE, UNEVEN = 1.35, 0.4
"""Mean and unevenness of their load: with it most of them send at least as much as one account of a campaign; ours."""
EGRESS = 50
"""Addresses for each lone customer, of those who send from a cloud; ours."""
UNSTEADY = (0.001, 0.1)
"""How far a scheduler's gaps are off, as a share of the gap: from a timer to a busy queue; ours."""
COLUMNS = (
    "payment", "device", "agent", "mail", "created", "plan", "zone", "keys", "temperature", "max_tokens", "model",
    "organization",
)  # fmt: skip


def options(knobs: Customers, archetype: str, usual: Campaign) -> dict[str, Any]:
    """The knobs of as many strangers: their own load and their own draws of the items, nothing shared.

    All of them use the archetype's prompt in one wording, as people do with a prompt that was published. By the grammar of
    the archetype's task, where it has one, they paraphrase as their family does. Where the archetype (with its ``usual``
    knobs) keeps each account at a topic, each of them has a topic as wide.
    """
    topical = usual.routing == "topic_affine"
    as_family = {"grammar": "task", "paraphrase": knobs.paraphrase}
    return {
        "accounts": max(1, round(knobs.accounts * knobs.likeness)),
        "rate": MORE * knobs.rate, "text": knobs.text, "sigma": min(knobs.sigma, UNEVEN), "overlap": "iid",
        "routing": "topic_affine" if topical else "random", "topics": usual.accounts if topical else 0,
        **dict.fromkeys(("payment", "device", "network", "client", "mail"), 0.0),
        **(as_family if knobs.grammar == "task" and archetype in tasks() else {}),
    }  # fmt: skip


def mingle(
    rng: np.random.Generator, block: Block, strangers: Block, days: float, *, paced: bool, cloud: float
) -> None:
    """Put the strangers in the places of some of the block's accounts, with their traffic; they are of no campaign.

    ``paced``: each sends by a clock of its own, as schedulers do. ``cloud``: share of them that run in somebody's cloud.
    """
    accounts, theirs = block.accounts, strangers.accounts
    who = np.sort(rng.choice(len(accounts), size=min(len(theirs), len(accounts)), replace=False))
    _settle(rng, theirs)
    for name in COLUMNS:
        mine = getattr(accounts, name).copy()
        mine[who] = _told_apart(name, getattr(theirs, name)[: len(who)])
        setattr(accounts, name, mine)
    for name in ("address", "network"):
        places = getattr(accounts, name)
        pick = np.arange(places.shape[1]) % getattr(theirs, name).shape[1]
        places[who] = getattr(theirs, name)[: len(who)][:, pick]
    if accounts.rotating is None or accounts.rotates is None:
        hosts = network(rng, "hosting", EGRESS * len(who))
        accounts.rotating = np.stack([address(rng, hosts), hosts])
        accounts.rotates = np.zeros(len(accounts), dtype=np.bool_)
    accounts.rotates[who] = rng.random(len(who)) < cloud
    if accounts.relation is not None:
        declares = np.ones(len(accounts), np.bool_) if accounts.declares is None else accounts.declares.copy()
        declares[who] = False
        accounts.declares = declares
    taken = np.zeros(len(accounts), dtype=np.bool_)
    taken[who] = True
    for traffic in block.traffic:
        traffic.time = np.where(taken[traffic.account], GONE, traffic.time)
    span = int(days * DAY)
    if paced:
        _pace(rng, strangers.traffic, len(theirs))
    _shift(rng, strangers.traffic, len(theirs), span)
    for traffic in strangers.traffic:
        inside = traffic.account < len(who)
        block.traffic.append(
            replace(
                traffic,
                account=who[np.minimum(traffic.account, len(who) - 1)],
                time=np.where(inside, traffic.time, GONE),
                redeems=_own(traffic),
                campaign=False,
            )
        )


def _pace(rng: np.random.Generator, traffic: list[Traffic], size: int) -> None:
    """Even gaps between an account's first and last exchange, with an unsteadiness of its own; the order stays."""
    account = np.concatenate([one.account for one in traffic])
    time = np.concatenate([one.time for one in traffic])
    if not len(time):
        return
    shaky = np.exp(rng.uniform(np.log(UNSTEADY[0]), np.log(UNSTEADY[1]), size))
    order = np.lexsort((time, account))
    who, when = account[order], time[order]
    first = np.flatnonzero(np.concatenate([[True], np.diff(who) != 0]))
    count = np.diff(np.append(first, len(who)))
    begin, end = when[first], when[first + count - 1]
    # The range of n uniform times is (n - 1) / (n + 1) of the whole on average, that of n even ones (n - 1) / n.
    gap = (end - begin) * (count + 1.0) / np.maximum(count * (count - 1), 1)
    rank, gap = np.arange(len(who)) - np.repeat(first, count), np.repeat(gap, count)
    noise = rng.normal(0.0, 1.0, len(who)) * shaky[who] * gap
    time[order] = np.maximum(np.repeat(begin, count) + rank * gap + noise, 0).astype(np.int64)
    edges = np.cumsum([len(one) for one in traffic])[:-1]
    for one, mine in zip(traffic, np.split(time, edges), strict=True):
        one.time = mine


def _shift(rng: np.random.Generator, traffic: list[Traffic], size: int, span: int) -> None:
    """Who is there for a part of the time only comes and goes when it suits him, not with the others."""
    first, last = np.full(size, span), np.zeros(size, dtype=np.int64)
    for one in traffic:
        np.minimum.at(first, one.account, one.time)
        np.maximum.at(last, one.account, one.time)
    room = np.maximum(span - (last - first) - 1, 0)
    move = (rng.random(size) * room).astype(np.int64) - first
    for one in traffic:
        one.time = one.time + move[one.account]


def _settle(rng: np.random.Generator, theirs: Accounts) -> None:
    """What one operator would have set for all, each sets alone."""
    size = len(theirs)
    theirs.created = -(np.exp(rng.normal(np.log(AGE), SPREAD, size)).clip(0.2, 700.0) * DAY).astype(np.int64)
    theirs.temperature = rng.choice([0.0, 0.6, 0.7, 1.0], size=size)
    theirs.max_tokens = rng.choice([2048, 4096, 8192], size=size)


def _told_apart(name: str, values: NDArray[Any]) -> NDArray[Any]:
    if name in ("payment", "device", "organization"):
        return np.where(values < 0, values, values + APART)
    return np.where(values < -1, values - APART, values) if name == "mail" else values


def _own(traffic: Traffic) -> Ints | None:
    """Artefacts come back from the account they were given to: its latest request that hands none in."""
    if traffic.redeems is None:
        return None
    order = np.lexsort((traffic.time, traffic.account))
    asks = traffic.redeems[order] < 0
    place = np.arange(len(order))
    latest = np.maximum.accumulate(np.where(asks, place, -1))
    same = (latest >= 0) & (traffic.account[order][np.maximum(latest, 0)] == traffic.account[order])
    found = np.full(len(order), -1, dtype=np.int64)
    found[order] = np.where(~asks & same, order[np.maximum(latest, 0)], -1)
    return found
