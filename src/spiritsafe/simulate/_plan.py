"""A plan says who takes part; :func:`simulate` makes the log and its truth."""

from __future__ import annotations

import difflib
import inspect
import shutil
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, cast

import pyarrow.compute as pc
import pyarrow.parquet as pq

from spiritsafe import registry, schema
from spiritsafe.errors import StorageError, UsageError
from spiritsafe.simulate import _write
from spiritsafe.simulate._campaign import Campaign
from spiritsafe.simulate._crowd import Customers
from spiritsafe.simulate._world import Block, Mode, World, generator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from spiritsafe.simulate._corpus import Corpus

INFRASTRUCTURE = (
    "payment_id",
    "device_id",
    "client_ip",
    "asn",
    "user_agent",
    "email_domain",
    "account_created",
)
DEFAULT_START = int(datetime(2026, 9, 7, tzinfo=UTC).timestamp()) * 1_000_000


@dataclass(frozen=True)
class Population:
    """One family at one size.

    ``family`` is a file of this room or an archetype's number such as "A1"; ``options`` are its knobs; ``sources``
    what it may draw from (none: all that fit); ``name`` names its campaign.
    """

    family: str
    options: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Plan:
    """A simulation: when it starts (microseconds since the epoch, UTC; a Monday by default), how many days, who.

    ``mode`` "rich" gives every account its own topics and documents, "naive" lets all draw uniformly.
    ``dropped`` columns are left out of the log (``INFRASTRUCTURE`` is the usual choice).
    """

    populations: tuple[Population, ...]
    corpus: Corpus
    days: float = 1.0
    start: int = DEFAULT_START
    mode: Mode = "rich"
    dropped: tuple[str, ...] = ()
    format: Literal["parquet", "jsonl.gz"] = "parquet"


@dataclass(frozen=True)
class Truth:
    """Where the log and the truth are, and what is in them. ``campaigns``: name -> accounts."""

    log: Path
    truth: Path
    exchanges: int
    accounts: int
    campaigns: dict[str, int]


def simulate(plan: Plan, out: Path, *, seed: int) -> Truth:
    """Write ``out/log.parquet`` (or ``log.jsonl.gz``) and ``out/truth.parquet``; same plan and seed, same bytes.

    ``out`` must not exist; it appears only when complete. Raises UsageError for a plan that makes no sense.
    """
    if out.exists():
        raise UsageError("the output folder is there already", where=str(out), hint="name a new one")
    unknown = set(plan.dropped) - set(schema.NAMES)
    if unknown:
        raise UsageError(f"no column called {', '.join(sorted(unknown))}")
    sheet = _write.Sheet(build(plan, seed=seed), plan.start, plan.days, seed)
    part = out.with_name(f"{out.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        log = part / f"log.{plan.format}"
        (_write.write_parquet if plan.format == "parquet" else _write.write_jsonl)(sheet, log, plan.dropped)
        truth = sheet.truth()
        pq.write_table(truth, part / "truth.parquet", compression="zstd")
        part.replace(out)
    except OSError as error:
        raise StorageError(str(error), where=str(out)) from error
    members = truth.group_by(["account_id", "account_campaign"]).aggregate([])
    named = pc.value_counts(members["account_campaign"].drop_null()).to_pylist()
    campaigns = {row["values"]: int(row["counts"]) for row in named}
    return Truth(out / log.name, out / "truth.parquet", truth.num_rows, members.num_rows, campaigns)


def build(plan: Plan, *, seed: int) -> list[tuple[str, Block]]:
    """The blocks of a plan, each with the name of its family."""
    if plan.days <= 0:
        raise UsageError("a simulation lasts longer than nothing", hint="days is a positive number")
    blocks: list[tuple[str, Block]] = []
    for number, population in enumerate(plan.populations):
        family, function, arguments = resolve(population)
        rng = generator(seed, number, family)
        world = World(plan.corpus, plan.start, plan.days, plan.mode, rng, number, population.sources)
        block = function(world, **arguments)
        if block.campaign is not None:
            block.campaign = population.name or f"{family}-{number}"
        blocks.append((family, block))
    return blocks


def resolve(population: Population) -> tuple[str, Callable[..., Block], dict[str, Any]]:
    """The family's id, its function, and its arguments from the options; raises UsageError with the nearest name."""
    found = registry.extensions("simulate")
    numbers = {getattr(one.module, "ARCHETYPE", ""): name for name, one in found.items()}
    name = numbers.get(population.family, population.family) if population.family else ""
    if name not in found:
        raise UsageError(
            f"no family called {population.family!r}", hint=_nearest(population.family, list(found))
        )
    module = found[name].module
    knobs_type = Campaign if getattr(module, "ARCHETYPE", "") else Customers
    knob_names = [one.name for one in fields(knobs_type)]
    extra_names = [
        one for one in inspect.signature(found[name].function).parameters if one not in ("world", "knobs")
    ]
    knobs = dict(getattr(module, "DEFAULTS", {}))
    extra: dict[str, Any] = {}
    for key, value in population.options.items():
        if key in knob_names:
            knobs[key] = value
        elif key in extra_names:
            extra[key] = value
        else:
            raise UsageError(f"{name} has no option {key!r}", hint=_nearest(key, knob_names + extra_names))
    made = knobs_type(**knobs)
    _sensible(name, made)
    return name, cast("Callable[..., Block]", found[name].function), {"knobs": made, **extra}


def _sensible(name: str, knobs: Campaign | Customers) -> None:
    if knobs.accounts < 1 or knobs.rate <= 0 or not 0 <= knobs.sigma <= 5:
        raise UsageError(f"{name}: accounts >= 1, rate > 0 and 0 <= sigma <= 5 are needed")
    if isinstance(knobs, Campaign):
        for share in ("share", "payment", "device", "network", "client", "mail", "refused"):
            if not 0.0 <= getattr(knobs, share) <= 1.0:
                raise UsageError(f"{name}: {share} is a share between 0 and 1")


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(sorted(known))}"
