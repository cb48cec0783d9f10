"""Draws the next token by a mark: changes logits in place, a row for each sequence, each with its own key.

On a CPU the kernels below do it; on other devices the same integer arithmetic runs there as tensor operations. Either
way a token's number is bit for bit the one that detection computes (``prf``); only logits and logarithms may differ in
their last digits, as they do between devices anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from spiritsafe.errors import UsageError
from spiritsafe.marking import prf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spiritsafe.marking.keys import MarkKey

_RARE = 2.0**-10
_FAR = 6.94
"""A uniform below 1 - 2^-10 adds less than this (10 ln 2) to a logit in the race."""


@dataclass(frozen=True, slots=True)
class Sampler:
    """How the request asked to be sampled; the race must know it, for nothing samples after it.

    temperature > 0; top_k 0 and top_p 1 keep everything; min_p: least probability beside the likeliest token's. They
    are applied in the order top_k, top_p, min_p.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        if not self.temperature > 0.0:
            raise UsageError(
                "an answer without a temperature has one likeliest token and no race to mark",
                hint='use a key of scheme "green" for greedy answers, or pass them unmarked',
            )
        if self.top_k < 0 or not 0.0 < self.top_p <= 1.0 or not 0.0 <= self.min_p <= 1.0:
            raise UsageError("top_k is at least 0, top_p above 0 and at most 1, min_p from 0 to 1")


def mark(
    logits: Any,
    rows: Sequence[int],
    keys: Sequence[MarkKey],
    contexts: Sequence[NDArray[np.int64]],
    samplers: Sequence[Sampler],
) -> None:
    """Mark some rows of a batch, in place.

    logits: tensor (batch, vocabulary) of any float type and device; rows: which of them, each once; keys, contexts
    (int64, the key's width of tokens just before) and samplers: one for each of ``rows``. "green" rows get their key's
    strength added on its share of the vocabulary; "gumbel" rows become 0 at the token that won and -inf elsewhere.
    """
    if not rows:
        return
    seeds = np.array(
        [prf.seeds(key.words, one[None])[0] for key, one in zip(keys, contexts, strict=True)], np.uint64
    )
    greens = [at for at, key in enumerate(keys) if key.scheme == "green"]
    races = [at for at, key in enumerate(keys) if key.scheme == "gumbel"]
    if logits.device.type != "cpu":
        _mark_on_device(logits, rows, keys, seeds, samplers)
        return
    work = logits.detach()
    direct = str(work.dtype) in {"torch.float32", "torch.float64"} and work.is_contiguous()
    values = work.numpy() if direct else work[list(rows)].float().numpy()
    place = np.asarray(rows if direct else range(len(rows)), np.int64)
    if greens:
        raise_greens(
            values,
            place[greens],
            seeds[greens],
            np.array([keys[at].share for at in greens]),
            np.array([keys[at].strength for at in greens]),
        )
    for at in races:
        how = samplers[at]
        row = values[place[at]]
        won = race(row, seeds[at], how.temperature, how.top_k, how.top_p, how.min_p)
        row[:] = -np.inf
        row[won] = 0.0
    if not direct:
        work[list(rows)] = logits.new_tensor(values)


@njit(cache=True, nogil=True)
def raise_greens(
    logits: NDArray[np.float32],
    rows: NDArray[np.int64],
    seeds: NDArray[np.uint64],
    shares: NDArray[np.float64],
    strengths: NDArray[np.float64],
) -> None:
    """Add ``strengths[i]`` to the logits of row ``rows[i]`` where its uniform is below ``shares[i]``.

    logits: (batch, vocabulary), changed; the others (n,), n rows to mark.
    """
    for i in range(rows.size):
        row = logits[rows[i]]
        drawn = prf.vocabulary(seeds[i], row.size)
        for token in range(row.size):
            if drawn[token] < shares[i]:
                row[token] += strengths[i]


@njit(cache=True, nogil=True)
def race(
    logits: NDArray[np.float32], seed: np.uint64, temperature: float, top_k: int, top_p: float, min_p: float
) -> int:
    """The token that wins the exponential race: least -log(u) / p among those that the sampler keeps.

    logits: (vocabulary,). Equal to the argmax of logit / temperature - log(-log(u)).
    """
    least = _least(logits, temperature, top_k, top_p, min_p)
    drawn = prf.vocabulary(seed, logits.size)
    won, best = -1, -np.inf
    for token in range(logits.size):
        if not logits[token] >= least:
            continue
        scaled = np.float64(logits[token]) / temperature
        # -log(-log(u)) <= -log(1 - u): most tokens cannot win, and cost no logarithm.
        if best - scaled > _FAR and drawn[token] < 1.0 - _RARE:
            continue
        score = scaled - np.log(-np.log(drawn[token]))
        if score > best or won < 0:
            won, best = token, score
    return won


