"""Whether what others warn of was seen here: pulled indicators beside an own log.

Exact numbers stay; orders of magnitude and days are told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spiritsafe.sharing.stix.terms import bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from spiritsafe.model import Indicator
    from spiritsafe.sharing.client.state import State
    from spiritsafe.sharing.stix.build import Maker

    Match = Callable[[pa.RecordBatch], tuple[Any, Any]]


@dataclass(slots=True)
class Seen:
    """One indicator in the own log. Times in microseconds. Exact numbers stay here."""

    first: int
    last: int
    exchanges: int = 0
    accounts: set[str] = field(default_factory=set[str])


def tally(
    batches: Iterable[pa.RecordBatch], match: Match, indicators: Sequence[Indicator]
) -> dict[str, Seen]:
    """What of ``indicators`` a log has. ``match`` gives rows and numbers of indicators of a sketched batch, a pair a match.

    An indicator counts from its ``valid_from`` to its ``valid_until`` by the recorded times.
    """
    begins = np.array([one.valid_from for one in indicators], np.int64)
    ends = np.array([one.valid_until or np.iinfo(np.int64).max for one in indicators], np.int64)
    found: dict[str, Seen] = {}
    for batch in batches:
        rows, numbers = match(batch)
        times = batch.column("time").cast(pa.int64()).to_numpy(zero_copy_only=False)[rows]
        held = (begins[numbers] <= times) & (times < ends[numbers])
        rows, numbers, times = rows[held], numbers[held], times[held]
        coded = batch.column("account_id").dictionary_encode()
        names = coded.dictionary.to_pylist()
        codes = coded.indices.to_numpy(zero_copy_only=False)[rows]
        for number in np.unique(numbers).tolist():
            mine = numbers == number
            low, high = int(times[mine].min()), int(times[mine].max())
            one = found.setdefault(indicators[number].indicator_id, Seen(low, high))
            one.first, one.last = min(one.first, low), max(one.last, high)
            one.exchanges += int(mine.sum())
            one.accounts.update(names[code] for code in np.unique(codes[mine]).tolist())
    return found


@dataclass(frozen=True, slots=True)
class Own:
    """A campaign of an own scan beside an indicator of others: so many of its accounts matched. A lead, no evidence."""

    campaign_id: str
    indicator: str
    accounts: int
    of: int


def own_campaigns(seen: Mapping[str, Seen], told: Mapping[str, Any]) -> list[Own]:
    """Which campaigns of an own ``campaigns.json`` have accounts that matched."""
    found: list[Own] = []
    for entry in told["campaigns"]:
        members = {one["account_id"] for one in entry["accounts"]}
        for key, one in sorted(seen.items()):
            both = len(members & one.accounts)
            if both:
                found.append(Own(entry["campaign_id"], key, both, len(members)))
    return found


def keep(state: State, seen: Mapping[str, Seen], now: int) -> None:
    """Note the matches: who is wronged by an indicator that turns out false must be findable."""
    with state.change():
        for key, one in seen.items():
            state.match(
                key,
                first=one.first,
                last=one.last,
                accounts=len(one.accounts),
                exchanges=one.exchanges,
                now=now,
            )


def told(maker: Maker, seen: Mapping[str, Seen]) -> list[dict[str, Any]]:
    """Sightings that say so to the others, in orders of magnitude and days."""
    made: list[dict[str, Any]] = []
    for key, one in sorted(seen.items()):
        sizes = {"accounts": bucket(len(one.accounts)), "exchanges": bucket(one.exchanges)}
        volume = {unit: size for unit, size in sizes.items() if size is not None}
        made.append(maker.sighting(key, first=one.first, last=one.last, volume=volume))
    return made
