"""Model equality: whether suspect and teacher answer the same prompts from the same distribution.

Identity only, never derivation: a student of the teacher is another model and is told apart from it. After Gao, Liang &
Guestrin, "Model equality testing" (arXiv 2410.20247): two samples, maximum mean discrepancy, labels permuted within each
prompt. Two discrepancies are looked at together: within prompts (needs several answers to a prompt), and of the mean
answer over all prompts, which one answer a prompt is enough for.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lgamma
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.model import Finding
from spiritsafe.provenance._subject import spoken, statuses
from spiritsafe.provenance._words import Tokens, mixed, tokenized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spiritsafe.model import Verdict
    from spiritsafe.provenance._subject import Subject, Teacher, Tokenizer

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

TIER: Final = "B"
NEEDS: Final = ("answers",)
DEFEATERS: Final = (
    "another system prompt, sampler setting or length limit: the same weights then are another model",
    "answers from a cache, or scripted answers to the prompts",
)
NULL: Final = (
    "identity: the suspect's and the teacher's answers to each prompt are drawn from one distribution (the same model "
    "with the same settings); this says nothing of derivation"
)
PERMUTATIONS: Final = 1999
WIDTH: Final = 160
"""Tokens from the start of an answer that the Hamming kernel compares."""
FEATURES: Final = 512
"""Hash buckets of one-token and two-token runs."""
BLOCK: Final = 64
SLACK: Final = 1e-9
"""Differences that are rounding: a discrepancy that no permutation changes has no say."""
Z95: Final = 1.959964


@dataclass(frozen=True, slots=True)
class _Samples:
    """Answers ordered by prompt. ``prompt`` int64 (n,), ``own`` bool (n,): the suspect's; ``tokens`` of each."""

    prompt: Ints
    own: NDArray[np.bool_]
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class _Result:
    p: float
    least: float
    statistic: float
    effect: float
    interval: tuple[float, float]
    prompts: int


def equality(
    suspect: Subject, teacher: Teacher, controls: Sequence[Subject], *, seed: int, alpha: float = 0.01
) -> Finding:
    """Whether the suspect's answers can be told from the teacher's own answers to the same prompts.

    A rejection means "different model"; no rejection is worth as much as the ``power`` says: the share of controls that the
    same test tells apart from the teacher. Prompts are the same when their ``prompt_id`` is.
    """
    said, own = spoken(suspect.answers), spoken(teacher.answers)
    found = _compared(said, own, teacher.tokenizer, seed)
    shared = pc.is_in(said["prompt_id"], own["prompt_id"].combine_chunks())
    used = int(pc.sum(shared).as_py() or 0)
    told = statuses(suspect.answers)
    counts = {
        "answers used": used,
        "answers to prompts the teacher was not asked": said.num_rows - used,
        **{f"answers {name}": told[name] for name in ("refused", "empty", "failed")},
    }
    others = [_compared(spoken(one.answers), own, teacher.tokenizer, seed) for one in controls]
    able = [one.p <= alpha for one in others if one.least <= alpha]
    verdict: Verdict = "different model" if found.p <= alpha else "same model not rejected"
    details: dict[str, str | int | float | bool] = {
        "tests": "identity, never derivation",
        "least_p": found.least,
        "controls_compared": len(able),
        "controls_told_apart": sum(able),
    }
    if found.least > alpha:
        verdict = "inconclusive"
        details["why"] = (
            "no prompt was answered by both"
            if not found.prompts
            else f"{found.prompts} prompts with so few answers cannot reach p = {alpha:g}"
        )
    return Finding(
        test="equality",
        tier=TIER,
        suspect=suspect.name,
        null_hypothesis=NULL,
        statistic=found.statistic,
        p_value=found.p,
        log10_p=float(np.log10(found.p)),
        effect=found.effect,
        interval=found.interval,
        effect_unit="squared mean discrepancy of an answer's tokens, 0: same",
        n=found.prompts,
        access="text",
        alpha=alpha,
        verdict=verdict,
        seed=seed,
        counts=counts,
        details=details,
        defeaters=DEFEATERS,
        power=float(np.mean(able)) if able else None,
    )


