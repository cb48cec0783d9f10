"""Exact tail probabilities of weighted sums of independent random signs, coin flips and exponentials.

Under the null the secret choices are independent of the suspect, so once its text is fixed the statistic is a sum with
known weights of independent variables with known distributions. Its tail needs neither simulation nor a limit theorem:
it is one contour integral (Daniels, "Saddlepoint approximations in statistics", 1954, section 2), here along the vertical
line through the saddle point, where the trapezoid rule converges geometrically (Trefethen & Weideman, "The exponentially
convergent trapezoidal rule", 2014). The relative error stays near 1e-9 however small the probability is.

Where a sum has so few or so coarse terms that the integrand does not die out, small sums are enumerated and others get
Chernoff's bound, which is valid and too large; ``Tail.exact`` tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

ENUMERATED = 40
"""Sums of up to so many random signs are enumerated, half by half."""
STEPS = 1 << 15
"""Points of the contour after which an integrand that has not died out is given up."""
QUIET = 1e-11
"""Size of the integrand, beside its value at the saddle, at which the rest is left out."""
BLUR = 1.5
"""Spread of the other terms, in units of a repeated weight, from which on its steps are smooth: exp(-pi^2 BLUR^2 / 2)."""
NEAR = 0.5
"""Least distance of the contour from the pole at zero, in units of 1 / standard deviation."""


@dataclass(frozen=True, slots=True)
class Tail:
    """P(S >= s). ``log10`` does not underflow; ``exact`` is False where it is Chernoff's upper bound."""

    p: float
    log10: float
    exact: bool


def signs(weights: ArrayLike, observed: float) -> Tail:
    """P(sum of w_j e_j >= observed), e_j = -1 or 1 with even odds. ``weights`` float (n,); zeros change nothing."""
    w = np.abs(np.asarray(weights, np.float64))
    w = w[w > 0]
    if not w.size or observed <= -float(w.sum()):
        return _tail(0.0 if observed <= 0 or w.size else -np.inf)
    if observed > w.sum() * (1 + 1e-12):
        return _tail(-np.inf)
    if w.size <= ENUMERATED:
        return _enumerated(w, observed)
    if np.ptp(w) <= 1e-9 * w[0]:
        # Equal weights: a binomial count, on a lattice.
        heads = np.ceil((observed / w[0] + w.size) / 2 - 1e-9)
        return greens(np.ones(1), np.array([w.size]), 0.5, float(heads))
    value, count = np.unique(w, return_counts=True)
    half = _half_step(value, count)
    # A tenth more than half a step pays for the curvature that a smooth sum has within one.
    observed -= 1.1 * half

    def cgf(z: Any) -> Any:
        # log cosh, written so that large real parts do not overflow
        x = np.multiply.outer(z, value)
        return (x + np.log1p(np.exp(-2 * x)) - np.log(2.0)) @ count

    def slope(theta: float) -> float:
        return float(np.tanh(theta * value) @ (value * count))

    limit = np.pi / (2 * half) if half else np.inf
    return _contour(cgf, slope, observed, deviation=float(np.sqrt(value**2 @ count)), limit=limit)


def greens(weights: ArrayLike, counts: ArrayLike, share: float, observed: float) -> Tail:
    """P(sum over j of w_j Binomial(n_j, share) >= observed).

    ``weights`` float (k,), of either sign; ``counts`` int (k,): how many coins have that weight. Whole-numbered weights
    make a lattice sum, which has an exact formula of its own.
    """
    w, n = np.asarray(weights, np.float64), np.asarray(counts, np.float64)
    w, n = w[(n > 0) & (w != 0)], n[(n > 0) & (w != 0)]
    up = w > 0
    least, most = float(w[~up] @ n[~up]), float(w[up] @ n[up])
    if observed <= least or not w.size:
        return _tail(0.0 if observed <= least else -np.inf)
    lattice = bool(np.all(w == np.round(w)))
    if lattice:
        observed = float(np.ceil(observed - 1e-9))
    slack = 1e-12 * (most - least)
    if observed > most + slack:
        return _tail(-np.inf)
    if observed >= most - slack:
        return _tail(float(n[up].sum() * np.log(share) + n[~up].sum() * np.log1p(-share)))
    high, low = np.where(up, share, 1 - share), np.where(up, 1 - share, share)

    def cgf(z: Any) -> Any:
        # The larger end of each coin stands outside the logarithm, so that nothing overflows.
        x = np.multiply.outer(z, w)
        size = np.multiply.outer(z, np.abs(w))
        return (np.where(up, x, 0.0) + np.log(high + low * np.exp(-size))) @ n

    def slope(theta: float) -> float:
        odds = high / (high + low * np.exp(-theta * np.abs(w)))
        return float(np.where(up, odds, 1 - odds) @ (w * n))

    deviation = float(np.sqrt(share * (1 - share) * (w**2 @ n)))
    return _contour(cgf, slope, observed, deviation=deviation, lattice=lattice)


