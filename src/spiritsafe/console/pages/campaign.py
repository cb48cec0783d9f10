"""One campaign: the claim, its evidence, what it would be without some of it, and the rows behind each number."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from spiritsafe.cases._page.record import Record
from spiritsafe.console import measures, triage
from spiritsafe.console.campaign import (
    drawing,
    exchanges,
    members,
    network,
    telling,
    timeline,
    weighing,
    whatif,
)
from spiritsafe.console.campaign.asked import Asked
from spiritsafe.console.campaign.group import kind_words, role_words
from spiritsafe.console.campaign.open import opened
from spiritsafe.console.guard import needs
from spiritsafe.console.render import respond

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from spiritsafe.console.campaign.network import Node
    from spiritsafe.console.campaign.open import Opened
    from spiritsafe.console.campaign.timeline import Timeline

PARTS: Final = ("timeline", "network", "whatif", "members", "exchanges")
"""Parts of the page with an address of their own: what a choice on the page changes is asked for alone."""
_FIRST: Final = 12


def routes() -> list[Route]:
    """The page of a campaign, and its parts."""
    base = "/campaigns/{run}/{campaign}"
    endpoints = (timeline_part, network_part, whatif_part, members_part, exchanges_part)
    return [
        Route(base, campaign),
        *(Route(f"{base}/{name}", endpoint) for name, endpoint in zip(PARTS, endpoints, strict=True)),
    ]


@needs("read")
async def campaign(request: Request) -> Response:
    """The whole page."""
    return await _answer(request, "campaign.html", PARTS[:-1], whole=True)


@needs("read")
async def timeline_part(request: Request) -> Response:
    """Exchanges in time; ``from``, ``to`` (µs) and ``step`` (seconds) choose."""
    return await _answer(request, "campaign_part.html", ("timeline",))


@needs("read")
async def network_part(request: Request) -> Response:
    """Streams, accounts and infrastructure; ``by`` and ``open`` choose."""
    return await _answer(request, "campaign_part.html", ("network",))


@needs("read")
async def whatif_part(request: Request) -> Response:
    """The decision ``without`` some tests."""
    return await _answer(request, "campaign_part.html", ("whatif",))


@needs("read")
async def members_part(request: Request) -> Response:
    """Members, filtered, sorted, paged."""
    return await _answer(request, "campaign_part.html", ("members",))


@needs("read")
async def exchanges_part(request: Request) -> Response:
    """Exchanges, filtered, paged."""
    return await _answer(request, "campaign_part.html", ("exchanges",))


async def _answer(request: Request, template: str, parts: Sequence[str], *, whole: bool = False) -> Response:
    name = request.path_params["campaign"]
    orders = await request.app.state.desk.read(lambda tx: measures.of_campaign(tx, name))
    data, drawn = await run_in_threadpool(_made, request, parts, orders, whole=whole)
    if whole:
        data |= await request.app.state.desk.read(lambda tx: triage.told(tx, name))
        data["orders"] = [
            {
                "id": one["id"], "state": one["state"], "by": one["by"], "time": one["time"],
                "response": one["made"].response, "scope": one["made"].scope,
            }
            for one in orders
        ]  # fmt: skip
    # Drawings and addresses belong to the page only: its JSON twin has the numbers that are drawn.
    return respond(request, template, data if request.state.json else {**data, **drawn})


def _made(
    request: Request, parts: Sequence[str], orders: Sequence[Mapping[str, Any]], *, whole: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    found = opened(request)
    asked = Asked(request.query_params, orders)
    base = f"/campaigns/{quote(found.run.name, safe='')}/{quote(str(found.entry['campaign_id']), safe='')}"
    data: dict[str, Any] = {"about": telling.about(found)}
    drawn: dict[str, Any] = {
        "base": base, "url": partial(_url, base), "address": partial(_paged, base), "part": parts[0],
        "kind_words": kind_words, "role_words": role_words,
    }  # fmt: skip
    if whole:
        data["claim"] = telling.claim(found)
    for name in parts:
        data[name], more = _MAKERS[name](found, asked, base)
        if whole and name == "members":
            # The page shows the first few; all of them have an address of their own.
            data[name] = {**data[name], "rows": data[name]["rows"][:_FIRST], "first": True}
        drawn |= more
    if whole:
        data["evidence"], more = telling.evidence(found)
        drawn |= more
    return data, drawn


def _url(base: str, part: str = "", **chosen: Any) -> str:
    """The address of a part with choices; what is None or empty is left out."""
    pairs = [(key.rstrip("_"), value) for key, value in chosen.items() if value not in (None, "", [], ())]
    query = urlencode(pairs, doseq=True)
    return base + (f"/{part}" if part else "") + (f"?{query}" if query else "")


def _paged(base: str, part: str, chosen: Mapping[str, Any], page: int) -> str:
    return _url(base, part, **chosen, page=page)


def _timeline(found: Opened, asked: Asked, _base: str) -> tuple[dict[str, Any], dict[str, Any]]:
    times = found.group.times
    exhibits = Record.of(found.entry).rows("exhibits")
    exhibit = next((one.values for one in exhibits if one.text("kind") == "timeline"), None)
    marks = [
        *timeline.changes(found.changes, str(found.entry["campaign_id"])),
        *timeline.ordered(asked.orders),
    ]
    shown = timeline.timeline(
        times,
        timeline.window(found.entry, found.run.scanned, times),
        asked=(asked.number("from"), asked.number("to")),
        step=asked.number("step"),
        exhibit=exhibit if found.group.own else None,
        marks=marks,
    )
    return shown.data(), _draw_timeline(shown)


def _draw_timeline(shown: Timeline) -> dict[str, Any]:
    return {
        "timeline_broad": drawing.timeline(shown, width=drawing.BROAD, key="time-b"),
        "timeline_narrow": drawing.timeline(shown, width=drawing.NARROW, key="time-n"),
        "timeline_steps": [(seconds, name) for seconds, name in timeline.NAMES.items()],
    }


def _network(found: Opened, asked: Asked, base: str) -> tuple[dict[str, Any], dict[str, Any]]:
    by = asked.one_of("by", network.WAYS, "stream")
    keys = asked.many("open")[:20]
    graph = network.network(found.group, by=by, opened=keys)
    link = partial(_node_link, base, by, keys)
    return {**graph.data(), "open": keys, "ways": list(network.WAYS)}, {
        "network_drawing": drawing.network(graph, link, key="net"),
        "names_of": {one.key: one.name for one in graph.nodes},
        "node_rows": partial(_rows_of, base),
        "node_toggle": partial(_toggle, base, by, keys),
    }


def _node_link(base: str, by: str, keys: Sequence[str], node: Node) -> tuple[str, str] | None:
    if node.opens:
        return _toggle(base, by, keys, node.key), "network"
    address = _rows_of(base, dict(node.about))
    return (address, "") if address else None


def _toggle(base: str, by: str, keys: Sequence[str], key: str) -> str:
    """The address of the graph with a node opened, or closed when it is open."""
    left = [one for one in keys if one != key] if key in keys else [*keys, key]
    return _url(base, "network", by=by, open=left)


def _rows_of(base: str, about: Mapping[str, str]) -> str:
    """The address that lists what a node stands for; empty when nothing does."""
    if "account" in about:
        return "/account?" + urlencode({"account": about["account"]})
    if "layer" in about:
        return _url(base, "members", **about)
    return _url(base, "exchanges", **about) if about else ""


def _whatif(found: Opened, asked: Asked, _base: str) -> tuple[dict[str, Any], dict[str, Any]]:
    entry = found.entry
    chosen = asked.many("without")[:40]
    campaigns = found.run.campaigns.select(["campaign_id", "label", "bits"]).to_pylist()
    fdr = found.run.scanned.get("fdr", 0.01)
    outcome = whatif.what_if(entry, chosen, tested=found.tested, campaigns=campaigns, fdr=float(fdr))
    bar = weighing.bar_of(entry, found.tested)
    counted = [one for one in weighing.steps(weighing.tests(entry), bar, {}) if one.adds is not None]
    kinds: dict[str, list[dict[str, Any]]] = {}
    for one in counted:
        row = {
            "name": one.name,
            "words": telling.words(one.name),
            "bits": one.bits,
            "gone": one.name in chosen,
        }
        kinds.setdefault(one.kind, []).append(row)
    told = [
        {
            "without": one.text("without"),
            "decision": one.text("decision", limit=30),
            "bits": one.number("bits"),
        }
        for one in Record.of(entry).rows("leave_one_out")[:40]
    ]
    data = {
        "outcome": None if outcome is None else asdict(outcome),
        "kinds": [{"kind": kind, "tests": rows} for kind, rows in kinds.items()],
        "one_at_a_time": told,
        "not_computed": list(whatif.SAME),
    }
    return data, {}


def _members(found: Opened, asked: Asked, _base: str) -> tuple[dict[str, Any], dict[str, Any]]:
    chosen = members.Asked(
        name=asked.text("name"),
        layer=asked.text("layer"),
        number=asked.number("number"),
        kind=asked.text("kind"),
        role=asked.text("role"),
        sort=asked.one_of("sort", members.SORTS, "membership"),
        up=asked.text("up") == "1",
        page=asked.number("page") or 1,
    )
    total, number, rows = members.page(found.group, chosen)
    data = {
        "total": total, "of": len(found.entry["accounts"]), "page": number, "pages": max(1, -(-total // members.PAGE)),
        "first": False, "rows": rows.to_pylist(), "sort": chosen.sort, "up": chosen.up, "sureness": members.sureness(found.entry),
        "chosen": {
            "name": chosen.name, "layer": chosen.layer, "number": chosen.number, "kind": chosen.kind, "role": chosen.role,
        },
    }  # fmt: skip
    return data, {}


def _exchanges(found: Opened, asked: Asked, _base: str) -> tuple[dict[str, Any], dict[str, Any]]:
    wanted = exchanges.Wanted(
        account=asked.text("account"),
        kind=asked.text("kind"),
        role=asked.text("role"),
        start=asked.number("from"),
        stop=asked.number("to"),
        slots=asked.one_of("slots", ("", *exchanges.SLOTS), ""),
        page=asked.number("page") or 1,
    )
    total, number, rows = exchanges.listed(found.group, wanted)
    data = {
        "total": total, "of": found.group.rows.num_rows, "page": number, "pages": max(1, -(-total // exchanges.PAGE)),
        "rows": rows.to_pylist(),
        "chosen": {
            "account": wanted.account, "kind": wanted.kind, "role": wanted.role, "from": wanted.start, "to": wanted.stop,
            "slots": wanted.slots,
        },
    }  # fmt: skip
    return data, {}


_MAKERS: Final[dict[str, Callable[[Opened, Asked, str], tuple[dict[str, Any], dict[str, Any]]]]] = {
    "timeline": _timeline,
    "network": _network,
    "whatif": _whatif,
    "members": _members,
    "exchanges": _exchanges,
}
