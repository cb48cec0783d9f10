"""Ordinary traffic: how customers pick text and when they send it. Look-alike families are built from these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pyarrow as pa

from spiritsafe.simulate import _timing
from spiritsafe.simulate._text import Recipe, compose, plain
from spiritsafe.simulate._wordings import numbered, tasks, templates
from spiritsafe.simulate._world import Traffic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spiritsafe.simulate._campaign import Campaign
    from spiritsafe.simulate._corpus import Pool
    from spiritsafe.simulate._people import Accounts
    from spiritsafe.simulate._text import Paraphrase
    from spiritsafe.simulate._wordings import Grammar
    from spiritsafe.simulate._world import World

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

FOLLOW_UPS = 0.25


@dataclass(frozen=True)
class Customers:
    """Knobs of an innocent family.

    accounts: how many; rate: mean exchanges per account per day (lognormal over accounts with ``sigma``, days
    gamma-Poisson with ``burst``); organizations: how many customers the accounts belong to (0: each its own);
    text "ready" takes the corpus's own prompts, "template" wraps its items in the committed wordings, "auto" prefers ready
    ones. grammar: whether the family words by its own templates or by the grammar of its task, which the archetypes with the
    same task use too. paraphrase: see ``_text.compose``; "account" is each customer, product or job. wording: which of the
    templates (-1: any). nulls: chance that a column is blank for an account. like, likeness: this share of the accounts are
    single customers who each do alone what that archetype does together (see ``_lone``).
    """

    accounts: int = 100
    rate: float = 8.0
    sigma: float = 1.1
    burst: float = 0.6
    organizations: int = 0
    text: Literal["auto", "ready", "template"] = "auto"
    grammar: Grammar = "family"
    paraphrase: Paraphrase = "account"
    wording: int = -1
    nulls: float = 0.0
    like: str = ""
    likeness: float = 0.0


def within(account: Ints) -> Ints:
    """For rows sorted by account: how many rows of the same account came before."""
    if not len(account):
        return account
    first = np.concatenate([[True], np.diff(account) != 0])
    head = np.flatnonzero(first)
    return np.arange(len(account)) - head[np.cumsum(first) - 1]


def walk(world: World, pool: Pool, account: Ints, stray: float = 0.2) -> Ints:
    """A pool row for each exchange (rows sorted by account).

    Rich mode: an account has its own interests, a stretch of the pool in topical order that it walks through
    without repeating itself, and strays from it now and then. Naive mode: every draw is uniform.
    """
    rng, size = world.rng, len(pool)
    if world.mode == "naive":
        return rng.integers(size, size=len(account))
    people = int(account.max()) + 1 if len(account) else 0
    centre = rng.integers(size, size=people)
    stride = rng.integers(1, 4, people)
    position = (centre[account] + within(account) * stride[account]) % size
    strayed = rng.random(len(account)) < stray
    position[strayed] = rng.integers(size, size=int(strayed.sum()))
    return pool.topical[position]


def own_job(world: World, pool: Pool, account: Ints) -> Ints:
    """A pool row for each exchange (rows sorted by account) where each account runs one job, a group of the pool.

    Rich mode: accounts take different groups as long as there are enough; naive mode: any group each.
    """
    rng = world.rng
    order, offsets = pool.by_group
    people = int(account.max()) + 1 if len(account) else 0
    if world.mode == "naive":
        job = world.agreed.integers(pool.groups, size=people)
    else:
        # Big customers have many documents: match volumes and group sizes, loosely.
        rounds = max(1, -(-people // max(1, pool.groups)))
        likes = world.agreed.lognormal(0.0, 0.5, pool.groups)
        wide = np.tile(np.argsort(-np.diff(offsets) * likes), rounds)
        job = np.empty(people, dtype=np.int64)
        job[np.argsort(-np.bincount(account, minlength=people), kind="stable")] = wide[:people]
    size = np.diff(offsets)[job]
    start = rng.integers(np.maximum(size, 1)) if people else size
    if world.mode == "naive":
        step = (rng.random(len(account)) * size[account]).astype(np.int64)
    else:
        step = (start[account] + within(account)) % size[account]
    return order[offsets[job][account] + step]


def chat(
    world: World, accounts: Accounts, pool: Pool, account: Ints, day: Ints, *, hours: str = "home"
) -> Traffic:
    """Conversations of persons: sessions with think times, later turns partly short follow-ups."""
    rng = world.rng
    turns = _timing.shapes()["sessions"]["turns_chat"]

    def clock_at(rows: Ints) -> Ints:
        return _timing.clock(rng, hours, accounts.zone[account[rows]])

    time, session, turn = _timing.sessions(rng, account, day, turns, clock_at, person=True)
    row = walk(world, pool, account)
    phrases = pa.array(templates("chat_users")[1]["follow_up"])
    short = (turn > 0) & (rng.random(len(turn)) < FOLLOW_UPS)
    index = np.where(short, -1, row)
    extra = np.where(short, rng.integers(len(phrases), size=len(turn)), -1)
    previous = np.where(turn > 0, np.arange(len(turn)) - 1, -1)
    return Traffic(
        account=account,
        time=time,
        prompt=Recipe(((pool.prompts, index), (phrases, extra))),
        session=session,
        turn=turn,
        redeems=np.where(rng.random(len(turn)) < 0.7, previous, -1),  # noqa: PLR2004 - clients that pass it on
        chat=True,
    )


def resold(
    world: World, accounts: Accounts, pool: Pool, account: Ints, day: Ints, *, users: bool = False
) -> Traffic:
    """Other people's conversations that pass through accounts: every session is another customer's.

    Each conversation starts at a topic of its own. ``users``: whether the relay names its customers.
    """
    traffic = chat(world, accounts, pool, account, day)
    session = cast("Ints", traffic.session)
    people = world.rng.integers(max(1, 6 * len(accounts)), size=int(session.max()) + 1 if len(session) else 0)
    order = np.argsort(session, kind="stable")
    row = np.empty(len(session), dtype=np.int64)
    row[order] = walk(world, pool, session[order], stray=0.05)
    (strings, index), extra = traffic.prompt.parts
    traffic.prompt = Recipe(((strings, np.where(index < 0, -1, row)), extra))
    traffic.end_user = people[session] if users else None
    return traffic


def job(account: Ints, time: Ints, row: Ints, pool: Pool, **more: Any) -> Traffic:
    """Single-turn traffic that sends the pool's prompts (and system texts) as they are."""
    system = None if pool.systems.null_count == len(pool) else plain(pool.systems, row)
    more.setdefault("system", system)
    return Traffic(account=account, time=time, prompt=plain(pool.prompts, row), **more)


