"""What the decision would have been without some of the evidence, computed by the code that decided.

Taken away are whole tests, as in ``leave_one_out``: the average over what is left, e-BH's bar in that scan, and the kinds of
evidence that an accusation needs are computed anew. Not computed anew, since a result holds no exchanges' texts: the tests
themselves, who belongs to the group, which groups were looked at, and the innocent explanations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from spiritsafe.campaigns import grounds
from spiritsafe.campaigns.clusters import BY_TIES
from spiritsafe.campaigns.decide import bar as bar_for
from spiritsafe.console.campaign import weighing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from spiritsafe.campaigns.coordination import Test

_BIT: Final = weighing.BIT
SAME: Final = (
    "the tests themselves, on the exchanges of the log",
    "who belongs to the group",
    "which groups the scan looked at",
    "the innocent explanations",
)
"""What is not computed anew."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The decision without ``without`` (names of tests). ``bits`` and ``bar_bits`` are log2 of e-values.

    ``kinds``: the kinds of evidence that reach the bar alone; ``why``: what decided. ``others``: campaigns of the scan that
    would fall with this one, for with fewer accusations e-BH asks for more of each.
    """

    without: tuple[str, ...]
    label: str
    decision: str
    bits: float
    bar_bits: float | None
    kinds: tuple[str, ...]
    why: str
    others: tuple[str, ...]
    others_bar_bits: float | None


def what_if(
    entry: Mapping[str, Any],
    without: Collection[str],
    *,
    tested: Mapping[str, Any],
    campaigns: Sequence[Mapping[str, Any]],
    fdr: float,
) -> Outcome | None:
    """The decision on ``entry`` without some tests; None where the result does not tell what it was decided by.

    ``tested``: the head of ``candidates.json``; ``campaigns``: ``campaign_id``, ``label``, ``bits`` of all told groups.
    """
    found = weighing.tests(entry)
    decision, least = entry.get("decision"), weighing.bar_of(entry, tested)
    if not found or not isinstance(decision, dict) or least is None:
        return None
    gone = tuple(test.name for test in found if test.name in without)
    left = found
    for name in gone:
        left = grounds.without(left, name)
    label = str(entry["label"])
    log_e = grounds.combined(left)
    kinds = tuple(sorted(grounds.kinds(left, least) | _chose(left, least, decision)))
    if label == "campaign":
        holds = grounds.stands(
            left,
            bar=least,
            named=bool(decision.get("named")),
            kind=str(decision.get("kind", "")),
            through=bool(decision.get("through")),
        )
        block = entry.get("coordination")
        jointly = isinstance(block, dict) and isinstance(block.get("jointly"), dict)
        then = "campaign" if holds else "insufficient"
        why = _why(log_e, least, kinds, holds=holds, named=bool(decision.get("named")))
        if jointly:
            then, why = (
                "campaign",
                "it was decided together with other providers; here is what this log alone shows: " + why,
            )
        fallen, raised = ((), None) if holds or jointly else _others(entry, tested, campaigns, fdr)
        return Outcome(gone, label, then, log_e / _BIT, least / _BIT, kinds, why, fallen, raised)
    if label in {"pool", "reseller"}:
        holds = grounds.pooled(left, fdr=fdr)
        why = (
            "cards and devices alone show one hand" if holds else "cards and devices no longer show one hand"
        )
        return Outcome(gone, label, label if holds else "not told", log_e / _BIT, None, kinds, why, (), None)
    holds = bool(decision.get("named")) and log_e >= least / 2
    why = f"a role is recognised, and the evidence is {'still' if holds else 'no longer'} half of what an accusation needs"
    return Outcome(
        gone, label, label if holds else "not told", log_e / _BIT, least / _BIT, kinds, why, (), None
    )


def _chose(left: Sequence[Test], least: float, decision: Mapping[str, Any]) -> set[str]:
    """Cards and devices that chose the candidate count as a kind beside what was tested."""
    if decision.get("named") or decision.get("kind") in BY_TIES:
        return grounds.chose(left, least)
    return set()


def _why(log_e: float, least: float, kinds: Sequence[str], *, holds: bool, named: bool) -> str:
    bits, bar = f"{log_e / _BIT:,.1f} bits", f"{least / _BIT:,.1f}"
    if log_e < least:
        return f"what is left is worth {bits}, below the bar of {bar}"
    told = ", ".join(kinds) or "none"
    above = f"what is left is worth {bits}, above the bar of {bar}"
    if holds:
        return f"{above}, and kinds of evidence that suffice reach it alone ({told})"
    more = "" if named else "; without a recognised role more is asked of each kind and of their mix"
    return f"{above}, but the kinds that reach it alone do not suffice ({told}){more}"


def _others(
    entry: Mapping[str, Any],
    tested: Mapping[str, Any],
    campaigns: Sequence[Mapping[str, Any]],
    fdr: float,
) -> tuple[tuple[str, ...], float | None]:
    """Campaigns below the bar that e-BH has with one accusation fewer, and that bar in bits."""
    screened = tested.get("screened")
    accused = [one for one in campaigns if one["label"] == "campaign"]
    if not isinstance(screened, int) or len(accused) < 2:
        return (), None
    raised = bar_for(screened, len(accused) - 1, fdr=fdr) / _BIT
    fallen = tuple(
        str(one["campaign_id"])
        for one in accused
        if one["campaign_id"] != entry["campaign_id"] and (one["bits"] or 0.0) < raised
    )
    return fallen, raised
