"""Times as STIX and TAXII write them, in microseconds since the epoch."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP = timedelta(microseconds=1)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z", re.ASCII)


def micros(text: object) -> int | None:
    """Microseconds of an RFC 3339 time in UTC, None when it is none or is finer than a microsecond."""
    return _micros(text) if isinstance(text, str) else None


@lru_cache(8_192)  # objects of one request have few times
def _micros(text: str) -> int | None:
    if not _TIME.fullmatch(text):
        return None
    seconds, _, fraction = text[:-1].partition(".")
    try:
        whole = datetime.fromisoformat(seconds + "+00:00")
    except ValueError:
        return None
    return (whole - _EPOCH) // _STEP + int(fraction.ljust(6, "0") or 0)


def written(time: int) -> str:
    """The time with six digits, as TAXII's headers have it; its order as text is the order in time."""
    return (_EPOCH + time * _STEP).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
