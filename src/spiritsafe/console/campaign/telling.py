"""What the page of a campaign says in words and numbers: what it is about, the claim, the evidence."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from spiritsafe.cases._page import phrase, view
from spiritsafe.cases._page.record import Record
from spiritsafe.console.campaign import drawing, slots, weighing

if TYPE_CHECKING:
    from spiritsafe.campaigns.coordination import Test
    from spiritsafe.console.campaign.open import Opened

LABELS: Final = {
    "campaign": "An accusation: accounts that look unrelated act under one hand, and their work serves to build an imitation.",
    "pool": "No accusation: accounts seem to be run by one hand; nothing shows that they harvest the model.",
    "reseller": "No accusation: one operator seems to relay the requests of many customers.",
    "insufficient": "No accusation: something stood out, and the evidence does not suffice.",
}


def about(found: Opened) -> dict[str, Any]:
    """Which campaign of which run, what its label means, and what the result was written without."""
    entry = found.entry
    return {
        "run": found.run.name,
        "campaign_id": entry["campaign_id"],
        "label": entry["label"],
        "headline": entry.get("headline", ""),
        "means": LABELS.get(str(entry["label"]), ""),
        "lacks": list(found.group.lacks),
        "own": found.group.own,
    }


def claim(found: Opened) -> dict[str, Any]:
    """The claim in plain words, and its facts."""
    entry, row = found.entry, Record.of(found.entry)
    bits = phrase.bits_of(
        row.child("coordination").number("e_value"), row.child("coordination").number("bits")
    )
    intent, tokens = row.child("intent"), row.child("tokens")
    order = view.order(row)
    scanned = found.run.scanned
    return {
        "bits": bits,
        "odds": phrase.odds(bits),
        "fdr": scanned.get("fdr"),
        "when": phrase.span(row.time("first_seen"), row.time("last_seen")),
        "first_seen": entry.get("first_seen"),
        "last_seen": entry.get("last_seen"),
        "accounts": len(entry["accounts"]),
        "exchanges": entry.get("exchanges"),
        "streams": entry.get("streams"),
        "rows": found.group.rows.num_rows,
        "tokens": {"input": tokens.number("input"), "output": tokens.number("output")},
        "roles": [
            {
                "role": one.text("role", limit=60), "exchanges": one.count("exchanges"), "share": one.number("share"),
                "technique": one.text("technique", limit=40),
            }
            for one in row.rows("roles")[:12]
        ],
        "intent": {
            "by": intent.text("by", limit=20), "note": intent.text("note"), "score": intent.number("score"),
            "p_value": intent.number("p_value"), "null": intent.text("null"), "question": intent.text("question"),
            "clusters": intent.child("reference").number("clusters"),
            "quantiles": dict(intent.child("reference").child("quantiles").values),
        },
        "order": {**asdict(order), "response": row.child("proposed_order").text("response", limit=60)},
        "hypotheses": [
            {"hypothesis": one.text("hypothesis"), "fits": one.text("fits", limit=10), "because": one.text("because", limit=500)}
            for one in row.rows("hypotheses")[:20]
        ],
        "clears": row.texts("clears", limit=400)[:20],
        "skeletons": [asdict(one) for one in slots.skeletons(entry)],
        "blind": list(found.run.head.get("blind", ()))[:50],
        "jointly": _jointly(row),
    }  # fmt: skip


def _jointly(row: Record) -> dict[str, float | None] | None:
    """What labs decided together, where the accusation rests on it."""
    block = row.child("coordination").child("jointly")
    return {"labs": block.number("labs"), "bits": block.number("bits")} if block else None


def evidence(found: Opened) -> tuple[dict[str, Any], dict[str, Any]]:
    """Each test's evidence, how it comes together, the bar; and layers of infrastructure."""
    entry, row = found.entry, Record.of(found.entry)
    tests = weighing.tests(entry)
    bar = weighing.bar_of(entry, found.tested)
    steps = weighing.steps(tests, bar, weighing.windows(entry))
    counted = [one for one in steps if one.adds is not None]
    total = sum(one.adds for one in counted if one.adds is not None)
    bar_bits = None if bar is None else bar / weighing.BIT
    by_name = {one.name: one for one in tests}
    data = {
        "steps": [{**asdict(one), "words": words(one.name), **_asked_of(by_name[one.name])} for one in steps],
        "total_bits": total if counted else None,
        "total": weighing.summed(counted),
        "told_bits": row.child("coordination").number("bits"),
        "bar_bits": bar_bits,
        "screened": found.tested.get("screened"),
        "fdr": found.run.scanned.get("fdr"),
        "natures": weighing.NATURES,
        "layers": [
            {
                "layer": one.text("layer", limit=60), "accounts": one.count("accounts"), "values": one.count("values"),
                "bits": one.number("bits"),
                "top": [
                    {"value": top.text("value", limit=60), "accounts": top.count("accounts"), "elsewhere": top.count("elsewhere")}
                    for top in one.rows("top")[:3]
                ],
            }
            for one in row.rows("layers")[:20]
        ],
        "independent": row.texts("independent_layers", limit=40)[:12],
    }  # fmt: skip
    drawn: dict[str, Any] = {}
    if counted:
        draw = partial(drawing.weighing, counted, total, bar_bits, words=words)
        drawn["weighing_broad"] = draw(width=drawing.HALF, key="weighing-b")
        drawn["weighing_narrow"] = draw(width=drawing.NARROW, key="weighing-n")
    return data, drawn


def _asked_of(test: Test) -> dict[str, Any]:
    return {"null": test.null, "statistic": test.statistic, "value": test.value, "expected": test.expected}


def words(name: str) -> str:
    """A test's name as people say it."""
    return name.replace("_", " ")
