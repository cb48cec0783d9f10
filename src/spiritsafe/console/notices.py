"""What the console noticed by itself: campaigns that are new, that grew, or that a newer run no longer tells of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

if TYPE_CHECKING:
    import pyarrow as pa

    from spiritsafe.sharing.hub.store import Tx


async def look(app: Any) -> None:
    """Compare the results with what was noticed before; only when they changed."""
    state = app.state
    queue = await run_in_threadpool(state.results.queue)
    generation = state.results.generation
    if state.shared.get("noticed") == generation:
        return
    await state.desk.quietly(lambda tx: _note(tx, queue, state.now()))
    state.shared["noticed"] = generation


async def changes(tx: Tx, since: int) -> list[dict[str, Any]]:
    """Campaigns that are new or changed since a time, newest first; ``before`` is empty for new ones."""
    keys = ("campaign_id", "run", "label", "time", "accounts", "exchanges", "changed", "before")
    rows = await tx.all(
        "SELECT campaign, run, label, time, accounts, exchanges, changed, before FROM noticed "
        "WHERE changed >= $1 ORDER BY label = 'campaign' DESC, changed DESC, accounts DESC LIMIT 50",
        since,
    )
    return [{**dict(zip(keys, row, strict=True)), "before": json.loads(row[7])} for row in rows]


async def _note(tx: Tx, queue: pa.Table, now: int) -> None:
    known = {
        row[0]: row[1:] for row in await tx.all("SELECT campaign, label, accounts, exchanges FROM noticed")
    }
    columns = (queue[name].to_pylist() for name in ("campaign_id", "run", "label", "accounts", "exchanges"))
    fresh: list[tuple[Any, ...]] = []
    grown: list[tuple[Any, ...]] = []
    for campaign, run, label, accounts, exchanges in zip(*columns, strict=True):
        before = known.get(campaign)
        if before is None:
            fresh.append((campaign, run, label, now, accounts, exchanges, now, "{}"))
        elif before != (label, accounts, exchanges):
            was = dict(zip(("label", "accounts", "exchanges"), before, strict=True))
            grown.append((run, label, accounts, exchanges, now, json.dumps(was), campaign))
    await tx.many(
        "INSERT INTO noticed (campaign, run, label, time, accounts, exchanges, changed, before) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        fresh,
    )
    await tx.many(
        "UPDATE noticed SET run = $1, label = $2, accounts = $3, exchanges = $4, changed = $5, before = $6 WHERE campaign = $7",
        grown,
    )
