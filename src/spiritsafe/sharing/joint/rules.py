"""Rules of a forum's joint decision: fixed before a round, and their digest is in all that a lab signs."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from spiritsafe import tomlfile
from spiritsafe.attest.canonical import jcs
from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

MOST_LIARS = 3
_MOST = {"fdr": 0.5, "trust": 1.0, "cap": 1.0, "overlap": 1.0, "mirrored": 1.0}


@dataclass(frozen=True, slots=True)
class Rules:
    """What all labs of a round agree on.

    ``fdr``: false discovery rate among the groups told. ``liars``: how many labs may lie before a joint accusation could be
    wrong. ``trust``: share of a factor that hangs on what its lab opens; one that stays silent or opens 0 costs the others no
    more than the rest. ``cap``: share of the bar that one lab can bring. ``overlap``: share of the shorter list of runs that two
    candidates must have in common. ``mirrored``: share of common items from which on two labs count as one voice.
    """

    fdr: float = 0.01
    liars: int = 0
    trust: float = 0.75
    cap: float = 0.75
    overlap: float = 0.5
    mirrored: float = 0.2

    def __post_init__(self) -> None:
        """Raise UsageError for a rule that makes no sense."""
        for name, most in _MOST.items():
            if not 0 < getattr(self, name) <= most:
                raise UsageError(f"{name} must be above 0 and at most {most:g}")
        if not 0 <= self.liars <= MOST_LIARS:
            raise UsageError(f"liars must be from 0 to {MOST_LIARS}")

    def table(self) -> dict[str, Any]:
        """The rules as JSON."""
        return asdict(self)

    def digest(self) -> str:
        """SHA-256 of the rules, hexadecimal."""
        return hashlib.sha256(jcs({"joint_rules": 1, **self.table()})).hexdigest()


def read(path: Path) -> Rules:
    """The rules in the table ``[joint]`` of a TOML file; what it does not name is as by default. Raises UsageError."""
    table = tomlfile.read(path).table("joint")
    names = [one.name for one in fields(Rules)]
    table.only(names, "[joint]")
    wanted: dict[str, Any] = {}
    for name, value in table.values.items():
        whole = name == "liars"
        if type(value) is not int and (whole or type(value) is not float):
            raise table.wrong(name, "a whole number is needed" if whole else "a number is needed")
        wanted[name] = value if whole else float(value)
    return Rules(**wanted)
