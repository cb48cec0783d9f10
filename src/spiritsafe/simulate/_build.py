"""From a plan to blocks, one population at a time."""

from __future__ import annotations

import inspect
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spiritsafe import registry
from spiritsafe.errors import UsageError
from spiritsafe.simulate import _lone
from spiritsafe.simulate._campaign import Campaign
from spiritsafe.simulate._crowd import Customers
from spiritsafe.simulate._disguise import blank, frame
from spiritsafe.simulate._knobs import KnobError, resolve
from spiritsafe.simulate._orders import Meeting, churned, meet
from spiritsafe.simulate._parts import FIRM, Share, cut
from spiritsafe.simulate._world import Hand, World, generator
from spiritsafe.tomlfile import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from spiritsafe.simulate._orders import Order
    from spiritsafe.simulate._plan import Plan
    from spiritsafe.simulate._register import Register
    from spiritsafe.simulate._world import Block

ONE_FIRM = (FIRM, "organizations")


def names(plan: Plan) -> list[str]:
    """The name of each population; raises UsageError when two have the same."""
    found: list[str] = []
    for number, population in enumerate(plan.populations):
        name = population.name or f"{resolved(plan, number)[0]}-{number}"
        if name in found:
            raise UsageError(f"two populations are called {name!r}", where=population.where)
        found.append(name)
    return found


def check(plan: Plan) -> None:
    """Raise UsageError, with the place, for a plan that makes no sense."""
    if not 0 < plan.days <= 3_650:
        raise UsageError(
            "a simulation lasts longer than nothing", hint="days is a number above 0, up to 3,650"
        )
    known = names(plan)
    for number, population in enumerate(plan.populations):
        knobs = resolved(plan, number)[2]["knobs"]
        if population.sources:
            try:
                plan.corpus.only(population.sources)
            except UsageError as error:
                raise _placed(
                    KnobError("sources", error.message, hint=error.hint), population.where
                ) from error
        others = [name for name in known if name != known[number]]
        if isinstance(knobs, Campaign) and knobs.frames and knobs.frames not in others:
            message, hint = f"no other population is called {knobs.frames!r}", nearest(knobs.frames, others)
            raise _placed(KnobError("frames", message, hint=hint), population.where)
    for order in plan.orders:
        if order.campaign and order.campaign not in known:
            raise UsageError(
                f"no campaign called {order.campaign!r}",
                where=order.where,
                hint=nearest(order.campaign, known),
            )


@dataclass(frozen=True)
class Made:
    """A block as it was made: by which family and with which knobs, and which part of the population's ``parts`` it is.

    ``stream`` names its random numbers.
    """

    family: str
    block: Block
    knobs: Campaign | Customers
    stream: tuple[str | int, ...]
    part: int
    parts: int


def build(plan: Plan, register: Register, *, seed: int) -> Iterator[Made]:
    """The blocks of a plan; a block must be registered before the next is asked for."""
    check(plan)
    known = names(plan)
    met: set[Order] = set()
    for number in range(len(plan.populations)):
        for made in _population(plan, number, seed):
            block, knobs, stream = made.block, made.knobs, made.stream
            if isinstance(knobs, Customers) and knobs.likeness:
                _alone(plan, number, seed, block, knobs)
            if isinstance(knobs, Campaign) and knobs.frames:
                copied = next(_population(plan, known.index(knobs.frames), seed)).block
                frame(generator(seed, *stream, "framing"), knobs, block, copied)
            if block.campaign is not None:
                block.campaign = known[number]
            rng = generator(seed, *stream, "orders")
            if isinstance(knobs, Campaign) and knobs.churn:
                churned(rng, block, knobs, plan.days)
            if plan.orders:
                meeting = Meeting(plan.orders, known[number], block, register)
                met |= meet(rng, plan.orders, block, knobs, meeting, plan.start)
            if knobs.nulls:
                blank(generator(seed, *stream, "nulls"), block, knobs.nulls)
            yield made
    _all_met(plan, met)


def count(plan: Plan) -> int:
    """How many blocks a plan is made in."""
    return sum(len(_shares(plan, number)) for number in range(len(plan.populations)))


def _shares(plan: Plan, number: int) -> list[Share]:
    family, function, arguments = resolved(plan, number)
    module = registry.extensions("simulate")[family].module
    return list(cut(module, arguments["knobs"], settings(function, arguments), plan.days))


def _all_met(plan: Plan, met: set[Order]) -> None:
    end = plan.start + round(plan.days * 86_400_000_000)
    for order in plan.orders:
        if order.start >= end or (order.expires is not None and order.expires <= plan.start):
            raise UsageError(
                "the order meets nobody: it is not in force on the plan's days",
                where=order.where,
                hint="compare its start and expires with the plan's start and days",
            )
        if order not in met:
            who = order.campaign or order.account_id
            raise UsageError(
                f"the order meets nobody: {who!r}",
                where=order.where,
                hint="account ids depend on plan and seed",
            )


def _alone(plan: Plan, number: int, seed: int, block: Block, knobs: Customers) -> None:
    """Put in single customers who do alone what the archetype ``like`` does together."""
    archetype, _, usual = resolve(knobs.like, {}, plan.days)
    options = _lone.options(knobs, archetype, usual["knobs"])
    strangers = replace(plan.populations[number], family=knobs.like, options=options)
    among = replace(plan, populations=(strangers,))
    found = next(_population(among, 0, zlib.crc32(f"{seed} {number} {block.number}".encode()))).block
    whose = resolved(among, 0)[2]["knobs"]
    even = (whose.timing, whose.overlap) == ("jitter", "iid")
    rng = generator(seed, number, block.number, "lone")
    # As many run in a cloud as accounts of the campaign send from rented addresses.
    _lone.mingle(rng, block, found, plan.days, paced=even, cloud=usual["knobs"].network)


def _population(plan: Plan, number: int, seed: int) -> Iterator[Made]:
    population = plan.populations[number]
    family, function, arguments = resolved(plan, number)
    knobs, module = arguments["knobs"], registry.extensions("simulate")[family].module
    shares = _shares(plan, number)
    base = number
    for cell, share in enumerate(shares):
        stream = (number, family, *([cell] if cell else []))
        cell_number = number + cell * len(plan.populations)
        base = cell_number if not share.first else base
        key = (number, family, "hand", share.unit)
        hand = Hand(generator(seed, *key), share.first, share.whole, seed, key) if share.split else None
        world = World(
            plan.corpus, plan.start, plan.days, plan.mode, generator(seed, *stream), number, population.sources,
            share.unit, hand,
        )  # fmt: skip
        try:
            block = function(world, **{**arguments, "knobs": share.knobs})
        except UsageError as error:
            raise _placed(error, population.where) from error
        block.number, block.base = cell_number, base
        if hand and not isinstance(knobs, Campaign) and getattr(module, "UNIT", "") in ONE_FIRM:
            block.accounts.organization = world.shared(block.accounts.organization)
        yield Made(family, block, share.knobs, stream, cell + 1, len(shares))


def settings(function: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """A family's own settings: as they were asked for, or else its defaults."""
    own = {key: one.default for key, one in inspect.signature(function).parameters.items()}
    return own | arguments


def resolved(plan: Plan, number: int) -> tuple[str, Any, dict[str, Any]]:
    """A population's family, its function and arguments; raises UsageError with the place."""
    population = plan.populations[number]
    try:
        return resolve(population.family, population.options, plan.days)
    except KnobError as error:
        raise _placed(error, population.where) from error


def _placed(error: UsageError, where: str | None) -> UsageError:
    if error.where is None:
        error.where = where
    return error
