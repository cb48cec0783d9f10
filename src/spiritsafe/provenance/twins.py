"""Served-versus-ghost twins: whether the suspect prefers, of two answers that we drew, the one that was served.

For each pair a committed coin chose which answer left. Whatever is computed from the suspect and the two texts without
the coin is fixed before the coin is looked at; a suspect that never met the served answers is independent of it. So a sum
of differences, each with the coin's sign, has a known distribution under the null: the test is exact for any suspect, any
prompts, any scorer and any fitted weights. See docs/provenance/twins.md for the theorem and its limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc
from scipy.special import ndtri

from spiritsafe.model import Finding
from spiritsafe.provenance import _tails
from spiritsafe.provenance._pairs import advantage, bounded, residual, sides, usable
from spiritsafe.provenance._subject import statuses
from spiritsafe.provenance._surrogate import both, by_pool, by_speaker, corpus_of
from spiritsafe.provenance._wealth import wealth

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from spiritsafe.model import Access, Value, Verdict
    from spiritsafe.provenance._subject import Subject, Teacher
    from spiritsafe.provenance._words import Tokens

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

TIER: Final = "A"
NEEDS: Final = ("pairs",)
DEFEATERS: Final = (
    "training on a thorough paraphrase of the answers",
    "training on answers drawn anew from another model for the same prompts",
    "mixing with so much other text that too few pairs are left in it",
    "long training on other text afterwards",
)
NULL: Final = (
    "which of the two answers of each pair was served is independent of the suspect: given the pair and the suspect, each "
    "is the served one with even odds"
)
FEW: Final = 0.1
"""Share of the usable pairs from which on log-probabilities are believed to beat the surrogate."""
POWERED: Final = 0.8
PAIRS_EACH: Final = 10
"""Pairs that each column of the regression needs; columns that count most come first."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known of the usable pairs without their coins, and which of them tell something (``used``).

    ``nuisance``: float64 (n, k), what counts most first; ``size``: mean tokens of a pair's sides; ``said``: tokens of the
    suspect's that the surrogate is fitted on.
    """

    difference: Floats
    nuisance: Floats
    size: Floats
    used: Flags
    said: int = 0


def twins(
    suspect: Subject,
    teacher: Teacher,
    controls: Sequence[Subject],
    *,
    seed: int,
    alpha: float = 0.01,
    access: Access | None = None,
) -> Finding:
    """Whether the suspect finds the served answers likelier than the ghosts, pair by pair.

    access: "logprobs" uses ``suspect.scores`` (item = pair_id, side = "first" or "second"); "text" a model of n-grams
    fitted on ``suspect.answers``; None the former where at least a tenth of the pairs have scores, else the latter.
    Scores of the teacher and texts and scores of controls sharpen the test and are not needed. ``seed`` changes nothing:
    the null distribution is computed. ``e_value``: the same pairs one by one in committed order, for stopping early.
    """
    pairs = usable(teacher.pairs)
    total = pairs.table.num_rows
    scored = _by_score(pairs.table, suspect, teacher, controls)
    if access is None:
        access = "logprobs" if total and scored.used.sum() >= FEW * total else "text"
    seen = scored if access == "logprobs" else _by_text(pairs.table, suspect, teacher, controls)
    use = seen.used
    served_first = pairs.served_first[use]
    sign = np.where(served_first, 1.0, -1.0)
    # A fit of as many columns as there are pairs would leave nothing.
    nuisance = seen.nuisance[use][:, : int(use.sum()) // PAIRS_EACH]
    difference = residual(seen.difference[use], nuisance)
    cut = bounded(difference, seen.size[use])
    tail = _tails.signs(cut, float(cut @ sign))
    spread = float(np.sqrt(cut @ cut))
    effect, interval = advantage(difference * sign, seen.size[use])
    money = wealth(seen.difference[use], served_first, nuisance)
    told = int((cut != 0).sum())
    least = 0.5**told
    verdict: Verdict = "supports derivation" if tail.p <= alpha else "does not support derivation"
    if tail.p > alpha and least > alpha:
        verdict = "inconclusive"
    return Finding(
        test="twins",
        tier=TIER,
        suspect=suspect.name,
        null_hypothesis=NULL,
        statistic=float(cut @ sign) / spread if spread else 0.0,
        p_value=tail.p,
        log10_p=tail.log10,
        effect=effect,
        interval=interval,
        effect_unit="nats a token that the served answer is likelier"
        + ("" if access == "logprobs" else ", under the surrogate"),
        n=int(use.sum()),
        access=access,
        alpha=alpha,
        verdict=verdict,
        seed=seed,
        counts={
            "pairs used": int(use.sum()),
            f"pairs without {'a score of both sides' if access == 'logprobs' else 'a token'}": total
            - int(use.sum()),
            **pairs.counts,
            **{f"answers {name}": number for name, number in statuses(suspect.answers).items()},
            **{f"scores {name}": number for name, number in statuses(suspect.scores).items()},
        },
        details=_details(tail, told, spread, float(seen.size[use].sum()), alpha)
        | ({"tokens of the suspect": seen.said} if access == "text" else {})
        | ({"log10_e": float(money[-1] / np.log(10.0))} if money.size else {})
        | _why(access, total, int(use.sum()), told, alpha),
        defeaters=DEFEATERS,
        e_value=float(np.exp(min(700.0, money[-1]))) if money.size else 1.0,
        campaign_id=_campaign(teacher.pairs),
    )


def _by_score(pairs: pa.Table, suspect: Subject, teacher: Teacher, controls: Sequence[Subject]) -> _Seen:
    """Differences of log-probability; beside them, those of length and of what other models say of the same texts."""
    logprob, tokens = sides(pairs, suspect.scores)
    used: Flags = np.all(np.isfinite(logprob), axis=1)
    texts = both(pairs, teacher)
    lengths = _lengths(texts)
    # A scorer that does not tell its tokens is measured by ours, in all pairs alike.
    size = lengths if not np.isfinite(tokens[used]).all() else np.nan_to_num(tokens)
    nuisance = [
        size[:, 0] - size[:, 1],
        *_by_others(pairs, (teacher, *controls)),
        *by_pool(*texts),
        lengths[:, 0] - lengths[:, 1],
    ]
    difference = np.where(used, logprob[:, 0] - logprob[:, 1], 0.0)
    return _Seen(difference, np.stack(nuisance, axis=1), size.mean(axis=1), used)


def _by_text(pairs: pa.Table, suspect: Subject, teacher: Teacher, controls: Sequence[Subject]) -> _Seen:
    """The same in a surrogate fitted on what the suspect said; beside it, surrogates of the controls."""
    texts = both(pairs, teacher)
    lengths = _lengths(texts)
    found = by_speaker(suspect, texts, teacher)
    used: Flags = np.any(lengths > 0, axis=1) if found is not None else np.zeros(pairs.num_rows, np.bool_)
    difference = np.zeros(pairs.num_rows) if found is None else found
    others = [by_speaker(control, texts, teacher) for control in controls] if found is not None else []
    nuisance = [
        *by_pool(*texts),
        lengths[:, 0] - lengths[:, 1],
        *_by_others(pairs, (teacher,)),
        *(one for one in others if one is not None),
    ]
    said = int(corpus_of(suspect, teacher).ids.size)
    return _Seen(difference, np.stack(nuisance, axis=1), lengths.mean(axis=1), used, said)


def _by_others(pairs: pa.Table, others: Sequence[Subject | Teacher]) -> list[Floats]:
    """The differences of log-probability in those models that scored any pair."""
    found = []
    for other in others:
        logprob, _ = sides(pairs, other.scores)
        told = np.isfinite(logprob).all(axis=1)
        if told.any():
            # Where a model has no score, 0 says nothing of either side.
            found.append(np.where(told, logprob[:, 0] - logprob[:, 1], 0.0))
    return found


def _lengths(texts: tuple[Tokens, Tokens]) -> Floats:
    return np.stack([one.lengths for one in texts], axis=1).astype(np.float64)


def _details(tail: _tails.Tail, told: int, spread: float, tokens: float, alpha: float) -> dict[str, Value]:
    """``detectable``: the advantage a token that this run would find four times in five at ``alpha``."""
    details: dict[str, Value] = {"exact": tail.exact, "least_log10_p": float(-told * np.log10(2.0))}
    if tokens:
        reach = float(ndtri(1.0 - alpha) + ndtri(POWERED))
        details["detectable"] = reach * spread / tokens
    return details


def _why(access: Access, total: int, used: int, told: int, alpha: float) -> dict[str, Value]:
    if not total:
        return {"why": "no pair may be used: the counts name the reasons"}
    if not used:
        missing = "no pair has a score of both sides" if access == "logprobs" else "the suspect said nothing"
        return {"why": missing}
    if 0.5**told > alpha:
        return {"why": f"{told} pairs that tell anything cannot reach p = {alpha:g}"}
    return {}


def _campaign(table: pa.Table) -> str | None:
    """The campaign, where all pairs name the same one."""
    names = pc.unique(table["campaign_id"]).to_pylist()
    return names[0] if len(names) == 1 else None
