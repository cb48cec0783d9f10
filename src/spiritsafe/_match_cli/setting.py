"""What the verbs of ``spiritsafe share match`` have in common: options, settings, connection, output."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Generator

    from spiritsafe.sharing.client.settings import Member
    from spiritsafe.sharing.matching.remote import Remote
    from spiritsafe.sharing.matching.roster import Roster
    from spiritsafe.sharing.matching.session import Session
    from spiritsafe.sharing.matching.state import State

SettingsFile = Annotated[Path, typer.Option("--settings", help="This member's settings.")]
StateFolder = Annotated[
    Path, typer.Option("--state", help="Folder of roster, tokens and shares; only you may read it.")
]
Values = Annotated[
    Path, typer.Argument(help="identifiers.jsonl, or the folder of a scan that has one.", show_default=False)
]
Purpose = Annotated[
    str | None,
    typer.Option(help="What is matched for; the settings' purpose when absent.", show_default=False),
]
Least = Annotated[
    int, typer.Option(min=0, help="Disclose only what so many hold, if more than the forum asks.")
]
Processes = Annotated[int, typer.Option(min=1, help="Processes to blind and verify in.")]
Wait = Annotated[float, typer.Option(min=1, help="Seconds to wait for key holders without an answer.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first line that may not be matched.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]

SETTINGS, STATE = Path("share.toml"), Path("match")
ROSTER = "roster.json"


def load(path: Path) -> Member:
    from spiritsafe.sharing.client.settings import read  # noqa: PLC0415 - a fast --help

    return read(path)


def folder(path: Path) -> State:
    from spiritsafe.sharing.matching.state import State  # noqa: PLC0415 - a fast --help

    return State(path)


def members_of(path: Path) -> Roster:
    from spiritsafe.sharing.matching.roster import load as read  # noqa: PLC0415 - a fast --help

    return read(path / ROSTER)


def connected(settings: Member) -> Remote:
    from spiritsafe.attest import keys  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.matching.remote import Remote, secured  # noqa: PLC0415

    hub = settings.needs_hub()
    files = [str(one) if one else None for one in (hub.ca, hub.certificate, hub.certificate_key)]
    client = secured(*files, timeout=hub.timeout / 1_000_000)
    return Remote(hub.url, keys.load(settings.needs_key()), clock, log_key=hub.log_key, client=client)


@contextmanager
def sitting(
    settings: Path,
    state: Path,
    purpose: str | None = None,
    *,
    least: int = 0,
    processes: int = 1,
    wait: float = 120.0,
) -> Generator[Session]:
    from spiritsafe.attest import keys  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.matching.session import Session  # noqa: PLC0415

    known = load(settings)
    key, members = keys.load(known.needs_key()), members_of(state)
    with connected(known) as remote:
        yield Session(
            remote, members.who(key.public_key()).id, key, members, folder(state), remote.audience,
            purpose or known.terms.purpose, clock, time.sleep, least, processes, wait, say,
        )  # fmt: skip


def clock() -> int:
    return time.time_ns() // 1_000


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


def tell(table: dict[str, Any], text: str, as_json: bool) -> None:
    sys.stdout.write((json.dumps(table, sort_keys=True) if as_json else text) + "\n")
