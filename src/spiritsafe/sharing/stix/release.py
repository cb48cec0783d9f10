"""What a person lets out in clear, written down in a TOML file: no release, no anchor, no address, no word of their own.

::

    [campaigns.c-c030e0d325]
    by = "anna"                      # stays here: kept in the ledger, never sent
    reason = "two labs asked"        # stays here
    templates = true                 # anchors of the campaign's fixed text: as good as its words to who can guess them
    skeletons = false
    asns = [64500]                   # networks it comes through
    text = "..."                     # in place of the description that the software makes

    [[campaigns.c-c030e0d325.addresses]]
    value = "198.51.100.7"           # must be one that at least three members and nobody else in the log hold
    class = "proxy-service"          # or "hosting"; the address of a home or an office is no infrastructure
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from spiritsafe import tomlfile
from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ADDRESS_CLASSES: Final = ("hosting", "proxy-service")
_KEYS = ("by", "reason", "templates", "skeletons", "asns", "text", "addresses")


@dataclass(frozen=True, slots=True)
class Release:
    """What may leave of one campaign. ``addresses`` by class. ``by`` and ``reason`` never leave."""

    by: str = ""
    reason: str = ""
    templates: bool = False
    skeletons: bool = False
    asns: tuple[int, ...] = ()
    addresses: tuple[tuple[str, str], ...] = ()
    text: str | None = None


NOTHING: Final = Release()


def read(path: Path) -> Mapping[str, Release]:
    """The releases in a file by campaign. Raises UsageError with file and line."""
    table = tomlfile.read(path)
    table.only(("campaigns",), "a file of releases")
    campaigns = table.table("campaigns")
    return {name: _release(campaigns.table(name)) for name in campaigns.values}


def _release(table: tomlfile.Table) -> Release:
    table.only(_KEYS, "a release")
    return Release(
        by=table.needed("by", "who decided it"),
        reason=table.needed("reason", "why it may leave"),
        templates=table.flag("templates", default=False),
        skeletons=table.flag("skeletons", default=False),
        asns=tuple(_numbers(table)),
        addresses=tuple(_addresses(table)),
        text=table.text("text", None),
    )


def _numbers(table: tomlfile.Table) -> list[int]:
    listed: Any = table.values.get("asns", [])
    if not isinstance(listed, list) or not all(type(one) is int for one in cast("list[Any]", listed)):
        raise table.wrong("asns", "a list of numbers is needed")
    return cast("list[int]", listed)


def _addresses(table: tomlfile.Table) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for inner in table.tables("addresses"):
        inner.only(("value", "class"), "an address")
        found.append((inner.needed("value"), inner.word("class", ADDRESS_CLASSES)))
    if len({value for value, _ in found}) != len(found):
        raise UsageError("an address stands twice", where=table.place("addresses"))
    return found
