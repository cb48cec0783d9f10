"""The audit log: every write that a person made, as the hash-chained ledger has it, checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from spiritsafe import ledger as books
from spiritsafe.console.guard import needs
from spiritsafe.console.render import respond
from spiritsafe.errors import SpiritsafeError

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

PAGE = 50


def routes() -> list[Route]:
    """``/ledger``."""
    return [Route("/ledger", ledger)]


@needs("read")
async def ledger(request: Request) -> Response:
    """A page of the ledger, newest first, with what a check of the whole chain says."""
    state, asked = request.app.state, request.query_params
    text = asked.get("offset", "0")
    offset = int(text) if text.isdecimal() and len(text) < 10 else 0
    by, kind, subject = (asked.get(key, "").strip()[:200] for key in ("by", "kind", "subject"))
    path: Path = state.desk.path
    fault, head, total, rows = await run_in_threadpool(_page, path, by, kind, subject, offset)
    data: dict[str, Any] = {
        "rows": rows, "total": total, "offset": offset, "limit": PAGE, "head": head, "fault": fault, "by": by, "kind": kind,
        "subject": subject,
    }  # fmt: skip
    return respond(request, "ledger.html", data)


def _page(
    path: Path, by: str, kind: str, subject: str, offset: int
) -> tuple[str, str, int, list[dict[str, Any]]]:
    """What is wrong with the chain (empty when nothing), its head, how many entries fit, and a page of them."""
    head, fault = books.GENESIS, ""
    fits: list[books.Entry] = []
    try:
        for entry in books.entries(path):
            head = entry.hash
            body = entry.body
            if (
                by in {"", body.get("by")}
                and kind in {"", entry.kind}
                and subject in {"", body.get("subject")}
            ):
                fits.append(entry)
    except SpiritsafeError as error:
        fault = str(error)
    fits.reverse()
    rows = [
        {
            "seq": one.seq, "time": one.time, "kind": one.kind, "by": one.body.get("by", ""), "why": one.body.get("why", ""),
            "subject": one.body.get("subject", ""), "hash": one.hash, "body": dict(one.body),
            "shown": json.dumps(dict(one.body), indent=1, sort_keys=True, ensure_ascii=False),
        }
        for one in fits[offset : offset + PAGE]
    ]  # fmt: skip
    return fault, head, len(fits), rows