def _compared(said: pa.Table, own: pa.Table, tokenizer: Tokenizer | None, seed: int) -> _Result:
    samples = _samples(said, own, tokenizer)
    prompts, first = np.unique(samples.prompt, return_index=True)
    size = np.diff(np.append(first, samples.prompt.size))
    ours = np.add.reduceat(samples.own.astype(np.int64), first) if first.size else np.empty(0, np.int64)
    if not prompts.size:
        return _Result(1.0, 1.0, 0.0, 0.0, (-np.inf, np.inf), 0)
    rng = np.random.default_rng(seed)
    features = _features(samples.tokens)
    prefix = _prefixes(samples.tokens)
    # Prompts of one shape (answers in all, answers of the suspect) are computed together.
    shapes = np.unique(np.stack([size, ours], axis=1), axis=0)
    stats = np.zeros((PERMUTATIONS + 1, 2))
    pooled = np.zeros((PERMUTATIONS + 1, FEATURES))
    log_ways = 0.0
    within: list[Floats] = []
    for n, m in shapes:
        at = first[(size == n) & (ours == m)][:, None] + np.arange(n)
        gram = _gram(prefix, features, at)
        log_ways += len(at) * _log_choose(int(n), int(m))
        for begin in range(0, PERMUTATIONS + 1, BLOCK):
            rows = slice(begin, min(begin + BLOCK, PERMUTATIONS + 1))
            sides = _sides(samples.own[at], rows, int(m), rng)
            stats[rows, 0] += np.einsum("bpi,bpi->b", np.einsum("bpi,pij->bpj", sides, gram), sides)
            pooled[rows] += sides.reshape(len(sides), -1).astype(np.float32) @ features[at.ravel()]
        if m >= 2 and n - m >= 2:
            within.append(_unbiased(gram, samples.own[at]))
    stats[:, 1] = (pooled**2).sum(1) / len(prompts)
    spread = stats.std(axis=0)
    # Both on one scale, which the permutations and what was seen give together: all rows are treated alike.
    alive = spread > SLACK * (1 + np.abs(stats).max(axis=0))
    joint = ((stats[:, alive] - stats[:, alive].mean(axis=0)) / spread[alive]).max(axis=1, initial=-np.inf)
    p = float((joint >= joint[0] - SLACK).mean())
    least = max(1.0 / (PERMUTATIONS + 1), float(np.exp(-log_ways)))
    values = np.concatenate(within) if within else _crossed(features, samples)
    half = Z95 * float(values.std() / np.sqrt(max(1, len(values)))) * (1 if within else 2)
    effect = float(values.mean())
    return _Result(
        p,
        least,
        float(joint[0]) if alive.any() else 0.0,
        effect,
        (effect - half, effect + half),
        len(prompts),
    )


def _samples(said: pa.Table, own: pa.Table, tokenizer: Tokenizer | None) -> _Samples:
    both = pc.unique(said["prompt_id"]).filter(
        pc.is_in(pc.unique(said["prompt_id"]), pc.unique(own["prompt_id"]))
    )
    table = pa.concat_tables([side.select(["prompt_id", "text", "status"]) for side in (said, own)])
    mine = np.arange(table.num_rows) < said.num_rows
    prompt = pc.fill_null(pc.index_in(table["prompt_id"], both), -1).to_numpy().astype(np.int64)
    order = np.lexsort((~mine, prompt))
    order = order[prompt[order] >= 0]
    tokens = tokenized(table["text"].take(pa.array(order)), tokenizer)
    cut = pc.equal(table["status"], "truncated").to_numpy()[order]
    prompt = prompt[order]
    return _Samples(prompt, mine[order], _level(tokens, prompt, cut))


