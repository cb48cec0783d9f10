"""One account: where it was seen, in what, and what was done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from spiritsafe.console import measures
from spiritsafe.console.guard import Refused, needs
from spiritsafe.console.render import respond
from spiritsafe.errors import SpiritsafeError
from spiritsafe.orders.content import from_exemption

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

PAGE = 100


def routes() -> list[Route]:
    """``/account?account=…``."""
    return [Route("/account", account)]


@needs("read")
async def account(request: Request) -> Response:
    """What the runs tell of one account, its streams and exchanges, and the measures that name it."""
    asked = request.query_params
    name = asked.get("account", "")
    text = asked.get("offset", "0")
    offset = int(text) if text.isdecimal() and len(text) < 10 else 0
    data = await run_in_threadpool(_read, request, name, asked.get("run", ""), offset)
    if not data["seen"]:
        raise Refused(404, "no run saw this account")
    return respond(request, "account.html", data)


def _read(request: Request, name: str, wanted: str, offset: int) -> dict[str, Any]:
    state = request.app.state
    results = state.results
    seen = results.of_account(name)
    run = results.run(wanted) or (results.run(seen[0]["run"]) if seen else None)
    total, rows, streams = 0, [], []
    if run is not None and seen:
        total, table = results.exchanges(run, {"account_id": name}, offset=offset, limit=PAGE)
        rows = table.to_pylist()
        streams = results.streams(run, name)
    organization = relation = None
    customers = state.customers.path()
    if customers is not None:
        known = pq.read_table(customers, filters=pc.field("account_id") == name).to_pylist()
        if known:
            organization, relation = known[0]["organization_id"], known[0]["relation"]
    return {
        "account": name, "organization": organization, "relation": relation, "logs": customers is not None, "seen": seen,
        "run": run.name if run else "", "total": total, "rows": rows, "offset": offset, "limit": PAGE, "streams": streams,
        **_measures(request, name, organization),
    }  # fmt: skip


def _measures(request: Request, name: str, organization: str | None) -> dict[str, Any]:
    state = request.app.state
    try:
        wanted = measures.read(state.settings.orders)
    except SpiritsafeError:
        return {"orders": [], "exempt": []}
    found, _ = measures.in_file(wanted, now=state.now())
    if found is None:
        return {"orders": [], "exempt": []}
    return {
        "orders": [
            {
                "order_id": one.order_id,
                "response": one.response,
                "campaign": one.campaign_id,
                "expires": one.expires,
            }
            for one in found.orders
            if name in one.accounts
        ],
        "exempt": [
            from_exemption(one)
            for one in found.exempt
            if one.account_id == name or (organization is not None and one.organization_id == organization)
        ],
    }
