"""Telling: what a watch does, as lines for people or as one JSON object a line for programs."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from spiritsafe.campaigns import screen
from spiritsafe.errors import StorageError

_QUIET = frozenset({"links"})
"""Events that people need not read every few minutes."""


def as_json(event: str, /, **facts: Any) -> None:
    """One line on standard output, at once: ``event``, ``at`` (RFC 3339) and the facts.

    Raises StorageError when nobody reads them any more.
    """
    told = {"event": event, "at": datetime.now(UTC).isoformat(timespec="seconds"), **facts}
    try:
        sys.stdout.write(json.dumps(told, ensure_ascii=False, sort_keys=True) + "\n")
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise StorageError("nobody reads the events any more", where="standard output") from error


class Screen:
    """Lines on standard error; on a terminal also the stages of a campaign step while it runs."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._open = ExitStack()
        self._report: screen.Report | None = None

    def progress(self, stage: str, done: int, total: int, /) -> None:
        """Show how far a campaign step is."""
        if not self._console.is_terminal:
            return
        if self._report is None:
            self._report = self._open.enter_context(screen.stages(self._console))
        self._report(stage, done, total)

    def tell(self, event: str, /, **facts: Any) -> None:
        """Print one line."""
        self.close()
        if event in _QUIET:
            return
        at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        self._console.print(f"{at}  {words(event, facts)}", markup=False, soft_wrap=True)

    def close(self) -> None:
        """End the stages that are shown."""
        self._open.close()
        self._report = None


def words(event: str, facts: dict[str, Any]) -> str:
    """An event in words."""
    made = _WORDS.get(event)
    rest = ", ".join(f"{name} {value}" for name, value in facts.items())
    told = made.format(**facts) if made else f"{event}{': ' if rest else ''}{rest}"
    if facts.get("rejected"):
        told += f"; {facts['rejected']:,} records set aside"
    if event == "case":
        told += f": {', '.join(facts['change'])}"
    return told + (f"\n  hint: {facts['hint']}" if "hint" in facts else "")


_WORDS = {
    "segment": "taken: {segment} ({exchanges:,} exchanges)",
    "set_aside": "set aside: {segment}: {reason}",
    "damaged": "kept, but damaged: {segment}",
    "changed": "changed after it was taken: {segment}",
    "campaigns": "campaign step ({reason}): {found} campaigns among {exchanges:,} exchanges of {accounts:,} accounts, "
    "{since:.16} to {until:.16}",
    "case": "{label} {case} of {accounts:,} accounts",
    "expired": "let go: {segments:,} segments older than the window",
    "unseen": "{where}: {reason}",
}
