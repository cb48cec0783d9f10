"""Traitor tracing: whose marked answers, of up to a thousand campaigns, the suspect is trained on.

Each campaign's answers were drawn with a key of their own. Every key is tried on what the suspect said; each has an exact
p-value, and Holm's correction over all of them keeps the chance to name any innocent campaign below ``alpha``, however
the tests depend on each other (Holm 1979). Sets of twin pairs that belong to campaigns are further tests of the same family.
See docs/provenance/tracing.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import pyarrow.compute as pc

from spiritsafe.model import Finding
from spiritsafe.provenance._heard import heard
from spiritsafe.provenance._holm import holm
from spiritsafe.provenance.twins import twins

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spiritsafe.model import Access, Value, Verdict
    from spiritsafe.provenance._subject import Subject, Teacher

TIER: Final = "A"
NEEDS: Final = ("keys", "pairs")
DEFEATERS: Final = (
    "training on a paraphrase of the answers, the more thorough the better",
    "mixing with so much other text that few of the campaign's answers are left in it",
    "a third party who republished the campaign's answers",
)
NULL: Final = (
    "no campaign's key, and no coin of its pairs, depends on the suspect; of a named campaign this is rejected at a "
    "family-wise error of alpha over all campaigns"
)


class PairTest(Protocol):
    """A test of served answers and ghosts, as ``twins`` is."""

    def __call__(
        self, suspect: Subject, teacher: Teacher, controls: Sequence[Subject], /, *, seed: int, alpha: float
    ) -> Finding:
        """The finding on the pairs of one campaign."""
        ...


@dataclass(frozen=True, slots=True)
class _Try:
    campaign_id: str
    by: str
    log10_p: float
    effect: float
    interval: tuple[float, float]
    unit: str
    n: int
    access: Access


def tracing(
    suspect: Subject,
    teacher: Teacher,
    controls: Sequence[Subject],
    *,
    seed: int,
    alpha: float = 0.01,
    pairs: PairTest | None = twins,
) -> Finding:
    """Which campaigns the suspect is trained on; ``campaign_id``: the one with the smallest p, None if none is named.

    ``details`` names all of them under "named", and each with its adjusted log10 p. pairs: the test for the pairs of each
    campaign; None looks at no pairs, and the counts say so. A decoy that would be named makes
    the finding inconclusive: then something is wrong with the text, not with the suspect.
    """
    keys, decoys = teacher.keys, teacher.decoys
    found = heard(suspect, controls, teacher.tokenizer, [key.width for key in (*keys, *decoys)])
    tries: list[_Try] = []
    false: list[float] = []
    if not found.empty:
        every = found.evidence((*keys, *decoys))
        for key, one in zip(keys, every, strict=False):
            size = found.effect(key, one)
            tries.append(
                _Try(
                    key.campaign_id,
                    f"key {key.key_id}",
                    one.log10_p,
                    size.excess,
                    size.interval,
                    size.unit,
                    size.n,
                    "logprobs" if suspect.readings.num_rows else "text",
                )
            )
        false = [one.log10_p for one in every[len(keys) :]]
    counts = dict(found.counts) | {"keys": len(keys), "decoys": len(decoys), "pairs": teacher.pairs.num_rows}
    if pairs is not None:
        ours = list(_by_campaign(teacher))
        tries += [
            _Try(
                str(told.campaign_id),
                "pairs",
                told.log10_p,
                told.effect,
                told.interval,
                told.effect_unit,
                told.n,
                told.access,
            )
            for told in (pairs(suspect, one, controls, seed=seed, alpha=alpha) for one in ours)
        ]
        counts["pairs of a campaign"] = sum(one.pairs.num_rows for one in ours)
    counts["pairs not looked at"] = teacher.pairs.num_rows - counts.get("pairs of a campaign", 0)
    return _finding(suspect, tries, false, counts=counts, seed=seed, alpha=alpha)


def _by_campaign(teacher: Teacher) -> Iterator[Teacher]:
    """The teacher with the pairs of one campaign at a time."""
    for name in sorted(pc.unique(teacher.pairs["campaign_id"].drop_null()).to_pylist()):
        yield replace(teacher, pairs=teacher.pairs.filter(pc.equal(teacher.pairs["campaign_id"], name)))


def _finding(
    suspect: Subject,
    tries: Sequence[_Try],
    false: Sequence[float],
    *,
    counts: dict[str, int],
    seed: int,
    alpha: float,
) -> Finding:
    adjusted = holm([one.log10_p for one in tries])
    limit = float(np.log10(alpha))
    order = sorted(range(len(tries)), key=lambda n: (adjusted[n], tries[n].log10_p))
    named = list(dict.fromkeys(tries[n].campaign_id for n in order if adjusted[n] <= limit))
    details: dict[str, Value] = {"campaigns tried": len({one.campaign_id for one in tries})}
    details |= {f"{tries[n].campaign_id} by {tries[n].by}": adjusted[n] for n in order[: max(5, len(named))]}
    verdict: Verdict = "supports derivation" if named else "does not support derivation"
    if false:
        details["least log10 p of decoys"] = min(false)
    if not tries:
        verdict = "inconclusive"
        details["why"] = "no key could be looked for and no pair was looked at"
    elif false and min(false) + np.log10(len(false)) <= limit - 2:
        verdict, named = "inconclusive", []
        details["why"] = "a key that was never used is found: the text is not what it should be"
    details["named"] = ", ".join(named)
    log10_p = adjusted[order[0]] if tries else 0.0
    if len(tries) > 1:
        details["log10 p of the next"] = tries[order[1]].log10_p
    first = tries[order[0]] if tries else _Try("", "", 0.0, 0.0, (0.0, 0.0), "", 0, "text")
    return Finding(
        test="tracing",
        tier=TIER,
        suspect=suspect.name,
        null_hypothesis=NULL,
        statistic=-first.log10_p,
        p_value=float(10.0**log10_p),
        log10_p=log10_p,
        effect=first.effect,
        interval=first.interval,
        effect_unit=first.unit,
        n=first.n,
        access=first.access,
        alpha=alpha,
        verdict=verdict,
        seed=seed,
        counts=counts,
        details=details,
        defeaters=DEFEATERS,
        campaign_id=named[0] if named else None,
    )
