"""A plan says who takes part in a simulation, for how long and in which format."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spiritsafe.simulate._corpus import Corpus
    from spiritsafe.simulate._orders import Order
    from spiritsafe.simulate._world import Mode
    from spiritsafe.simulate._write import Format

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
LONGEST = 3_650.0


@dataclass(frozen=True)
class Population:
    """One family at one size.

    ``family`` is a file of this room or an archetype's number such as "A1"; ``options`` are its knobs; ``sources``
    what it may draw from (none: all that fit); ``name`` names its campaign, or the victim of somebody's framing.
    ``where`` is the place in a plan's file, for messages.
    """

    family: str
    options: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    name: str = ""
    where: str | None = None


@dataclass(frozen=True)
class Plan:
    """A simulation: when it starts (microseconds since the epoch, UTC; a Monday by default), how many days, who.

    ``mode`` "rich" gives every account its own topics and documents, "naive" lets all draw uniformly.
    ``dropped`` columns are left out of the log (``INFRASTRUCTURE`` is the usual choice). ``orders`` are the measures
    that accounts meet.
    """

    populations: tuple[Population, ...]
    corpus: Corpus
    days: float = 1.0
    start: int = DEFAULT_START
    mode: Mode = "rich"
    dropped: tuple[str, ...] = ()
    format: Format = "parquet"
    orders: tuple[Order, ...] = ()
