"""What the verbs of ``spiritsafe hub`` share: their common options, and how they reach the hub's database."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spiritsafe.sharing.hub.settings import Settings
    from spiritsafe.sharing.hub.store import Store

T = TypeVar("T")

Folder = Annotated[Path, typer.Argument(help="Folder of the hub.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


async def noted(
    store: Store, action: str, detail: dict[str, Any], now: int, change: Callable[..., Awaitable[T]]
) -> T:
    """Do something at the console, with its entry in the audit."""
    from spiritsafe.sharing.hub.books import CONSOLE, Books, Entry  # noqa: PLC0415 - a fast --help

    async def job(tx: Any) -> T:
        books = await Books.opened(tx)
        value = await change(tx)
        books.note(Entry(CONSOLE, action, 200, detail=detail), now)
        await books.closed(tx, None, now)
        return value

    return await store.write(job)


def run(found: Settings, job: Callable[[Store], Awaitable[T]], *, patience: float = 60.0) -> T:
    """Run a job on the hub's database, its tables made ready."""
    from spiritsafe.sharing.hub.schema import prepare  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.hub.store import opened  # noqa: PLC0415

    async def run() -> T:
        store = opened(found.database, patience=patience)
        try:
            await prepare(store, found.origin)
            return await job(store)
        finally:
            await store.close()

    return asyncio.run(run())


def text_of(path: Path | None) -> str | None:
    """The text of a small file; None without a path. Raises UsageError."""
    if path is None:
        return None
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("this file cannot be read", where=str(path)) from error


def tell(result: dict[str, Any], text: str, as_json: bool) -> None:
    """Print the result, as JSON or in words."""
    sys.stdout.write((json.dumps(result, sort_keys=True) if as_json else text) + "\n")


def now() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1_000
