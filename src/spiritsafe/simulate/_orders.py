"""Measures that accounts meet while a simulation runs, and what their operator does about it.

From its start an order refuses requests: ``suspend`` all of an account's (403), ``refuse`` those that harvest (403),
``budget`` those above ``per_day`` (429). The operator of a campaign sends what was refused again from accounts that still
work, and ``replace_hours`` after an account's first refusal has a fresh sibling in its place, to which its traffic moves.
A customer who is hit without being of a campaign tries ``TRIES`` times and waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.simulate._campaign import Campaign
from spiritsafe.simulate._crowd import within
from spiritsafe.simulate._people import siblings
from spiritsafe.simulate._timing import DAY, HOUR, SECOND
from spiritsafe.simulate._world import Traffic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spiritsafe.simulate._crowd import Customers
    from spiritsafe.simulate._register import Register
    from spiritsafe.simulate._world import Block

    Ints = NDArray[np.int64]

Response = Literal["suspend", "refuse", "budget"]
RESPONSES: tuple[Response, ...] = ("suspend", "refuse", "budget")
FOREVER = np.iinfo(np.int64).max // 4
TRIES = 3
GONE = -1
"""A time before the simulation: what happens then is in no log."""


@dataclass(frozen=True)
class Order:
    """A measure in force from ``start`` to ``expires`` (microseconds since the epoch; None: for good).

    It is for one account, or for all accounts that a campaign has when it starts.
    """

    response: Response
    start: int
    expires: int | None = None
    campaign: str = ""
    account_id: str = ""
    per_day: float = 10.0
    where: str | None = None

    def measure(self, origin: int) -> Measure:
        """The order with times that count from the start of a simulation."""
        end = FOREVER if self.expires is None else self.expires - origin
        return Measure(self.response, self.start - origin, end, self.per_day)


@dataclass(frozen=True)
class Measure:
    """An order without names, in microseconds from the start of the simulation."""

    response: Response
    start: int
    end: int
    per_day: float = 10.0


class Meeting:
    """Which accounts of a block the orders are for, also those that its operator opens in between."""

    def __init__(self, orders: Sequence[Order], name: str, block: Block, register: Register) -> None:
        self._name, self._block, self._register = name, block, register
        self._wanted = {order.account_id for order in orders if order.account_id}
        self._places: dict[str, int] = {}
        self._known = 0

    def members(self, order: Order) -> Ints:
        """The accounts that an order is for, as rows of the block's accounts."""
        if order.campaign:
            return np.arange(len(self._block.accounts) if order.campaign == self._name else 0)
        if self._known < len(self._block.accounts):
            ids = self._register.ids(self._block).slice(self._known)
            fits = np.flatnonzero(pc.is_in(ids, pa.array(sorted(self._wanted), pa.string())))
            self._places.update((ids[int(at)].as_py(), self._known + int(at)) for at in fits)
            self._known = len(self._block.accounts)
        place = self._places.get(order.account_id, -1)
        return np.array([place] if place >= 0 else [], dtype=np.int64)


def meet(
    rng: np.random.Generator,
    orders: Sequence[Order],
    block: Block,
    knobs: Campaign | Customers,
    meeting: Meeting,
    origin: int,
) -> set[Order]:
    """Enforce on a block the orders that are for it, in the order of their start; returns which were."""
    met: set[Order] = set()
    together: dict[Measure, list[Ints]] = {}
    for order in sorted(orders, key=lambda one: one.start):
        measure = order.measure(origin)
        for other in [other for other in together if other != measure]:
            enforce(rng, block, knobs, other, np.concatenate(together.pop(other)))
        members = meeting.members(order)
        if len(members):
            met.add(order)
            together.setdefault(measure, []).append(members)
    for measure, members in together.items():
        enforce(rng, block, knobs, measure, np.concatenate(members))
    return met


def churned(rng: np.random.Generator, block: Block, knobs: Campaign, days: float) -> None:
    """Suspend ``churn`` of a campaign's living accounts each day, each at a moment of its own."""
    for day in range(int(np.ceil(days))):
        living = np.flatnonzero((block.until() <= day * DAY) & (block.accounts.created < day * DAY))
        members = living[rng.random(len(living)) < knobs.churn * min(1.0, days - day)]
        moments = np.full(len(block.accounts), FOREVER)
        moments[members] = day * DAY + (rng.random(len(members)) * min(1.0, days - day) * DAY).astype(
            np.int64
        )
        enforce(rng, block, knobs, Measure("suspend", 0, FOREVER), members, moments)