@njit(cache=True, nogil=True)
def _least(logits: NDArray[np.float32], temperature: float, top_k: int, top_p: float, min_p: float) -> float:
    """The least logit that top_k, top_p and min_p keep; the lowest finite one where all are off."""
    highest = logits.max()
    finite = np.float64(np.finfo(np.float32).min)
    least = highest + np.log(min_p) * temperature if min_p > 0 else finite
    if top_k <= 0 and top_p >= 1.0:
        return max(least, finite)
    wanted = min(top_k, logits.size) if top_k > 0 else 0
    total = 0.0
    if not wanted:
        for token in range(logits.size):
            total += np.exp((np.float64(logits[token]) - highest) / temperature)
    # Only the head of the distribution is sorted: the margin grows until the head holds what is asked for.
    margin = 4.0 * temperature
    while True:
        head = logits[logits >= highest - margin]
        mass = 0.0
        for one in head:
            mass += np.exp((np.float64(one) - highest) / temperature)
        whole = head.size == logits.size or margin > 1e6  # noqa: PLR2004 - beyond any finite logit
        if whole or (head.size >= wanted if wanted else mass >= top_p * total):
            break
        margin *= 2
    head = np.sort(head)[::-1]
    if wanted:
        head = head[:wanted]
        total = 0.0
        for one in head:
            total += np.exp((np.float64(one) - highest) / temperature)
    before, kept = 0.0, 0
    while kept < head.size and (before < top_p * total or kept == 0):
        before += np.exp((np.float64(head[kept]) - highest) / temperature)
        kept += 1
    return max(least, np.float64(head[kept - 1]), finite)


@njit(cache=True, nogil=True)
def repeats(tokens: NDArray[np.int64], width: int) -> bool:
    """Whether the last ``width`` tokens of a sequence int64 (n,) stand together somewhere before."""
    last = tokens.size - width
    for at in range(last):
        same = True
        for step in range(width):
            if tokens[at + step] != tokens[last + step]:
                same = False
                break
        if same:
            return True
    return False


def _mark_on_device(
    logits: Any,
    rows: Sequence[int],
    keys: Sequence[MarkKey],
    seeds: NDArray[np.uint64],
    samplers: Sequence[Sampler],
) -> None:
    """``mark`` by tensor operations where the logits are."""
    for at, (row, key) in enumerate(zip(rows, keys, strict=True)):
        drawn = vocabulary_on_device(int(seeds[at]), logits.shape[-1], logits.device)
        if key.scheme == "green":
            logits[row] += key.strength * (drawn < key.share).to(logits.dtype)
            continue
        how = samplers[at]
        scaled = _kept_on_device(logits[row].double() / how.temperature, how)
        won = (scaled - (-drawn.log()).log()).argmax()
        logits[row] = float("-inf")
        logits[row, won] = 0.0


def vocabulary_on_device(seed: int, size: int, device: Any) -> Any:
    """``prf.vocabulary`` as a float64 tensor on a device: the same bits."""
    import torch  # noqa: PLC0415 - whoever hands in tensors has it

    def signed(word: int) -> int:
        return word - (1 << 64) if word >> 63 else word

    def mixed(z: Any, shift: int) -> Any:
        # Signed words shift their sign in; the mask takes it out again.
        return z ^ ((z >> shift) & ((1 << (64 - shift)) - 1))

    z = torch.arange(1, size + 1, dtype=torch.int64, device=device) * signed(prf.STEP) + signed(seed)
    z = mixed(z, 30) * signed(prf.MIX_1)
    z = mixed(z, 27) * signed(prf.MIX_2)
    z = (mixed(z, 31) >> 11) & ((1 << 53) - 1)
    return z.double() * 2.0**-53 + 2.0**-54


def _kept_on_device(scaled: Any, how: Sampler) -> Any:
    ordered = scaled.sort(descending=True).values
    if how.top_k > 0:
        ordered = ordered[: how.top_k]
    chance = ordered.softmax(0)
    before = chance.cumsum(0) - chance
    least = ordered[(before < how.top_p).sum().clamp(min=1) - 1]
    if how.min_p > 0:
        least = least.clamp(min=float(ordered[0]) + float(np.log(how.min_p)))
    return scaled.masked_fill(scaled < least, float("-inf"))
