"""The policy's tables about what is kept for a proof: [marks] and [escrow]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spiritsafe import tomlfile
from spiritsafe.errors import UsageError
from spiritsafe.provenance import _marks

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
    batch: int = 10_000


def marks(table: Table, base: Path) -> Marks:
    """The table [marks]. Raises UsageError with file and line, as all of a policy."""
    table.only(MARKS, "[marks]")
    keyring = table.text("keyring", None)
    return Marks(
        base / table.needed("root", 'root = "marks/root.key", made by spiritsafe marks plan'),
        base / keyring if keyring else None,
    )


def escrow(whole: Table, base: Path) -> Escrowed:
    """The table [escrow] of a whole policy, which must have [marks], too.

    Where the plan of marks stands beside the root key, it says share, campaigns and batch, and the escrow is in its folder:
    what is kept is what was committed. A policy may repeat it, and is refused if it says anything else.
    """
    table = whole.table("escrow")
    table.only(ESCROW, "[escrow]")
    if "marks" not in whole.values:
        raise UsageError(
            "[escrow] needs the root key of its coins",
            where=table.place(),
            hint='[marks] root = "marks/root.key"',
        )
    home = marks(whole.table("marks"), base).root.parent
    named = table.text("folder", None)
    folder = base / named if named else home / "escrow"
    ledger = base / table.needed("ledger", 'ledger = "ledger.jsonl"')
    own = Escrowed(folder, ledger, table.number("share", 0.001, most=1.0), _campaigns(table))
    if not (home / "plan.toml").exists():
        return own
    plan = _marks.read(home)
    planned = Escrowed(home / "escrow", ledger, plan.share, plan.kept, plan.batch)
    for key, here, there in (
        ("folder", own.folder.resolve(), planned.folder.resolve()),
        ("share", own.share, planned.share),
        ("campaigns", own.campaigns, planned.campaigns),
    ):
        if key in table.values and here != there:
            raise UsageError(
                f"{key} is {_said(here)} here and {_said(there)} in the plan of marks",
                where=table.place(key),
                hint=f"leave it out here; {tomlfile.read(home / 'plan.toml').table('escrow').place(key)} says it",
            )
    return planned


def _campaigns(table: Table) -> frozenset[str] | None:
    if isinstance(table.values.get("campaigns", "all"), str):
        return None if table.word("campaigns", ("all", "none"), "all") == "all" else frozenset()
    return frozenset(table.strings("campaigns"))


def _said(value: Path | float | frozenset[str] | None) -> str:
    if isinstance(value, frozenset):
        return f"{sorted(value)}" if value else "none"
    return "all" if value is None else f"{value:g}" if isinstance(value, float) else f"{value}"
