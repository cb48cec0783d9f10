"""From candidates to labels: screen on intent, test coordination, hear the benign explanations, control the FDR."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import coordination, evidence, intent, members
from spiritsafe.campaigns.clusters import LEAST_PARTIES
from spiritsafe.campaigns.decide import e_bh

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spiritsafe.campaigns.clusters import Candidate
    from spiritsafe.campaigns.coordination import Test
    from spiritsafe.campaigns.evidence import Margins, View
    from spiritsafe.campaigns.intent import Reference
    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log
    from spiritsafe.settings import Settings

SCREEN = 0.05
SAME_WORK = 0.3
#: Intent by elimination: one fixed text, no product's work in it, and shared-out work beyond doubt in two ways.
_UNKNOWN_PARTIES, _UNKNOWN_LOG_E, _UNKNOWN_PRODUCT = 20, 20 * np.log(2), 0.3
_RANK = {"template": 0, "items": 1, "dense": 2, "tied": 2, "role": 3, "infrastructure": 4}


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A benign explanation, whether it ``fits`` (no, partly, yes), and why."""

    hypothesis: str
    fits: str
    because: str


@dataclass(slots=True)
class Verdict:
    """What is known of one candidate, and its label."""

    candidate: Candidate
    view: View
    score: float
    p_value: float
    tests: list[Test] = field(default_factory=list)
    log_e: float = 0.0
    hypotheses: list[Hypothesis] = field(default_factory=list)
    label: str = ""
    parties: Any = None
    probability: Any = None
    rows: Any = None


def verdicts(
    log: Log,
    candidates: Sequence[Candidate],
    layers: dict[str, Layer],
    projections: Any,
    *,
    reference: Reference,
    margins: Margins,
    settings: Settings,
    progress: Callable[[int, int], None] | None = None,
) -> list[Verdict]:
    """Judge every candidate. Returns those worth telling: campaigns, pools, resellers, insufficient ones."""
    heard: list[Verdict] = []
    for index, candidate in enumerate(candidates):
        seen = evidence.view(log, candidate)
        if seen.parties.size >= LEAST_PARTIES:
            heard.append(_hear(log, candidate, seen, layers, projections, reference, margins))
        if progress:
            progress(index + 1, len(candidates))
    screened = [v for v in heard if v.hypotheses]  # explanations are heard for screened candidates only
    chosen = e_bh([v.log_e for v in screened], fdr=settings.fdr)
    for verdict, passed in zip(screened, chosen, strict=True):
        excused = any(h.fits == "yes" for h in verdict.hypotheses)
        known = named(verdict)
        if (
            passed
            and not excused
            and _shared_out(verdict.tests, log_e=_log_needed(settings) if known else _UNKNOWN_LOG_E)
        ):
            verdict.label = "campaign"
        elif known and verdict.log_e >= _log_needed(settings) / 2:
            verdict.label = "insufficient"
    for verdict in heard:
        if not verdict.label and verdict.candidate.kind == "infrastructure":
            _pool(log, verdict, settings)
    return _settle(log, [v for v in heard if v.label])


def _hear(
    log: Log,
    candidate: Candidate,
    seen: View,
    layers: dict[str, Layer],
    projections: Any,
    reference: Reference,
    margins: Margins,
) -> Verdict:
    score = intent.score(log, candidate, seen.screen)
    verdict = Verdict(candidate, seen, score, reference.p_value(score, candidate.kind, seen.parties.size))
    if named(verdict) or _nameless(log, candidate, seen):
        verdict.tests = evidence.tests(log, seen, layers, projections, margins, tied=candidate.tied)
        verdict.hypotheses = _explanations(log, seen, verdict.tests)
    elif candidate.kind == "infrastructure":
        verdict.tests = evidence.ties(seen, layers)
    verdict.log_e = coordination.average([t for t in verdict.tests if t.name in evidence.DECISIVE])
    return verdict


def _nameless(log: Log, candidate: Candidate, seen: View) -> bool:
    """Whether a candidate may be judged though no role is recognised: many parties, one text, and no product's work."""
    return (
        candidate.kind == "template"
        and seen.parties.size >= _UNKNOWN_PARTIES
        and float(log.has_product(seen.screen).mean()) < _UNKNOWN_PRODUCT
    )


def named(verdict: Verdict) -> bool:
    """Whether the candidate plays a recognised extraction role, more than benign clusters of its kind do."""
    least = 0.02 if verdict.candidate.picked else 0.1
    return verdict.score >= least and verdict.p_value <= SCREEN


