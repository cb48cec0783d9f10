"""The first page: what changed since yesterday, and what waits for somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from spiritsafe.console import desk, measures, notices, triage
from spiritsafe.console.guard import needs
from spiritsafe.console.pages.campaigns import listed
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
        _, waiting = await measures.listed(tx, ("proposed",), limit=20)
        return {
            "changes": await notices.changes(tx, since),
            "waiting": [
                {
                    "id": one["id"], "campaign": one["campaign"], "response": one["order"]["response"], "by": one["by"],
                    "time": one["time"],
                }
                for one in waiting
            ],
            "done": await desk.lately(tx, since, limit=15),
        }  # fmt: skip

    told = await state.desk.read(job)
    queue, states = await run_in_threadpool(state.results.queue), await triage.known(state)
    told["states"] = (await run_in_threadpool(listed, queue, states, {"state": "none"}))["counts"]
    by_label = {one["values"]: one["counts"] for one in queue["label"].value_counts().to_pylist()}
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
