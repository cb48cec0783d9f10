"""The machine behind a campaign: a queue of items, a router over many accounts, and what hides it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spiritsafe.simulate import _crowd, _timing
from spiritsafe.simulate._people import ADDRESS_BASE, Accounts, first, network, people
from spiritsafe.simulate._text import Recipe, compose, plain
from spiritsafe.simulate._wordings import numbered
from spiritsafe.simulate._world import Block, Traffic, mix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spiritsafe.simulate._corpus import Pool
    from spiritsafe.simulate._text import Paraphrase
    from spiritsafe.simulate._wordings import Grammar
    from spiritsafe.simulate._world import World

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

STICKY = 8
PER_CARD, PER_DEVICE, PER_ADDRESS = 12, 10, 6
FLUSH = 600 * _timing.SECOND
WARM = 0.3
"""Rate of accounts that are warmed up, as a share of their later rate; ours."""
COVER = ("ben_", "chat_", "plain", "")


@dataclass(frozen=True)
class Campaign:
    """Knobs of an archetype.

    accounts; rate: exchanges per account per day in all, of which ``share`` is distillation and the rest is
    ordinary customers' traffic (the accounts are resold or used as cover). routing: who sends the next item
    (round_robin is least recently used, also called lru; sticky keeps eight in a row; topic_affine keeps a topic on one
    account). topics: into how many topics that routing cuts the pool, each for its share of the accounts (0: as many as
    there are accounts).
    overlap: each item once (shard), draws with replacement (iid, zipf), each item ``repeats`` times on different
    accounts (best_of_k), each account its own fixed part of the list (partition). sigma: spread of ln load over
    accounts. timing: sync flushes a queue every ten minutes, jitter is even, diurnal imitates office hours.
    grammar, paraphrase and wording as for customers. payment, device,
    network, client, mail: share of accounts whose value comes from a common stock. cohort_days and
    age_days: accounts were made within that many days, that long ago.
    organizations: 0 is one for each account. refused: share of requests answered 429 and sent again from another
    account. text and nulls as for customers. cover: what the rest of the accounts' traffic is, other people's (real) or
    small talk written by a machine (made). warmup_days: the harvest begins so much later, until then the accounts only
    chat. churn: share of the accounts that are banned each day; replace_hours: how long from its first refusal until an
    account that an order hits has a fresh sibling in its place. frames: the name of another population that is made to
    look guilty, by ``framing`` of the accounts and as many copies of its texts for each harvested item (see
    ``_disguise.frame``).
    """

    accounts: int = 500
    rate: float = 26.0
    share: float = 1.0
    routing: Literal["round_robin", "lru", "random", "sticky", "topic_affine"] = "round_robin"
    topics: int = 0
    overlap: Literal["shard", "iid", "zipf", "best_of_k", "partition"] = "shard"
    repeats: int = 4
    sigma: float = 0.0
    timing: Literal["sync", "jitter", "diurnal"] = "jitter"
    grammar: Grammar = "family"
    paraphrase: Paraphrase = "none"
    wording: int = -1
    payment: float = 0.3
    device: float = 0.2
    network: float = 0.5
    client: float = 0.8
    mail: float = 0.3
    cohort_days: float = 21.0
    age_days: float = 60.0
    organizations: int = 0
    refused: float = 0.0
    text: Literal["auto", "ready", "template"] = "auto"
    nulls: float = 0.0
    cover: Literal["real", "made"] = "real"
    warmup_days: float = 0.0
    churn: float = 0.0
    replace_hours: float = 1.0
    frames: str = ""
    framing: float = 0.0


def ring(world: World, knobs: Campaign) -> Accounts:
    """The accounts of a campaign: strangers on paper, with as much in common as the knobs say."""
    rng, size = world.rng, knobs.accounts
    made = people(rng, size, api=True)
    whole, agreed = world.whole(size), world.agreed
    if knobs.organizations:
        nth = np.arange(size) + (world.hand.first if world.hand else 0)
        made.organization = world.shared(nth % knobs.organizations)
    for column, share, each in (("payment", knobs.payment, PER_CARD), ("device", knobs.device, PER_DEVICE)):
        values = getattr(made, column)
        common = rng.random(size) < share
        stock = max(1, round(whole * share / each))
        values[common] = world.shared(whole + rng.integers(stock, size=int(common.sum())))
    common = rng.random(size) < knobs.client
    clients = first(made, world.hand, 3).agent[:3]
    made.agent[common] = rng.choice(clients, size=int(common.sum()))
    common = rng.random(size) < knobs.mail
    made.mail[common] = -2 - world.shared(rng.integers(max(1, whole // 60), size=int(common.sum())))
    made.created = -((knobs.age_days + knobs.cohort_days * rng.random(size)) * _timing.DAY).astype(np.int64)
    stock = max(2, round(whole * knobs.network / PER_ADDRESS))
    hosted = agreed.random(stock) < 0.5  # noqa: PLR2004
    kinds = np.where(hosted, network(agreed, "hosting", stock), network(agreed, "eyeball", stock))
    block = (kinds * 2_654_435_761) % 4_096
    made.rotating = np.stack([ADDRESS_BASE + block * 65_536 + agreed.integers(1, 65_535, stock), kinds])
    made.rotates = rng.random(size) < knobs.network
    if knobs.share >= 1.0:
        # One program sends everything; accounts that are shared with others keep what each of them was set to.
        made.temperature[:] = agreed.choice([0.0, 0.6, 0.7, 1.0])
        made.max_tokens[:] = agreed.choice([2048, 4096, 8192])
        made.model[:] = 0
    return made


def schedule(
    world: World, knobs: Campaign, pool: Pool, start: float = 0.0, end: float = 1.0
) -> tuple[Ints, Ints, Ints]:
    """Account, time (microseconds from the start) and pool row of every distillation exchange, in time order.

    ``start`` and ``end`` bound the campaign to a part of the simulated span (0 … 1).
    """
    warm = knobs.warmup_days / world.days
    start, end = warm + start * (1.0 - warm), warm + end * (1.0 - warm)
    rng, span = world.rng, world.days * (end - start)
    mine = queue(world, knobs, span)
    time = int(start * world.days * _timing.DAY) + _arrivals(world, knobs, mine.total, span)
    if knobs.routing == "topic_affine":
        account, item = _topical(world, knobs, mine.total, pool)
        return account, time, item
    item = items(world, knobs, mine, len(pool))
    account = _routed(rng, knobs, mine)
    if knobs.overlap == "partition":
        part = max(1, len(pool) // world.whole(knobs.accounts))
        order = np.argsort(account, kind="stable")
        turn = np.empty(mine.total, dtype=np.int64)
        turn[order] = _crowd.within(account[order])
        nth = account + (world.hand.first if world.hand else 0)
        item = world.agreed.permutation(len(pool))[(nth * part + turn % part) % len(pool)]
    return account, time, item


@dataclass(frozen=True)
class Queue:
    """What a part of a campaign sends: so many exchanges, its share of all (``low`` to ``high`` of 1), and who how much."""

    total: int
    low: float = 0.0
    high: float = 1.0
    weight: Floats | None = None


def queue(world: World, knobs: Campaign, span: float) -> Queue:
    """The distillation exchanges of ``span`` days that are this part's; the parts' totals add up to the campaign's."""
    each = knobs.rate * knobs.share * span
    hand = world.hand
    if hand is None:
        return Queue(round(knobs.accounts * knobs.rate * knobs.share * span))
    here = slice(hand.first, hand.first + knobs.accounts)
    if knobs.sigma and knobs.routing != "topic_affine":
        weight = hand.named("load").lognormal(0.0, knobs.sigma, hand.whole)
        edges = np.cumsum(weight) / weight.sum()
        low, high = float(edges[here.start - 1]) if here.start else 0.0, float(edges[here.stop - 1])
    else:
        weight, low, high = None, here.start / hand.whole, here.stop / hand.whole
    total = int(hand.whole * each * high) - int(hand.whole * each * low)
    return Queue(total, low, high, None if weight is None else weight[here])


