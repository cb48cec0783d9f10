"""What is asked of a collection: the parameters of a request, as SQL.

Pages go by the time of adding, which no two objects share. A place to go on from (``next``) is that time, sealed with the
question it belongs to: asked with another question it is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from spiritsafe.errors import SharingError
from spiritsafe.sharing.hub.intake import SPECS
from spiritsafe.sharing.hub.moments import micros
from spiritsafe.sharing.hub.schema import FIRST, LAST

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MOST_VALUES: Final = 100
"""Values of one filter."""
LONGEST_QUERY: Final = 8_192
_SEAL: Final = 8


class Misasked(SharingError):  # noqa: N818 - reads as the fact it states
    """The question makes no sense."""


@dataclass(frozen=True, slots=True)
class Question:
    """Parameters of a request, checked. ``after`` is exclusive: of ``added_after`` and ``next`` the later."""

    limit: int
    after: int = -1
    ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    specs: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    seal: bytes = b""
    """What a place in the answer is sealed with."""

    def told(self) -> dict[str, Any]:
        """The question as the audit keeps it."""
        fields = {"id": self.ids, "type": self.types, "spec_version": self.specs, "version": self.versions}
        found: dict[str, Any] = {name: list(values) for name, values in fields.items() if values}
        return found | {"limit": self.limit} | ({"after": self.after} if self.after >= 0 else {})

    def about(self, name: str) -> Question:
        """The same question about one object only."""
        return replace(self, ids=(name,))

    def with_all_versions(self) -> Question:
        """The same question about each version."""
        return replace(self, versions=("all",))

    def place(self, added: int) -> str:
        """The ``next`` of a page that ended with the object added then."""
        raw = added.to_bytes(8, "big")
        return base64.urlsafe_b64encode(raw + _sealed(self.seal, raw)).decode().rstrip("=")


def asked(query: str, path: str, *, fields: Collection[str], most: int, secret: bytes) -> Question:
    """The question in a query string. ``fields`` may be matched; a page has at most ``most``. Raises Misasked."""
    values = _parameters(query)
    matches = {
        name[6:-1]: value
        for name, value in values.items()
        if name.startswith("match[") and name.endswith("]")
    }
    unknown = matches.keys() - set(fields)
    if unknown:
        # To answer more than was asked for could look as if all of it matched.
        raise Misasked(f"match[{min(unknown)}] is not a filter here")
    lists = {name: _values(value) for name, value in matches.items()}
    for spec in lists.get("spec_version", ()):
        if spec not in SPECS:
            raise Misasked("match[spec_version] is 2.0 or 2.1")
    for version in lists.get("version", ()):
        if version not in {"all", "first", "last"} and micros(version) is None:
            raise Misasked("match[version] is all, first, last or a time")
    after = -1
    if "added_after" in values:
        found = micros(values["added_after"])
        if found is None:
            raise Misasked("added_after is a time as 2026-09-30T12:00:00.000000Z")
        after = found
    seal = hashlib.blake2b(
        repr((path, after, sorted(lists.items()))).encode("utf-8", "surrogatepass"), key=secret[:32]
    ).digest()
    if "next" in values:
        after = max(after, _place(values["next"], seal))
    return Question(
        min(_limit(values), most) if "limit" in values else most,
        after,
        lists.get("id", ()),
        lists.get("type", ()),
        lists.get("spec_version", ()),
        lists.get("version", ()),
        seal,
    )


def where(question: Question, collection: int, *, level: int, owner: int) -> tuple[str, list[Any]]:
    """The condition on ``objects``, and its values: what matches, and what may be seen at ``level`` or is the owner's own."""
    values: list[Any] = [collection, question.after]
    parts = ["collection = $1", f"{_plus(question)}added > $2"]

    def bind(value: Any) -> str:
        values.append(value)
        return f"${len(values)}"

    if level < _HIGHEST:
        parts.append(f"(level <= {bind(level)} OR owner = {bind(owner)})")
    for name, found in (("id", question.ids), ("type", question.types)):
        if found:
            parts.append(f"{name} IN ({', '.join(bind(value) for value in found)})")
    parts.extend(_versions(question, bind))
    return " AND ".join(parts), values


_HIGHEST: Final = 5  # above every level: nothing is hidden
_HIGHER_SPEC = (
    "spec = '2.0' AND EXISTS (SELECT 1 FROM objects o WHERE o.collection = objects.collection AND o.id = objects.id "
    "AND o.spec = '2.1')"
)


def _versions(question: Question, bind: Any) -> list[str]:
    """Of each object the versions that are wanted, among those in the wanted versions of STIX."""
    wanted = question.versions or ("last",)
    specs = sorted(set(question.specs))
    if not specs and wanted == ("last",):
        return [f"{_plus(question)}current = 1"]
    parts: list[str] = []
    if not specs:
        parts.append(f"NOT ({_HIGHER_SPEC})")
    elif len(specs) == 1:
        parts.append(f"spec = {bind(specs[0])}")
    if "all" in wanted:
        return parts
    either: list[str] = []
    for word, bit, sign in (("first", FIRST, "<"), ("last", LAST, ">")):
        if word in wanted:
            best = f"standing & {bit} <> 0"
            if len(specs) > 1:
                best += (
                    " AND NOT EXISTS (SELECT 1 FROM objects o WHERE o.collection = objects.collection AND o.id = objects.id "
                    f"AND o.version {sign} objects.version)"
                )
            either.append(f"({best})")
    times = [micros(word) for word in wanted if word not in {"first", "last"}]
    if times:
        either.append(f"version IN ({', '.join(bind(time) for time in times)})")
    return [*parts, f"({' OR '.join(either)})"]


def order(question: Question) -> str:
    """How the answer is ordered."""
    return f"ORDER BY {_plus(question)}added"


def _plus(question: Question) -> str:
    """A plus keeps SQLite from walking through the whole collection in its order, when it is asked for a few ids."""
    return "+" if question.ids else ""


def _parameters(query: str) -> dict[str, str]:
    if len(query) > LONGEST_QUERY:
        raise Misasked("the query is too long")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=32, errors="strict")
    except ValueError as error:
        raise Misasked("the query is malformed") from error
    values = dict(pairs)
    if len(values) != len(pairs):
        raise Misasked("a parameter stands twice, so that it has two readings")
    if any("\0" in value for value in values.values()):
        raise Misasked("the query is malformed")
    return values


def _values(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(text.split(",")))
    if not all(found) or len(found) > MOST_VALUES:
        raise Misasked(f"a filter has 1 to {MOST_VALUES} values with commas between")
    return found


def _limit(values: Mapping[str, str]) -> int:
    text = values["limit"].lstrip("0")
    if not values["limit"].isascii() or not text.isdigit():
        raise Misasked("limit is a number from 1")
    return int(text[:12])  # longer ones are more than any page anyway


def _place(text: str, seal: bytes) -> int:
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != 8 + _SEAL or not hmac.compare_digest(raw[8:], _sealed(seal, raw[:8])):
        raise Misasked("next is not from an answer to this question")
    return int.from_bytes(raw[:8], "big")


def _sealed(seal: bytes, raw: bytes) -> bytes:
    return hashlib.blake2b(raw, key=seal, digest_size=_SEAL).digest()
