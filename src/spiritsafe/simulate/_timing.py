"""When exchanges arrive: counts per account and day, hours of the day, sessions, job runs. All arrays."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR


@cache
def shapes() -> dict[str, Any]:
    """The fitted numbers of ``_shapes.toml``."""
    return tomllib.loads((files("spiritsafe.simulate") / "_shapes.toml").read_text("utf-8"))


def rates(rng: np.random.Generator, accounts: int, mean: float, sigma: float) -> Floats:
    """Exchanges per day of each account: lognormal with the given mean (not median)."""
    return mean * rng.lognormal(-sigma * sigma / 2.0, sigma, accounts) if sigma else np.full(accounts, mean)


def counts(rng: np.random.Generator, rate: Floats, days: float, burst: float) -> tuple[Ints, Ints]:
    """Account and day of every exchange, sorted: gamma-Poisson with shape ``1 / burst`` for each account-day.

    A last, partial day gets its share. ``burst`` 0 is Poisson.
    """
    whole = int(np.ceil(days))
    length = np.minimum(1.0, days - np.arange(whole))
    level = rate[:, None] * length[None, :]
    if burst:
        level = level * rng.gamma(1.0 / burst, burst, (len(rate), whole))
    drawn = rng.poisson(level)
    flat = np.repeat(np.arange(drawn.size), drawn.ravel())
    return flat // whole, flat % whole


def clock(rng: np.random.Generator, shape: str, zone: Floats) -> Ints:
    """A moment of the UTC day in microseconds for each row, from an hour profile in local time.

    ``zone`` is each row's offset from UTC in hours.
    """
    profile = np.asarray(shapes()["hours"][shape], dtype=np.float64)
    edges = np.concatenate([[0.0], np.cumsum(profile / profile.sum())])
    local = np.interp(rng.random(len(zone)), edges, np.arange(25.0))
    return (((local - zone) % 24.0) * HOUR).astype(np.int64)


def sessions(
    rng: np.random.Generator, account: Ints, day: Ints, turns: float, clock_at: Any, *, person: bool
) -> tuple[Ints, Ints, Ints]:
    """Microseconds since the start of the log, session number and turn (from 0) of each row.

    Rows are sorted by account and day; sessions have a geometric number of turns with the given mean and do not
    cross a day. ``clock_at(rows)`` gives the time of day at which the sessions that begin in ``rows`` begin.
    """
    rows = np.arange(len(account))
    if not len(rows):
        return rows, rows, rows
    first = np.concatenate([[True], (np.diff(account) != 0) | (np.diff(day) != 0)])
    opens = first | (rng.random(len(rows)) < 1.0 / max(1.0, turns))
    session = np.cumsum(opens) - 1
    head = np.flatnonzero(opens)
    mu, sigma = shapes()["sessions"]["ln_think_person" if person else "ln_think_agent"]
    gap = np.where(opens, 0.0, np.minimum(rng.lognormal(mu, sigma, len(rows)), 3_600.0))
    run = np.cumsum(gap)
    start = day[head] * DAY + clock_at(head)
    offset = start[session] + ((run - run[head][session]) * SECOND).astype(np.int64)
    return offset, session, rows - head[session]


def runs(rng: np.random.Generator, account: Ints, day: Ints, hour: Floats, spread: float) -> Ints:
    """Microseconds since the start of the log of the rows of daily job runs.

    A run starts at its account's ``hour`` (UTC) give or take minutes; gaps are gamma with a coefficient of
    variation drawn per account from the ServeGen fit; a run lasts about ``spread`` hours.
    """
    if not len(account):
        return account
    first = np.concatenate([[True], (np.diff(account) != 0) | (np.diff(day) != 0)])
    head = np.flatnonzero(first)
    run = np.cumsum(first) - 1
    size = np.diff(np.append(head, len(account)))
    mu, sigma = shapes()["rates"]["ln_cv"]
    people = len(hour)
    shape = np.exp(-2.0 * rng.normal(mu, sigma, people)).clip(0.05, 20.0)
    gap = rng.gamma(shape[account], 1.0)
    total = np.cumsum(gap)
    within = total - total[head][run]
    full = np.maximum(within[np.append(head[1:], len(account)) - 1], 1e-9)[run]
    length = spread * HOUR * rng.lognormal(0.0, 0.3, len(head)) * np.minimum(1.0, size / 20.0)
    start = day[head] * DAY + (hour[account[head]] * HOUR) + rng.normal(0.0, 4.0 * 60.0 * SECOND, len(head))
    return (start[run] + within / full * length[run]).astype(np.int64)