def enforce(
    rng: np.random.Generator,
    block: Block,
    knobs: Campaign | Customers,
    measure: Measure,
    members: Ints,
    moments: Ints | None = None,
) -> None:
    """Refuse what the measure refuses, and let those who are refused do what they do. ``moments``: a start for each."""
    start = np.full(len(block.accounts), FOREVER) if moments is None else moments
    if moments is None:
        start[members] = measure.start
    code = 429 if measure.response == "budget" else 403
    rows = _affected(block, measure, start)
    if not isinstance(knobs, Campaign) or block.campaign is None:
        for traffic, mine in zip(block.traffic, rows, strict=True):
            _refuse(traffic, mine, code)
        if measure.response == "suspend":
            _give_up(block, rows)
        return
    # The operator learns of it from the first refusal.
    noticed = np.full(len(start), FOREVER)
    for traffic, mine in zip(block.traffic, rows, strict=True):
        np.minimum.at(noticed, traffic.account[mine], traffic.time[mine])
    hit = np.flatnonzero(noticed < FOREVER)
    ready = noticed + (knobs.replace_hours * HOUR * rng.lognormal(0.0, 0.3, len(start))).astype(np.int64)
    heir = np.arange(len(start))
    heir[hit] = len(start) + np.arange(len(hit))
    if measure.response == "suspend":
        block.suspended = block.until()
        block.suspended[members] = measure.end
    first = start[members].min() if len(members) else FOREVER
    live = np.flatnonzero((block.until() <= first) & (block.accounts.created < first) & (start == FOREVER))
    block.accounts = siblings(rng, block.accounts, hit, ready[hit], shared=knobs.organizations > 0)
    for traffic, mine in zip(list(block.traffic), rows, strict=True):
        early = traffic.time[mine] < ready[traffic.account[mine]]
        if traffic.campaign:
            block.traffic.append(_again(rng, traffic, mine[early], live, heir, ready))
        _refuse(traffic, mine[early], code)
        _move(traffic, mine[~early], heir)


def _affected(block: Block, measure: Measure, start: Ints) -> list[Ints]:
    """The rows of each traffic that a measure refuses; what was refused already is left as it is."""
    found: list[Ints] = []
    for traffic in block.traffic:
        hit = (traffic.time >= start[traffic.account]) & (traffic.time < measure.end)
        if traffic.status is not None:
            hit &= traffic.status < 400
        if measure.response == "refuse" and not traffic.campaign:
            hit[:] = False
        found.append(np.flatnonzero(hit))
    return _above(block, found, measure.per_day) if measure.response == "budget" else found


def _above(block: Block, rows: list[Ints], per_day: float) -> list[Ints]:
    """Of the given rows those that come after the first ``per_day`` of their account and day."""
    part = np.repeat(np.arange(len(rows)), [len(mine) for mine in rows])
    pairs = list(zip(block.traffic, rows, strict=True))
    account = np.concatenate([traffic.account[mine] for traffic, mine in pairs])
    time = np.concatenate([traffic.time[mine] for traffic, mine in pairs])
    order = np.lexsort((time, account))
    group = account[order] * 100_000 + time[order] // DAY
    over = np.zeros(len(group), dtype=np.bool_)
    over[order] = within(group) >= per_day
    flat = np.concatenate(rows)
    return [flat[over & (part == number)] for number in range(len(rows))]


def _refuse(traffic: Traffic, rows: Ints, code: int) -> None:
    status = np.full(len(traffic), 200) if traffic.status is None else traffic.status.copy()
    status[rows] = code
    traffic.status = status


def _move(traffic: Traffic, rows: Ints, heir: Ints) -> None:
    """Give rows to the siblings of their accounts. Conversations begin anew there, and carry nothing over."""
    account = traffic.account.copy()
    account[rows] = heir[account[rows]]
    if traffic.session is not None and len(rows):
        session = traffic.session.copy()
        session[rows] = np.where(session[rows] < 0, -1, session[rows] + session.max() + 1)
        traffic.session = session
    if traffic.redeems is not None and not traffic.campaign:
        of = np.maximum(traffic.redeems, 0)
        traffic.redeems = np.where(account[of] == account, traffic.redeems, -1)
    traffic.account = account


def _again(
    rng: np.random.Generator, traffic: Traffic, rows: Ints, live: Ints, heir: Ints, ready: Ints
) -> Traffic:
    """The same bodies from an account that works, or from the sibling when nobody else is left."""
    account, wait = traffic.account[rows], rng.exponential(6.0, len(rows)) * SECOND
    if len(live):
        sender, time = rng.choice(live, size=len(rows)), traffic.time[rows] + SECOND + wait.astype(np.int64)
    else:
        sender, time = heir[account], ready[account] + SECOND + (10.0 * wait).astype(np.int64)
    return Traffic(
        sender,
        time,
        traffic.prompt.take(rows),
        system=None if traffic.system is None else traffic.system.take(rows),
        model=None if traffic.model is None else traffic.model[rows],
        tools=traffic.tools,
        tool_set=None if traffic.tool_set is None else traffic.tool_set[rows],
        campaign=True,
        chat=traffic.chat,
    )


def _give_up(block: Block, rows: list[Ints]) -> None:
    """People whose account is closed try a few times and stop until the order ends."""
    pairs = list(zip(block.traffic, rows, strict=True))
    account = np.concatenate([traffic.account[mine] for traffic, mine in pairs])
    time = np.concatenate([traffic.time[mine] for traffic, mine in pairs])
    order = np.lexsort((time, account))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = within(account[order])
    begin = 0
    for traffic, mine in pairs:
        late = mine[rank[begin : begin + len(mine)] >= TRIES]
        begin += len(mine)
        moved = traffic.time.copy()
        moved[late] = GONE
        traffic.time = moved
