"""The policy's tables about what is kept for a proof: [marks] and [escrow]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from spiritsafe.tomlfile import Table

MARKS = ("root", "keyring")
ESCROW = ("folder", "ledger", "share", "campaigns")


@dataclass(frozen=True, slots=True)
class Marks:
    """The keys of marks: the root that the escrow's coins are derived from, and the ring that drafts are chosen with."""

    root: Path
    keyring: Path | None = None


@dataclass(frozen=True, slots=True)
class Escrowed:
    """What is kept for second draws: a ``share`` of all exchanges, and all of these ``campaigns`` (None: of every one)."""

    folder: Path
    ledger: Path
    share: float = 0.001
    campaigns: frozenset[str] | None = None


def marks(table: Table, base: Path) -> Marks:
    """The table [marks]. Raises UsageError with file and line, as all of a policy."""
    table.only(MARKS, "[marks]")
    keyring = table.text("keyring", None)
    return Marks(
        base / table.needed("root", 'root = "marks/root.key", made by spiritsafe marks plan'),
        base / keyring if keyring else None,
    )


def escrow(whole: Table, base: Path) -> Escrowed:
    """The table [escrow] of a whole policy, which must have [marks], too."""
    table = whole.table("escrow")
    table.only(ESCROW, "[escrow]")
    if "marks" not in whole.values:
        raise UsageError(
            "[escrow] needs the root key of its coins",
            where=table.place(),
            hint='[marks] root = "marks/root.key"',
        )
    folder = base / table.needed("folder", 'folder = "marks/escrow"')
    ledger = base / table.needed("ledger", 'ledger = "ledger.jsonl"')
    share = table.number("share", 0.001, most=1.0)
    named = table.values.get("campaigns", "all")
    if isinstance(named, str):
        word = table.word("campaigns", ("all", "none"), "all")
        return Escrowed(folder, ledger, share, None if word == "all" else frozenset())
    return Escrowed(folder, ledger, share, frozenset(table.strings("campaigns")))
