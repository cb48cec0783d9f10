"""Explanation: one verdict as the record that ``campaigns.json`` holds (see docs/contract.md)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import grounds, intent
from spiritsafe.campaigns._distinct import distinct, kinds
from spiritsafe.campaigns.exhibits import exhibits, iso, mask, shared_values, span_words
from spiritsafe.campaigns.verdicts import stands

if TYPE_CHECKING:
    from collections.abc import Callable

    from spiritsafe.campaigns.coordination import Test
    from spiritsafe.campaigns.intent import Reference
    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.verdict import Verdict
    from spiritsafe.settings import Settings

_LARGEST = 1e300
_TOLD = 0.05
"""Roles of a smaller share are not told: they are chance."""


def record(
    log: Log,
    verdict: Verdict,
    layers: dict[str, Layer],
    *,
    reference: Reference,
    settings: Settings,
    tokens: dict[str, int],
    texts: Callable[[Any], dict[int, str]],
    techniques: dict[str, str],
) -> dict[str, Any]:
    """The plain dict of one campaign, pool or reseller."""
    rows = verdict.rows
    accounts = distinct(log.acc[rows])
    probability = np.zeros(log.parties)
    probability[verdict.parties] = verdict.probability
    names = sorted((log.accounts[a], round(float(probability[log.party[a]]), 4)) for a in accounts)
    first, last = int(log.time[rows].min()), int(log.time[rows].max())
    found = [(name, hits) for name, hits in intent.roles(log, rows) if hits >= rows.size * _TOLD]
    eliminated = verdict.label == "campaign" and not _by_role(verdict)
    peers = reference.peers(verdict.candidate.kind, verdict.view.parties.size)
    counted = grounds.decisive(verdict.tests)
    entry: dict[str, Any] = {
        "campaign_id": _identifier(names, log, verdict),
        "label": verdict.label,
        "headline": _headline(verdict, len(names), rows.size, last - first, found),
        "accounts": _accounts(log, verdict, accounts, names),
        "streams": kinds(log.stream(rows)),
        "exchanges": int(rows.size),
        "tokens": tokens,
        "first_seen": iso(first),
        "last_seen": iso(last),
        "roles": [
            {
                "role": name,
                "exchanges": hits,
                "share": round(hits / rows.size, 4),
                "technique": techniques.get(name, ""),
            }
            for name, hits in found
        ],
        "coordination": {
            "e_value": _finite(verdict.log_e),
            "bits": _bits(verdict.log_e),
            "combination": "weighted average of the tests' e-values",
            "tests": [_test(test) for test in verdict.tests],
            **_jointly(verdict),
        },
        "intent": {
            "score": round(verdict.score, 4),
            "p_value": round(verdict.p_value, 6),
            "e_value": round(0.5 * verdict.p_value**-0.5, 4),
            "by": "elimination" if eliminated else "role",
            "note": f"no known role, and no product's work: one {_what(verdict)}, shared out beyond doubt in two ways"
            if eliminated
            else "",
            "question": "Do more of the exchanges play an extraction role than in benign clusters?",
            "null": "the cluster is one more benign cluster, exchangeable with those of the calibration",
            "tests": [],
            "reference": {
                "clusters": int(peers.size),
                "quantiles": {
                    q: round(float(np.quantile(peers, float(q))), 4) for q in ("0.5", "0.9", "0.95", "0.99")
                }
                if peers.size
                else {},
            },
        },
        "layers": [_layer(log, verdict, layer) for layer in layers.values()],
        "independent_layers": sorted(grounds.kinds(counted, verdict.bar)),
        "leave_one_out": [
            *(
                _left_out(verdict, test)
                for test in verdict.tests
                if test in counted or test.name in grounds.TIES
            ),
            *_hubs(verdict),
            *_bystanders(verdict),
        ],
        "evidence_bits": [
            {"label": test.question, "test": test.name, "bits": _bits(test.log_e)}
            for test in sorted(counted, key=lambda test: -test.log_e)
        ],
        "decision": {
            "kind": verdict.candidate.kind,
            "named": verdict.named,
            "through": bool(verdict.through),
            "bar_bits": _bits(verdict.bar),
        },
        "hypotheses": [
            {"hypothesis": h.hypothesis, "fits": h.fits, "because": h.because} for h in verdict.hypotheses
        ],
        "clears": _clears(verdict),
        "exhibits": exhibits(log, verdict, layers, texts, show_text=settings.show_text),
    }
    entry["proposed_order"] = _order(entry)
    return entry


def _accounts(
    log: Log, verdict: Verdict, accounts: Any, names: list[tuple[str, float]]
) -> list[dict[str, Any]]:
    """The accounts with their probabilities; ``by`` where neither text nor role makes one a member, but time alone."""
    by: dict[str, dict[str, str]] = {}
    for word, some in (("turns", verdict.joined), ("round", verdict.placed)):
        if some is not None and verdict.label == "campaign":
            by |= {
                log.accounts[a]: {"by": word} for a in accounts[np.isin(log.party[accounts], some)].tolist()
            }
    return [{"account_id": name, "membership": p, **by.get(name, {})} for name, p in names]


def _jointly(verdict: Verdict) -> dict[str, Any]:
    """What labs of a forum decided together, where the accusation rests on it."""
    one = verdict.jointly
    if one is None:
        return {}
    return {"jointly": {"group_id": one.group_id, "bits": one.bits, "labs": one.labs}}


#: What the work is, by the kind of its candidate, where no role says what it is for.
_WORKS = {"items": "pool of items", "swept": "stream of all that tied accounts send", "texts": "set of texts"}


def _what(verdict: Verdict) -> str:
    return _WORKS.get(verdict.candidate.kind, "fixed text")


def _identifier(names: list[tuple[str, float]], log: Log, verdict: Verdict) -> str:
    digest = hashlib.sha256(verdict.label.encode())
    for name, _ in names:
        digest.update(name.encode() + b"\0")
    digest.update(distinct(log.exact[verdict.rows]).tobytes())
    return f"c-{digest.hexdigest()[:10]}"


def _headline(
    verdict: Verdict, accounts: int, exchanges: int, span: int, roles: list[tuple[str, int]]
) -> str:
    time = span_words(span)
    if verdict.label == "campaign":
        what = roles[0][0].replace("_", " ") if roles else "a kind that no role names"
        if verdict.jointly is not None:
            others = verdict.jointly.labs - 1
            return (
                f"Found together with {others} other providers: {accounts:,} accounts share out one job of {what} "
                f"({exchanges:,} exchanges in {time})."
            )
        return f"{accounts:,} accounts share out one job of {what}: {exchanges:,} exchanges in {time}."
    if verdict.label == "insufficient":
        return f"{accounts:,} accounts do similar work ({exchanges:,} exchanges in {time}); the evidence does not suffice."
    kind = "One hand holds" if verdict.label == "pool" else "A reseller seems to stand behind"
    harvest = "some of it looks like harvesting" if verdict.named else "no sign of harvesting"
    return f"{kind} {accounts:,} accounts ({exchanges:,} exchanges in {time}); {harvest}."


def _finite(log_e: float) -> float:
    return float(min(np.exp(min(log_e, 690.0)), _LARGEST))


def _bits(log_e: float) -> float:
    return round(float(np.clip(log_e / np.log(2), -1e6, 1e6)), 2)


def _test(test: Test) -> dict[str, Any]:
    return {
        "name": test.name,
        "question": test.question,
        "null": test.null,
        "statistic": test.statistic,
        "value": round(test.value, 6),
        "expected": round(test.expected, 6),
        "p_value": round(float(min(1.0, np.exp(-max(0.0, test.log_e)))), 300),
        "e_value": _finite(test.log_e),
        "bits": _bits(test.log_e),
        "weight": test.weight,
        "n": test.n,
        "window": "all hours"
        if test.name.startswith("shared_") or test.note.startswith("all hours")
        else "ten-minute slots not used to choose the group (half of all)",
        "note": test.note,
    }


def _layer(log: Log, verdict: Verdict, layer: Layer) -> dict[str, Any]:
    inside, holders = layer.held_by(verdict.parties)
    several = holders > 1
    test = next((t for t in verdict.tests if grounds.kind(t) == layer.name), None)
    linked = distinct(layer.party[inside & several[layer.value]])
    return {
        "layer": layer.name,
        "accounts": int(linked.size),
        "values": int(several.sum()),
        "bits": _bits(test.log_e) if test else 0.0,
        "top": shared_values(log, verdict, layer, most=3),
    }


def _left_out(verdict: Verdict, test: Test) -> dict[str, Any]:
    rest = grounds.without(verdict.tests, test.name)
    return _stand(verdict, test.name, grounds.combined(rest), holds=stands(verdict, rest))


def _hubs(verdict: Verdict) -> list[dict[str, Any]]:
    return [
        _stand(
            verdict,
            f"the {hub.parties} accounts of {hub.layer} {mask(hub.value)}",
            hub.log_e,
            holds=hub.stands,
        )
        for hub in verdict.hubs
    ]


def _by_role(verdict: Verdict) -> bool:
    """Whether a recognised role carries the accusation: the candidate plays it, and so do its members without bystanders."""
    return verdict.named and (verdict.alone is None or verdict.alone.named)


def _bystanders(verdict: Verdict) -> list[dict[str, Any]]:
    """The members alone: without those of the candidate's parties that membership left out."""
    one = verdict.alone
    if one is None or verdict.label != "campaign":
        return []
    out = verdict.view.parties.size - one.parties
    return [_stand(verdict, f"the {out} accounts taken for bystanders", one.log_e, holds=True)]


