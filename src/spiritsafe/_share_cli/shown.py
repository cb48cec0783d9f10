"""What the verbs have in common: their options, a session, and how results are told."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from spiritsafe.sharing.client.session import Session

USUAL = Path("share.toml")

Config = Annotated[Path, typer.Option("--config", help="This member's settings.")]
By = Annotated[str, typer.Option("--by", help="Who decided it; stays in the ledger.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; stays in the ledger.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def session(config: Path) -> Session:
    """One sitting under these settings. Raises UsageError where the extra is not installed."""
    try:
        from spiritsafe.sharing.client.session import Session  # noqa: PLC0415 - a fast --help
    except ImportError as error:
        raise UsageError(
            f"{error.name} is missing: this needs the extra `sharing`",
            hint="pip install 'spiritsafe[sharing]'",
        ) from error
    return Session(config, clock=now)


def send(one: Session, as_json: bool) -> None:
    """Send what waits and tell what became of it; status 2 when the hub refused something."""
    found = one.send()
    lines = [f"{found.sent} objects are at the hub", *(f"refused {key}: {why}" for key, why in found.failed)]
    tell({"sent": found.sent, "failed": found.failed}, "\n".join(lines), as_json)
    if found.failed:
        raise typer.Exit(2)


def tell(table: dict[str, Any], text: str, as_json: bool) -> None:
    """The result, for a program or for a person."""
    if as_json:
        write(table)
    else:
        sys.stdout.write(text + "\n")


def write(table: dict[str, Any]) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(table, ensure_ascii=False, sort_keys=True) + "\n")
    sys.stdout.flush()


def now() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1_000