def _topical(world: World, knobs: Campaign, total: int, pool: Pool) -> tuple[Ints, Ints]:
    """Account and pool row where each account keeps to its topic, a stretch of the pool in topical order."""
    rng, size, begin = world.rng, knobs.accounts, world.hand.first if world.hand else 0
    whole = world.whole(size)
    place = np.empty(len(pool), dtype=np.int64)
    place[pool.topical] = np.arange(len(pool))
    topics = min(knobs.topics, whole) or whole
    # Account a of all works on topic a mod topics, so a topic's accounts are an arithmetic series.
    nth = (place * topics // len(pool) - begin) % topics
    ours = np.flatnonzero(nth < size) if world.hand else np.arange(len(pool))
    if not len(ours):  # fewer items than accounts: the nearest will do
        ours = pool.topical[[min(begin * len(pool) // whole, len(pool) - 1)]]
    item = ours[_drawn(rng, knobs, total, len(ours))]
    lowest = np.minimum(nth[item], size - 1)
    if not knobs.topics:
        return lowest, item
    many = (size - lowest - 1) // topics + 1
    return lowest + topics * (rng.random(total) * many).astype(np.int64), item


def _arrivals(world: World, knobs: Campaign, total: int, span: float) -> Ints:
    rng = world.rng
    even = (np.arange(total) + rng.random(total)) / max(1, total) * span * _timing.DAY
    if knobs.timing == "diurnal":
        day = (even // _timing.DAY).astype(np.int64)
        zone = np.full(total, float(world.agreed.choice([-8.0, 0.0, 1.0, 8.0])))
        return np.sort(
            np.minimum(day * _timing.DAY + _timing.clock(rng, "office", zone), int(span * _timing.DAY))
        )
    if knobs.timing == "sync":
        even = even // FLUSH * FLUSH + rng.exponential(20.0 * _timing.SECOND, total)
    return np.sort(even.astype(np.int64))


def _routed(rng: np.random.Generator, knobs: Campaign, mine: Queue) -> Ints:
    size, total, weight = knobs.accounts, mine.total, mine.weight
    if weight is None:
        weight = rng.lognormal(0.0, knobs.sigma, size) if knobs.sigma else np.ones(size)
    weight = weight / weight.sum()
    if knobs.routing == "random":
        return rng.choice(size, size=total, p=weight)
    per = STICKY if knobs.routing == "sticky" else 1
    turns = -(-total // per)
    if knobs.sigma:
        # Smooth weighted round robin: account a sends at evenly spaced places of the queue.
        due = np.floor(weight * turns).astype(np.int64)
        lacking = turns - int(due.sum())
        due += np.bincount(rng.choice(size, size=lacking, p=weight), minlength=size)
        who = np.repeat(np.arange(size), due)
        place = (_crowd.within(who) + rng.random(size)[who]) / due[who]
        queue = who[np.argsort(place, kind="stable")]
    else:
        queue = np.tile(rng.permutation(size), -(-turns // size))[:turns]
    return np.repeat(queue, per)[:total]


def items(world: World, knobs: Campaign, mine: Queue, size: int) -> Ints:
    """A pool row for each exchange of a queue. Parts of a campaign share out each round of the whole pool."""
    if world.hand is None or knobs.overlap == "iid":
        return _drawn(world.rng, knobs, mine.total, size)
    order = world.agreed.permutation(size)
    if knobs.overlap == "zipf":
        return order[_favourites(world.rng, mine.total, size)]
    salt = int(world.agreed.integers(1 << 62))
    low, high = int(size * mine.low), int(size * mine.high)
    low, high = (low, high) if low < high else (0, size)  # fewer items than parts: each takes them all
    each = knobs.repeats if knobs.overlap == "best_of_k" else 1
    turn, place = np.divmod(np.arange(-(-mine.total // each)), high - low)
    # A round is the common order read with a stride and an offset of its own: a permutation, at the price of a product.
    strides = np.array([one for one in range(1, min(size, 4_096) + 1) if math.gcd(one, size) == 1])
    code = mix(turn.astype(np.uint64), salt) >> np.uint64(1)
    stride, offset = strides[code % np.uint64(len(strides))], (code >> np.uint64(20)) % np.uint64(size)
    return np.repeat(order[((low + place) * stride + offset.astype(np.int64)) % size], each)[: mine.total]


def _favourites(rng: np.random.Generator, total: int, size: int) -> Ints:
    weight = 1.0 / np.arange(1, size + 1)
    return rng.choice(size, size=total, p=weight / weight.sum())


def _drawn(rng: np.random.Generator, knobs: Campaign, total: int, size: int) -> Ints:
    if knobs.overlap == "iid":
        return rng.integers(size, size=total)
    if knobs.overlap == "zipf":
        order = rng.permutation(size)
        return order[_favourites(rng, total, size)]
    each = knobs.repeats if knobs.overlap == "best_of_k" else 1
    needed = -(-total // each)
    rounds = [rng.permutation(size) for _ in range(-(-needed // max(1, size)))]
    return np.repeat(np.concatenate(rounds)[:needed] if rounds else np.arange(0), each)[:total]


def harvest(
    world: World,
    knobs: Campaign,
    family: str,
    *,
    kinds: tuple[str, ...],
    items: tuple[str, ...],
    label: str = "campaign",
    choose: tuple[int, ...] | None = None,
    **more: Any,
) -> Block:
    """A whole campaign: accounts, distillation traffic, and cover when the share is below one.

    ``kinds`` are the corpus's own prompts of this archetype, ``items`` what the templates may be put around.
    """
    use_ready = knobs.text == "ready" or (
        knobs.text == "auto"
        and knobs.grammar == "family"
        and (bool(world.sources) or world.corpus.has(*kinds))
    )
    pool = world.pool(*kinds) if use_ready else _crowd.pool_of(world, knobs, family, items)
    accounts = ring(world, knobs)
    account, time, item = schedule(world, knobs, pool)
    prompt = text(world, knobs, family, pool, account, item, ready=use_ready, choose=choose)
    system = plain(pool.systems, item) if use_ready and pool.systems.null_count < len(pool) else None
    traffic = Traffic(account, time, prompt, system=system, campaign=True, **more)
    return Block(accounts, [*refusals(world, knobs, traffic), *cover(world, knobs, accounts)], family, label)


def text(
    world: World,
    knobs: Campaign,
    family: str,
    pool: Pool,
    account: Ints,
    item: Ints,
    *,
    ready: bool,
    choose: tuple[int, ...] | None = None,
) -> Recipe:
    """The prompts of the given items: as they are, in the family's templates (``choose``: these) or as its task has it."""
    if ready:
        return plain(pool.prompts, item)
    fill = _crowd.fill(world, pool, item)
    if choose is None or knobs.grammar == "task":
        choose = numbered(family, knobs.grammar, knobs.wording)
    return compose(
        world.rng,
        family,
        account,
        fill,
        paraphrase=knobs.paraphrase,
        choose=choose,
        grammar=knobs.grammar,
        common=world.agreed,
    )


def cover(world: World, knobs: Campaign, accounts: Accounts, kinds: tuple[str, ...] = COVER) -> list[Traffic]:
    """The ordinary traffic of the campaign's accounts: (1 - share) of their rate, and what they send to warm up."""
    made: list[Traffic] = []
    for rate, days in (
        (knobs.rate * (1.0 - knobs.share), world.days),
        (knobs.rate * WARM, knobs.warmup_days),
    ):
        if not rate or not days:
            continue
        each = _timing.rates(world.rng, knobs.accounts, rate, 0.5)
        account, day = _timing.counts(world.rng, each, days, 0.3)
        if knobs.cover == "made":
            time = _crowd.office_time(world, accounts, account, day, "home")
            small = compose(world.rng, "made_cover", account, {}, paraphrase="call")
            made.append(Traffic(account, time, small, chat=True))
        else:
            made.append(_crowd.resold(world, accounts, world.corpus.pool(kinds), account, day))
    return made


def refusals(world: World, knobs: Campaign, traffic: Traffic) -> list[Traffic]:
    """The traffic, with a share refused (429) and the same body sent on seconds later by another account."""
    if not knobs.refused:
        return [traffic]
    rng = world.rng
    rows = np.flatnonzero(rng.random(len(traffic)) < knobs.refused)
    traffic.status = np.full(len(traffic), 200, dtype=np.int64)
    traffic.status[rows] = 429
    again = Traffic(
        (traffic.account[rows] + rng.integers(1, max(2, knobs.accounts), len(rows))) % knobs.accounts,
        traffic.time[rows]
        + (rng.exponential(6.0, len(rows)) * _timing.SECOND).astype(np.int64)
        + _timing.SECOND,
        traffic.prompt.take(rows),
        system=traffic.system.take(rows) if traffic.system else None,
        model=None if traffic.model is None else traffic.model[rows],
        campaign=True,
    )
    return [traffic, again]