def _stand(verdict: Verdict, name: str, log_e: float, *, holds: bool) -> dict[str, Any]:
    """One row of ``leave_one_out``: what was left out, what is left, and the label then."""
    return {
        "without": name,
        "decision": verdict.label if holds or verdict.label != "campaign" else "insufficient",
        "e_value": _finite(log_e),
        "bits": _bits(log_e),
    }


def _clears(verdict: Verdict) -> list[str]:
    general = [
        "a declared relation that covers these accounts (aggregator, evaluation, research, licence)",
        "proof that the accounts belong to unrelated customers, with their own items and own reasons",
    ]
    if any(t.name.startswith("shared_") and t.log_e > 3 for t in verdict.tests):
        general.append("an innocent reason for the shared infrastructure (one office, one payment service)")
    if verdict.placed is not None and verdict.placed.size:
        general.append(
            "for an account that its place in the round alone ties: a clock of its own that keeps this period"
        )
    if any(h.fits == "partly" for h in verdict.hypotheses):
        general.append("evidence for the explanations marked as fitting in part")
    return general


def _order(entry: dict[str, Any]) -> dict[str, Any]:
    if entry["label"] != "campaign":
        return {"response": "observe", "reason": "not an accusation", "needs": [], "expires_days": 14}
    if "jointly" in entry["coordination"]:
        return {
            "response": "observe",
            "reason": "decided together with other providers; what this log shows alone does not carry a measure",
            "needs": ["one person"],
            "expires_days": 14,
        }
    stable = all(row["decision"] == "campaign" for row in entry["leave_one_out"])
    partly = any(h["fits"] != "no" for h in entry["hypotheses"])
    if len(entry["independent_layers"]) >= 2 and stable and not partly and entry["intent"]["by"] == "role":
        return {
            "response": "suspend",
            "reason": "coordination and intent, two independent layers, stable when any one is left out",
            "needs": ["two persons"],
            "expires_days": 30,
        }
    return {
        "response": "budget",
        "reason": "coordination and intent shown; a budget for the whole campaign harms bystanders least"
        + ("" if stable else "; falls if one part of the evidence is taken away"),
        "needs": ["one person"],
        "expires_days": 14,
    }
