"""A token bucket over recorded times, compiled: what ``state.Buckets`` would have refused."""

from __future__ import annotations

from spiritsafe.features._compile import compiled


@compiled
def over(times, rate, burst):  # type: ignore[no-untyped-def]
    """How many of ``times`` (int64 microseconds, ascending) find less than one token; ``rate`` a second."""
    level, last, refused = burst, times[0], 0
    for i in range(times.size):
        level = min(burst, level + (times[i] - last) * rate / 1e6)
        last = times[i]
        if level >= 1.0:
            level -= 1.0
        else:
            refused += 1
    return refused
