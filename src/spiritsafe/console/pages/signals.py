"""Signals, tests and layers: what each asks, which technique it is about, and how often it was right and wrong when measured."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from spiritsafe.campaigns import evidence, grounds
from spiritsafe.campaigns.log import LAYERS
from spiritsafe.console.guard import needs
from spiritsafe.console.render import respond
from spiritsafe.registry import extensions
from spiritsafe.sharing.stix import atlas

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

KINDS: Final = {
    "role": "Roles: what an exchange would be good for in a training pipeline",
    "hint": "Hints: too weak to count alone",
    "product": "Products: an ordinary use, which speaks for the customer",
}
#: What a layer is made of, and why it weighs what it weighs.
_LAYER_WORDS: Final = {
    "payment": "the same card or other means of payment",
    "device": "the same device",
    "network": "the same address; an office or a carrier shares one, too",
    "cohort": "made in the same hour",
    "identity": "mail at a domain that several parties use",
    "client": "the same client header",
    "shape": "mail domains of one party alone that are built alike",
    "redemption": "a reasoning artefact issued to one and handed in by another",
    "retry": "a request refused to one and sent again by another within a minute",
    "migration": "first seen after others were shut out",
    "pivot": "turned to a new model in the same hour",
}
_TEST_WORDS: Final = {
    "even_load": "Do the accounts carry more even loads than independent customers would?",
    "taken_in_turn": "Do the accounts take turns, as behind a load balancer?",
    "even_arrivals": "Do requests arrive more regularly than chance allows?",
    "spaced_apart": "Do the accounts keep out of each other's way, as the requests of one queue do?",
    "exchangeable_topics": "Do all accounts draw their work from one and the same mix of topics?",
    "swept_items": "Is one pool of items worked through pass by pass?",
    "regular_multiplicity": "Is each item given to the same number of accounts?",
    "redeemed_by_another": "Are reasoning artefacts handed in by members who did not get them?",
    "retried_by_another": "Are refused requests sent again by other members?",
    "began_after_bans": "Do members begin after others of them were shut out?",
    "turned_together": "Did members turn to a new model together?",
    "stepped_parameters": "Are parameters stepped through one by one?",
}


def routes() -> list[Route]:
    """One page."""
    return [Route("/signals", signals)]


@needs("read")
async def signals(request: Request) -> Response:
    """Every signal, test and layer."""
    return respond(request, "signals.html", await run_in_threadpool(told))


@cache
def told() -> dict[str, Any]:
    """What the page says: ``signals`` by kind, ``tests``, ``layers``, and where the rates come from."""
    measured = json.loads(files("spiritsafe.console").joinpath("measured.json").read_text("utf-8"))
    names = atlas.snapshot()
    rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for name, one in extensions("signals").items():
        technique = str(getattr(one.module, "TECHNIQUE", ""))
        kind = str(getattr(one.module, "KIND", ""))
        rows.setdefault(kind, []).append(
            {
                "id": name, "asks": one.summary, "technique": technique, "technique_name": names.names.get(technique, ""),
                "technique_url": atlas.url(technique) if technique else "", "docs": f"docs/signals/{name}.md",
                "needs": list(getattr(one.module, "NEEDS", ())), "measured": measured["signals"].get(name),
            }
        )  # fmt: skip
    tests = [_test(name, measured["tests"]) for name in (*evidence.GROUPS,)]
    layers = [
        _layer(name, measured["tests"])
        for name in (*LAYERS, *(key for key in _LAYER_WORDS if key not in LAYERS))
    ]
    return {
        "atlas": names.version,
        "signals": [
            {"kind": kind, "words": KINDS.get(kind, kind), "rows": found}
            for kind, found in rows.items()
            if found
        ],
        "tests": tests,
        "layers": layers,
        "from": measured["from"],
        "bits": measured["bits"],
        "logs": measured["logs"],
    }


def _test(name: str, measured: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": name, "asks": _TEST_WORDS.get(name, ""), "kind": evidence.GROUPS[name], "nature": grounds.nature(name),
        "docs": "docs/traces.md" if name in _TRACES else "docs/concepts.md", "measured": measured.get(name),
    }  # fmt: skip


_TRACES: Final = frozenset(
    {"redeemed_by_another", "retried_by_another", "began_after_bans", "turned_together", "stepped_parameters"}
)


def _layer(name: str, measured: Mapping[str, Any]) -> dict[str, Any]:
    test = f"shared_{name}"
    column, weight = LAYERS.get(name, ("", None))
    return {
        "id": name, "what": _LAYER_WORDS.get(name, ""), "column": column, "weight": weight, "decides": test in evidence.DECISIVE,
        "docs": "docs/concepts.md" if name in LAYERS else "docs/traces.md", "measured": measured.get(test),
    }  # fmt: skip
