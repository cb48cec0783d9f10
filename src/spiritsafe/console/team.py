"""``team.toml``: console, watch and gateway of a small team in one file, checked as a whole before anything starts.

::

    data = "console-data"     # the console's folder

    [console]                 # as console.toml; paths start at this file
    [watch]                   # folder = what the gateway logs into, out = results; and the options of `spiritsafe watch`
    [gateway]                 # policy = the policy file; and the options of `spiritsafe gateway`

A table that is absent is not started.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spiritsafe import tomlfile
from spiritsafe.console import settings
from spiritsafe.errors import UsageError
from spiritsafe.orders import policy

if TYPE_CHECKING:
    from pathlib import Path

_SPANS: Final = ("window", "links_every", "campaigns_every", "half_life", "poll")


@dataclass(frozen=True, slots=True)
class Team:
    """What to start: name → the arguments of ``spiritsafe``, in the order of starting. ``address``: the console's."""

    verbs: dict[str, tuple[str, ...]]
    folders: tuple[Path, ...]
    address: str


def read(path: Path) -> Team:
    """The team in ``path``. Raises UsageError with file and line."""
    table = tomlfile.read(path)
    table.only(("data", "console", "watch", "gateway"), "the team's file")
    home = path.parent
    data = home / (table.text("data", "console-data") or "")
    verbs: dict[str, tuple[str, ...]] = {}
    folders: list[Path] = [data]
    out: list[str] = []
    if "gateway" in table.values:
        verbs["gateway"] = _gateway(table.table("gateway"), home)
    if "watch" in table.values:
        verbs["watch"], (folder, results) = _watch(table.table("watch"), home)
        folders += [folder, results.parent]
        out = [str(results)]
    address = ""
    if "console" in table.values:
        known = settings.settled(table.table("console"), data, home)
        if known.orders is not None:
            policy.read(known.orders.policy)
        address = known.address
        verbs["console"] = ("console", "serve", *out, "--data", str(data), "--team", str(path))
    if not verbs:
        raise UsageError(
            "there is nothing to start", where=table.place(), hint="write [console], [watch] or [gateway]"
        )
    return Team(verbs, tuple(folders), address)


def _gateway(table: tomlfile.Table, home: Path) -> tuple[str, ...]:
    table.only(("policy", "workers", "shadow"), "[gateway]")
    path = home / table.needed("policy", "the policy file of the gateway")
    if not path.is_file():
        raise UsageError("there is no such policy", where=table.place("policy"), hint=str(path))
    workers = table.number("workers", 1, least=1, most=1_024)
    shadow = ("--shadow",) if table.flag("shadow", False) else ()  # noqa: FBT003 - a key's default
    return ("gateway", "--policy", str(path), "--workers", str(int(workers)), *shadow)


def _watch(table: tomlfile.Table, home: Path) -> tuple[tuple[str, ...], list[Path]]:
    table.only(("folder", "out", "state", "fdr", "calibration", "memory", "threads", *_SPANS), "[watch]")
    folder = home / table.needed("folder", "the folder of finished log segments: the gateway's [log] folder")
    out = home / table.needed("out", "a folder for the results")
    verb = ["watch", str(folder), "--out", str(out)]
    for key in _SPANS:
        if key in table.values:
            table.span(key)
            verb += [f"--{key.replace('_', '-')}", str(table.text(key))]
    if "fdr" in table.values:
        verb += ["--fdr", str(table.number("fdr", least=1e-9, most=0.5))]
    if "threads" in table.values:
        verb += ["--threads", str(int(table.number("threads", least=1)))]
    if "memory" in table.values:
        table.size("memory")
        verb += ["--memory", str(table.text("memory"))]
    for key in ("state", "calibration"):
        if key in table.values:
            verb += [f"--{key}", str(home / str(table.text(key)))]
    return tuple(verb), [folder, out]
