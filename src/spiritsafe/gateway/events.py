"""What the gateway's processes tell the operator: one JSON object a line on standard error, without text or secrets."""

from __future__ import annotations

import json
import logging
import os
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

_LONGEST = 1_000


def tell(event: str, **facts: object) -> None:
    """Write one line, in one piece. A standard error that is gone or full stops nothing."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = json.dumps({"time": moment, "event": event, "pid": os.getpid(), **facts}, ensure_ascii=True)
    with suppress(OSError):
        os.write(2, line.encode() + b"\n")


class Handler(logging.Handler):
    """Errors of the libraries underneath. ``last`` is kept for whoever must say why a start failed.

    Of an exception only its type and place are told: its message may quote what a caller sent.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Tell one error."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            self.last = record.getMessage()[:_LONGEST]
            tell("error", source=record.name, what=self.last)
            return
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        self.last = f"{type(error).__name__} at {place}"
        tell("error", source=record.name, what=type(error).__name__, at=place)
