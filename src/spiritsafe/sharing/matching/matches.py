"""Checking what the hub says is shared, before anything is disclosed: k distinct members that know the identifier.

For each other member the hub gives the rows of its set that meet ours, and one proof that they are in the set that this
member signed. Counted is who is in *our* roster, in a set that is still valid, with a mark that only a holder of the
token can make. A hub can leave members out; it cannot add one.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from spiritsafe.errors import SharingError
from spiritsafe.sharing.matching.statements import Statement, opened
from spiritsafe.sharing.matching.tags import MOST, ROW, TAG, Place
from spiritsafe.sharing.matching.tree import verify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spiritsafe.sharing.matching.roster import Roster

_FIELDS = frozenset({"statement", "indices", "rows", "proof"})
_HASH = 32


@dataclass
class Matches:
    """What was found and holds: ``holders`` by own tag (others only), the sets of those members, and what was wrong."""

    holders: dict[bytes, set[str]] = field(default_factory=dict)
    sets: dict[str, Statement] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)

    def shared(self, least: int) -> dict[bytes, set[str]]:
        """The own tags that at least ``least`` members have, this one included, with the others that have them."""
        return {tag: names for tag, names in self.holders.items() if len(names) + 1 >= least}


def checked(
    answer: object,
    place: Place,
    member: str,
    tokens: Mapping[bytes, tuple[str, bytes]],
    roster: Roster,
    now: int,
) -> Matches:
    """What of the hub's answer ``{"sets": [{"statement", "indices", "rows", "proof"}, …]}`` holds; the last two are bytes.

    An entry that does not hold counts for nothing and is told in ``wrong``. ``tokens``: class and token by own tag.
    Raises SharingError when the answer is no answer at all.
    """
    entries = cast("dict[str, Any]", answer).get("sets") if isinstance(answer, dict) else None
    if not isinstance(entries, list) or len(cast("list[Any]", entries)) > len(roster.members):
        raise SharingError("this is no answer of a hub")
    found = Matches()
    for number, entry in enumerate(cast("list[Any]", entries)):
        who = f"entry {number}"
        try:
            statement = _statement(entry, place, roster, now)
            who = statement.by
            rows = _rows(cast("dict[str, Any]", entry), statement)
        except SharingError as error:
            found.wrong[who] = error.message
            continue
        if who == member or who in found.sets:
            found.wrong[who] = "a member stands there twice"
            continue
        found.sets[who] = statement
        for row in rows:
            tag, mark = row[:TAG], row[TAG:]
            if tag not in tokens:
                # Perhaps one of our chance rows, copied: no honest set meets it.
                found.wrong.setdefault(who, "a tag stands there that no identifier of ours has")
            elif not hmac.compare_digest(mark, place.mark(who, tokens[tag][1])):
                found.wrong[who] = "posted a tag without knowing its identifier"
            else:
                found.holders.setdefault(tag, set()).add(who)
    return found


def _statement(entry: object, place: Place, roster: Roster, now: int) -> Statement:
    fields = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
    if fields.keys() != _FIELDS:
        raise SharingError("this is no entry of a match")
    statement = opened("set", fields["statement"], roster)
    body = statement.body
    if (body["epoch"], body["purpose"]) != place:
        raise SharingError("the set is of another epoch or purpose")
    if not body["made"] <= now < body["until"]:
        raise SharingError("the set is not valid now")
    return statement


def _rows(entry: dict[str, Any], statement: Statement) -> list[bytes]:
    packed, hashes = entry["rows"], entry["proof"]
    numbers: Any = entry["indices"]
    if (
        not isinstance(numbers, list)
        or len(packed) != ROW * len(numbers)
        or len(numbers) > MOST
        or any(type(one) is not int for one in numbers)
        or len(set(numbers)) != len(numbers)
        or len(hashes) % _HASH
    ):
        raise SharingError("indices, rows and proof of a match do not fit")
    rows = [packed[ROW * i : ROW * i + ROW] for i in range(len(numbers))]
    parts = [hashes[i : i + _HASH] for i in range(0, len(hashes), _HASH)]
    verify(
        statement.body["size"],
        dict(zip(numbers, rows, strict=True)),
        parts,
        bytes.fromhex(statement.body["root"]),
    )
    if len({row[:TAG] for row in rows}) != len(rows):
        raise SharingError("one tag stands twice in the set")
    return rows