def pool_of(world: World, knobs: Customers | Campaign, family: str, kinds: tuple[str, ...]) -> Pool:
    """What the family's wordings are put around: prompts of ``kinds``, or of those that all families of its task take."""
    return world.pool(*(tasks()[family].items if knobs.grammar == "task" else kinds))


def fill(world: World, pool: Pool, row: Ints) -> dict[str, tuple[Any, Ints]]:
    """The slots that texts of the corpus go into, for each exchange: its item and others of the same pool."""
    second = world.rng.integers(len(pool), size=len(row))
    return {
        "item": (pool.prompts, row),
        "answer": (pool.said, row),
        "other": (pool.said, second),
        "item2": (pool.prompts, second),
        "item3": (pool.prompts, (second * 7 + 3) % len(pool)),
    }


def prompts(
    world: World, knobs: Customers, family: str, owner: Ints, row: Ints, pool: Pool, *, shared: bool = False
) -> Recipe:
    """The pool's prompts in the family's wordings, or in those of its task; ``owner`` is who has a wording of his own.

    ``shared``: other parts of the hand have the same owners.
    """
    given = {"item": (pool.prompts, row), "answer": (pool.answers, row)}
    return compose(
        world.rng,
        family,
        owner,
        fill(world, pool, row) if knobs.grammar == "task" else given,
        paraphrase=knobs.paraphrase,
        choose=numbered(family, knobs.grammar, knobs.wording),
        grammar=knobs.grammar,
        common=world.agreed,
        shared=shared,
    )


def worded(
    world: World,
    knobs: Customers,
    family: str,
    account: Ints,
    time: Ints,
    row: Ints,
    pool: Pool,
    *,
    owner: Ints | None = None,
    **more: Any,
) -> Traffic:
    """Single-turn traffic that wraps the pool's prompts in wordings.

    ``owner`` is the row's customer, product or job (default: its account), who words it where ``paraphrase`` is "account".
    A hand that is made in parts has one owner.
    """
    shared = owner is not None
    prompt = prompts(world, knobs, family, account if owner is None else owner, row, pool, shared=shared)
    return Traffic(account=account, time=time, prompt=prompt, **more)


def ready(world: World, knobs: Customers, *kinds: str) -> bool:
    """Whether the family sends the corpus's own prompts (True) or wraps items in templates (False)."""
    if knobs.grammar == "task":
        return False
    if knobs.text == "auto":
        return bool(world.sources) or world.corpus.has(*kinds)
    return knobs.text == "ready"


def volume(world: World, knobs: Customers, size: int | None = None) -> tuple[Ints, Ints]:
    """Account and day of every exchange by the knobs' rate, spread and bursts."""
    rate = _timing.rates(world.rng, knobs.accounts if size is None else size, knobs.rate, knobs.sigma)
    return _timing.counts(world.rng, rate, world.days, knobs.burst)


def office_time(world: World, accounts: Accounts, account: Ints, day: Ints, hours: str = "office") -> Ints:
    """Independent arrivals over the local day."""
    return day * _timing.DAY + _timing.clock(world.rng, hours, accounts.zone[account])