def exponentials(weights: ArrayLike, counts: ArrayLike, observed: float) -> Tail:
    """P(sum over j of w_j Gamma(n_j, 1) >= observed): sums of standard exponentials, ``n_j`` with weight ``w_j``."""
    w, n = np.asarray(weights, np.float64), np.asarray(counts, np.float64)
    w, n = w[(n > 0) & (w != 0)], n[(n > 0) & (w != 0)]
    if not w.size or (w.min() > 0 and observed <= 0):
        return _tail(0.0 if observed <= 0 else -np.inf)
    if w.max() < 0 and observed >= 0:
        return _tail(-np.inf)
    edge = 1.0 / float(w.max()) if w.max() > 0 else np.inf

    def cgf(z: Any) -> Any:
        return -np.log(1.0 - np.multiply.outer(z, w)) @ n

    def slope(theta: float) -> float:
        return float((w / (1.0 - theta * w)) @ n)

    return _contour(cgf, slope, observed, deviation=float(np.sqrt(w**2 @ n)), edge=edge)


def _contour(
    cgf: Callable[[Any], Any],
    slope: Callable[[float], float],
    observed: float,
    *,
    deviation: float,
    edge: float = np.inf,
    lattice: bool = False,
    limit: float = np.inf,
) -> Tail:
    theta = _saddle(slope, observed, deviation, edge)
    log_bound = min(0.0, float(np.real(cgf(np.array([theta]))[0])) - theta * observed)
    # Curvature at the saddle gives the width of the integrand.
    gap = min(1e-4 / deviation, (edge - theta) * 1e-3)
    width = (slope(theta + gap) - slope(theta - gap)) / (2 * gap)
    step = min(0.35 / np.sqrt(max(width, 1e-300)), 2 * np.pi * min(theta, edge - theta) / 34.0)
    if lattice:
        many = int(np.ceil(np.pi / step))
        step, limit = np.pi / many, np.pi
    base = float(np.real(cgf(np.array([theta]))[0]))
    total, reach, quiet = 0.0, 0, False
    # Wide sums are looked at a few points at a time, so that points x weights stays in memory.
    block = 256
    while not quiet and reach < STEPS and reach * step <= limit * (1 + 1e-9):
        t = np.arange(reach, reach + block) * step
        if np.isfinite(limit):
            t = t[t <= limit * (1 + 1e-9)]
        z = theta + 1j * t
        pole = 1.0 - np.exp(-z) if lattice else z
        log_size = cgf(z) - base - 1j * t * observed
        value = np.real(np.exp(log_size) / pole)
        if reach == 0:
            value[0] *= 0.5
        if lattice and abs(t[-1] - limit) < step / 2:
            value[-1] *= 0.5
        total += float(value.sum())
        reach += len(t)
        quiet = bool(np.exp(np.real(log_size[-min(64, len(t)) :])).max() < QUIET)
        if not lattice and reach * step > limit:
            # The waves beyond are the steps' own, for which the caller has paid.
            quiet = bool(np.exp(np.real(log_size[-1])) < QUIET)
            break
    complete = quiet or (lattice and reach * step > limit)
    share = total * step / np.pi
    if not complete or share <= 0:
        return _tail(log_bound, exact=False)
    return _tail(min(0.0, base - theta * observed + np.log(share)))


def _saddle(slope: Callable[[float], float], observed: float, deviation: float, edge: float) -> float:
    """Where the tilted mean is what was seen, or a little right of the pole where that is left of it."""
    low = min(NEAR / deviation, 0.5 * edge)
    if slope(low) >= observed:
        return low
    if np.isfinite(edge):
        gap = edge - low
        while slope(edge - gap) < observed:
            gap /= 2
        return _root(slope, observed, low, edge - gap)
    high = 2 * low
    while slope(high) < observed and high < 1e9 / deviation:
        high *= 2
    if slope(high) < observed:
        return high
    return _root(slope, observed, low, high)


def _root(slope: Callable[[float], float], observed: float, low: float, high: float) -> float:
    """Where the slope, which only rises, has the value: near enough for a contour, which any point gives exactly."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < observed else (low, middle)
    return low


def _half_step(value: Floats, count: Any) -> float:
    """How far apart sums of signs lie, halved, where repeated weights make steps that the others do not blur.

    The contour sees such a sum as if it were smooth: without this the probability would be short of half a step.
    ``value`` rises.
    """
    square = value**2
    finer = np.cumsum(square * count) - square * count
    once = count == 1
    coarser = np.cumsum(once[::-1])[::-1] - once
    steps = value[(count > 1) & (finer + coarser * square < BLUR**2 * square)]
    return float(steps.max(initial=0.0))


def _enumerated(w: Floats, observed: float) -> Tail:
    # All sums of each half; for each sum of one half, how many of the other's reach the rest.
    halves = []
    for half in (w[::2], w[1::2]):
        sums = np.zeros(1)
        for one in half:
            sums = np.concatenate([sums - one, sums + one])
        halves.append(np.sort(sums))
    slack = 1e-12 * float(w.sum())
    short = np.searchsorted(halves[0], observed - slack - halves[1], side="left")
    hits = halves[0].size * halves[1].size - int(short.sum())
    return _tail(np.log(hits) - w.size * np.log(2.0) if hits else -np.inf)


def _tail(log_p: float, *, exact: bool = True) -> Tail:
    return Tail(float(np.exp(log_p)), float(log_p / np.log(10.0)), exact)