def _log_needed(settings: Settings) -> float:
    return float(np.log(1 / settings.fdr))


def _shared_out(tests: Sequence[Test], *, log_e: float) -> bool:
    """Two different kinds of evidence, each strong by itself: one alone has too many innocent reasons."""
    kinds = {
        evidence.GROUPS.get(t.name, t.name)
        for t in tests
        if t.name in evidence.DECISIVE and t.weight > 0 and t.log_e >= log_e
    }
    return len(kinds) > 1


def _explanations(log: Log, seen: View, tests: Sequence[Test]) -> list[Hypothesis]:
    value = {test.name: test.value for test in tests}
    strength = {test.name: test.log_e for test in tests}
    overlap = evidence.same_work(log, seen)
    share = np.bincount(np.searchsorted(seen.parties, log.row_party[seen.test]), minlength=seen.parties.size)
    once = float((share <= 1).mean())
    linked = [name for name, s in strength.items() if name.startswith("shared_") and s > 3]
    spread = value.get("even_load", 0.0)
    own = value.get("exchangeable_topics", 0.0)
    apart = strength.get("exchangeable_topics", 0.0) < 0 and strength.get("even_load", 0.0) < 0
    return [
        Hypothesis(
            "the same task done by many (benchmark runs, a class, a shared prompt)",
            "yes" if overlap >= SAME_WORK else "partly" if overlap >= SAME_WORK / 3 else "no",
            f"two accounts share {overlap:.1%} of the smaller one's items; work that is shared out overlaps little",
        ),
        Hypothesis(
            "one app or framework used by many independent owners",
            "yes" if apart and not linked else "partly" if apart else "no",
            f"rates vary with CV² {spread:.2f} and topics correlate {own:.2f} within accounts; independent owners differ more",
        ),
        Hypothesis(
            "a prompt that went around",
            "partly" if once > 0.7 else "no",  # noqa: PLR2004
            f"{once:.0%} of the accounts used it at most once in the tested hours",
        ),
        Hypothesis(
            "people in one place (one network address)",
            "yes" if linked == ["shared_network"] and apart else "no",
            f"layers shared beyond chance: {', '.join(linked) or 'none'}",
        ),
    ]


def _pool(log: Log, verdict: Verdict, settings: Settings) -> None:
    strong = [t for t in verdict.tests if t.name in {"shared_payment", "shared_device"}]
    if verdict.view.parties.size < 2 * LEAST_PARTIES or coordination.average(strong) < np.log(
        1000 / settings.fdr
    ):
        return
    rows = verdict.view.rows
    templates = np.unique(log.template[rows]).size
    verdict.label = "reseller" if templates > verdict.view.parties.size // 2 else "pool"


def _settle(log: Log, told: list[Verdict]) -> list[Verdict]:
    """One verdict a party group: accusations first, the sharper kind first; the rest joins or is dropped."""
    order = {"campaign": 0, "insufficient": 1, "pool": 2, "reseller": 2}
    told.sort(key=lambda v: (order[v.label], _RANK[v.candidate.kind], -v.view.rows.size))
    kept: list[Verdict] = []
    for verdict in told:
        _join(log, verdict)
        taken = [k.parties for k in kept]
        known = (
            np.isin(verdict.parties, np.concatenate(taken)) if taken else np.zeros(verdict.parties.size, bool)
        )
        if not known.size or known.mean() <= 0.5:  # noqa: PLR2004
            if verdict.parties.size >= LEAST_PARTIES:
                kept.append(verdict)
        elif verdict.label == "campaign":
            for home in kept:
                if home.label == "campaign":
                    inside = np.isin(log.row_party[verdict.rows], home.parties) & log.has_role(verdict.rows)
                    home.rows = np.union1d(home.rows, verdict.rows[inside])
    return kept


def _join(log: Log, verdict: Verdict) -> None:
    rows = verdict.view.rows
    if verdict.label == "campaign":
        parties, probability = members.membership(log, rows)
    else:
        parties = np.unique(log.row_party[rows])
        probability = np.ones(parties.size)
    inside = probability >= 0.5  # noqa: PLR2004
    verdict.parties, verdict.probability = parties[inside], probability[inside]
    verdict.rows = np.sort(rows[np.isin(log.row_party[rows], verdict.parties)])


def without(verdict: Verdict, name: str) -> float:
    """The log e-value when one test or layer is left out."""
    kept = [t for t in verdict.tests if t.name in evidence.DECISIVE]
    return coordination.average([replace(t, weight=0.0) if t.name == name else t for t in kept])