def _level(tokens: Tokens, prompt: Ints, cut: NDArray[np.bool_]) -> Tokens:
    """Where a length limit cut an answer, no answer to that prompt is read further: limits may differ."""
    most = np.full(int(prompt.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    # The last token of a cut answer may be half a word.
    np.minimum.at(most, prompt[cut], np.maximum(tokens.lengths[cut] - 1, 0))
    keep = np.minimum(tokens.lengths, most[prompt])
    place = np.arange(tokens.ids.size) - np.repeat(tokens.offsets[:-1], tokens.lengths)
    offsets = np.concatenate([[0], np.cumsum(keep)]).astype(np.int64)
    return Tokens(tokens.ids[place < np.repeat(keep, tokens.lengths)], offsets)


def _prefixes(tokens: Tokens) -> NDArray[np.uint64]:
    """uint64 (texts, WIDTH): the first tokens of each text, then zeros."""
    at = np.arange(WIDTH)
    inside = at < tokens.lengths[:, None]
    table = np.zeros(inside.shape, np.uint64)
    table[inside] = tokens.ids[(tokens.offsets[:-1, None] + at)[inside]]
    return table


def _features(tokens: Tokens) -> NDArray[np.float32]:
    """float32 (texts, FEATURES), length 1 each: root counts of hashed runs of one and two tokens."""
    text = tokens.texts
    follows = np.flatnonzero(text[1:] == text[:-1])
    two = mixed(tokens.ids[follows] * np.uint64(3) + tokens.ids[follows + 1])
    bucket = np.concatenate([mixed(tokens.ids), two]) % np.uint64(FEATURES)
    row = np.concatenate([text, text[follows]])
    size = tokens.lengths.size * FEATURES
    count = np.bincount(row * FEATURES + bucket.astype(np.int64), minlength=size).reshape(-1, FEATURES)
    root = np.sqrt(count)
    return (root / np.maximum(np.sqrt((root**2).sum(1, keepdims=True)), 1e-12)).astype(np.float32)


def _gram(prefix: NDArray[np.uint64], features: NDArray[np.float32], at: Ints) -> Floats:
    """float64 (prompts, n, n): share of equal tokens place by place, plus likeness of their runs."""
    n = at.shape[1]
    gram = np.empty((len(at), n, n))
    for i in range(n):
        one = prefix[at[:, i]][:, None, :]
        for_all = prefix[at]
        same = ((one == for_all) & (for_all != 0)).sum(2)
        longest = np.maximum((one != 0).sum(2), (for_all != 0).sum(2))
        gram[:, i] = np.where(longest > 0, same / np.maximum(longest, 1), 1.0)
    chosen = features[at]
    return gram + chosen @ chosen.transpose(0, 2, 1)


def _sides(own: NDArray[np.bool_], rows: slice, m: int, rng: np.random.Generator) -> Floats:
    """float64 (rows, prompts, n): 1/m for the suspect's answers, -1/(n - m) for the teacher's; row 0 is what was seen."""
    shape = (rows.stop - rows.start, *own.shape)
    drawn = rng.random(shape).argsort(axis=2) < m
    if rows.start == 0:
        drawn[0] = own
    return np.where(drawn, 1.0 / m, -1.0 / (own.shape[1] - m))


def _unbiased(gram: Floats, own: NDArray[np.bool_]) -> Floats:
    """The discrepancy of each prompt, float64 (prompts,), around 0 for the same model."""
    m, k = int(own[0].sum()), int((~own[0]).sum())
    a, b = own.astype(np.float64), (~own).astype(np.float64)
    itself = np.einsum("pii->pi", gram)
    same = (np.einsum("pi,pij,pj->p", a, gram, a) - (itself * a).sum(1)) / (m * (m - 1))
    same += (np.einsum("pi,pij,pj->p", b, gram, b) - (itself * b).sum(1)) / (k * (k - 1))
    return same - 2 * np.einsum("pi,pij,pj->p", a, gram, b) / (m * k)


def _crossed(features: NDArray[np.float32], samples: _Samples) -> Floats:
    """With few answers a prompt: how much each prompt's difference is like the others', float64 (prompts,)."""
    total = int(samples.prompt.max()) + 1
    delta = np.zeros((total, FEATURES))
    for side, sign in ((samples.own, 1.0), (~samples.own, -1.0)):
        share = np.bincount(samples.prompt[side], minlength=total)
        np.add.at(delta, samples.prompt[side], sign * features[side] / share[samples.prompt[side], None])
    if total < 2:
        return np.zeros(1)
    return (delta @ delta.sum(0) - (delta**2).sum(1)) / (total - 1)


def _log_choose(n: int, m: int) -> float:
    return lgamma(n + 1) - lgamma(m + 1) - lgamma(n - m + 1)
