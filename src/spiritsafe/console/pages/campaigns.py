"""The triage queue: all campaigns, filtered, sorted and paged by column; and what people say of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse
from starlette.routing import Route

from spiritsafe.console import desk, triage
from spiritsafe.console.guard import Refused, needs
from spiritsafe.console.render import respond

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response


PAGE: Final = 50
SORTS: Final = {
    "last_seen": "Last seen",
    "bits": "Evidence",
    "accounts": "Accounts",
    "exchanges": "Exchanges",
    "tokens": "Tokens",
}
LABELS: Final = ("campaign", "pool", "reseller", "insufficient")


def routes() -> list[Route]:
    """``/campaigns`` and what is said of one."""
    return [
        Route("/campaigns", campaigns),
        Route("/campaigns/{run}/{campaign}/opinion", opine, methods=["POST"]),
    ]


@needs("read")
async def campaigns(request: Request) -> Response:
    """A page of the queue."""
    asked = request.query_params
    state = request.app.state

    states = await triage.known(state)
    queue = await run_in_threadpool(state.results.queue, asked.get("run", ""))
    data = await run_in_threadpool(listed, queue, states, dict(asked))
    data["runs"] = [one.name for one in state.results.runs()]
    return respond(request, "campaigns.html", data)


def listed(
    queue: pa.Table, states: Mapping[str, tuple[str, str]], asked: Mapping[str, str]
) -> dict[str, Any]:
    """The rows that fit what is asked, one page of them, and how many there are in each state."""
    if states:
        names = pa.array(list(states), pa.string())
        at = pc.index_in(queue["campaign_id"].combine_chunks(), value_set=names)
        told = pa.array([one[0] for one in states.values()], pa.string())
        said = pa.array([one[1] for one in states.values()], pa.string())
        column, by = pc.fill_null(told.take(at), "new"), pc.fill_null(said.take(at), "")
    else:
        column = pa.array(np.full(queue.num_rows, "new"), pa.string())
        by = pa.array(np.full(queue.num_rows, ""), pa.string())
    table = queue.append_column("state", column).append_column("by", by)
    wanted = {
        "label": asked.get("label", "campaign"),
        "state": asked.get("state", "open"),
        "run": asked.get("run", ""),
        "q": asked.get("q", "").strip()[:200],
        "sort": asked.get("sort", "bits") if asked.get("sort", "bits") in SORTS else "bits",
        "order": "ascending" if asked.get("order") == "ascending" else "descending",
    }
    keep = pa.array(np.ones(table.num_rows, bool))
    if wanted["label"] in LABELS:
        keep = pc.and_(keep, pc.equal(table["label"], wanted["label"]))
    if wanted["q"]:
        text = pc.or_(
            pc.match_substring(table["campaign_id"], wanted["q"], ignore_case=True),
            pc.match_substring(table["headline"], wanted["q"], ignore_case=True),
        )
        keep = pc.and_(keep, text)
    table = table.filter(keep)
    counts = {one["values"]: one["counts"] for one in table["state"].value_counts().to_pylist()}
    counts = {name: counts.get(name, 0) for name in triage.STATES}
    if wanted["state"] == "open":
        table = table.filter(pc.is_in(table["state"], value_set=pa.array(["new", "looking"])))
    elif wanted["state"] in triage.STATES:
        table = table.filter(pc.equal(table["state"], wanted["state"]))
    order = pc.sort_indices(
        table.select([wanted["sort"], "campaign_id"]),
        sort_keys=[(wanted["sort"], wanted["order"]), ("campaign_id", "ascending")],
    )
    offset = int(asked["offset"]) if asked.get("offset", "").isdecimal() and len(asked["offset"]) < 10 else 0
    rows = table.take(order.slice(offset, PAGE)).to_pylist()
    return {
        "rows": rows, "total": table.num_rows, "offset": offset, "limit": PAGE, "counts": counts, "asked": wanted,
        "address": f"/campaigns?{urlencode(wanted)}&", "sorts": SORTS, "labels": LABELS, "states": triage.STATES,
    }  # fmt: skip


@needs("triage")
async def opine(request: Request) -> Response:
    """Say what one thinks of a campaign."""
    state, form, person = request.app.state, request.state.form, request.state.person
    run, campaign = request.path_params["run"], request.path_params["campaign"]
    if await run_in_threadpool(state.results.campaign, run, campaign) is None:
        raise Refused(404, "there is no such campaign")
    version = form.get("version", "")
    if not version.isdecimal():
        raise Refused(422, "the form has no version", "load the page again")
    to, reason, now = form.get("state", ""), form.get("reason", ""), state.now()
    what = desk.Write(person.name, triage.KIND, triage.subject(campaign), reason, form.get("write", ""))
    await state.desk.write(
        what,
        {"campaign": campaign, "run": run, "state": to},
        lambda tx: triage.judge(tx, campaign, to, reason, person.name, version=int(version[:9]), now=now),
        now=now,
        more=lambda made: {"version": made},
    )
    back = "/campaigns" if form.get("back") == "queue" else f"/campaigns/{run}/{campaign}"
    return RedirectResponse(f"{back}?done=opinion", 303)
