"""Migration after a ban: accounts that begin to send when others of their group have just been shut out.

Bans are read from the log: a party's traffic ends in refusals. Only the time of a party's first exchange is tested, and
nothing in the choice of a candidate depends on it, so all hours are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logsumexp

from spiritsafe.campaigns import draws
from spiritsafe.campaigns.coordination import Test
from spiritsafe.campaigns.crossings import REFUSED
from spiritsafe.campaigns.log import HOUR

if TYPE_CHECKING:
    from spiritsafe.campaigns.log import Log
    from spiritsafe.engine import Engine

LEAST_BANS = 5
"""Fewer bans in one group are accidents of single customers, and no test is made."""
LIMITED = 3
"""Final 429s that count as the end of an account: one or two are anybody's last try of the day."""
_WINDOWS = (HOUR, 6 * HOUR, 24 * HOUR)


@dataclass(frozen=True, slots=True)
class Lives:
    """int64 by party, microseconds: ``onset`` of its first exchange and ``ban``, the first of its final refusals.

    ``ban`` is −1 for a party that was not shut out; ``begin`` is the log's first exchange.
    """

    onset: Any
    ban: Any
    begin: int


def lives(engine: Engine, log: Log) -> Lives:
    """When each party began, and when it was shut out: all it sent from then on was refused, once by 403 or thrice."""
    onset = np.full(log.parties, np.iinfo(np.int64).max, np.int64)
    for rows in log.pieces():
        np.minimum.at(onset, log.row_party[rows], log.time[rows])
    ended = engine.table(
        "WITH worked AS (SELECT p.party, max(s.time) AS time FROM sketch s JOIN party_open p ON s.acc = p.acc "
        f"WHERE s.status IS NULL OR s.status NOT IN {REFUSED} GROUP BY p.party) "
        "SELECT p.party, min(s.time) AS ban FROM sketch s JOIN party_open p ON s.acc = p.acc "
        f"JOIN worked w ON w.party = p.party WHERE s.status IN {REFUSED} AND s.time > w.time GROUP BY p.party "
        f"HAVING max(CASE WHEN s.status = 403 THEN 1 ELSE 0 END) = 1 OR count(*) >= {LIMITED}"
    )
    ban = np.full(log.parties, -1, np.int64)
    ban[ended.column("party").to_numpy()] = ended.column("ban").to_numpy()
    return Lives(onset, ban, int(onset.min()))


def migrated(known: Lives, parties: Any) -> Test | None:
    """Whether members begin right after members were shut out. ``parties`` int64: the members.

    Null: of the onsets shortly before and shortly after the bans, the members' are a random draw from all parties'. A
    ban counts once its account had worked as long as the window is: a class that starts has its first refusals too.
    """
    bans = parties[known.ban[parties] >= 0]
    logs, told = [], (0, 0.0, 0)
    if bans.size < LEAST_BANS:
        return None
    for window in _WINDOWS:
        old = bans[known.ban[bans] - known.onset[bans] >= window]
        moments = np.sort(known.ban[old])
        after = _within(known.onset, moments, window)
        near = (after | _within(-known.onset, -moments[::-1], window)) & (known.onset > known.begin)
        after &= near
        size, marked = int(near.sum()), int(after.sum())
        drawn, hits = int(near[parties].sum()), int(after[parties].sum())
        logs.append(draws.enriched(hits, drawn, marked, size))
        if drawn > told[2]:
            told = (hits, drawn * marked / size, drawn)
    if not told[2]:
        return None
    return Test(
        "began_after_bans",
        "Do accounts begin right after others of the group were shut out?",
        "members' first exchanges near the bans are a random draw from those of all accounts at the time",
        "members that began after a ban, of those near one",
        float(told[0]),
        float(told[1]),
        float(logsumexp(logs) - np.log(len(logs))),
        int(told[2]),
        1.0,
        note="all hours: the choice of the group does not depend on first exchanges",
    )


def _within(times: Any, moments: Any, window: int) -> Any:
    """Bool by time: at or up to ``window`` after one of the sorted ``moments``."""
    if not moments.size:
        return np.zeros(times.size, bool)
    last = np.searchsorted(moments, times, side="right") - 1
    return (last >= 0) & (times - moments[np.maximum(last, 0)] <= window)
