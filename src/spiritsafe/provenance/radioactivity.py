"""Radioactivity: whether the suspect's text carries the mark that a campaign's answers were drawn with.

A mark raises some tokens after some contexts, by a secret key. A model trained on marked answers learns a little of it
(Sander et al., "Watermarking makes language models radioactive", arXiv 2402.14904). Given what the suspect said, the
numbers of a key that it never met are independent of it, so the weighted count of marked pairs has a known distribution,
whatever the suspect is. See docs/provenance/radioactivity.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import binom

from spiritsafe.model import Finding
from spiritsafe.provenance._grams import totals
from spiritsafe.provenance._heard import heard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.marking.keys import MarkKey
    from spiritsafe.model import Value, Verdict
    from spiritsafe.provenance._heard import Evidence, Heard
    from spiritsafe.provenance._subject import Subject, Teacher

TIER: Final = "A"
NEEDS: Final = ("keys",)
DEFEATERS: Final = (
    "training on a paraphrase of the answers, the more thorough the better",
    "mixing with so much other text that few marked tokens are left in it",
    "taking out what the mark shifted by comparing with the suspect's own samples",
    "another teacher or a third party who published marked answers",
)
NULL: Final = (
    "the mark keys are independent of the suspect: given what it said and predicted, each pair of a context and a token "
    "is marked as if by independent draws"
)
FRESH: Final = 100
"""Keys drawn anew for the check of the null distribution."""
BROKEN: Final = 1e-6
"""Chance of so many fresh keys below ``alpha`` at which the check says that something is broken."""


def radioactivity(
    suspect: Subject,
    teacher: Teacher,
    controls: Sequence[Subject],
    *,
    seed: int,
    alpha: float = 0.01,
    fresh: int = FRESH,
) -> Finding:
    """Whether one of the teacher's mark keys fits what the suspect said (``answers``) or predicted (``readings``).

    Pairs that stand in the prompt of the same answer, and readings of contexts that the suspect was shown, are left out.
    Text of controls, which should be like the suspect and never have met the mark, sharpens the test and is not needed.
    With text and readings the smaller p is doubled; with several keys it is multiplied by their number: which campaign it
    was is ``tracing``'s question. ``seed`` draws the ``fresh`` keys of the check in ``details`` and changes nothing else.
    """
    keys = teacher.keys
    found = heard(suspect, controls, teacher.tokenizer, [key.width for key in (*keys, *teacher.decoys)])
    why = _why(suspect, teacher, found)
    if why:
        return _finding(suspect, found, seed=seed, alpha=alpha, details={"why": why})
    evidence = found.evidence(keys)
    best = min(range(len(keys)), key=lambda n: evidence[n].log10_p)
    key, seen = keys[best], evidence[best]
    log10_p = min(0.0, seen.log10_p + float(np.log10(len(keys))))
    details, broken = _checks(found, teacher, key, seed=seed, alpha=alpha, fresh=fresh)
    details |= _shown(found, key, seen)
    verdict: Verdict = "supports derivation" if log10_p <= np.log10(alpha) else "does not support derivation"
    if broken:
        verdict, details["why"] = "inconclusive", "keys that were never used are found too often"
    elif log10_p > np.log10(alpha) and _least(found, key) > np.log10(alpha / len(keys)):
        verdict, details["why"] = "inconclusive", f"so few pairs cannot reach p = {alpha:g}"
    effect = found.effect(key, seen)
    return replace(
        _finding(suspect, found, seed=seed, alpha=alpha, details=details),
        statistic=effect.deviations,
        p_value=float(10.0**log10_p),
        log10_p=log10_p,
        effect=effect.excess,
        interval=effect.interval,
        effect_unit=effect.unit,
        n=effect.n,
        verdict=verdict,
        campaign_id=key.campaign_id if len({one.campaign_id for one in keys}) == 1 else None,
    )


def _why(suspect: Subject, teacher: Teacher, found: Heard) -> str:
    if not teacher.keys:
        return "the teacher has no mark keys"
    if teacher.tokenizer is None and not suspect.readings.num_rows:
        return "the teacher's tokenizer is needed to read answers"
    if found.empty:
        return "the suspect said nothing that a key could be looked for in"
    return ""


def _finding(
    suspect: Subject, found: Heard, *, seed: int, alpha: float, details: dict[str, Value]
) -> Finding:
    """What is said when nothing can be said; what was found is put over it."""
    return Finding(
        test="radioactivity",
        tier=TIER,
        suspect=suspect.name,
        null_hypothesis=NULL,
        statistic=0.0,
        p_value=1.0,
        log10_p=0.0,
        effect=0.0,
        interval=(0.0, 0.0),
        effect_unit="excess share of marked pairs",
        n=0,
        access="logprobs" if suspect.readings.num_rows else "text",
        alpha=alpha,
        verdict="inconclusive",
        seed=seed,
        counts=found.counts,
        details=details,
        defeaters=DEFEATERS,
    )


def _checks(
    found: Heard, teacher: Teacher, key: MarkKey, *, seed: int, alpha: float, fresh: int
) -> tuple[dict[str, Value], bool]:
    """Keys that were committed and never used, and keys drawn now: their p must look like chance. True if not."""
    rng = np.random.default_rng(seed)
    drawn = [replace(key, campaign_id="fresh", epoch=n, secret=rng.bytes(16)) for n in range(fresh)]
    p = np.array([10.0**one.log10_p for one in found.evidence(drawn)])
    below = int((p <= alpha).sum())
    details: dict[str, Value] = {
        "fresh keys": fresh,
        "fresh keys below alpha": below,
        "least p of fresh keys": float(p.min(initial=1.0)),
    }
    broken = float(binom.sf(below - 1, fresh, alpha)) < BROKEN
    if teacher.decoys:
        least = min(one.log10_p for one in found.evidence(teacher.decoys))
        details["decoys"] = len(teacher.decoys)
        details["least p of decoys"] = float(10.0**least)
        broken |= least + np.log10(len(teacher.decoys)) <= np.log10(BROKEN)
    return details, broken


def _shown(found: Heard, key: MarkKey, seen: Evidence) -> dict[str, Value]:
    """The parts of the p-value, and the statistics that were not chosen, for the reader who wants to compare."""
    details: dict[str, Value] = {"key_id": key.key_id, "scheme": key.scheme, "exact": seen.exact}
    if seen.text is not None:
        said, _ = found.text[key.width]
        details["answers of controls"] = found.beside
        details["text log10 p"] = seen.text.tail.log10
        for name, weight in (("de-duplicated", np.ones(len(said))), ("counted", said.counts.astype(float))):
            details[f"text log10 p, {name}"] = totals(said, weight, [key])[0].tail.log10
    if seen.reading is not None:
        details["readings log10 p"] = seen.reading.tail.log10
    return details


def _least(found: Heard, key: MarkKey) -> float:
    """The smallest log10 p that the pairs allow; nothing bounds it under "gumbel".

    All pairs that count for the mark are marked then, and none that counts against it (its weight is below zero).
    """
    if key.scheme == "gumbel":
        return -np.inf
    weighed = [weight for pairs, weight in (found.text[key.width], found.read[key.width]) if len(pairs)]
    least = [
        int((weight > 0).sum()) * np.log10(key.share) + int((weight < 0).sum()) * np.log10(1.0 - key.share)
        for weight in weighed
    ]
    return float(min(least) + np.log10(len(least)))
