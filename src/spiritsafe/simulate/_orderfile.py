"""An order file: a JSON list of orders, read with the line of whatever is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from spiritsafe.errors import UsageError
from spiritsafe.simulate._planfile import order_of
from spiritsafe.tomlfile import read_text

if TYPE_CHECKING:
    from pathlib import Path

    from spiritsafe.simulate._orders import Order


def read_orders(path: Path) -> tuple[Order, ...]:
    """The orders in a JSON file. Raises UsageError that says what is wrong, and on which line."""
    text = read_text(path)
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise UsageError("this is nested too deep to be read", where=str(path)) from error
    except json.JSONDecodeError as error:
        raise UsageError(f"this is not JSON: {error.msg}", where=f"{path}:{error.lineno}") from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in cast("list[Any]", found)):
        raise UsageError("an order file is a JSON list of objects", where=f"{path}:1")
    entries = cast("list[dict[str, Any]]", found)
    begins = _begins(text)

    def order(number: int) -> Order:
        begin = begins[number]
        end = begins[number + 1] if number + 1 < len(begins) else len(text)

        def place(*keys: str) -> str:
            at = text.find(json.dumps(keys[0]), begin, end) if keys else begin
            return f"{path}:{text.count(chr(10), 0, max(at, begin)) + 1}"

        return order_of(entries[number], place)

    return tuple(order(number) for number in range(len(entries)))


def _begins(text: str) -> list[int]:
    """Where each entry of a JSON list begins in its text."""
    decoder, found = json.JSONDecoder(), list[int]()
    at = text.index("[") + 1
    while True:
        while text[at] in " \t\r\n,":
            at += 1
        if text[at] == "]":
            return found
        found.append(at)
        at = decoder.raw_decode(text, at)[1]
