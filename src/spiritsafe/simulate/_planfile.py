"""A plan as a TOML file: what it may hold, and errors that name the key, the line and the nearest valid name."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, cast

from spiritsafe import schema
from spiritsafe.errors import UsageError
from spiritsafe.simulate._build import check
from spiritsafe.simulate._knobs import KnobError, resolve
from spiritsafe.simulate._orders import RESPONSES, Order
from spiritsafe.simulate._plan import DEFAULT_START, INFRASTRUCTURE, LONGEST, Plan, Population
from spiritsafe.tomlfile import nearest, read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from spiritsafe.simulate._corpus import Corpus

    Place = Callable[..., str]

KEYS = ("days", "start", "mode", "format", "dropped", "population", "orders")
MODES, FORMATS = ("rich", "naive"), ("parquet", "jsonl.gz", "jsonl.zst")
POPULATION = ("family", "name", "sources")
ORDER = ("campaign", "account_id", "response", "start", "expires", "per_day")


def read_plan(path: Path, corpus: Corpus, orders: Sequence[Order] = ()) -> Plan:
    """The plan in a TOML file, checked as a whole. Raises UsageError that says what is wrong, and on which line."""
    whole = read(path)
    table, place = whole.values, whole.place
    _only(table, KEYS, "a plan", place)
    tables = _tables(table, "population", place)
    if not tables:
        raise UsageError("a plan needs at least one [[population]]", where=place())
    plan = Plan(
        populations=(),
        corpus=corpus,
        days=_number(table, "days", 1.0, place),
        start=moment(table.get("start", DEFAULT_START), place("start"), "start"),
        mode=cast("Any", _word(table, "mode", MODES, place)),
        format=cast("Any", _word(table, "format", FORMATS, place)),
        dropped=_dropped(table.get("dropped", []), place("dropped")),
    )
    populations = [
        _population(one, plan.days, lambda *keys, at=number: place("population", at, *keys))
        for number, one in enumerate(tables)
    ]
    listed = [
        order_of(one, lambda *keys, at=number: place("orders", at, *keys))
        for number, one in enumerate(_tables(table, "orders", place))
    ]
    made = replace(plan, populations=tuple(populations), orders=(*listed, *orders))
    try:
        check(made)
    except KnobError as error:
        at = next((n for n, one in enumerate(populations) if one.where == error.where), None)
        if at is not None:
            error.where = place("population", at, error.key)
        raise
    return made


def _population(table: Mapping[str, Any], days: float, place: Place) -> Population:
    family = table.get("family")
    if not isinstance(family, str) or not family:
        raise UsageError(
            "a population needs a family, as text",
            where=place("family"),
            hint='for instance family = "chat_users"',
        )
    name, sources = table.get("name", ""), table.get("sources", [])
    if not isinstance(name, str):
        raise UsageError(f"name = {name!r} makes no sense: a text is needed", where=place("name"))
    if not isinstance(sources, list) or not all(isinstance(one, str) for one in cast("list[Any]", sources)):
        raise UsageError(
            f"sources = {sources!r} makes no sense: a list of texts is needed", where=place("sources")
        )
    options = {key: value for key, value in table.items() if key not in POPULATION}
    try:
        resolve(family, options, days, POPULATION)
    except KnobError as error:
        error.where = place(error.key)
        raise
    return Population(family, options, tuple(cast("list[str]", sources)), name, place())


def order_of(table: Mapping[str, Any], place: Place) -> Order:
    """An order from a table of a plan or an entry of an order file. Raises UsageError with the place."""
    _only(table, ORDER, "an order", place)
    campaign, account = table.get("campaign", ""), table.get("account_id", "")
    if not isinstance(campaign, str) or not isinstance(account, str) or bool(campaign) == bool(account):
        raise UsageError("an order is for one campaign or one account_id", where=place())
    response = table.get("response")
    if response not in RESPONSES:
        hint = nearest(str(response), RESPONSES)
        raise UsageError(f"response = {response!r} makes no sense", where=place("response"), hint=hint)
    if "start" not in table:
        raise UsageError(
            "an order needs a start", where=place(), hint='for instance start = "2026-09-08T06:00:00Z"'
        )
    start = moment(table["start"], place("start"), "start")
    end = table.get("expires")
    expires = None if end is None else moment(end, place("expires"), "expires")
    if expires is not None and expires <= start:
        raise UsageError("an order expires after its start", where=place("expires"))
    per_day = _number(table, "per_day", 10.0, place)
    return Order(response, start, expires, campaign, account, per_day, place())


_LATEST = 7_258_118_400_000_000
"""2200-01-01: a plan's days still fit a 64-bit count of microseconds, and a date that can be written."""


def moment(value: object, where: str, key: str) -> int:
    """Microseconds since the epoch of a TOML or RFC 3339 time; without an offset it is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < _LATEST:
            raise UsageError(
                f"{key} is no time between 1970 and 2200: {value}",
                where=where,
                hint="a number counts microseconds since 1970; 2026-09-30T12:00:00Z is easier to read",
            )
        return value
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        raise UsageError(
            f"{key} is not a time", where=where, hint="write it as 2026-09-30 or 2026-09-30T12:00:00Z"
        )
    stamp = value if value.tzinfo else value.replace(tzinfo=UTC)
    return moment(round(stamp.timestamp() * 1_000_000), where, key)


def _only(table: Mapping[str, Any], keys: Sequence[str], what: str, place: Place) -> None:
    for key in table:
        if key not in keys:
            raise UsageError(f"{what} has no key {key!r}", where=place(key), hint=nearest(key, keys))


def _tables(table: Mapping[str, Any], key: str, place: Place) -> list[dict[str, Any]]:
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in cast("list[Any]", found)):
        raise UsageError(f"{key} is written as [[{key}]], once for each", where=place(key))
    return cast("list[dict[str, Any]]", found)


def _number(table: Mapping[str, Any], key: str, default: float, place: Place) -> float:
    value = table.get(key, default)
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not 0 < value <= LONGEST:
        raise UsageError(
            f"{key} = {value!r} makes no sense: a number above 0, up to {LONGEST:,g} is needed",
            where=place(key),
        )
    return float(value)


def _word(table: Mapping[str, Any], key: str, words: Sequence[str], place: Place) -> str:
    value = table.get(key, words[0])
    if value not in words:
        raise UsageError(f"there is no {key} {value!r}", where=place(key), hint=nearest(str(value), words))
    return cast("str", value)


def _dropped(value: object, where: str) -> tuple[str, ...]:
    if value == "infrastructure":
        return INFRASTRUCTURE
    if not isinstance(value, list):
        raise UsageError(
            "dropped is a list of columns", where=where, hint='or "infrastructure" for the usual ones'
        )
    for name in cast("list[Any]", value):
        if name not in schema.NAMES:
            raise UsageError(f"no column called {name!r}", where=where, hint=nearest(str(name), schema.NAMES))
        if name in schema.REQUIRED:
            raise UsageError(f"a log without {name} cannot be scanned", where=where)
    return tuple(cast("list[str]", value))
