"""The first page: what changed since yesterday, and what waits for somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from spiritsafe.console import desk, notices, triage
from spiritsafe.console.guard import needs
from spiritsafe.console.render import DAY, respond

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from spiritsafe.sharing.hub.store import Tx

TICKS = (notices.look,)


def routes() -> list[Route]:
    """``/``."""
    return [Route("/", overview)]


@needs("read")
async def overview(request: Request) -> Response:
    """What changed in the last 24 hours."""
    state = request.app.state
    await notices.look(request.app)
    now = state.now()
    since = now - DAY
    runs = await run_in_threadpool(state.results.runs)

    async def job(tx: Tx) -> dict[str, Any]:
        return {
            "changes": await notices.changes(tx, since),
            "states": await triage.counts(tx),
            "waiting": [
                dict(zip(("id", "campaign", "by", "time"), row, strict=True))
                for row in await tx.all(
                    "SELECT id, campaign, person, time FROM proposals WHERE state = 'proposed' ORDER BY time DESC LIMIT 20"
                )
            ],
            "done": await desk.lately(tx, since, limit=30),
        }

    told = await state.desk.read(job)
    queue = await run_in_threadpool(state.results.queue)
    labels = queue["label"].value_counts().to_pylist()
    by_label = {one["values"]: one["counts"] for one in labels}
    told["new"] = max(0, by_label.get("campaign", 0) - told["states"].pop("accused", 0))
    return respond(
        request,
        "overview.html",
        {
            **told,
            "since": since,
            "labels": by_label,
            "runs": [
                {
                    "name": one.name,
                    "time": one.time,
                    "scanned": one.scanned,
                    "campaigns": one.campaigns.num_rows,
                }
                for one in runs[:20]
            ],
            "troubles": state.results.troubles,
        },
    )
