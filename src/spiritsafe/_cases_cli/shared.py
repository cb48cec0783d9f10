"""What the verbs of ``spiritsafe case`` share: their options, the clock, how results are told."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

Folder = Annotated[Path, typer.Argument(help="Folder of the case.", show_default=False)]
Bundle = Annotated[Path, typer.Argument(help="A sealed bundle.", show_default=False)]
By = Annotated[str, typer.Option(help="Who does this, for the case's ledger.")]
Why = Annotated[str, typer.Option(help="Why, for the case's ledger.")]
Keys = Annotated[list[Path], typer.Option("--key", help="File of a private key; again for more.")]
Out = Annotated[Path, typer.Option(help="File to write.")]
Memory = Annotated[str, typer.Option(help="Memory the engine may use before it spills to disk.")]
Threads = Annotated[int, typer.Option(min=1, help="Processors to use.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def moment(text: str | None, option: str) -> int | None:
    """Microseconds since the epoch of an RFC 3339 time; a time without an offset is UTC. Raises UsageError."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is not a time", where=option, hint="write it as 2026-09-30 or 2026-09-30T12:00:00Z"
        ) from error
    return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1_000_000)


def given(path: Path) -> bytes:
    """A file that a person named. Raises UsageError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error


def now() -> int:
    return time.time_ns() // 1_000


def progress(*, quiet: bool) -> AbstractContextManager[Any]:
    from spiritsafe.campaigns import screen  # noqa: PLC0415

    return nullcontext() if quiet else screen.stages()


def tell(table: dict[str, Any], text: str, as_json: bool) -> None:
    sys.stdout.write((json.dumps(table, sort_keys=True) if as_json else text) + "\n")
