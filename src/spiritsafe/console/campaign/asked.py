"""What a request asks for, as it came in the query: bounded texts, whole numbers, and one of a few words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from spiritsafe.console.guard import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.datastructures import QueryParams

LONGEST: Final = 2_000
_NUMBER = re.compile(r"-?\d{1,18}")


class Asked:
    """The query of a request. Each method raises Refused (400) for what makes no sense.

    ``orders``: the proposals about the campaign that is asked for, where the page is about one.
    """

    def __init__(self, query: QueryParams, orders: Sequence[Mapping[str, Any]] = ()) -> None:
        self._query = query
        self.orders = orders

    def text(self, name: str) -> str:
        """A text; empty when there is none."""
        return self._bounded(name, self._query.get(name, ""))

    def many(self, name: str) -> list[str]:
        """All texts of one name."""
        return [self._bounded(name, one) for one in self._query.getlist(name)]

    def number(self, name: str) -> int | None:
        """A whole number; None when there is none."""
        value = self._query.get(name, "")
        if not value:
            return None
        if not _NUMBER.fullmatch(value):
            raise Refused(400, f"{name} is no whole number", "follow the links of the page")
        return int(value)

    def one_of(self, name: str, known: Sequence[str], otherwise: str) -> str:
        """One of the known words."""
        value = self._query.get(name, "") or otherwise
        if value not in known:
            raise Refused(400, f"{name} is none of: {', '.join(one for one in known if one)}")
        return value

    def _bounded(self, name: str, value: str) -> str:
        if len(value) > LONGEST:
            raise Refused(400, f"{name} is longer than {LONGEST} characters")
        return value
